"""Samples of the guest: where each core stands after every so many instructions of the machine.

Taken where the cores come back to the host, which never changes a result. The places depend on instructions completed
alone, so that the same run of the same machine gives the same samples, however fast the host is. The distance varies by
half around `every` in a fixed pseudo-random order: with a constant one, a loop of fitting length would always be caught
at the same place.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any, NamedTuple

from soc.errors import ConfigurationError

EVERY = 200_000
FINEST = 1 << 4
"""A sample may be late by this part of `every`: what is left to it is measured in cycles, which may be more."""
FEWEST = 100
GUEST = "guest"


class Place(NamedTuple):
    """Where a sample was taken. `pc`, unsigned, is the first instruction of a block: a core comes back between two."""

    core: int
    mode: str
    """kernel, supervisor or user with the ASID; `guest` before it in VZ's guest mode."""
    pc: int


class Samples:
    """Samples of one machine. `every`: instructions of all cores from one to the next, on average; at least 100."""

    def __init__(self, every: int = EVERY) -> None:
        if type(every) is not int or every < FEWEST:
            raise ConfigurationError(f"a sample every {every!r} instructions; at least {FEWEST} are needed")
        self.every = every
        self.taken = 0
        """How often the cores were looked at."""
        self.places: dict[Place, list[int]] = {}
        """Place to samples, and instructions that its core completed since its sample before."""
        self._random = Random(every)
        self._cores: Sequence[Any] = ()
        self._hosted = False
        self._last: list[int] = []
        self._due = 0

    def start(self, cores: Sequence[Any], hosted: bool = False) -> None:
        """The cores are about to run. `hosted`: their root mode is a model, where a core has no pc worth a sample; it
        is taken once the core is in its guest again."""
        self._cores, self._hosted, self._last = cores, hosted, [core.instructions for core in cores]
        self._next(sum(self._last))

    def left(self) -> int:
        """Core cycles that the cores may run now without missing a sample."""
        left = self._due - sum(core.instructions for core in self._cores)
        return max(left, self.every // FINEST, 1)

    def look(self) -> None:
        """The cores have come back: take a sample if one is due."""
        done = [core.instructions for core in self._cores]
        if sum(done) < self._due:
            return
        seen = False
        for number, (core, now) in enumerate(zip(self._cores, done, strict=True)):
            mode, last = core.mode, self._last[number]
            if now == last or (self._hosted and not mode.startswith(GUEST)):
                continue
            entry = self.places.setdefault(Place(core.number, mode, core.pc), [0, 0])
            entry[0] += 1
            entry[1] += now - last
            self._last[number], seen = now, True
        if seen:
            self.taken += 1
            self._next(sum(done))

    def _next(self, done: int) -> None:
        self._due = done + self.every // 2 + self._random.randrange(self.every)
