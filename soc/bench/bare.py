"""The assembler programs of this folder on a bare machine."""

from pathlib import Path
from typing import Any

from soc.firmware.boot import BootState
from soc.firmware.memory_map import physical


def load(machine: Any, source: Path, a0: int) -> None:
    """Puts the program in `source`, which is linked to kseg0, into memory; core 0 will enter it with `a0`."""
    from cpu.isa.assembler import assemble_file

    program = assemble_file(source)
    machine.memory.write(physical(program.base), program.data)
    machine.cpu[0].set_state(BootState(program.entry, {"a0": a0}).state())
