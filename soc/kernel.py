"""The event kernel: simpy, with every event ordered by one visible tuple (design law 2).

A queue entry is `[time, phase, channel, sequence, handler, value]`. No two share the first four, so the order never
depends on when or by whom something was scheduled. Channel 0 belongs to simpy itself: its urgent events come before
everything at their time, its other events (timeouts, processes) with the timers, in the order they were made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from heapq import heappop, heappush
from typing import Any

import simpy
from simpy.core import EmptySchedule, StopSimulation
from simpy.events import URGENT, Event

from soc.errors import SocError
from soc.messages import Phase
from soc.time import NEVER

Entry = list[Any]
"""Of the queue; a cancelled one has None as its handler."""
_HANDLER, _VALUE = 4, 5
_SETUP, _TIMER = int(Phase.SETUP), int(Phase.TIMER)


class Kernel(simpy.Environment):
    """simpy's environment with integer picoseconds and the order law."""

    def __init__(self) -> None:
        super().__init__(0)
        self._entry: Entry = [0, 0, 0, 0, None, None]
        self._halted = False

    @property
    def key(self) -> tuple[int, int, int, int]:
        """(time, phase, channel, sequence) of what is being handled."""
        return tuple(self._entry[:4])

    def schedule(self, event: Event, priority: int = 1, delay: int = 0) -> None:
        """simpy's own entry; model code uses `post`. Delays are whole picoseconds."""
        if type(delay) is not int:
            raise SocError(f"delay {delay!r} is not an integer number of picoseconds (design law 1)")
        phase = _TIMER if priority > URGENT else _SETUP
        heappush(self._queue, [self._now + delay, phase, 0, next(self._eid), self._happen, event])

    def post(
        self, time: int, phase: int, channel: int, sequence: int, handler: Callable[[Any], None], value: Any = None
    ) -> Entry:
        """Call `handler(value)` at exactly this place in the order; `cancel` takes what is returned.

        The place must not lie before the event being handled: a place in the past raises SocError.
        """
        if time < self._now:
            raise SocError(f"an event for {time} ps was posted at {self._now} ps: links need a positive latency")
        entry = [time, phase, channel, sequence, handler, value]
        heappush(self._queue, entry)
        return entry

    def cancel(self, entry: Entry) -> None:
        """A posted event that has not happened yet never will."""
        entry[_HANDLER] = None

    def pending(self) -> Iterator[tuple[int, Any]]:
        """(channel, value) of every event that has not happened yet, in their order, those of GRID left out."""
        for _, phase, channel, _, handler, value in sorted(self._queue):
            if handler is not None and phase != Phase.GRID:
                yield channel, value

    def forget(self, now: int) -> None:
        """Drop every event; the time is `now` ps."""
        self._queue.clear()
        self._now = now

    def next_event_time(self) -> int:
        """Time in ps of the next event, or NEVER."""
        queue = self._queue
        while queue:
            if queue[0][_HANDLER] is not None:
                return queue[0][0]
            heappop(queue)
        return NEVER

    def peek(self) -> int:
        """simpy's name for `next_event_time`."""
        return self.next_event_time()

    def step(self) -> None:
        """Handle the next event; EmptySchedule when there is none."""
        if self.next_event_time() is NEVER or not self._queue:
            raise EmptySchedule
        entry = self._entry = heappop(self._queue)
        self._now = entry[0]
        entry[_HANDLER](entry[_VALUE])

    def _happen(self, event: Event) -> None:
        """An event of simpy's."""
        callbacks, event.callbacks = event.callbacks, None
        try:
            for callback in callbacks:
                callback(event)
        except StopSimulation:
            event.callbacks = callbacks[callbacks.index(callback) + 1 :]
            heappush(self._queue, [self._now, _SETUP, 0, next(self._eid), self._happen, event])
            raise
        if not event._ok and not hasattr(event, "_defused"):
            raise event._value

    def reach(self, time: int, phase: Phase) -> None:
        """It is at least `time` ps, and what happens now is of `phase` and no event."""
        self._now = max(self._now, time)
        self._entry = [self._now, phase, 0, 0, None, None]

    def halt(self) -> None:
        """Make `loop` return after the event being handled."""
        self._halted = True

    def loop(self, before: int = NEVER + 1) -> None:
        """Handle the events earlier than `before` ps until `halt` is called or none is left. The same as `step` again
        and again, but faster."""
        self._halted = False
        queue = self._queue
        while queue and queue[0][0] < before and not self._halted:
            entry = heappop(queue)
            handler = entry[_HANDLER]
            if handler is not None:
                self._entry, self._now = entry, entry[0]
                handler(entry[_VALUE])
