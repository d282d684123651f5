"""Builds the guests that `soc bench` measures: programs in C, by the cross compiler that the package ziglang brings,
and one in assembler.

Nothing binary is shipped. The ELF files of programs in C are kept in the cache, keyed by sources, options and compiler,
so that a second run compiles nothing. Use: `bench(iterations=1000)`. `compiled` does the same for other files in C.
"""

import io
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Collection, Sequence
from importlib import metadata
from pathlib import Path

from elftools.elf.elffile import ELFFile

from scenarios.library import guest
from soc.errors import ConfigurationError, choose
from soc.fetch.cache import sha256
from soc.files import cache_root, write_atomically

FOLDER = Path(__file__).parent
COMPILER = "ziglang"
# MIPS64, n64, absolute addresses, and no start-up code.
OPTIONS = (
    "-mabi=64 -mno-abicalls -fno-pic -G0 -static -nostdlib "
    "-ffreestanding -fno-builtin -fno-math-errno -fno-stack-protector -fomit-frame-pointer -O2 -g0 "
    "-Wall -Wextra -Werror -Wl,--entry=_start -Wl,--build-id=none -Wl,--no-eh-frame-hdr"
).split()
SCRIPT = FOLDER / "bench.ld"
SYSTEMS = {
    "bare": ("-target", "mips64el-freestanding", f"-Wl,-T,{SCRIPT}"),
    "linux": ("-target", "mips64el-linux"),
}
# Release 2 is what every machine under comparison has; MSA needs release 5. bench.c is compiled without the FPU.
UNITS = {
    "bench": ("-mcpu=mips64r2", "-msoft-float"),
    "compute": ("-mcpu=mips64r2",),
    "vector": ("-mcpu=mips64r5+msa",),
}
COMPUTE_PARTS = ("integer", "double", "memory", "calls")
VECTOR_PARTS = ("saxpy", "dot", "bytes")
OPERATIONS = ("system call", "software interrupt", "timer interrupt", "TLB refill", "process switch", "modified code")
"""What system.S can do, in the order of its table."""


def bench(iterations: int = 1) -> bytes:
    """The ELF of the mixed program, set to run `iterations` times (1 to 2^32 - 1). Raises ConfigurationError."""
    return _repeated(lambda: build("bench"), iterations)


def compute(part: str, iterations: int = 1) -> bytes:
    """The ELF of one of `COMPUTE_PARTS`, set to run `iterations` times (1 to 2^32 - 1). Raises ConfigurationError."""
    return _repeated(lambda: _part("compute", part, COMPUTE_PARTS), iterations)


def vector(part: str, iterations: int = 1, system: str = "bare") -> bytes:
    """The ELF of one of `VECTOR_PARTS`, for the bare machine or for "linux". Raises ConfigurationError."""
    return _repeated(lambda: _part("vector", part, VECTOR_PARTS, system), iterations)


def system(operation: str, iterations: int = 1) -> bytes:
    """The ELF of system.S, set to do one of `OPERATIONS` `iterations` times (1 to 2^32 - 1). Raises
    ConfigurationError."""
    _choice("operation of the system", operation, OPERATIONS)
    _check(iterations)
    return guest("system.S", kind=OPERATIONS.index(operation), iterations=iterations).to_elf()


def _part(name: str, part: str, parts: Sequence[str], system: str = "bare") -> bytes:
    _choice(f"part of the {name} set", part, parts)
    return with_word(build(name, system), "part", parts.index(part) + 1)


def _choice(what: str, name: str, allowed: Collection[str]) -> None:
    if name not in allowed:
        raise ConfigurationError(choose(what, name, allowed))


def _check(iterations: int) -> None:
    if not 1 <= iterations < 1 << 32:
        raise ConfigurationError(f"iterations = {iterations}; allowed: 1 to {(1 << 32) - 1}.\nGive a number in it.")


def _repeated(built: Callable[[], bytes], iterations: int) -> bytes:
    _check(iterations)
    return with_word(built(), "iterations", iterations)


def build(name: str, system: str = "bare") -> bytes:
    """The ELF of `name`.c for one of `SYSTEMS`. Raises ConfigurationError when there is no such program or system, when
    there is no compiler, and when it fails."""
    _choice("program in C", name, UNITS)
    _choice("system", system, SYSTEMS)
    options = [*SYSTEMS[system], *UNITS[name], *OPTIONS]
    return compiled(f"{name}-{system}", [FOLDER / f"{name}.c"], [SCRIPT, *sorted(FOLDER.glob("*.h"))], options)


def compiled(name: str, sources: Sequence[Path], included: Sequence[Path], options: Sequence[str]) -> bytes:
    """The ELF of the C files `sources`, which use the files `included`. Raises ConfigurationError like `build`."""
    try:
        version = metadata.version(COMPILER)
    except metadata.PackageNotFoundError as cause:
        raise ConfigurationError(
            f"{sources[0].name} is written in C, and the compiler package {COMPILER} is not installed.\n"
            "`pip install '.[guests]'` in the project's folder installs it."
        ) from cause
    files = [*sources, *included]
    made_of = b"\0".join([*(path.read_bytes() for path in files), " ".join(options).encode(), version.encode()])
    folder = cache_root() / "guests"
    path = folder / f"{name}-{sha256(made_of)[:24]}.elf"
    if not path.exists():
        write_atomically(path, _compile(sources, options, folder))
    return path.read_bytes()


def _compile(sources: Sequence[Path], options: Sequence[str], folder: Path) -> bytes:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        made = Path(scratch) / "guest.elf"
        command = [sys.executable, "-m", COMPILER, "cc", *options, *map(str, sources), "-o", str(made)]
        environment = {**os.environ, "ZIG_GLOBAL_CACHE_DIR": str(folder / "zig"), "ZIG_LOCAL_CACHE_DIR": scratch}
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", env=environment)
        if done.returncode or not made.exists():
            said = "; ".join(done.stderr.strip().splitlines()[:3]) or f"status {done.returncode}"
            what = ", ".join(source.name for source in sources)
            raise ConfigurationError(
                f"{COMPILER} cannot compile {what}: {said}.\nAnother version of {COMPILER} may: 0.13 or newer."
            )
        return made.read_bytes()


def with_word(elf: bytes, symbol: str, value: int) -> bytes:
    """`elf` with the 64-bit little-endian word at `symbol` replaced. Raises ConfigurationError where there is none."""
    file = ELFFile(io.BytesIO(elf))
    table = file.get_section_by_name(".symtab")
    found = table.get_symbol_by_name(symbol) if table else None
    if not found:
        raise ConfigurationError(f"the guest has no symbol {symbol}.\nDefine it as a 64-bit word in its source.")
    address = found[0]["st_value"]
    for segment in file.iter_segments("PT_LOAD"):
        offset = address - segment["p_vaddr"]
        if 0 <= offset <= segment["p_filesz"] - 8:
            at = segment["p_offset"] + offset
            return elf[:at] + value.to_bytes(8, "little") + elf[at + 8 :]
    raise ConfigurationError(
        f"the symbol {symbol} at {address:#x} has no bytes in the file.\nGive it an initial value."
    )
