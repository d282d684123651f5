"""One CPU for the kernel and the device processes of this host.

They take turns and never compute at once, and to wake a process on another CPU takes several times as long as its turn.
Now and then they are let go for a moment, so that the host's scheduler can find them a better place.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from time import monotonic

_TOGETHER_S, _APART_S = 1.0, 0.02


class Sharing:
    """While entered, this thread and `processes()` share a CPU. Does nothing on a host that has no say in that."""

    def __init__(self, processes: Callable[[], Iterable[int]]) -> None:
        self._processes = processes
        self._free: set[int] = set()
        self._together = False
        self._due = 0.0

    def __enter__(self) -> Sharing:
        if hasattr(os, "sched_setaffinity"):
            self._free = os.sched_getaffinity(0)
            self.turn()
        return self

    def __exit__(self, *_: object) -> None:
        if self._together:
            self._place(self._free)

    def turn(self) -> None:
        """To be called often: come together, or apart, when it is time for that."""
        now = monotonic()
        if now < self._due or len(self._free) < 2:
            return
        self._together = not self._together
        self._due = now + (_TOGETHER_S if self._together else _APART_S)
        self._place({_here()} & self._free if self._together else self._free)

    def _place(self, cpus: set[int]) -> None:
        if cpus:
            os.sched_setaffinity(0, cpus)
            for process in self._processes():
                try:
                    os.sched_setaffinity(process, cpus)
                except OSError:
                    # It has ended; whoever speaks to it next will notice.
                    pass


def _here() -> int:
    """The CPU this thread is on."""
    with open("/proc/thread-self/stat") as stat:
        return int(stat.read().rpartition(")")[2].split()[36])
