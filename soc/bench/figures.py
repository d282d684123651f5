"""The figures of each measurement by name, for putting two result files side by side: (name, median, unit)."""

from collections.abc import Iterator, Sequence
from statistics import median

from soc.bench.boots import Boot
from soc.bench.cold import Cold
from soc.bench.contest import Pair, Program
from soc.bench.cores import Cores
from soc.bench.separation import Separation

Figures = Iterator[tuple[str, float, str]]
LESS_IS_MORE = ("s", "ns", "us", "MiB", "times one core")
"""Units of what is better when it is smaller."""


def speeds(pairs: Sequence[Pair]) -> Figures:
    """MIPS, and times the other's speed."""
    for one in pairs:
        yield f"{one.name}, {one.ours.name}", one.ours.mips, "MIPS"
        yield from _ratio(one)


def times(pairs: Sequence[Pair]) -> Figures:
    """ns of an operation, and times the other's speed."""
    for one in pairs:
        yield one.name, one.ours.each_ns, "ns"
        yield from _ratio(one)


def _ratio(one: Pair) -> Figures:
    if one.theirs:
        # QEMU's name has its version, which may differ between the files.
        other = one.theirs.name.split()[0]
        yield f"{one.name}, of {other}", median(one.ratios), "times"


def tiers(results: Sequence[Program]) -> Figures:
    """MIPS without start-up."""
    for one in results:
        yield one.name, one.mips, "MIPS"


def boots(results: Sequence[Boot]) -> Figures:
    """Wall time of what finished, and the most memory resident."""
    for one in results:
        name = f"{one.name}, {one.command_line or 'default'}"
        if (one.cpus, one.vcpus) != (1, 0):
            name += f", {one.vcpus or one.cpus} CPUs on {one.cpus}"
        if one.finished:
            yield name, median(one.wall_s), "s"
        if any(one.peak_mib):
            yield f"{name}, peak", max(one.peak_mib), "MiB"


def cores(results: Sequence[Cores]) -> Figures:
    """MIPS of all cores, and the cost of an instruction beside one core's."""
    for one in results:
        name = f"{one.cores} cores, window {one.window_ps / 1000:g} ns"
        yield name, one.mips, "MIPS"
        if one is not results[0]:
            yield f"{name}, cost", median(one.costs(results[0])), "times one core"


def separation(results: Sequence[Separation]) -> Figures:
    """Wall time added per message."""
    for one in results:
        if one.told:
            yield f"{one.name}, added per message", one.added_us, "us"


def cold(results: Sequence[Cold]) -> Figures:
    """Wall time."""
    for one in results:
        yield one.name, one.wall_s, "s"
