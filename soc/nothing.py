"""Accesses to addresses where nothing is, which the cores' compiled loop answers itself (cpu/open_bus.py)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from soc.messages import MmioRead, MmioReply, MmioWrite, Space

if TYPE_CHECKING:
    from soc.bus import OpenBus
    from soc.link import Link
    from soc.time import Clock

_MEMORY = int(Space.MEMORY)


class Nothing:
    """The open bus as it is answered inside the loop: the same messages, recorded afterwards.

    An access to nothing waits for nobody: its request and its reply are known as it leaves the core. The loop answers
    it only where the reply is earlier than the end of what the cores run in one go, and nothing is due before that: no
    event, no end, no other core. So the two messages are the next in the order, and to record them is all that is left.
    """

    def __init__(self, bus: OpenBus, claimed: Iterable[tuple[int, int]], clock: Clock) -> None:
        """`claimed`: (start, end) of each device."""
        self._bus, self._clock = bus, clock
        self._ranges = bus.ranges(claimed)
        self._ways: list[tuple[Link, Link]] = []

    def connect(self, there: Link, back: Link) -> None:
        """The way of the next core's accesses to the open bus, and of its replies."""
        self._ways.append((there, back))

    def offer(self, cluster: Any, wanted: bool) -> None:
        """Have `cluster` answer these accesses, if `wanted`, or none."""
        plain = all(link.is_plain for way in self._ways for link in way)
        cluster.answer_open_bus(self._latency() if wanted and plain else 0, self._ranges)

    def _latency(self) -> int:
        """Cycles from an access to its answer, for all cores at all times; 0 where there is no such number."""
        period, latencies = self._clock.period, {there.latency + back.latency for there, back in self._ways}
        return -(-latencies.pop() // period) if period and len(latencies) == 1 else 0

    def record(self, request: Any, cause: int) -> None:
        """The messages of an access that was answered, `request` as of cpu.cluster.Request."""
        core, is_store, address, size, value, cycle, instructions, _ = request
        there, back = self._ways[core]
        sent = self._clock.time(cycle)
        if is_store:
            sequence = there.note(MmioWrite, sent, cause, core, _MEMORY, address, size, value, instructions)
            self._bus.write(address, size, value, core)
            value = 0
        else:
            sequence = there.note(MmioRead, sent, cause, core, _MEMORY, address, size, instructions)
            value = self._bus.read(address, size, core)
        back.note(MmioReply, sent + there.latency, cause, sequence, value)
