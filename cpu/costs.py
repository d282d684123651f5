"""What a core's time is made of: cycles per timing class of instruction, cycles to enter an exception, the rates of its
counters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from cpu.isa.table import TIMING_CLASSES
from soc.errors import SocError, choose

MOST_CYCLES = 1_000_000
MOST_CORE_HZ, MOST_STABLE_HZ = 1 << 32, 1 << 30


class CostError(SocError):
    """A number of cycles that a core cannot have."""


@dataclass(frozen=True)
class Costs:
    """`classes`: core cycles of an instruction by timing class (cpu.isa.table.TIMING_CLASSES), 1 to 1,000,000; 1 where
    it names none. `exception_entry`: cycles from an exception or interrupt to its handler's first instruction, 0 to
    1,000,000. `count_divider`: core cycles per Count, 1 to 1,000,000. `core_clock` and `stable_clock`: Hz, at most
    2^32 and 2^30; the stable counter, which DRDTIME reads, is derived from both. Raises CostError."""

    classes: Mapping[str, int] = field(default_factory=dict)
    exception_entry: int = 0
    count_divider: int = 2
    core_clock: int = 800_000_000
    stable_clock: int = 100_000_000

    def __post_init__(self) -> None:
        for name in self.classes:
            if name not in TIMING_CLASSES:
                raise CostError(choose("timing class", name, TIMING_CLASSES))
        for name, cycles in {**self.classes, "count_divider": self.count_divider}.items():
            _check(name, cycles, 1)
        _check("exception_entry", self.exception_entry, 0)
        _check("core_clock", self.core_clock, 1, MOST_CORE_HZ, "Hz")
        _check("stable_clock", self.stable_clock, 1, MOST_STABLE_HZ, "Hz")

    def cycles(self, timing_class: str) -> int:
        """Core cycles of an instruction of a class."""
        return self.classes.get(timing_class, 1)

    def charges(self) -> np.ndarray:
        """What each micro-op takes from the budget (cpu/engine/budget.py)."""
        from cpu.engine.budget import SHIFT
        from cpu.engine.micro import OPS

        return np.array([self.cycles(op.timing) << SHIFT | 1 for op in OPS], np.int64)


def _check(name: str, value: int, least: int, most: int = MOST_CYCLES, unit: str = "cycles") -> None:
    if type(value) is not int or not least <= value <= most:
        raise CostError(f"{name} = {value!r} {unit}; a whole number from {least} to {most:,} is needed")
