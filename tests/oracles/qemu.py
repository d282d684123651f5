"""Running cases on QEMU: user mode (a static ELF) and bare metal (a Malta board whose RAM is a file).

Both run the same runner, written here word by word, so that the harness does not depend on the table under test. The
processor is QEMU's Loongson-3A4000.
"""

from __future__ import annotations

import mmap
import os
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from soc.errors import SocError
from tests.oracles import layout as at
from tests.oracles.layout import BLOCK, CODE_SLOT, KERNEL, USER, Layout, Result

CPU = "Loongson-3A4000"
USER_PROGRAM = "qemu-mips64el"
SYSTEM_PROGRAM = "qemu-system-mips64el"
TIMEOUT = 300  # seconds of wall time for one batch


class OracleError(SocError):
    """QEMU is absent, or it did not run a batch to its end."""


def missing(layout: Layout) -> str | None:
    """Why this layout's oracle cannot run here; None when it can."""
    program = SYSTEM_PROGRAM if layout.kernel else USER_PROGRAM
    return None if shutil.which(program) else f"{program} is not installed"


ZERO, V0, A0, A1, A2, K0, K1 = 0, 2, 4, 5, 6, 26, 27
C0_INDEX, C0_ENTRYLO0, C0_ENTRYLO1, C0_PAGEMASK, C0_BADVADDR = 0, 2, 3, 5, 8
C0_ENTRYHI, C0_STATUS, C0_CAUSE, C0_EPC, C0_CONFIG = 10, 12, 13, 14, 16
CONFIG5 = 5  # select
FCSR = 31
MSACSR = 1

# Status while the runner works: CU1, CU0, FR, KX, SX, UX.
RUNNER_STATUS = 1 << 29 | 1 << 28 | 1 << 26 | 7 << 5
EXL = 1 << 1
TLB_ENTRIES = 64
RAM_BYTES = 32 << 20
VECTORS = (0x000, 0x080, 0x100, 0x180)
SYS_WRITE, SYS_EXIT = 5001, 5058  # n64 system calls
RESET_REGISTER = 0xFFFFFFFFBF000500  # Malta's SOFTRES; 0x42 resets the board, which ends QEMU under -no-reboot


def _i(opcode: int, rs: int, rt: int, imm: int) -> int:
    return opcode << 26 | rs << 21 | rt << 16 | (imm & 0xFFFF)


def _jump(target: int) -> int:
    return 0b000010 << 26 | (target >> 2 & 0x3FFFFFF)


def _special(function: int, rs: int = 0, rt: int = 0, rd: int = 0) -> int:
    return rs << 21 | rt << 16 | rd << 11 | function


def _cop0(function: int, rt: int, rd: int) -> int:
    return 0b010000 << 26 | function << 21 | rt << 16 | rd << 11


def ld(rt: int, offset: int, base: int = K1) -> int:
    return _i(0b110111, base, rt, offset)


def sd(rt: int, offset: int, base: int = K1) -> int:
    return _i(0b111111, base, rt, offset)


def li(rt: int, value: int) -> list[int]:
    """Loads a sign-extended 32-bit value."""
    return [_i(0b001111, 0, rt, value >> 16), _i(0b001101, rt, rt, value)]


DSLL, DSRL, DSLL32 = 0b111000, 0b111010, 0b111100


def _shift(function: int, rd: int, rt: int, amount: int) -> int:
    return rt << 16 | rd << 11 | amount << 6 | function


def mfc0(rt: int, c0: int) -> int:
    return _cop0(0, rt, c0)


def dmfc0(rt: int, c0: int) -> int:
    return _cop0(1, rt, c0)


def mtc0(rt: int, c0: int, select: int = 0) -> int:
    return _cop0(4, rt, c0) | select


def _vector(function: int, wd: int) -> int:
    """LD.D (function 100011) or ST.D (100111) of an MSA register of the state block."""
    return 0b011110 << 26 | (at.VECTORS + 16 * wd) // 8 << 16 | K1 << 11 | wd << 6 | function


def ctcmsa(rs: int) -> int:
    return 0b011110 << 26 | 0b0000111110 << 16 | rs << 11 | MSACSR << 6 | 0b011001


def cfcmsa(rd: int) -> int:
    return 0b011110 << 26 | 0b0001111110 << 16 | MSACSR << 11 | rd << 6 | 0b011001


def dmtc0(rt: int, c0: int) -> int:
    return _cop0(5, rt, c0)


