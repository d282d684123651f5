"""A core that runs a Python generator instead of instructions, a memory to go with it, and a small machine of both."""

from __future__ import annotations

from collections.abc import Callable, Generator
from enum import IntEnum
from typing import Any, NamedTuple

from soc.machine import Machine

Kind = IntEnum("Kind", "HORIZON SLICE MMIO_READ MMIO_WRITE WAIT LIMIT PC DEADLOCK UNMODELLED", start=0)
Program = Generator[tuple, Any, None]


class Stop(NamedTuple):
    kind: Kind
    address: int = 0
    size: int = 0
    value: int = 0
    cycle: int = 0
    text: str = ""


class FakeMemory:
    """Sparse RAM from 0x80000000."""

    def __init__(self, size: int) -> None:
        self.size, self.bytes = size, {}

    def is_ram(self, address: int) -> bool:
        return 0x8000_0000 <= address < 0x8000_0000 + self.size

    def read(self, address: int, count: int) -> bytes:
        return bytes(self.bytes.get(address + n, 0) for n in range(count))

    def write(self, address: int, data: bytes) -> None:
        self.bytes.update({address + n: byte for n, byte in enumerate(data)})

    def digest(self) -> bytes:
        return repr(sorted((a, b) for a, b in self.bytes.items() if b)).encode()


class FakeCore:
    """Runs `program(core)`, which yields one operation at a time; each is one block of the instruction stream:

    ("run", n) n instructions; ("read", address, size) and ("write", address, size, value) one MMIO instruction each;
    ("wait",) until an interrupt is taken. At a boundary with `enabled` and a line of `mask` high, `handler(core)` runs
    first, with interrupts off. A read is answered by what `yield` returns.
    """

    def __init__(self, program: Callable[[FakeCore], Program], handler: Callable[[FakeCore], Program] | None = None):
        self.program, self.handler = program(self), handler
        self.number = self.cycles = self.instructions = self.lines = 0
        self.pc, self.mask, self.enabled = 0x1000, 0xFF, handler is not None
        self.seen: list[tuple[int, Any]] = []
        self._stack: list[list] = [[self.program, None]]
        # Each frame: a generator, and what to answer its last operation with.
        self._waiting = False
        self._log: list[tuple[int, int, int]] = []

    held = False
    exceptions: dict[int, int] = {}
    tlb_refills = 0

    def digest(self) -> bytes:
        return repr((self.pc, self.cycles, self.instructions)).encode()

    def log_interrupts(self, wanted: bool) -> None:
        """Always kept."""

    def waits_for(self) -> str:
        return "wait"

    def set_line(self, ip: int, level: int) -> None:
        self.lines = self.lines | 1 << ip if level else self.lines & ~(1 << ip)

    def drain_irq_log(self) -> list[tuple[int, int, int]]:
        log, self._log = self._log, []
        return log

    def run(self, until: int | None, max_insns: int | None = None, stop_pcs: tuple = ()) -> Stop:
        limit = None if max_insns is None else self.instructions + max_insns
        while True:
            if until is not None and self.cycles >= until:
                return Stop(Kind.HORIZON)
            if limit is not None and self.instructions >= limit:
                return Stop(Kind.LIMIT)
            if self.enabled and self.lines & self.mask:
                self._waiting = self.enabled = False
                self._log.append((self.cycles, self.lines & self.mask, 0))
                self._stack.append([self.handler(self), None])
            if self._waiting:
                if until is None:
                    return Stop(Kind.DEADLOCK, text="wait")
                self.cycles = until
                return Stop(Kind.HORIZON)
            try:
                operation = self._stack[-1][0].send(self._stack[-1][1])
            except StopIteration:
                self._stack.pop()
                if self._stack:
                    self.enabled = True
                else:
                    self._stack, self._waiting = [[iter_forever(), None]], True
                continue
            self._stack[-1][1] = None
            match operation:
                case ("run", count):
                    self.cycles += count
                    self.instructions += count
                case ("read", address, size):
                    return Stop(Kind.MMIO_READ, address, size, cycle=self.cycles)
                case ("write", address, size, value):
                    return Stop(Kind.MMIO_WRITE, address, size, value, self.cycles)
                case ("wait",):
                    self._waiting = True
                case ("unmodelled", text):
                    return Stop(Kind.UNMODELLED, text=text)

    def finish_read(self, value: int, cycle: int) -> None:
        self._stack[-1][1] = value
        self.seen.append((cycle, value))
        self.finish_write(cycle)

    def finish_write(self, cycle: int) -> None:
        self.cycles = cycle + 1
        self.instructions += 1

    def finish_error(self, cycle: int) -> None:
        self.seen.append((cycle, "bus error"))
        self.cycles = cycle

    def get_state(self) -> dict[str, Any]:
        return {"pc": self.pc, "cycles": self.cycles, "instructions": self.instructions}

    def set_state(self, state: dict[str, Any]) -> None:
        self.pc = state["pc"]
        self.state = state


