"""The smallest hypervisor: a core whose root mode is Python, a guest in pages of 16 KiB, and what each exit was.

Guest physical page g lies where `place` puts it. An exit is noted and the guest goes on at the address in $s7; on
HYPCALL a page moves to another place first, as a hypervisor may move it.
"""

from __future__ import annotations

from random import Random
from typing import NamedTuple

import numpy as np

from cpu import state
from cpu.cluster import Cluster
from cpu.core import StopKind
from cpu.isa.assembler import assemble
from cpu.isa.names import GPR_NAMES
from cpu.memory import Memory
from tests.cpu.core_rig import EXL, IE, IP, KX, M64, MIB
from tests.cpu.vz_rig import D0, GE, HC, ID

PAGE = 0x4000
DATA, PAGES = 16, 32
"""Guest physical pages: code below DATA, data from there on; those from PAGES on are absent."""
TIME_SLICE = 10_000
"""Cycles after which a guest is interrupted."""
MOST_CYCLES = 100_000
RAM = 8 * MIB
REFILL_CYCLES = 31
PRESENT_FLAGS = 0xF | 3 << 11 | 1 << 10 | 1 << 9
READ_ONLY_FLAGS = 0xF | 3 << 11 | 1 << 9


class Exit(NamedTuple):
    cycle: int
    code: int
    reason: int
    epc: int
    badvaddr: int
    badinstr: int
    bd: bool


class Hypervisor:
    """One core, one guest. `wired`: root TLB entries that no refill may take; `options`: of the cluster."""

    def __init__(
        self,
        tier: str,
        wired: int = 0,
        ext: int = 0,
        slice_cycles: int = 1 << 40,
        window: int = 1 << 20,
        **options,
    ):
        self.memory = Memory(RAM)
        self.cluster = Cluster(self.memory, 1, tier, window, **{"vz": True, **options})
        self.core = self.cluster.cores[0]
        self.vz = self.core.vz
        self.slice_cycles = slice_cycles
        self.exits: list[Exit] = []
        self.moves = Random(7)
        self._pgd, self._pmd, self._pte = (np.zeros(2048, np.int64) for _ in range(3))
        self._pgd[0], self._pmd[0] = self._pmd.ctypes.data, self._pte.ctypes.data
        for page in range(PAGES):
            self.place(page, (2 * page + 64) * PAGE)
        self.vz.host(REFILL_CYCLES)
        self.vz.set_table(self._pgd.ctypes.data)
        for name, value in (("guestctl0", D0), ("guestctl0ext", ext), ("guestctl1", ID << 16 | ID), ("wired", wired)):
            self.vz.set_c0(name, value)
        self.vz.set_gc0("status", 0)

    def place(self, page: int, address: int, flags: int = PRESENT_FLAGS) -> None:
        """Has a guest physical page lie at a physical address."""
        self._pte[page] = address >> 12 << 14 | flags

    def where(self, gpa: int) -> int:
        """Physical address of a guest physical one."""
        return (int(self._pte[gpa // PAGE]) >> 14 << 12) + gpa % PAGE

    def load(self, text: str, base: int) -> int:
        """Assembles guest code for a guest kseg0 address; returns the guest physical address of its end."""
        data, gpa = assemble(text, base).data, base & 0x1FFF_FFFF
        while data:
            count = PAGE - gpa % PAGE
            self.memory.write(self.where(gpa), data[:count])
            data, gpa = data[count:], gpa + min(count, len(data))
        return gpa

    def enter(self, pc: int) -> None:
        """Goes on in the guest, for a time slice of root's timer."""
        self.vz.set_c0("epc", pc & M64)
        self.vz.set_c0("compare", self.vz.c0("count") + TIME_SLICE // 2 & 0xFFFF_FFFF)
        self.vz.set_c0("status", KX | EXL | IE | IP[7])
        self.vz.enter_guest()

    def run(self) -> None:
        """Runs to the next exit."""
        while (stop := self.cluster.run(None, self.slice_cycles)).kind is StopKind.SLICE:
            pass
        assert stop.kind is StopKind.EXIT, stop
        c0 = self.vz.c0
        cause = c0("cause")
        self.exits.append(
            Exit(
                self.core.cycles, cause >> 2 & 31, c0("guestctl0") >> 2 & 31, c0("epc"), c0("badvaddr"), c0("badinstr"),
                bool(cause >> 31),
            )
        )  # fmt: skip

    def go(self, pc: int, end: int) -> None:
        """Runs the guest from `pc` until it calls root with HYPCALL `end`, or has lost its way."""
        self.enter(pc)
        while self.core.cycles < MOST_CYCLES:
            self.run()
            last = self.exits[-1]
            if (last.code, last.reason) == (GE, HC):
                if last.badinstr >> 11 & 0x3FF == end:
                    return
                self._move()
            self.vz.charge(100)
            self.enter(self.reg("s7"))

    def _move(self) -> None:
        page = self.moves.randrange(DATA, PAGES)
        old, new = self.where(page * PAGE), (2 * page + 64 + self.moves.randrange(2)) * PAGE
        data = self.memory.read(old, PAGE)
        self.place(page, new, self.moves.choice((PRESENT_FLAGS, PRESENT_FLAGS, READ_ONLY_FLAGS)))
        self.memory.write(new, data)
        if new != old:
            self.memory.write(old, b"\xcd" * PAGE)
        self.vz.invalidate_gpa(page * PAGE)

    def reg(self, name: str) -> int:
        return self.core.regs[GPR_NAMES.index(name)]

    def whole(self) -> tuple:
        """All that a run may not leave to chance."""
        guest = [int(v) for v in self.core.S[state.LLBIT : state.LLBIT + 3]]
        return self.core.digest(), self.memory.digest(), self.exits, self.vz.refills, self.core.cycles, guest
