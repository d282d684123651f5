"""Lines of a device. Declared as class attributes; an instance holds the level, or for an array one bit per line.

Level 1 is asserted. Port names are ``irq`` for a single line and ``input[10]`` for an element of an array.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from devices.errors import DeviceError
from devices.ports import Port
from soc.bits import bits

if TYPE_CHECKING:
    from devices.device import Device


class Line(Port):
    """A declared line or, with `count`, an array of lines."""

    def __init__(self, doc: str = "", *, count: int | None = None, initial: int = 0) -> None:
        super().__init__(doc, count=count)
        self.initial = initial


class LineIn(Line):
    """One input line. ``on_line_<name>(index, level)``, if the device has it, is called when the level changes."""


class LineOut(Line):
    """One output line: ``self.irq.level = ...``. The outside hears of real changes only."""


class LineIns(LineIn):
    """`count` input lines: ``self.input.levels`` has bit n for input n. `initial` is the same kind of mask."""

    def __init__(self, count: int, doc: str = "", *, initial: int = 0) -> None:
        super().__init__(doc, count=count, initial=initial)


class LineOuts(LineOut):
    """`count` output lines: ``self.pin.levels = mask``; changes leave lowest line first."""

    def __init__(self, count: int, doc: str = "") -> None:
        super().__init__(doc, count=count)


class Input:
    """The levels of an input, as driven from outside."""

    __slots__ = ("level", "levels")

    def __init__(self, initial: int) -> None:
        self.level = initial
        self.levels = initial

    def load(self, levels: int) -> None:
        """Take over saved levels without calling the device."""
        self.level = self.levels = levels

    def drive(self, index: int, level: int) -> bool:
        """Set line `index`; True when that changed it."""
        levels = self.levels | 1 << index if level else self.levels & ~(1 << index)
        if levels == self.levels:
            return False
        self.level = self.levels = levels
        return True


class Output:
    """The levels of an output; a change is told to the device's outside."""

    __slots__ = ("_device", "_levels", "_ports")

    def __init__(self, device: Device, line: Line) -> None:
        self._device = device
        self._ports = line.ports
        self._levels = line.initial

    @property
    def levels(self) -> int:
        """One bit per line."""
        return self._levels

    @levels.setter
    def levels(self, levels: int) -> None:
        changed = levels ^ self._levels
        if not changed:
            return
        if levels >> len(self._ports):
            raise DeviceError(f"{self._device.name}: levels {levels:#x} of {len(self._ports)} outputs; a bit is a line")
        self._levels = levels
        line = self._device.outside.line
        for index in bits(changed):
            line(self._ports[index], levels >> index & 1)

    @property
    def level(self) -> int:
        """0 or 1, of a single line."""
        return self._levels

    @level.setter
    def level(self, level: bool) -> None:
        level = 1 if level else 0
        if level != self._levels:
            self._levels = level
            self._device.outside.line(self._ports[0], level)

    def load(self, levels: int) -> None:
        """Take over saved levels without telling anybody: the other end has its own copy."""
        self._levels = levels
