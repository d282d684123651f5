"""Behavioural vectors of the register reference, section 12, that need a core or a platform, by guest code.

The rows that one device or the board of controllers can show are in tests/devices/vectors.py.
"""

from typing import NamedTuple

import pytest

from cpu.isa.assembler import assemble
from soc.testing import make_machine
from soc.machine import Machine
from tests.devices.vectors import ON_MACHINE

CODE, KSEG0, UNCACHED = 0x10000, 0xFFFF_FFFF_8000_0000, 0x9000_0000_0000_0000
STATUS = 0x0400_00E0
"""64-bit addresses, kernel mode, no interrupts, no bootstrap vectors."""
V0, V1, A0, T0, T1, S0, S1 = 2, 3, 4, 8, 9, 16, 17
WITHIN = 50
"""Count ticks that Linux gives the core to show a change of Cause.TI."""
END = "1: wait 0\nb 1b\nnop\n"


class Row(NamedTuple):
    name: str
    source: str


print(ON_MACHINE)
