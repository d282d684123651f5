"""Where an interrupt's time goes: from the device's edge, hop by hop, to the end of interrupt."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from soc.errors import SocError
from soc.time import in_ns

if TYPE_CHECKING:
    from soc.link import Link
    from soc.messages import InterruptLevel

END = "end of interrupt"


class Spread(NamedTuple):
    """How one latency is distributed: exact picoseconds; percentiles by nearest rank, so each is a measured value."""

    name: str
    count: int
    min: int
    p50: int
    p99: int
    max: int

    @classmethod
    def of(cls, name: str, samples: Iterable[int]) -> Spread:
        """The spread of at least one sample in ps."""
        ordered = sorted(samples)
        last = len(ordered) - 1

        def rank(percent: int) -> int:
            return ordered[min(last, -(-len(ordered) * percent // 100) - 1)]

        return cls(name, len(ordered), ordered[0], rank(50), rank(99), ordered[last])


class Path:
    """One cause: the places it passed, each with the time it first got there."""

    __slots__ = ("hops", "origin")

    def __init__(self, origin: str, time: int) -> None:
        self.origin = origin
        self.hops: dict[str, int] = {f"{origin} edge": time}

    @property
    def ended(self) -> bool:
        """Whether the handler has made the device's line fall."""
        return END in self.hops


class Paths:
    """The paths of all causes of a run."""

    def __init__(self) -> None:
        self._paths: dict[int, Path] = {}

    def level(self, message: InterruptLevel, link: Link) -> None:
        """A rising line was delivered: the cause got from one end of the link to the other."""
        path = self._paths.get(message.cause)
        if path is None:
            path = self._paths[message.cause] = Path(link.origin[0], message.time - link.latency)
        if not path.ended:
            path.hops.setdefault(link.target[0], message.time)

    def taken(self, cause: int, core: str, time: int) -> None:
        """A core took the interrupt: the handler's first instruction is at `time`."""
        path = self._paths.get(cause)
        if path is not None and not path.ended:
            path.hops.setdefault(f"{core} handler", time)

    def ended(self, cause: int, port: str, time: int) -> None:
        """An access by the handler made the output `port` fall. Counts when that is the device the cause began at."""
        path = self._paths.get(cause)
        if path is not None and path.origin == port and any(hop.endswith(" handler") for hop in path.hops):
            path.hops.setdefault(END, time)

    def latency(self, name: str | None) -> Latency:
        """The latencies of causes that began at `name`; SocError when there is none, with the names there are."""
        chosen = [
            path for path in self._paths.values() if name is None or name in (path.origin, _component(path.origin))
        ]
        if not chosen:
            there = sorted({path.origin for path in self._paths.values()})
            raise SocError(f"no interrupt began at {name!r}; interrupts began at: {', '.join(there) or 'nowhere'}")
        return Latency(name, chosen)


def _component(port: str) -> str:
    return port.partition(".")[0]


class Latency:
    """Latencies of a set of interrupts: `hops` in the order of the path, `total` from edge to end of interrupt."""

    def __init__(self, name: str | None, paths: list[Path]) -> None:
        self.name = name or "all interrupts"
        self.paths = paths
        complete = [path for path in paths if path.ended]
        self.unfinished = len(paths) - len(complete)
        """Edges whose line fell before a core took an exception for them, and interrupts still on their way."""
        samples: dict[tuple[str, str], list[int]] = {}
        for path in complete:
            places = list(path.hops.items())
            for (here, left), (there, reached) in pairwise(places):
                samples.setdefault((here, there), []).append(reached - left)
        self.hops = [Spread.of(f"{here} to {there}", values) for (here, there), values in samples.items()]
        self.totals = [path.hops[END] - next(iter(path.hops.values())) for path in complete]
        """Edge to end of interrupt of every finished interrupt, in ps, in the order they began."""

    @property
    def total(self) -> Spread:
        """Edge to end of interrupt. SocError when no interrupt has come that far."""
        if not self.totals:
            raise SocError(f"{self.name}: none of {len(self.paths)} interrupts reached its end")
        return Spread.of("total", self.totals)

    def table(self) -> str:
        """The hops as text, one line each, in nanoseconds with all digits of the picoseconds."""
        rows = [*self.hops, *([self.total] if self.totals else [])]
        head = ("hop", "count", "min", "p50", "p99", "max")
        cells = [(r.name, str(r.count), *(f"{in_ns(value)} ns" for value in r[2:])) for r in rows]
        widths = [max(len(row[place]) for row in [head, *cells]) for place in range(len(head))]
        lines = [
            "  ".join(
                c.ljust(w) if place == 0 else c.rjust(w) for place, (c, w) in enumerate(zip(row, widths, strict=True))
            )
            for row in [head, *cells]
        ]
        if self.unfinished:
            lines.append(
                f"({self.unfinished} of {len(self.paths)} edges took no exception of their own or were on their way)"
            )
        return "\n".join(lines)

    def histogram(self, bins: int = 10, width: int = 50) -> str:
        """The totals as text bars, `bins` equal ranges from the least to the greatest."""
        least, most = self.total.min, self.total.max
        step = max(1, -(-(most - least + 1) // bins))
        counts = [0] * bins
        for value in self.totals:
            counts[(value - least) // step] += 1
        tallest = max(counts)
        edge = len(in_ns(least + bins * step))
        return "\n".join(
            f"{in_ns(least + place * step).rjust(edge)} ns  {'#' * -(-count * width // tallest)} {count}"
            for place, count in enumerate(counts)
        )

    def __str__(self) -> str:
        return self.table()
