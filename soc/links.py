"""The links and timers of a machine, and the numbers under which messages and the trace know them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from soc.kernel import Kernel
from soc.link import Link, Source, Timers
from soc.messages import Message
from soc.ports import split
from soc.trace import Trace


class Links:
    """Makes links and timers. Numbers are given in the order of asking: a description always gives the same (design
    law 2)."""

    def __init__(self, kernel: Kernel, trace: Trace, wire: bool) -> None:
        """`wire`: links pack and unpack every message."""
        self.kernel, self.trace, self._wire = kernel, trace, wire
        self.by_name: dict[str, Link] = {}
        self.channels: dict[int, Link | Timers | None] = {0: None}
        """By number; channel 0 is simpy's own, and a channel without a link belongs to a fault."""
        self.ports: dict[str, int] = {}
        self.sources: dict[str, Source] = {}

    def channel(self) -> int:
        """The number of a new channel."""
        number = len(self.channels)
        self.channels[number] = None
        return number

    def source(self, name: str) -> Source:
        """The counters of the component `name`."""
        return self.sources.setdefault(name, Source(name, len(self.sources) + 1))

    def port(self, name: str) -> tuple[str, int]:
        """The port `name`, and its number."""
        return name, self.ports.setdefault(name, len(self.ports) + 1)

    def timers(self, name: str) -> Callable[[Callable[[Message], None]], Timers]:
        """What makes the timers of the component `name`, given the handler of their ticks."""
        channel, number = self.channel(), self.port(f"{name}.timer")[1]

        def make(tick: Callable[[Message], None]) -> Timers:
            timers = Timers(self.kernel, self.trace, channel, self.source(name), number, tick)
            self.channels[channel] = timers
            return timers

        return make

    def link(self, origin: str, target: str, latency: int, deliver: Callable[[Any], None]) -> Link:
        """A new link from port `origin` to port `target`; `latency` in ps."""
        link = Link(
            self.kernel,
            self.trace,
            self.channel(),
            self.source(split(origin)[0]),
            self.port(origin),
            self.port(target),
            latency,
            deliver,
            self._wire,
        )
        # Two cores reach one register port over two links; the name says which.
        self.by_name[link.name] = self.channels[link.channel] = link
        return link
