"""What the numbers in a trace mean: the channels between ports with their latencies, the cores and their clock."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any, NamedTuple

from soc.time import Clock

if TYPE_CHECKING:
    from soc.link import Link

REGISTER_PORTS = ("mmio", "config", "csr", "dma")
"""Ports, without index, that software or memory reaches: nothing that arrives there is an event of its own."""


class Channel(NamedTuple):
    """A link as a trace file describes it; ports as (name, number), the latency in ps."""

    origin: tuple[str, int]
    target: tuple[str, int]
    latency: int

    @property
    def name(self) -> str:
        return f"{self.origin[0]} -> {self.target[0]}"


def component(port: str) -> str:
    """`"uart.irq"` -> `"uart"`."""
    return port.partition(".")[0]


class Wiring:
    """Channels by the numbers of their ports, the number of cores, and the clock of the cores."""

    def __init__(self) -> None:
        self.channels: dict[tuple[int, int], Link | Channel] = {}
        self.cores = 0
        self.clock: Clock | None = None
        self._commanded: dict[str, bool] = {}

    def add(self, link: Link | Channel) -> None:
        """One more channel."""
        self.channels[link.origin[1], link.target[1]] = link
        self._commanded.clear()

    def commanded(self, name: str) -> bool:
        """Whether nothing but register accesses reaches component `name`: an edge it sends is software's doing."""
        if not self._commanded:
            reached = {component(link.origin[0]): True for link in self.channels.values()}
            for link in self.channels.values():
                owner, _, port = link.target[0].partition(".")
                if port.partition("[")[0] not in REGISTER_PORTS:
                    reached[owner] = False
            self._commanded = reached
        return self._commanded.get(name, False)

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