def iter_forever() -> Program:
    """What a core does after its program: wait."""
    while True:
        yield ("wait",)


class Request(NamedTuple):
    core: int
    is_store: bool
    address: int
    size: int
    value: int
    cycle: int
    instructions: int
    space: int = 0


class ClusterStop(NamedTuple):
    kind: Kind
    core: int = 0
    text: str = ""


class FakeCluster:
    """One FakeCore behind the face of cpu.cluster.Cluster."""

    quiet_until = 0

    def __init__(self, core: FakeCore, window: int) -> None:
        self.cores, self.window, self.grid = [core], window, 0
        self._events: list[tuple] = []
        self._limit: int | None = None
        self._parked: Request | None = None
        self._sent = True

    def limit(self, instructions: int | None) -> None:
        self._limit = instructions

    def is_held(self, core: int) -> bool:
        return False

    def line(self, core: int, cycle: int, ip: int, level: bool) -> None:
        self._events.append((cycle, "line", ip, level))

    def answer(self, core: int, cycle: int, value: int | None) -> None:
        self._events.append((cycle, "answer", value))

    def answer_open_bus(self, latency: int, ranges: list) -> None:
        """It leaves them all to the machine."""

    def open_bus_accesses(self) -> list[Request]:
        return []

    def requests(self) -> list[Request]:
        found = [] if self._sent else [self._parked]
        self._sent = True
        return found

    def _apply(self) -> None:
        core = self.cores[0]
        match self._events.pop(0):
            case cycle, "line", ip, level:
                core.set_line(ip, level)
            case cycle, "answer", None:
                self._parked = None
                core.finish_error(cycle)
            case cycle, "answer", value:
                parked, self._parked = self._parked, None
                if parked.is_store:
                    core.finish_write(cycle)
                else:
                    core.finish_read(value, cycle)

    def run(self, target: int | None, slice_cycles: int = 1 << 60) -> ClusterStop:
        core = self.cores[0]
        end = 1 << 62 if target is None else target
        while True:
            then = self._events[0][0] if self._events else 1 << 62
            if self._parked is not None:
                if then >= end:
                    break
                self._apply()
                continue
            if then < end and then <= core.cycles:
                self._apply()
                continue
            if core.cycles >= end:
                break
            until = min(end, then)
            left = None if self._limit is None else self._limit - core.instructions
            if left is not None and left <= 0:
                return ClusterStop(Kind.LIMIT)
            stop = core.run(until if until < 1 << 62 else None, min(left or slice_cycles, slice_cycles))
            if stop.kind in (Kind.MMIO_READ, Kind.MMIO_WRITE):
                is_store = stop.kind is Kind.MMIO_WRITE
                self._parked = Request(0, is_store, stop.address, stop.size, stop.value, stop.cycle, core.instructions)
                self._sent = False
                end = min(end, max(stop.cycle // self.window * self.window, self.grid) + self.window)
            elif stop.kind is Kind.LIMIT and core.instructions != self._limit:
                return ClusterStop(Kind.SLICE)
            elif stop.kind is not Kind.HORIZON:
                return ClusterStop(stop.kind, 0, stop.text)
        self.grid = max(self.grid, end)
        return ClusterStop(Kind.HORIZON)


def machine(program: Callable[[FakeCore], Program], handler: Callable | None = None, **options: Any) -> Machine:
    """A `virt` machine with real devices whose core runs `program`."""

    def make_cluster(memory: FakeMemory, count: int, tier: str, window: int) -> FakeCluster:
        return FakeCluster(FakeCore(program, handler), window)

    options = {"ram": 1, "make_memory": FakeMemory, "make_cluster": make_cluster, **options}
    return Machine(options.pop("platform", "virt"), **options)
