"""The assembler programs of this folder on a bare machine."""

from pathlib import Path
from typing import Any

A0 = 4
KSEG0_BYTES = 0x2000_0000


def load(machine: Any, source: Path, a0: int) -> None:
    """Puts the program in `source`, which is linked to kseg0, into memory; core 0 will enter it with `a0`."""
    from cpu.isa.assembler import assemble_file

    program = assemble_file(source)
    machine.memory.write(program.base % KSEG0_BYTES, program.data)
    registers = [0] * 32
    registers[A0] = a0
    machine.cpu[0].set_state({"pc": program.entry, "gpr": registers})
