"""What the numbers in a trace mean: the channels between ports with their latencies, the cores and their clock."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import TYPE_CHECKING, Any, NamedTuple

from soc.time import Clock

if TYPE_CHECKING:
    from soc.link import Link

SENDERS = ("ls3a_ipi", "ls7a_msi")
"""Components, without the number of their node, whose registers are there to send interrupts: what they send begins at
the store of the core that wrote them, not at their own edge."""
_NODE = re.compile(r"_\d+$")


class Channel(NamedTuple):
    """A link as a trace file describes it; ports as (name, number), the latency in ps."""

    origin: tuple[str, int]
    target: tuple[str, int]
    latency: int

    @property
    def name(self) -> str:
        """ORIGIN -> TARGET, as of a `soc.link.Link`."""
        return f"{self.origin[0]} -> {self.target[0]}"


def component(port: str) -> str:
    """`"uart.irq"` -> `"uart"`."""
    return port.partition(".")[0]


def commanded(name: str) -> bool:
    """Whether component `name` only passes on what a core's store asks for."""
    return _NODE.sub("", name) in SENDERS


class Wiring:
    """Channels by the numbers of their ports, the number of cores, and the clock of the cores."""

    def __init__(self) -> None:
        self.channels: dict[tuple[int, int], Link | Channel] = {}
        self.cores = 0
        self.clock: Clock | None = None

    def add(self, link: Link | Channel) -> None:
        """One more channel."""
        self.channels[link.origin[1], link.target[1]] = link

    def as_dict(self) -> dict[str, Any]:
        """Plain data, for a file."""
        return {
            "cores": self.cores,
            "core_clock": [self.clock.hz.numerator, self.clock.hz.denominator] if self.clock else None,
            "links": [[*link.origin, *link.target, link.latency] for link in self.channels.values()],
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Wiring:
        """What `as_dict` gave. ValueError, TypeError or KeyError for anything else."""
        wiring = cls()
        wiring.cores = int(data["cores"])
        if data["core_clock"] is not None:
            wiring.clock = Clock(Fraction(*data["core_clock"]))
        for origin, source, target, destination, latency in data["links"]:
            wiring.add(Channel((str(origin), int(source)), (str(target), int(destination)), int(latency)))
        return wiring
