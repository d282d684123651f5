"""From files to memory and registers: everything a machine needs to start, as a pure function.

`prepare` is the one way in. Source of the hand-off: Linux 6.1: arch/mips/kernel/head.S, arch/mips/loongson64/init.c;
QEMU 10.0: hw/mips/loongson3_virt.c.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from soc.firmware import cmdline, lefi, rom
from soc.firmware.elf import Segment, read_elf
from soc.firmware.errors import LoadError
from soc.firmware.initrd import check_initrd, kernel_pointer, place_initrd
from soc.firmware.kernel import looks_like_linux, read_kernel
from soc.firmware.memory_map import FIRMWARE_RAM, KSEG0, LOW_RAM, MIB
from soc.ram import ROM_BASE

KINDS = ("auto", "bare", "linux")
GPR = {"zero": 0, "at": 1, "a0": 4, "a1": 5, "a2": 6, "a3": 7, "gp": 28, "sp": 29, "ra": 31}


@dataclass(frozen=True)
class BootState:
    """Where a core starts: pc, general registers by ABI name (absent ones are zero), CP0 values by name."""

    pc: int
    registers: dict[str, int] = field(default_factory=dict)
    cp0: dict[str, int] = field(default_factory=dict)

    def state(self) -> dict[str, Any]:
        """The same as a state dictionary of a core: pc, gpr (32 values) and cp0."""
        gpr = [0] * 32
        for name, value in self.registers.items():
            gpr[GPR[name]] = value
        return {"pc": self.pc, "gpr": gpr, "cp0": dict(self.cp0)}


@dataclass(frozen=True)
class BootImage(BootState):
    """A loaded machine: `segments` are (physical address, bytes), to be written in order, then core 0 starts."""

    segments: list[tuple[int, bytes]] = field(default_factory=list)
    kind: str = "bare"
    command_line: str = ""
    banner: str = ""


def prepare(
    program: str | Path | bytes,
    *,
    ram: int,
    initrd: str | Path | bytes | None = None,
    append: str = "",
    cpus: int = 1,
    run_stub: bool = False,
    kind: str = "auto",
    cpu_clock_hz: int = 800_000_000,
    platform: str = "virt",
    user_kernel: bool = False,
) -> BootImage:
    """What to write and where to start for an ELF program or a kernel on `platform` (virt, ls7a).

    `program` and `initrd` are paths, or the bytes of such files; `ram` is in bytes. `kind` is 'bare' for a program of
    its own, 'linux' for a kernel with boot parameters, 'auto' to tell by the file. `append` is added to the
    kernel's command line. `run_stub` starts a vmlinuz at its decompressor. `user_kernel`: it is linked to the kseg0 of
    a guest under trap and emulate. Raises LoadError; TableError for `cpus` or a clock that the tables cannot hold.
    """
    for what, given, allowed in (("kind", kind, KINDS), ("platform", platform, rom.PLATFORMS)):
        if given not in allowed:
            raise LoadError("the program", f"{what} {given!r} is unknown", f"Choose one of {', '.join(allowed)}.")
    name, data = _read(program, "kernel" if kind == "linux" else "program")
    image = None if kind == "linux" else read_elf(data, name, ram, user_kernel=user_kernel)
    if image is None or (kind == "auto" and looks_like_linux(image)):
        tables = partial(lefi.tables, platform, ram, cpus, cpu_clock_hz)
        return _linux(data, name, ram, initrd, append, run_stub, tables, rom.rom_code(platform))
    if initrd is not None or append:
        extra = "an initrd" if initrd is not None else "a command line"
        raise LoadError(name, f"it is no Linux kernel, so {extra} has no meaning for it", "Leave that option out.")
    return BootImage(pc=image.entry, segments=_segments((Segment(ROM_BASE, rom.rom_code(platform)), *image.segments)))


def _read(source: str | Path | bytes, what: str) -> tuple[str, bytes]:
    """Name and contents of `source`."""
    if isinstance(source, bytes):
        return what, source
    try:
        return str(source), Path(source).read_bytes()
    except OSError as cause:
        advice = "Check the path."
        if what != "program":
            advice = "Check the path; `soc fetch debian` gets a kernel and an initrd that boot."
        raise LoadError(f"{what} {source}", cause.strerror or str(cause), advice) from cause


def _linux(
    data: bytes,
    name: str,
    ram: int,
    initrd: str | Path | bytes | None,
    append: str,
    run_stub: bool,
    tables: Callable[[], bytes],
    code: bytes,
) -> BootImage:
    if ram < LOW_RAM:
        why = f"{ram // MIB} MiB is too little memory: the firmware's part of it ends at {LOW_RAM // MIB} MiB"
        raise LoadError(f"kernel {name}", why, "`--ram-mb 256` or more holds it; 512 is the default.")
    kernel = read_kernel(data, name, ram, run_stub)
    if kernel.end > FIRMWARE_RAM:
        why = f"it ends at physical {kernel.end:#x}, the firmware's memory begins at {FIRMWARE_RAM:#x}"
        raise LoadError(f"kernel {name}", why, "A smaller kernel is needed.")
    place = None
    placed: tuple[Segment, ...] = ()
    if initrd is not None:
        initrd_name, archive = _read(initrd, "initrd")
        check_initrd(archive, initrd_name)
        address = place_initrd(len(archive), kernel.end, ram, initrd_name)
        place = (kernel_pointer(address), len(archive))
        placed = (Segment(address, archive),)
    arguments = cmdline.argument_block(cmdline.command_line(append, place))
    firmware = (
        Segment(ROM_BASE, code),
        Segment(lefi.BLOCK, tables()),
        Segment(arguments.address, arguments.data),
    )
    registers = {"a0": arguments.argc, "a1": arguments.argv, "a2": KSEG0 + lefi.BLOCK, "a3": 0}
    return BootImage(
        pc=kernel.entry,
        registers=registers,
        cp0={"status": 0},
        segments=_segments((*kernel.segments, *placed, *firmware)),
        kind="linux",
        command_line=arguments.text,
        banner=kernel.banner,
    )


def _segments(segments: tuple[Segment, ...]) -> list[tuple[int, bytes]]:
    return [(segment.address, segment.data) for segment in segments]
