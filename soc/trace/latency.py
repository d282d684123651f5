"""Where an interrupt's time goes: from the device's edge, hop by hop, to the end of interrupt."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple

from soc.errors import SocError
from soc.time import in_ns
from soc.trace.activity import Activity, ip_bits
from soc.trace.path import INSIDE, Path

_CORE = re.compile(r"\bcpu\d+")
_BAR = " ▏▎▍▌▋▊▉█"
_MOST_TOLD = 6
_SQUEEZED = 4
_BOUNDARY_SOON = 500_000
"""ps within which a core that executes comes to a block boundary: 256 bytes of code, with room."""


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


def spreads(head: str, rows: list[Spread]) -> str:
    """Spreads as a table, one line each, in nanoseconds with all digits of the picoseconds."""
    heads = (head, "count", "min", "p50", "p99", "max")
    cells = [(r.name, str(r.count), *(f"{in_ns(value)} ns" for value in r[2:])) for r in rows]
    widths = [max(len(row[place]) for row in [heads, *cells]) for place in range(len(heads))]
    return "\n".join(
        "  ".join(
            c.ljust(w) if place == 0 else c.rjust(w) for place, (c, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in [heads, *cells]
    )


class Latency:
    """Latencies of a set of interrupts: `hops` in the order of the path, `total` from beginning to end.

    Where several cores take part, hops are named for all of them, as in "cpu*.ip[6]"; `per_core` splits them.
    """

    def __init__(self, name: str | None, paths: list[Path], activity: Activity) -> None:
        self.name = name or "all interrupts"
        self.paths = paths
        self._activity = activity
        self.complete = [path for path in paths if path.ended]
        """Interrupts that took an exception of their own and came to their end."""
        self.inside = sum(path.status == INSIDE for path in paths)
        """Interrupts served inside a handler that was running already, without an exception of their own."""
        self.unfinished = len(paths) - len(self.complete) - self.inside
        """Interrupts still on their way, held back or not served when the trace ended."""
        several = len({name for path in self.complete for name in (path.core, path.sender) if name}) > 1
        self._named = (lambda place: _CORE.sub("cpu*", place)) if several else (lambda place: place)
        samples: dict[tuple[str, str], list[int]] = {}
        for path in self.complete:
            for (here, left), (there, reached) in pairwise(path.hops.items()):
                samples.setdefault((self._named(here), self._named(there)), []).append(reached - left)
        self.samples = {f"{here} to {there}": values for (here, there), values in samples.items()}
        """Hop to the ps each interrupt took for it, in the order they began."""
        self.hops = [Spread.of(name, values) for name, values in self.samples.items()]
        self.totals = [path.total for path in self.complete]
        """From beginning to end of every complete interrupt, in ps, in the order they began."""

    @property
    def total(self) -> Spread:
        """From beginning to end. SocError when no interrupt has come that far."""
        if not self.totals:
            raise SocError(f"{self.name}: none of {len(self.paths)} interrupts reached its end")
        return Spread.of("total", self.totals)

    @property
    def per_core(self) -> dict[str, Latency]:
        """The same for each core that took interrupts, by its name."""
        cores = sorted({path.core for path in self.complete}, key=lambda core: int(core[3:]))
        return {
            core: Latency(f"{self.name} at {core}", [p for p in self.complete if p.core == core], self._activity)
            for core in cores
        }

    @property
    def places(self) -> list[str]:
        """The places of the commonest way through the machine, in order."""
        ways = Counter(tuple(self._named(place) for place in path.hops) for path in self.complete)
        return list(max(ways, key=lambda way: ways[way])) if ways else []

    def table(self, per_core: bool = False) -> str:
        """The hops as text, one line each, in nanoseconds with all digits of the picoseconds; `per_core` adds a line
        for each core's total."""
        rows = [*self.hops, *([self.total] if self.totals else [])]
        if per_core:
            rows += [latency.total._replace(name=f"total at {core}") for core, latency in self.per_core.items()]
        note = self.note()
        return spreads("hop", rows) + (f"\n({note})" if note else "")

    def note(self) -> str:
        """How many interrupts are not in the figures, and why; empty when all are."""
        parts = []
        if self.inside:
            parts.append(f"{self.inside} served inside a running handler, without an exception of their own")
        if self.unfinished:
            parts.append(f"{self.unfinished} on their way or held back when the trace ended")
        return f"of {len(self.paths)} interrupts, {'; '.join(parts)}" if parts else ""

    def bins(self, count: int = 10) -> list[tuple[int, int, int]]:
        """The totals in `count` equal ranges of 1 ps or more: (from ps, up to but not including, how many).

        Where a few outliers would squeeze all others into one range, the last range is wider and takes all of them.
        """
        self.total  # noqa: B018 (says so when there is none)
        return bins(self.totals, count)

    def histogram(self, bins: int = 10, width: int = 50) -> str:
        """The totals as text bars; see `bins`."""
        rows = self.bins(bins)
        tallest = max(count for _, _, count in rows)
        edge = len(in_ns(rows[-1][0]))
        wide = rows[-1][1] - rows[-1][0] > rows[0][1] - rows[0][0]
        return "\n".join(
            f"{in_ns(low).rjust(edge)} ns {'+' if wide and place == len(rows) - 1 else ' '} "
            f"{_bar(count, tallest, width)} {count}"
            for place, (low, _, count) in enumerate(rows)
        )

    def outliers(self, n: int = 3) -> list[Outlier]:
        """The `n` longest, longest first, each with its story."""
        if n < 1:
            raise SocError(f"{n} outliers; ask for 1 or more")
        longest = sorted(self.complete, key=lambda path: (-path.total, path.began, path.cause))[:n]
        return [Outlier(path, self.total.p50, self._activity) for path in longest]

    def __str__(self) -> str:
        return self.table()


