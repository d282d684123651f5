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
from typing import Any

import msgpack

from devices.device import Device
from devices.lines import LineIn
from soc.errors import ConfigurationError, choose
from soc.kit.accesses import check_accesses
from soc.kit.bench import Bench
from soc.kit.coverage import unwatched
from soc.kit.steps import SAVE, Step, Steps

PROPERTIES = ("accesses", "guest", "restore", "reset")
EXAMPLES = 100


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
        _check(Bench(model, options, invariant), examples, set(skip), only, seed)


def _check(bench: Bench, examples: int, skip: set[str], only: Iterable[str], seed: int) -> None:
    __tracebackhide__ = True
    if type(examples) is not int or examples < 1:
        raise ConfigurationError(f"examples = {examples!r}; a number from 1 is needed")
    for name in sorted(skip - bench.registers.keys()):
        raise ConfigurationError(choose("register", name, bench.registers))
    for name in only:
        if name not in PROPERTIES:
            raise ConfigurationError(choose("property", name, PROPERTIES))
        if name == "accesses":
            check_accesses(bench, skip)
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


Property = Callable[[Bench, list[Step]], None]


def _search(bench: Bench, name: str, examples: int, seed: int) -> None:
    """Try `examples` sequences. The same seed gives the same ones, in every run and on every host."""
    __tracebackhide__ = True
    holds: Property = {"guest": _guest, "restore": _restore, "reset": _reset}[name]
    steps = Steps(bench.cls)
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


def _broken(holds: Property, bench: Bench, steps: list[Step]) -> Exception | None:
    try:
        holds(bench, steps)
    except Exception as error:
        return error
    return None


def _shortest(holds: Property, bench: Bench, steps: list[Step], error: Exception) -> tuple[list[Step], Exception]:
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


def _guest(bench: Bench, steps: list[Step]) -> None:
    rig = bench.rig()
    for step in steps:
        step.do(rig)
        bench.invariant(rig.model)


def _restore(bench: Bench, steps: list[Step]) -> None:
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


def _reset(bench: Bench, steps: list[Step]) -> None:
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
