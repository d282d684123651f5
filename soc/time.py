"""Model time: integer picoseconds since reset, and clocks as exact rationals (design law 1)."""

from __future__ import annotations

import re
from fractions import Fraction

from soc.errors import TimeError

PS_PER_SECOND = 1_000_000_000_000
NEVER = (1 << 64) - 1
"""A time later than every event; also the wire's "infinite" in a sync promise."""

_UNITS = {"ps": 1, "ns": 10**3, "us": 10**6, "µs": 10**6, "ms": 10**9, "s": 10**12, "min": 60 * 10**12}
_DURATION = re.compile(r"\s*(\d+(?:_\d+)*(?:\.\d+)?)\s*([a-zµ]+)\s*")


def duration(text: str | int) -> int:
    """Picoseconds of `"200 ms"`, `"120s"`, `"1.5 us"`; an integer is taken as picoseconds already.

    Raises TimeError for a missing or unknown unit, a negative value, or one that is not a whole number of ps.
    """
    if isinstance(text, int) and not isinstance(text, bool):
        if not 0 <= text < NEVER:
            raise TimeError(f"duration {text} ps is out of range; allowed: 0 to {NEVER - 1} ps")
        return text
    match = _DURATION.fullmatch(text) if isinstance(text, str) else None
    if match is None or match[2] not in _UNITS:
        raise TimeError(f"cannot read duration {text!r}; write a number and one of {', '.join(_UNITS)}, as in '200 ms'")
    exact = Fraction(match[1].replace("_", "")) * _UNITS[match[2]]
    if exact.denominator != 1 or exact >= NEVER:
        raise TimeError(f"duration {text!r} is not a whole number of picoseconds below 2^64")
    return int(exact)


def seconds(ps: int) -> float:
    """For people and reports only; models compute in picoseconds."""
    return ps / PS_PER_SECOND


def in_ns(ps: int) -> str:
    """Nanoseconds with all three digits of the picoseconds: `in_ns(1250) == "1.250"`."""
    return f"{'-' if ps < 0 else ''}{abs(ps) // 1000}.{abs(ps) % 1000:03d}"


class Clock:
    """A clock of `hz` ticks per second (int or Fraction); tick k is at floor(k * 10^12 / hz) ps."""

    __slots__ = ("_denominator", "_numerator", "hz", "period")

    def __init__(self, hz: int | Fraction) -> None:
        exact = Fraction(hz)
        if exact <= 0:
            raise TimeError(f"clock of {hz} Hz: the frequency must be positive")
        self.hz = exact
        step = PS_PER_SECOND / exact
        self._numerator, self._denominator = step.numerator, step.denominator
        self.period: int | None = step.numerator if step.denominator == 1 else None
        """Picoseconds per tick where that is a whole number, else None."""

    @property
    def fraction(self) -> tuple[int, int]:
        """So many picoseconds in so many ticks."""
        return self._numerator, self._denominator

    def time(self, tick: int) -> int:
        """The time of tick `tick`, in ps."""
        return tick * self._numerator // self._denominator

    def ticks(self, time: int) -> int:
        """How many ticks after tick 0 have happened at `time` (the tick at `time` itself included)."""
        # floor(k * n / d) <= time  <=>  k * n < (time + 1) * d
        return ((time + 1) * self._denominator - 1) // self._numerator

    def tick_at_or_after(self, time: int) -> int:
        """The first tick whose time is `time` or later."""
        # floor(k * n / d) >= time  <=>  k * n >= time * d
        return -(-time * self._denominator // self._numerator)

    def __repr__(self) -> str:
        return f"Clock({self.hz} Hz)"