def bins(samples: list[int], count: int) -> list[tuple[int, int, int]]:
    """`Latency.bins` of any samples, at least one."""
    if count < 1:
        raise SocError(f"{count} ranges; ask for 1 or more")
    spread = Spread.of("", samples)
    least, most = spread.min, spread.max
    count = min(count, most - least + 1)
    squeezed = count > 2 and most - least > _SQUEEZED * (spread.p99 - least) > 0
    top = spread.p99 if squeezed else most
    equal = count - 1 if squeezed else count
    step = max(1, -(-(top - least + 1) // equal))
    edges = [least + place * step for place in range(count)] + [most + 1 if squeezed else least + count * step]
    counts = [0] * count
    for value in samples:
        counts[min(count - 1, (value - least) // step)] += 1
    return list(zip(edges, edges[1:], counts, strict=False))


def _bar(count: int, tallest: int, width: int) -> str:
    eighths = -(-count * width * 8 // tallest)
    return ("█" * (eighths // 8) + _BAR[eighths % 8]).rstrip()


class Meanwhile(NamedTuple):
    """What the core that took an interrupt did in one hop of it, besides the interrupt."""

    accesses: int
    targets: dict[str, int]
    """Component to how many of the accesses went there."""
    instructions: tuple[int, int] | None
    """Completed instructions of the core at its first and last access in the hop."""
    parked: int
    """ps of the hop in which the core stood still for an access."""
    interrupts: list[tuple[int, int]]
    """(time in ps, IP bits) of other interrupts it took."""

    def __str__(self) -> str:
        parts = []
        if self.interrupts:
            told = ", ".join(f"{ip_bits(mask)} at {in_ns(time)} ns" for time, mask in self.interrupts[:_MOST_TOLD])
            more = f" and {len(self.interrupts) - _MOST_TOLD} more" if len(self.interrupts) > _MOST_TOLD else ""
            parts.append(f"took {told}{more}")
        if self.accesses:
            where = ", ".join(f"{name} {count}" for name, count in sorted(self.targets.items()))
            several = "es" if self.accesses > 1 else ""
            between = self.instructions[1] - self.instructions[0] if self.instructions else 0
            more = f", {between} instructions between them" if between else ""
            parts.append(f"{self.accesses} access{several} ({where}), {in_ns(self.parked)} ns of waiting{more}")
        return "; ".join(parts)


class Outlier:
    """One interrupt and its story: when it got where, and what its core was doing."""

    def __init__(self, path: Path, typical: int, activity: Activity) -> None:
        self.path, self.typical = path, typical
        self.total = path.total
        self._activity = activity
        self.steps: list[tuple[str, int, Meanwhile | None]] = []
        """(place, time in ps, what the core did on the way there), in order."""
        before = None
        for place, time in path.hops.items():
            self.steps.append((place, time, None if before is None else _meanwhile(path, before, time, activity)))
            before = time

    def __str__(self) -> str:
        path = self.path
        core = f" at {path.core}" if path.core else ""
        cause = f", cause {path.cause:#x}" if path.cause else ""
        lines = [
            f"{path.origin}{core}{cause}: {in_ns(self.total)} ns (median {in_ns(self.typical)} ns)",
            f"  at {in_ns(path.began)} ns  {self.steps[0][0]}",
        ]
        widest = len(in_ns(self.total))
        last = path.began
        for place, time, meanwhile in self.steps[1:]:
            words = [str(meanwhile)] if str(meanwhile) else []
            if place == f"{path.core} handler" and time - last - meanwhile.parked > _BOUNDARY_SOON:
                words.append(self._kept_off(last))
            told = f"   {path.core}: {'; '.join(words)}" if words else ""
            lines.append(f"  + {in_ns(time - last).rjust(widest)} ns  {place}{told}")
            last = time
        return "\n".join(lines)

    def _kept_off(self, since: int) -> str:
        """Why a pending interrupt is not taken at the next block boundary: software keeps it off."""
        before = [t for t in self._activity.taken.get(self.path.core or "", ()) if t.time < since]
        if not before:
            return "interrupts off or masked"
        last = before[-1]
        return f"interrupts off or masked, the last being {ip_bits(last.mask)} {in_ns(since - last.time)} ns before"


def _meanwhile(path: Path, start: int, end: int, activity: Activity) -> Meanwhile:
    handler = path.hops.get(f"{path.core} handler")
    accesses = [
        a for a in activity.accesses.get(path.core or "", ()) if a.left < end and (a.back is None or a.back > start)
    ]
    parked = sum(min(end, end if a.back is None else a.back) - max(start, a.left) for a in accesses)
    taken = [
        (t.time, t.mask) for t in activity.taken.get(path.core or "", ()) if start <= t.time < end and t.time != handler
    ]
    stamps = (accesses[0].instructions, accesses[-1].instructions) if accesses else None
    return Meanwhile(len(accesses), dict(Counter(a.target for a in accesses)), stamps, parked, taken)
