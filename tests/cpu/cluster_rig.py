"""Several cores on one memory with made-up devices: what the tests of the cluster share.

A device is a function of a request that gives the value of a read, anything for a write, or None for a bus error; its
answer arrives `LATENCY` cycles later. Cores stop at a WAIT that nothing ends, as in `core_rig`.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count

from cpu.cluster import DEFAULT_SLICE, Cluster, ClusterStop, Request
from cpu.core import StopKind
from cpu.costs import Costs
from cpu.isa.names import GPR_NAMES
from cpu.isa.program import Program
from cpu.memory import Memory
from tests.cpu.core_rig import CODE, KSEG0, MIB, STATUS, VECTORS, assemble, physical, wait_word

WINDOW = 80
LATENCY = 160
DATA = KSEG0 + 0x40000
DEVICE = 0x9000_0000_1FE0_0000
"""Uncached address of the made-up devices."""
RUNAWAY = 3_000_000
"""Instructions of all cores after which a program that should have ended is given up."""


class Smp:
    """`cores` cores in kernel mode, all held until `start`; $k1 and the like are the program's own."""

    def __init__(
        self,
        cores: int,
        tier: str = "threaded",
        window: int = WINDOW,
        device: Callable[[Request], int | None] = lambda request: 0,
        slice_cycles: int = DEFAULT_SLICE,
        costs: Costs | None = None,
    ) -> None:
        self.memory = Memory(16 * MIB)
        self.cluster = Cluster(self.memory, cores, tier, window, costs)
        self.cluster.limit(RUNAWAY)
        self.device, self.slice_cycles = device, slice_cycles
        self.seen: list[Request] = []
        self._events: list[tuple[int, int, Callable[[int], None]]] = []
        self._order = count()
        self.program: Program | None = None
        for vector in VECTORS:
            self.memory.write(vector, wait_word())

    def load(self, text: str, base: int = CODE) -> Program:
        """Assembles `text` for kseg0 address `base`."""
        self.program = assemble(text, base)
        self.memory.write(physical(base), self.program.data)
        return self.program

    def start(self, core: int, label: str = "_start", at: int = 0, status: int = STATUS, **gpr: int) -> None:
        """Has a core begin at `label` at cycle `at`; core 0 begins at cycle 0."""
        registers = [0] * 32
        for name, value in gpr.items():
            registers[GPR_NAMES.index(name)] = value
        pc = self.program.symbol(label)
        values = {"pc": pc, "gpr": registers, "cp0": {"status": status, "cause": 0, "ebase": KSEG0 | core}}
        self.cluster.cores[core].set_state(values)
        if core:
            self.at(at, lambda cycle: self.cluster.release(core, cycle, pc, {}))

    def start_all(self, label: str = "_start", **gpr: int) -> None:
        """Has every core begin at `label` at cycle 0, with its number in $a0."""
        for core in range(len(self.cluster.cores)):
            self.start(core, label, a0=core, **gpr)

    def at(self, cycle: int, what: Callable[[int], None]) -> None:
        """Calls `what(cycle)` before the window that holds `cycle` runs."""
        heappush(self._events, (cycle, next(self._order), what))

    def line(self, cycle: int, core: int, ip: int, level: int) -> None:
        """Input IP`ip` of a core changes at `cycle`."""
        self.at(cycle, lambda when: self.cluster.line(core, when, ip, level))

    def run(self, until: int | None = None) -> ClusterStop:
        """Runs to the grid point at or after `until`, or to any other stop but the end of a slice."""
        cluster, window = self.cluster, self.cluster.window
        end = None if until is None else -(-until // window) * window
        while end is None or cluster.grid < end:
            first = cluster.grid + window
            while self._events and self._events[0][0] < first:
                cycle, _, what = heappop(self._events)
                what(cycle)
            target = max(first, self._events[0][0] // window * window) if self._events else end
            if target is not None and end is not None:
                target = min(target, end)
            while (stop := cluster.run(target, self.slice_cycles)).kind is StopKind.SLICE:
                pass
            if stop.kind is not StopKind.HORIZON:
                return stop
            for request in cluster.requests():
                self._request(request)
        return ClusterStop(StopKind.HORIZON)

    def _request(self, request: Request) -> None:
        self.seen.append(request)
        value = self.device(request)
        self.at(request.cycle + LATENCY, lambda cycle: self.cluster.answer(request.core, cycle, value))

    def finish(self) -> None:
        """Runs until every core waits for ever."""
        stop = self.run()
        assert stop.kind is StopKind.DEADLOCK, stop
        for core in self.cluster.cores:
            assert core.held or core.waiting, f"core {core.number} is at {core.pc:#x}"

    def word(self, label: str, size: int = 8) -> int:
        """The unsigned number at a label."""
        return int.from_bytes(self.memory.read(physical(self.program.symbol(label)), size), "little")

    def reg(self, core: int, name: str) -> int:
        return self.cluster.cores[core].regs[GPR_NAMES.index(name)]

    def whole(self) -> tuple:
        """All that a run may not leave to chance: registers, times and memory."""
        return tuple(core.digest() for core in self.cluster.cores), self.memory.digest(), tuple(self.seen)
