"""Random sequences of what can be done to a device: accesses, line changes, messages, time."""

from __future__ import annotations

from random import Random
from typing import Any, NamedTuple

from devices.device import Device
from devices.ports import EventIn, VectorIn
from devices.registers import SIZES
from devices.rig import Rig
from soc.time import in_ns

_STEPS, _FEW = 40, 4
_LONGEST = 10
"""Digits of the longest time that passes in a step, in ps."""
_EXPIRIES = 100
"""A step of time ends after so many: a periodic timer of few ticks would take all day."""


class Step(NamedTuple):
    """Something that is done to a device: a method of it, `elapse` or `save`, with its arguments."""

    what: str
    arguments: tuple[Any, ...]
    told: str

    def do(self, rig: Rig) -> Any:
        """Do it; returns what the device answers."""
        if self.what == "elapse":
            return rig.step(lambda: _elapse(rig.outside, *self.arguments))
        return rig.step(lambda: getattr(rig.model, self.what)(*self.arguments))


SAVE = Step("save", (), "it is saved, and restored elsewhere")


def _elapse(outside: Any, delay: int) -> None:
    end = outside.now + delay
    for _ in range(_EXPIRIES):
        due = min((deadline for deadline, _ in outside.timers.values()), default=end + 1)
        if due > end:
            outside.advance(end - outside.now)
            return
        outside.advance(due - outside.now)


class Steps:
    """Random sequences of steps. The accesses of one go to a few places only, so that they meet."""

    def __init__(self, cls: type[Device]) -> None:
        self._cls = cls
        registers = cls.register_map().registers.values()
        # By register first, so that one with many sizes or elements is not all there is.
        self._whole = [[(r.space, offset, r.width) for offset in r.offsets()] for r in registers]
        self._decoded = self._places()
        self._lines = cls.input_lines()
        self._vectors = sorted(cls.declarations(VectorIn).items())
        self._events = sorted(cls.declarations(EventIn))
        self._bytes = sorted(name.removeprefix("on_receive_") for name in dir(cls) if name.startswith("on_receive_"))
        inputs = ((self._lines, self._line), (self._vectors, self._vector), (self._events, self._event))
        self._inputs = [self._elapse, *(make for there, make in (*inputs, (self._bytes, self._receive)) if there)]

    def _places(self) -> list[tuple[str, int, int]]:
        """(space, offset, size) of every access that some state of the device decodes."""
        found = {
            (space, *place)
            for (space, _), decoder in self._cls.register_map().decoders.items()
            for place in (*decoder.reads, *decoder.writes)
        }
        for offset, length in self._cls.ranges("csr"):
            found |= {("csr", offset + lane, size) for lane in range(length) for size in SIZES}
        return sorted(found)

    def sequence(self, rng: Random) -> list[Step]:
        """One to _STEPS steps."""
        few = [self._place(rng) for _ in range(rng.randint(1, _FEW))] if self._whole else []
        return [self._step(rng, few) for _ in range(rng.randint(1, _STEPS))]

    def _place(self, rng: Random) -> tuple[str, int, int]:
        kind = rng.random()
        if kind < 0.7:
            return rng.choice(rng.choice(self._whole))
        if kind < 0.9:
            return rng.choice(self._decoded)
        return "memory", rng.randint(0, self._cls.size), rng.choice(SIZES)

    def _step(self, rng: Random, few: list[tuple[str, int, int]]) -> Step:
        if few and rng.random() < 0.7:
            return self._access(rng, *rng.choice(few))
        return rng.choice(self._inputs)(rng)

    def _access(self, rng: Random, space: str, offset: int, size: int) -> Step:
        core = rng.choice((0, 0, 0, 1, 5))
        name = self._cls.register_map().label(offset, size, space)
        where = f"{name} ({size} bytes at {space} {offset:#x})"
        if rng.random() < 0.4:
            return Step("read", (offset, size, core, space), f"core {core} reads {where}")
        bits = 8 * size
        value = rng.choice((0, (1 << bits) - 1, 1, 1 << rng.randrange(bits), rng.getrandbits(bits), rng.getrandbits(8)))
        return Step("write", (offset, size, value, core, space), f"core {core} writes {value:#x} to {where}")

    def _elapse(self, rng: Random) -> Step:
        delay = rng.randint(1, 10 ** rng.randint(1, _LONGEST))
        return Step("elapse", (delay,), f"{in_ns(delay)} ns pass")

    def _line(self, rng: Random) -> Step:
        port, level = rng.choice(self._lines), rng.randint(0, 1)
        return Step("line_in", (port, level), f"line {port} goes to {level}")

    def _vector(self, rng: Random) -> Step:
        port, declared = rng.choice(self._vectors)
        vector = rng.randrange(declared.vectors)
        return Step("vector_in", (port, vector), f"vector {vector} arrives at {port}")

    def _event(self, rng: Random) -> Step:
        port, descriptor, count = rng.choice(self._events), rng.randint(0, 3), rng.randint(1, 2)
        return Step("event_in", (port, descriptor, count), f"event {descriptor} is signalled {count} times at {port}")

    def _receive(self, rng: Random) -> Step:
        port, data = rng.choice(self._bytes), rng.randbytes(rng.randint(0, 20))
        return Step("receive", (port, data), f"{data!r} arrives at {port}")
