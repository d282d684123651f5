"""The oracle for guests: QEMU's loongson3-virt machine, whose UART, LIOINTC and power switch are where ours are."""

from __future__ import annotations

import shutil
import subprocess
from functools import cache
from pathlib import Path

from cpu.isa.program import Program

PROGRAM = "qemu-system-mips64el"
# The only processor that QEMU emulates on this machine; the guests keep to what it has in common with the 3A4000.
CPU = "Loongson-3A1000"
TIMEOUT_S = 60


@cache
def missing() -> str | None:
    """Why the oracle cannot run here; None when it can."""
    if shutil.which(PROGRAM) is None:
        return f"{PROGRAM} is not installed"
    machines = subprocess.run([PROGRAM, "-M", "help"], capture_output=True, text=True).stdout
    return None if "loongson3-virt" in machines else f"{PROGRAM} has no machine loongson3-virt"


def output(program: Program, folder: Path) -> str:
    """What the guest writes to the UART until it switches the machine off."""
    program.to_elf(folder / "guest.elf")
    command = [PROGRAM, "-M", "loongson3-virt", "-cpu", CPU, "-m", "512", "-nodefaults", "-display", "none"]
    command += ["-serial", "stdio", "-kernel", str(folder / "guest.elf")]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIMEOUT_S)
    assert done.returncode == 0, done.stderr
    return done.stdout