TLBWI, TLBWR, ERET = 0x42000002, 0x42000006, 0x42000018
NOP = 0


def _branch_back(words: list[int], index: int) -> list[int]:
    """BNE k1, zero to words[index], with its delay slot."""
    return [_i(0b000101, K1, ZERO, index - len(words) - 1), NOP]


def _entry(layout: Layout, first: int) -> list[int]:
    words: list[int] = []
    if layout.kernel:
        words += [*li(K0, RUNNER_STATUS), mtc0(K0, C0_STATUS)]
        words += [*li(K0, at.MSAEN), mtc0(K0, C0_CONFIG, CONFIG5)]
        # QEMU's TLB is all zero at reset, so that page 0 would hit: every entry gets an address that needs no TLB.
        words += [_i(0b001001, ZERO, A0, 0), mtc0(ZERO, C0_PAGEMASK), mtc0(ZERO, C0_ENTRYLO0), mtc0(ZERO, C0_ENTRYLO1)]
        words += [*li(A1, 0xA0000000), _i(0b001001, ZERO, K1, TLB_ENTRIES)]
        back = len(words)
        words += [mtc0(A0, C0_INDEX), dmtc0(A1, C0_ENTRYHI), TLBWI]
        words += [_i(0b001001, A0, A0, 1), _i(0b011001, A1, A1, 0x2000), _i(0b001001, K1, K1, -1)]
        words += _branch_back(words, back)
    words += li(K1, first)
    loop = layout.runner + 4 * len(words)
    # The link of the case before goes to an address that no case uses (on QEMU 7.2 an SC does not clear it).
    words += [_i(0b110000, K1, K0, at.LINK)]
    words += [ld(K0, at.HI), _special(0b010001, K0), ld(K0, at.LO), _special(0b010011, K0)]
    words += [_vector(0b100011, n) for n in range(32)]
    words += [ld(K0, at.MSACSR), ctcmsa(K0)]
    words += [ld(K0, at.FCSR), 0b010001 << 26 | 0b00110 << 21 | K0 << 16 | FCSR << 11]
    if layout.window is not None:
        words += [ld(K0, at.CODE), dmtc0(K0, C0_EPC)]
    if layout.kernel:
        words += [ld(K0, at.CONFIG5), mtc0(K0, C0_CONFIG, CONFIG5)]
        words += [ld(K0, at.STATUS), _i(0b001101, K0, K0, EXL if layout.window is not None else 0), mtc0(K0, C0_STATUS)]
    words += [ld(n, at.GPR + 8 * n) for n in range(32) if n not in at.RESERVED]
    words += [ld(K0, at.CODE), _special(0b001000, K0), NOP] if layout.window is None else [ERET]
    assert layout.runner + 4 * len(words) <= layout.done
    return words + [NOP] * ((layout.done - layout.runner) // 4 - len(words)) + _done(layout, loop)


def _done(layout: Layout, loop: int) -> list[int]:
    words = [sd(n, at.GPR + 8 * n) for n in range(32) if n not in at.RESERVED]
    if layout.kernel:
        words += [*li(K0, RUNNER_STATUS), mtc0(K0, C0_STATUS)]
        words += [*li(K0, at.MSAEN), mtc0(K0, C0_CONFIG, CONFIG5)]
    words += [_special(0b010000, rd=K0), sd(K0, at.HI), _special(0b010010, rd=K0), sd(K0, at.LO)]
    words += [0b010001 << 26 | 0b00010 << 21 | K0 << 16 | FCSR << 11, sd(K0, at.FCSR)]
    words += [0b010001 << 26 | 0b00110 << 21 | FCSR << 11]  # FCSR = 0
    words += [cfcmsa(K0), sd(K0, at.MSACSR), ctcmsa(ZERO)]
    words += [_vector(0b100111, n) for n in range(32)]
    words += [ld(K1, at.NEXT), _i(0b000100, K1, ZERO, 3), NOP, _jump(loop), NOP]
    return words


def _user_exit(first: int, size: int) -> list[int]:
    write = [*li(V0, SYS_WRITE), *li(A0, 1), *li(A1, first), *li(A2, size), _special(0b001100)]
    return [*write, *li(V0, SYS_EXIT), *li(A0, 0), _special(0b001100)]


def _kernel_exit() -> list[int]:
    here = _i(0b000100, ZERO, ZERO, -1)
    return [*li(K1, RESET_REGISTER), *li(K0, 0x42), _i(0b101011, K1, K0, 0), here, NOP]


def _vector_entry(vector: int, handler: int) -> list[int]:
    return [_jump(handler), _i(0b001101, ZERO, K0, vector + 1)]


def _handler(layout: Layout) -> list[int]:
    words = [sd(K0, at.VECTOR), mfc0(K0, C0_CAUSE), sd(K0, at.CAUSE), dmfc0(K0, C0_EPC), sd(K0, at.EPC)]
    words += [dmfc0(K0, C0_BADVADDR), sd(K0, at.BADVADDR), *li(K0, RUNNER_STATUS), mtc0(K0, C0_STATUS)]
    return [*words, _jump(layout.done), NOP]


def _refill(layout: Layout, vector: int, handler: int) -> list[int]:
    """Maps the page of the window that was missed (4 KiB, cached, writable); any other miss is the case's own. With
    Status.UX = 0 `vector` is another."""
    low = layout.window & 0xFFFFFFFF
    t0, t1 = 8, 9
    words = [sd(t0, at.SAVED), sd(t1, at.SAVED + 8), dmfc0(K0, C0_BADVADDR)]
    words += [_i(0b001101, ZERO, t0, layout.window >> 32), _shift(DSLL32, t0, t0, 0)]
    words += [*li(t1, low), _special(0b101101, t0, t1, t0), _special(0b101111, K0, t0, t0)]
    words += [_shift(DSRL, t1, t0, at.WINDOW_BITS)]
    ours = [_shift(DSRL, t0, t0, 13), _shift(DSLL, t0, t0, 7), _i(0b001101, t0, t0, 0x1E), dmtc0(t0, C0_ENTRYLO0)]
    ours += [_i(0b011001, t0, t0, 0x40), dmtc0(t0, C0_ENTRYLO1), TLBWR]
    ours += [ld(t0, at.SAVED), ld(t1, at.SAVED + 8), ERET]
    words += [_i(0b000101, t1, ZERO, len(ours) + 1), NOP, *ours]
    return [*words, ld(t0, at.SAVED), ld(t1, at.SAVED + 8), *_vector_entry(vector, handler)]


def _words(words: Sequence[int], order: str = "<") -> bytes:
    return struct.pack(f"{order}{len(words)}I", *(w & 0xFFFFFFFF for w in words))


def _case_image(layout: Layout, cases: Sequence) -> list[tuple[int, bytes]]:
    """(address, bytes) of the code and the state blocks."""
    places = [layout.runner_address(case.block) for case in cases]
    image = []
    for case, place, after in zip(cases, places, [*places[1:], 0], strict=True):
        image.append((layout.runner_address(case.start), _words(case.words())))
        image.append((place, at.pack_block(case, after)))
    return image


def bare_runner(layout: Layout, first_block: int) -> list[tuple[int, bytes]]:
    """(physical address, bytes) of what every program of a bare machine has: runner, handlers and vectors.

    It starts at `layout.runner` with the state block at address `first_block` and ends by a store to `RESET_REGISTER`.
    """
    handler = layout.runner - 0x100
    image = [(layout.runner, _words(_entry(layout, first_block) + _kernel_exit()))]
    image.append((handler, _words(_handler(layout))))
    image += [(at.KSEG0 + v, _words(_vector_entry(v, handler))) for v in VECTORS]
    if layout.window is not None:
        for vector, refill in ((0x000, handler - 0x100), (0x080, handler - 0x200)):
            image.append((refill, _words(_refill(layout, vector, handler))))
            image.append((at.KSEG0 + vector, _words([_jump(refill), NOP])))
    return [(_physical(address), data) for address, data in image]


def _physical(address: int) -> int:
    return address & 0x1FFFFFFF


def bare_image(layout: Layout, cases: Sequence) -> list[tuple[int, bytes]]:
    """(physical address, bytes) of the whole program of a bare machine."""
    _check(layout, cases)
    image = [(_physical(address), data) for address, data in _case_image(layout, cases)]
    return bare_runner(layout, layout.runner_address(cases[0].block)) + image


def _check(layout: Layout, cases: Sequence) -> None:
    if not cases:
        raise OracleError("a batch needs at least one case")
    for case in cases:
        if case.layout is not layout:
            raise OracleError(f"case {case.number} was made for the {case.layout.name} layout, not {layout.name}")
    if len({case.slot for case in cases}) < len(cases):
        raise OracleError(f"two cases of a batch share a slot; a batch holds at most {at.SLOTS} consecutive cases")


def run_user(cases: Sequence) -> list[Result]:
    """The results of `cases` on qemu-mips64el. The cases must not trap: a signal would end the whole batch."""
    _check(USER, cases)
    low = min(c.block for c in cases)
    size = max(c.block for c in cases) + BLOCK - low
    runner = (USER.runner, _words(_entry(USER, cases[0].block) + _user_exit(low, size)))
    image = [runner, *_case_image(USER, cases)]
    with tempfile.TemporaryDirectory(prefix="oracle-") as folder:
        program = Path(folder) / "cases.elf"
        program.write_bytes(_elf(USER.runner, image))
        program.chmod(0o755)
        output = Path(folder) / "blocks"
        with output.open("wb") as out:
            _run([USER_PROGRAM, "-cpu", CPU, str(program)], out)
        blocks = output.read_bytes()
    if len(blocks) != size:
        raise OracleError(f"{USER_PROGRAM} wrote {len(blocks)} bytes of state blocks, expected {size}")
    return [at.unpack_block(blocks[c.block - low : c.block - low + BLOCK]) for c in cases]


def run_system(cases: Sequence, layout: Layout = KERNEL) -> list[Result]:
    """The results of `cases` on qemu-system-mips64el, with exception vectors that record and go on."""
    image = bare_image(layout, cases)
    with tempfile.TemporaryDirectory(prefix="oracle-") as folder:
        ram, bios = Path(folder) / "ram", Path(folder) / "bios"
        # Malta swaps the words of a little-endian firmware image.
        bios.write_bytes(_words([*li(K0, layout.runner), _special(0b001000, K0), NOP], ">"))
        size = RAM_BYTES
        with ram.open("w+b") as file:
            os.ftruncate(file.fileno(), size)
            with mmap.mmap(file.fileno(), size) as memory:
                for physical, data in image:
                    memory[physical : physical + len(data)] = data
        backend = f"memory-backend-file,id=ram,size={size},mem-path={ram},share=on"
        command = [SYSTEM_PROGRAM, "-M", "malta,memory-backend=ram", "-object", backend, "-cpu", CPU]
        command += ["-bios", str(bios)]
        command += ["-m", f"{size >> 20}M", "-nodefaults", "-nographic", "-serial", "none", "-monitor", "none"]
        _run([*command, "-no-reboot"], subprocess.DEVNULL)
        with ram.open("rb") as file:
            results = []
            for case in cases:
                file.seek(layout.physical(case.block))
                results.append(at.unpack_block(file.read(BLOCK)))
    return results


def run(layout: Layout, cases: Sequence) -> list[Result]:
    """The results of `cases` on the oracle of `layout`."""
    return run_system(cases, layout) if layout.kernel else run_user(cases)


def _run(command: list[str], out) -> None:
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.PIPE, timeout=TIMEOUT)
    except FileNotFoundError:
        raise OracleError(f"{command[0]} is not installed; install QEMU's MIPS programs to run this oracle") from None
    except subprocess.TimeoutExpired:
        raise OracleError(f"{command[0]} did not end a batch within {TIMEOUT} s; try fewer sequences") from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()
        raise OracleError(f"{command[0]} ended with status {done.returncode}, expected 0: {said}")


