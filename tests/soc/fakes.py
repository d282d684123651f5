"""A core that runs a Python generator instead of instructions, a memory to go with it, and a small machine of both."""

from __future__ import annotations

from collections.abc import Callable, Generator
from enum import IntEnum
from typing import Any, NamedTuple

from soc.machine import Machine
from soc.timing import Timing

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
        self._log: list[tuple[int, int]] = []

    def set_line(self, ip: int, level: int) -> None:
        self.lines = self.lines | 1 << ip if level else self.lines & ~(1 << ip)

    def drain_irq_log(self) -> list[tuple[int, int]]:
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
                self._log.append((self.cycles, self.lines & self.mask))
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


def machine(program: Callable[[FakeCore], Program], handler: Callable | None = None, **options: Any) -> Machine:
    """A `virt` machine with real devices whose core runs `program`."""

    def make_core(number: int, memory: FakeMemory, timing: Timing, tier: str) -> FakeCore:
        return FakeCore(program, handler)

    options = {"ram": 1, "make_memory": FakeMemory, "make_core": make_core, **options}
    return Machine(options.pop("platform", "virt"), **options)
