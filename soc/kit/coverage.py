"""Which registers and bits of device models the tests of a run have touched. `pytest --register-coverage`.

What counts, for every register of every device class that was used:

read     a bus read reached it
written  a bus write reached it; of w1c and w1s, wrote a 1
set      a bit of it went from 0 to 1, by software or by the device
cleared  a bit of it went from 1 to 0

Bits are those of the declared fields; without fields, those that a write can change. Elements of an array count
together. What `check_device` tries at random does not count, nor do devices in other processes.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from devices.registers import Cell, Register, RegisterMap


@dataclass
class Touched:
    """Bits of one register, as masks."""

    read: bool = False
    written: int = 0
    set: int = 0
    cleared: int = 0


@dataclass
class Device:
    """The registers of one device class."""

    name: str
    registers: dict[str, Register]
    touched: dict[str, Touched] = field(default_factory=dict)

    def of(self, register: Register) -> Touched:
        """What of `register` was touched so far, to be added to."""
        return self.touched.setdefault(register.name, Touched())


class Coverage:
    """The observer of all register maps (devices/registers.py)."""

    def __init__(self) -> None:
        self.devices: dict[str, Device] = {}
        self.paused = False
        self._values: WeakKeyDictionary[Any, dict[tuple[str, int], int]] = WeakKeyDictionary()

    def read(self, device: Any, cell: Cell, lanes: int) -> None:
        """See devices.registers.Observer."""
        if self.paused:
            return
        known = self._device(device)
        known.of(cell.register).read = True
        self._look(device, known, cell.register, cell.index)

    def written(self, device: Any, cell: Cell, lanes: int, value: int) -> None:
        """See devices.registers.Observer."""
        if self.paused:
            return
        known, register = self._device(device), cell.register
        reached = value if register.access in ("w1c", "w1s") else lanes
        known.of(register).written |= reached & register.mask
        self._look(device, known, register.of or register, cell.index)

    def _device(self, device: Any) -> Device:
        cls = type(device)
        file = getattr(sys.modules.get(cls.__module__), "__file__", None) or cls.__module__
        key = f"{Path(file).resolve()}:{cls.__qualname__}"
        if key not in self.devices:
            self.devices[key] = Device(cls.__qualname__, cls.register_map().registers)
        return self.devices[key]

    def _look(self, device: Any, known: Device, register: Register, index: int) -> None:
        """What has become of a register since it was looked at last."""
        if not register.stored:
            return
        held = getattr(device, register.name)
        now = held[index] if register.is_array else held
        values = self._values.setdefault(device, {})
        first = register.initial()
        before = values.get((register.name, index), first[index] if register.is_array else first)
        values[register.name, index] = now
        touched = known.of(register)
        touched.set |= now & ~before
        touched.cleared |= before & ~now


_coverage: Coverage | None = None


def watch() -> Coverage:
    """Watch the devices whose classes are used for the first time from now on; the same coverage each time."""
    global _coverage
    if _coverage is None:
        _coverage = RegisterMap.observer = Coverage()
    return _coverage


@contextmanager
def unwatched() -> Iterator[None]:
    """What happens meanwhile does not count."""
    if _coverage is None:
        yield
        return
    before, _coverage.paused = _coverage.paused, True
    try:
        yield
    finally:
        _coverage.paused = before


def report(coverage: Coverage | None = None) -> Iterator[str]:
    """The lines at the end of a pytest run."""
    coverage = coverage or watch()
    if not coverage.devices:
        yield "no device was accessed"
    for device in sorted(coverage.devices.values(), key=lambda known: known.name):
        rows, done, all_of_it = [], 0, 0
        for register in sorted(device.registers.values(), key=lambda r: (r.space != "memory", r.space, r.offset)):
            lacks, reached, points = _lacks(register, device.of(register))
            done, all_of_it = done + reached, all_of_it + points
            if lacks:
                rows.append(f"    {register.name:<20} {', '.join(lacks)}")
        share = 100 * done // all_of_it if all_of_it else 100
        yield f"{device.name}: {share} % ({done} of {all_of_it}: registers read and written, bits set and cleared)"
        yield from rows


def _lacks(register: Register, touched: Touched) -> tuple[list[str], int, int]:
    """(what was never done, how much was, how much there is) of one register."""
    points: list[tuple[str, bool]] = []
    if register.readable or register.access == "ro":
        points.append(("never read", touched.read))
    if register.access != "ro":
        points.append(("never written", touched.written != 0))
    lacks = [text for text, there in points if not there]
    done, count = sum(there for _, there in points), len(points)
    for what, seen in (("set", touched.set), ("cleared", touched.cleared)):
        if not register.stored or register.access == "wo":
            continue
        wanted = _bits(register)
        done, count = done + (seen & wanted).bit_count(), count + wanted.bit_count()
        if missing := wanted & ~seen:
            lacks.append(f"never {what}: {_named(register, missing)}")
    return lacks, done, count


def _bits(register: Register) -> int:
    if register.fields:
        return sum((1 << width) - 1 << low for low, width in register.field_bits().values())
    return 0 if register.access == "ro" else register.mask


def _named(register: Register, missing: int) -> str:
    """Bits by the names of their fields, or as ranges: `mode, ready[1]`, `31:8 3`."""
    if missing == register.bits and not register.fields:
        return "all"
    named = []
    for name, (low, width) in register.field_bits().items():
        bits = missing >> low & (1 << width) - 1
        if bits:
            named.append(name if bits == (1 << width) - 1 else f"{name}[{_ranges(bits)}]")
    return ", ".join(named) or _ranges(missing)


def _ranges(bits: int) -> str:
    found = []
    while bits:
        low = (bits & -bits).bit_length() - 1
        width = (~(bits >> low) & (bits >> low) + 1).bit_length() - 1
        found.append(str(low) if width == 1 else f"{low + width - 1}:{low}")
        bits &= ~((1 << width) - 1 << low)
    return " ".join(reversed(found))
