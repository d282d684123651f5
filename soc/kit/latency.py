"""`assert_latency`: interrupts of a machine arrive in time, in all and hop by hop."""

from __future__ import annotations

from collections.abc import Mapping

from soc.errors import ConfigurationError, choose
from soc.time import duration, in_ns
from soc.trace.latency import Latency, Spread

STATISTICS = ("min", "p50", "p99", "max")


def assert_latency(
    latency: Latency,
    below: str | int | None = None,
    *,
    of: str = "max",
    hops: Mapping[str, str | int] | None = None,
    count: int | None = None,
) -> None:
    """Fail unless the interrupts of `latency` (``machine.trace.latency("gpio")``) came to their end below a limit.

    below  from beginning to end, ps or text such as "2 us"
    of     which figure is compared: "max" (every interrupt), "p99", "p50" or "min"
    hops   the same for single hops: name of a hop, its beginning, or a part that no other has, to its limit
    count  exactly so many interrupts must have come to their end

    The failure shows the time of every hop, those that took too long marked, and the story of the longest interrupt.
    Raises ConfigurationError for a hop or figure there is not, and when nothing is asked for.
    """
    __tracebackhide__ = True
    if of not in STATISTICS:
        raise ConfigurationError(choose("figure", of, STATISTICS))
    if below is None and not hops and count is None:
        raise ConfigurationError("assert_latency without a limit: give below=, hops= or count=")
    if not latency.complete:
        raise AssertionError(f"{latency.name}: none of {len(latency.paths)} interrupts came to its end")
    limits = {_hop(latency, name).name: duration(limit) for name, limit in (hops or {}).items()}
    if below is not None:
        limits[latency.total.name] = duration(below)
    rows = [*latency.hops, latency.total]
    late = [row for row in rows if row.name in limits and getattr(row, of) >= limits[row.name]]
    problems = [
        f"{row.name}: {of} {in_ns(getattr(row, of))} ns; allowed is less than {in_ns(limits[row.name])} ns"
        for row in late
    ]
    if count is not None and len(latency.complete) != count:
        problems.append(f"{len(latency.complete)} interrupts came to their end; {count} were to")
    if problems:
        raise AssertionError("\n".join([f"{latency.name}: {problems[0]}", *problems[1:], "", _story(latency, late)]))


def _hop(latency: Latency, name: str) -> Spread:
    exact = [row for row in latency.hops if row.name == name]
    found = exact or [row for row in latency.hops if row.name.startswith(name)]
    found = found or [row for row in latency.hops if name in row.name]
    if len(found) != 1:
        what = "no hop" if not found else "several hops"
        raise ConfigurationError(f"{what} named {name!r}; the hops are: {'; '.join(row.name for row in latency.hops)}")
    return found[0]


def _story(latency: Latency, late: list[Spread]) -> str:
    marked = {row.name for row in late}
    head, *rows = latency.table().splitlines()
    lines = [f"  {head}"]
    for row in rows:
        lines.append(f"{'> ' if any(row.startswith(f'{name}  ') for name in marked) else '  '}{row}")
    return "\n".join([*lines, "", "the longest:", str(latency.outliers(1)[0])])