def _elf(entry: int, image: list[tuple[int, bytes]]) -> bytes:
    """A static little-endian MIPS64 ELF with one segment for each region of `image`."""
    regions: dict[int, tuple[int, bytearray]] = {}
    for address, data in sorted(image):
        key = address >> 20 if address < USER.code else address >> 24
        start, content = regions.setdefault(key, (address & ~0xFFFF, bytearray()))
        content.extend(bytes(address - start - len(content)))
        content.extend(data)
    headers, contents = [], []
    place = 0x10000
    for start, content in regions.values():
        headers.append(struct.pack("<IIQQQQQQ", 1, 7, place, start, start, len(content), len(content), 0x10000))
        content.extend(bytes(-len(content) % 0x10000))
        contents.append(content)
        place += len(content)
    ident = b"\x7fELF" + bytes((2, 1, 1, 0)) + bytes(8)
    flags = 0x80000000  # EF_MIPS_ARCH_64R2, n64
    head = struct.pack("<16sHHIQQQIHHHHHH", ident, 2, 8, 1, entry, 64, 0, flags, 64, 56, len(headers), 0, 0, 0)
    return (head + b"".join(headers)).ljust(0x10000, b"\0") + b"".join(contents)


__all__ = ["CODE_SLOT", "OracleError", "missing", "run", "run_system", "run_user"]
