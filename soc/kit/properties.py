"""What holds for every device because of what it declares: `check_device(Gpio)` looks for a counterexample.

accesses  every register that no handler stands behind: its reset value, what its access kind (rw, ro, wo, w1c, w1s)
          says of reads and writes, its mask, and that narrow accesses are the lanes of wide ones
guest     no sequence of accesses, line changes, messages and time raises an error, or leaves a register with a value
          wider than it
restore   a device that is saved at any moment and restored elsewhere answers and sends what the first one does
reset     a reset leads to one state, whatever came before; and settle() changes nothing when it runs again
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from random import Random
from typing import Any, NamedTuple

import msgpack

from devices.device import Device
from devices.lines import LineIn
from devices.ports import EventIn, VectorIn
from devices.registers import SIZES, Register
from devices.rig import Rig
from soc.errors import ConfigurationError, choose
from soc.kit.coverage import unwatched
from soc.time import in_ns

PROPERTIES = ("accesses", "guest", "restore", "reset")
EXAMPLES = 100
_STEPS, _FEW = 40, 4
_PATTERNS = (0, ~0, 0x0123_4567_89AB_CDEF, 0xA5A5_A5A5_A5A5_A5A5)
_LONGEST = 10
"""Digits of the longest time that passes in a step, in ps."""
_EXPIRIES = 100
"""A step of time ends after so many: a periodic timer of few ticks would take all day."""


def check_device(
    model: str | type[Device],
    /,
    *,
    examples: int = EXAMPLES,
    skip: Iterable[str] = (),
    only: Iterable[str] = PROPERTIES,
    seed: int = 0,
    invariant: Callable[[Device], None] | None = None,
    **options: Any,
) -> None:
    """Look for a use of the device that breaks what it declares. AssertionError with the shortest one found.

    model     as `rig.device` takes it; `options` go to its constructor
    examples  how many random sequences each of the properties tries
    skip      registers whose stored value the device derives or changes by itself, left out of `accesses`
    only      some of PROPERTIES
    seed      other numbers try other sequences
    invariant called with the device after every step of `guest`, asserts what always holds of this one

    Raises ConfigurationError for a name there is not, and for no examples.
    """
    __tracebackhide__ = True
    with _quiet():
        _check(_Bench(model, options, invariant), examples, set(skip), only, seed)


def _check(bench: _Bench, examples: int, skip: set[str], only: Iterable[str], seed: int) -> None:
    __tracebackhide__ = True
    if type(examples) is not int or examples < 1:
        raise ConfigurationError(f"examples = {examples!r}; a number from 1 is needed")
    for name in sorted(skip - bench.registers.keys()):
        raise ConfigurationError(choose("register", name, bench.registers))
    for name in only:
        if name not in PROPERTIES:
            raise ConfigurationError(choose("property", name, PROPERTIES))
        if name == "accesses":
            _check_accesses(bench, skip)
        else:
            _search(bench, name, examples, seed)


@contextmanager
def _quiet() -> Iterator[None]:
    """What a device does not decode is met on purpose here, and what happens at random is no test of a register."""
    log = logging.getLogger("devices.device")
    before, log.disabled = log.disabled, True
    try:
        with unwatched():
            yield
    finally:
        log.disabled = before


class _Bench:
    """Makes devices of one kind."""

    def __init__(
        self, model: str | type[Device], options: dict[str, Any], invariant: Callable[[Device], None] | None
    ) -> None:
        self._model, self._options = model, options
        self.invariant = invariant or (lambda device: None)
        self.cls = type(self.rig().model)
        self.registers = self.cls.register_map().registers

    def rig(self) -> Rig:
        """A fresh device on a rig of its own, reset."""
        rig = Rig()
        rig.device(self._model, **self._options)
        return rig


# Accesses.


def _check_accesses(bench: _Bench, skip: set[str]) -> None:
    for bank in bench.cls.register_map().banks:
        for register in bench.registers.values():
            if register.bank == bank and register.name not in skip:
                for index, offset in _some_elements(register):
                    _Cell(bench, bank, register, index, offset).check()


def _some_elements(register: Register) -> list[tuple[int, int]]:
    """All of a short array; the ends and one between of a long one."""
    places = list(enumerate(register.offsets()))
    return places if len(places) <= 4 else [places[0], places[len(places) // 2], places[-1]]


class _Cell:
    """One element of a register, on a fresh device for each question."""

    def __init__(self, bench: _Bench, bank: str | None, register: Register, index: int, offset: int) -> None:
        self.bench, self.bank, self.register, self.index, self.offset = bench, bank, register, index, offset
        self.name = f"{bench.cls.__name__}.{register.name}" + (f"[{index}]" if register.is_array else "")
        self.reads_by_handler = getattr(bench.cls, f"on_read_{register.name}", None) is not None
        self.writes_by_handler = getattr(bench.cls, f"on_write_{register.name}", None) is not None
        self.alone = not any(
            other.register is not register and other.offset < offset + register.width and offset < other.end
            for other in bench.cls.register_map().cells(register.space, bank)
        )

    def fresh(self) -> Device:
        device = self.bench.rig().model
        device.select_bank(self.bank)
        return device

    def read(self, device: Device, size: int, lane: int = 0) -> int:
        return device.read(self.offset + lane, size, 0, self.register.space)

    def write(self, device: Device, size: int, value: int, lane: int = 0) -> None:
        device.write(self.offset + lane, size, value, 0, self.register.space)

    def held(self, device: Device, register: Register) -> int:
        value = getattr(device, register.name)
        return value[self.index] if register.is_array else value

    def check(self) -> None:
        __tracebackhide__ = True
        register = self.register
        self.check_reset()
        if register.access == "ro":
            self.check_read_only()
        elif not self.writes_by_handler:
            for pattern in _PATTERNS:
                self.check_write(pattern & register.bits)

    def check_reset(self) -> None:
        register = self.register
        if self.reads_by_handler or not self.alone:
            return
        initial = register.initial()
        reset = initial[self.index] if register.is_array else initial
        for size in register.accepts:
            if size > register.width:
                continue
            for lane in range(0, register.width, size):
                expected = (reset if register.readable else 0) >> 8 * lane & (1 << 8 * size) - 1
                self.expect(self.read(self.fresh(), size, lane), expected, f"after reset, {size} bytes at +{lane} read")

    def check_read_only(self) -> None:
        for size in (size for size in self.register.writes if size <= self.register.width and self.alone):
            for pattern in _PATTERNS:
                device = self.fresh()
                before = device.save()
                self.write(device, size, pattern & (1 << 8 * size) - 1)
                if device.save() != before:
                    raise AssertionError(f"{self.name} is ro, but a write of {size} bytes changed the device's state")

    def check_write(self, value: int) -> None:
        register = self.register
        target = register.of or register
        if register.width not in register.writes or not self.alone:
            return
        device = self.before_write(target, value)
        old = self.held(device, target)
        ones = value & register.mask
        expected = {
            "w1c": old & ~ones,
            "w1s": old | ones,
        }.get(register.access, ones | old & ~register.mask)
        did = f"held {old:#x}; after a write of {value:#x} ({register.access}) it holds"
        self.write(device, register.width, value)
        self.expect(self.held(device, target), expected, did)
        if self.reads_by_handler or register.width not in register.accepts:
            return
        seen = expected if register.readable else 0
        self.expect(self.read(device, register.width), seen, f"holds {expected:#x}; a read gives")
        for size in (size for size in register.accepts if size < register.width):
            lanes = range(0, register.width, size)
            whole = sum(self.read(device, size, lane) << 8 * lane for lane in lanes)
            self.expect(whole, seen, f"holds {expected:#x}; read by {size} bytes it gives")
        for size in (size for size in register.writes if size < register.width):
            other = self.before_write(target, value)
            for lane in range(0, register.width, size):
                self.write(other, size, value >> 8 * lane & (1 << 8 * size) - 1, lane)
            self.expect(self.held(other, target), expected, f"{did}, written by {size} bytes,")

    def before_write(self, target: Register, value: int) -> Device:
        """A fresh device; where a write of `value` clears or sets bits of `target`, with some of these up already."""
        device = self.fresh()
        if self.register.access in ("w1c", "w1s"):
            self.load(device, target, ~value >> 1 & self.register.bits)
        return device

    def load(self, device: Device, register: Register, value: int) -> None:
        """Have the device hold `value`, where it stays when it is put there."""
        before = device.save()
        if register.is_array:
            getattr(device, register.name)[self.index] = value
        else:
            setattr(device, register.name, value)
        device.settle()
        if self.held(device, register) != value:
            device.restore(before)

    def expect(self, got: int, expected: int, what: str) -> None:
        if got != expected:
            raise AssertionError(
                f"{self.name} {what} {got:#x}, declared is {expected:#x}\n"
                f"(a register that the device derives by itself is left out with skip={{{self.register.name!r}}})"
            )


# Sequences.


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


class _Steps:
    """Random sequences of steps. The accesses of one go to a few places only, so that they meet."""

    def __init__(self, cls: type[Device]) -> None:
        self.cls = cls
        registers = cls.register_map().registers.values()
        # By register first, so that one with many sizes or elements is not all there is.
        self.whole = [[(r.space, offset, r.width) for offset in r.offsets()] for r in registers]
        self.decoded = self._places()
        self.lines = cls.input_lines()
        self.vectors = sorted(cls.declarations(VectorIn).items())
        self.events = sorted(cls.declarations(EventIn))
        self.bytes = sorted(name.removeprefix("on_receive_") for name in dir(cls) if name.startswith("on_receive_"))
        inputs = ((self.lines, self.line), (self.vectors, self.vector), (self.events, self.event))
        self.inputs = [self.elapse, *(make for there, make in (*inputs, (self.bytes, self.receive)) if there)]

    def _places(self) -> list[tuple[str, int, int]]:
        """(space, offset, size) of every access that some state of the device decodes."""
        found = {
            (space, *place)
            for (space, _), decoder in self.cls.register_map().decoders.items()
            for place in (*decoder.reads, *decoder.writes)
        }
        for offset, length in self.cls.ranges("csr"):
            found |= {("csr", offset + lane, size) for lane in range(length) for size in SIZES}
        return sorted(found)

    def sequence(self, rng: Random) -> list[Step]:
        """One to _STEPS steps."""
        few = [self.place(rng) for _ in range(rng.randint(1, _FEW))] if self.whole else []
        return [self.step(rng, few) for _ in range(rng.randint(1, _STEPS))]

    def place(self, rng: Random) -> tuple[str, int, int]:
        kind = rng.random()
        if kind < 0.7:
            return rng.choice(rng.choice(self.whole))
        if kind < 0.9:
            return rng.choice(self.decoded)
        return "memory", rng.randint(0, self.cls.size), rng.choice(SIZES)

    def step(self, rng: Random, few: list[tuple[str, int, int]]) -> Step:
        if few and rng.random() < 0.7:
            return self.access(rng, *rng.choice(few))
        return rng.choice(self.inputs)(rng)

    def access(self, rng: Random, space: str, offset: int, size: int) -> Step:
        core = rng.choice((0, 0, 0, 1, 5))
        name = self.cls.register_map().label(offset, size, space)
        where = f"{name} ({size} bytes at {space} {offset:#x})"
        if rng.random() < 0.4:
            return Step("read", (offset, size, core, space), f"core {core} reads {where}")
        bits = 8 * size
        value = rng.choice((0, (1 << bits) - 1, 1, 1 << rng.randrange(bits), rng.getrandbits(bits), rng.getrandbits(8)))
        return Step("write", (offset, size, value, core, space), f"core {core} writes {value:#x} to {where}")

    def elapse(self, rng: Random) -> Step:
        delay = rng.randint(1, 10 ** rng.randint(1, _LONGEST))
        return Step("elapse", (delay,), f"{in_ns(delay)} ns pass")

    def line(self, rng: Random) -> Step:
        port, level = rng.choice(self.lines), rng.randint(0, 1)
        return Step("line_in", (port, level), f"line {port} goes to {level}")

    def vector(self, rng: Random) -> Step:
        port, declared = rng.choice(self.vectors)
        vector = rng.randrange(declared.vectors)
        return Step("vector_in", (port, vector), f"vector {vector} arrives at {port}")

    def event(self, rng: Random) -> Step:
        port, descriptor, count = rng.choice(self.events), rng.randint(0, 3), rng.randint(1, 2)
        return Step("event_in", (port, descriptor, count), f"event {descriptor} is signalled {count} times at {port}")

    def receive(self, rng: Random) -> Step:
        port, data = rng.choice(self.bytes), rng.randbytes(rng.randint(0, 20))
        return Step("receive", (port, data), f"{data!r} arrives at {port}")


Property = Callable[[_Bench, list[Step]], None]


def _search(bench: _Bench, name: str, examples: int, seed: int) -> None:
    """Try `examples` sequences. The same seed gives the same ones, in every run and on every host."""
    __tracebackhide__ = True
    holds: Property = {"guest": _guest, "restore": _restore, "reset": _reset}[name]
    steps = _Steps(bench.cls)
    rng = Random(f"{bench.cls.__qualname__} {name} {seed}")
    for _ in range(examples):
        sequence = steps.sequence(rng)
        if name == "restore":
            sequence.insert(rng.randint(0, len(sequence)), SAVE)
        if (error := _broken(holds, bench, sequence)) is not None:
            short, error = _shortest(holds, bench, sequence, error)
            own = type(error) is AssertionError
            what = str(error) if own else f"{type(error).__name__}: {error}"
            told = "\n".join(f"  {step.told}" for step in short)
            text = f"{bench.cls.__name__}, {name}: {what}\nafter a reset, when\n{told}"
            raise AssertionError(text) from (None if own else error)


def _broken(holds: Property, bench: _Bench, steps: list[Step]) -> Exception | None:
    try:
        holds(bench, steps)
    except Exception as error:
        return error
    return None


def _shortest(holds: Property, bench: _Bench, steps: list[Step], error: Exception) -> tuple[list[Step], Exception]:
    """The sequence without the steps that are not needed for the same kind of error, and that error."""
    size = len(steps)
    while size:
        for start in range(len(steps) - size, -1, -size):
            fewer = steps[:start] + steps[start + size :]
            found = _broken(holds, bench, fewer)
            if type(found) is type(error):
                steps, error = fewer, found
        size = min(size, len(steps) + 1) // 2
    return steps, error


def _guest(bench: _Bench, steps: list[Step]) -> None:
    rig = bench.rig()
    for step in steps:
        step.do(rig)
        bench.invariant(rig.model)


def _restore(bench: _Bench, steps: list[Step]) -> None:
    cut = steps.index(SAVE) if SAVE in steps else len(steps)
    first, second = bench.rig(), bench.rig()
    for step in steps[:cut]:
        step.do(first)
    saved = msgpack.unpackb(msgpack.packb(first.model.save()))
    outside = second.outside
    outside.now, outside.levels, outside.ram = first.now, dict(first.outside.levels), bytearray(first.outside.ram)
    outside.timers.clear()
    second.model.restore(saved)
    if second.model.save() != first.model.save():
        raise AssertionError("the restored device holds another state")
    for step in steps[cut + 1 :]:
        left = [len(rig.outside.events) for rig in (first, second)]
        one, other = ((step.do(rig), rig.model.save()) for rig in (first, second))
        if one[0] != other[0]:
            raise AssertionError(f"the restored device answers {other[0]:#x}, the other {one[0]:#x}")
        if one[1] != other[1]:
            raise AssertionError(f"the restored device differs in {', '.join(_differing(one[1], other[1]))}")
        sent = [rig.outside.events[start:] for rig, start in zip((first, second), left, strict=True)]
        if sent[0] != sent[1]:
            raise AssertionError(f"the restored device sends {sent[1]}, the other {sent[0]}")


def _differing(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Names in two saved states that have different values."""
    return [
        f"{part.removesuffix('s')} {name}" if isinstance(one[part], dict) else part
        for part in one
        for name in (one[part] if isinstance(one[part], dict) else [""])
        if (one[part][name] != other[part].get(name) if name else one[part] != other[part])
    ]


def _reset(bench: _Bench, steps: list[Step]) -> None:
    used, fresh = bench.rig(), bench.rig()
    for step in steps:
        step.do(used)
    before = used.model.save()
    used.model.settle()
    if used.model.save() != before:
        raise AssertionError("settle() changed the state when it ran a second time")
    used.reset()
    for name, line in used.model.line_declarations().items():
        if isinstance(line, LineIn):
            levels = getattr(used.model, name).levels
            for index, port in enumerate(line.ports):
                fresh.step(lambda port=port, level=levels >> index & 1: fresh.model.line_in(port, level))
    fresh.reset()
    differ = _differing(_without_kept(used.model), _without_kept(fresh.model))
    if differ:
        raise AssertionError(f"a reset after use and a reset alone differ in {', '.join(differ)}")


def _without_kept(device: Device) -> dict[str, Any]:
    """What a reset must bring back. Of timers only which are running: their deadlines count from the reset."""
    saved = device.save()
    declared = device.register_map().internals
    internals = {name: value for name, value in saved["internals"].items() if not declared[name].kept}
    parts = {name: saved[name] for name in ("registers", "lines", "bank")}
    return {**parts, "internals": internals, "timers": sorted(saved["timers"])}
