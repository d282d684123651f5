"""The guest of these tests, on machines small enough for them."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from cpu.isa.assembler import assemble
from cpu.isa.program import Program
from soc import Machine

BASE = 0xFFFF_FFFF_8001_0000


@cache
def guest() -> Program:
    return assemble(Path(__file__).with_name("guest.S").read_text(), BASE)


def machine(cpus: int = 1, waits: bool = False, **options: Any) -> Machine:
    """A machine that is about to execute the guest; where it `waits`, until somebody changes `go_on`."""
    made = Machine("virt", cpus=cpus, ram="16 MiB", **options)
    program = guest().with_values(go_on=0 if waits else 1)
    made.memory.write(BASE & 0x1FFF_FFFF, program.data)
    made.cpu[0].set_state({"pc": program.entry})
    return made
