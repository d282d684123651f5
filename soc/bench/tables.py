"""The rows of each measurement as cells of a table, a head first: for the terminal and for docs/performance.md."""

from collections.abc import Iterator, Sequence
from statistics import median

from soc.bench.boots import Boot
from soc.bench.cold import Cold
from soc.bench.contest import Pair, Program, geometric_mean
from soc.bench.cores import Cores
from soc.bench.separation import Separation
from soc.time import in_ns

Cells = Iterator[Sequence[str]]


def spread(values: Sequence[float], digits: str = ".2f") -> tuple[str, str, str]:
    """Median, least and most; empty without values."""
    if not values:
        return "", "", ""
    return f"{median(values):{digits}}", f"{min(values):{digits}}", f"{max(values):{digits}}"


def _mean(pairs: Sequence[Pair], cells: int) -> Cells:
    """The last row of a table of pairs, where `cells` come before the ratio."""
    if all(one.ratios for one in pairs):
        yield "geometric mean", *[""] * (cells - 1), f"{geometric_mean(pairs):.2f}", "", ""


def compute(pairs: Sequence[Pair]) -> Cells:
    """Speed beside QEMU's; the ratio by round."""
    yield "program", "tier", "instructions", "MIPS", "QEMU's MIPS", "of QEMU", "from", "to"
    for one in pairs:
        theirs = f"{one.theirs.mips:.0f}" if one.theirs else ""
        count = f"{one.ours.instructions / 1e6:.0f} M"
        yield one.name, one.ours.name, count, f"{one.ours.mips:.0f}", theirs, *spread(one.ratios)
    yield from _mean(pairs, 5)


def guest(pairs: Sequence[Pair]) -> Cells:
    """Speed in a virtual machine beside that on the bare core."""
    yield "program", "MIPS as guest", "MIPS bare", "of bare", "from", "to"
    for one in pairs:
        yield one.name, f"{one.ours.mips:.0f}", f"{one.theirs.mips:.0f}", *spread(one.ratios, ".3f")
    yield from _mean(pairs, 3)


def system(pairs: Sequence[Pair]) -> Cells:
    """Time for one operation beside QEMU's."""
    yield "operation", "instructions", "ns", "QEMU's ns", "of QEMU", "from", "to"
    for one in pairs:
        theirs = f"{one.theirs.each_ns:.0f}" if one.theirs else ""
        yield one.name, f"{one.ours.each_instructions:.0f}", f"{one.ours.each_ns:.0f}", theirs, *spread(one.ratios)


def tiers(results: Sequence[Program]) -> Cells:
    """Each contestant's speed, without start-up and with it."""
    yield "", "instructions", "MIPS", "MIPS with start-up", "start-up, s", "from", "to"
    for one in results:
        count = f"{one.instructions / 1e6:.1f} M"
        yield one.name, count, f"{one.mips:.2f}", f"{one.whole_mips:.2f}", *spread(one.short_wall_s)


def boot(results: Sequence[Boot]) -> Cells:
    """Wall time of the whole process, and inside the run where that is known."""
    yield "", "command line", "wall, s", "from", "to", "in the run, s", "instructions", "peak, MiB"
    for one in results:
        yield (
            one.name, one.command_line or "default", *spread(one.wall_s),
            f"{median(one.engine_s):.2f}" if one.engine_s else "",
            f"{one.instructions / 1e6:.0f} M" if one.instructions else "",
            _peak(one),
        )  # fmt: skip


def machines(results: Sequence[Boot]) -> Cells:
    """Boots by number of CPUs, with what happened each second of the run, and exits per million instructions."""
    yield (
        "", "CPUs", "wall, s", "from", "to", "in the run, s", "instructions", "MIPS", "accesses/s", "messages/s",
        "KVM exits/s", "per M", "peak, MiB",
    )  # fmt: skip
    for one in results:
        wall = spread(one.wall_s) if one.finished else (f"over {one.wall_s[0]:.0f}", "", "")
        rates = [""] * 7
        if one.engine_s:
            exits = f"{one.rate('KVM exits'):.0f}", f"{one.per_million('KVM exits'):.0f}"
            rates = [
                f"{median(one.engine_s):.2f}", f"{one.instructions / 1e6:.0f} M", f"{one.mips:.0f}",
                f"{one.rate('accesses'):.0f}", f"{one.rate('messages'):.0f}", *(exits if one.vcpus else ("", "")),
            ]  # fmt: skip
        name = f"{one.name}, {one.cpus} core{'s' if one.cpus > 1 else ''}" if one.vcpus else one.name
        cpus = one.vcpus or one.cpus
        yield name, str(cpus) if one.online == cpus else f"{one.online} of {cpus}", *wall, *rates, _peak(one)


def _peak(one: Boot) -> str:
    return f"{max(one.peak_mib):.0f}" if any(one.peak_mib) else ""


def cores(results: Sequence[Cores]) -> Cells:
    """Busy cores in windows; the cost of an instruction is beside that of the first row, by round."""
    yield "busy cores", "window, ns", "MIPS of all", "MIPS of each", "ns for a turn", "cost", "from", "to"
    for one in results:
        rates = f"{one.mips:.0f}", f"{one.mips / one.cores:.0f}", f"{one.turn_ns:.0f}"
        yield str(one.cores), in_ns(one.window_ps), *rates, *spread(one.costs(results[0]))


def separation(results: Sequence[Separation]) -> Cells:
    """Wall time with the devices here and in processes of their own."""
    yield "", "here, s", "there, s", "overhead", "told/s", "answered/s", "turn, us", "us added"
    for one in results:
        wall = median(one.there_s)
        yield (
            one.name, f"{median(one.here_s):.2f}", f"{wall:.2f}", f"{100 * one.overhead:.0f} %",
            f"{one.told / wall:.0f}", f"{one.answered / wall:.0f}", f"{one.turn_us:.1f}", f"{one.added_us:.1f}",
        )  # fmt: skip


def cold(results: Sequence[Cold]) -> Cells:
    """First runs."""
    yield "first run with an empty code cache", "wall, s"
    for one in results:
        yield one.name, f"{one.wall_s:.1f}"
