"""The figures as a table for people and as data for programs."""

import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from soc.bench.compute import Part, geometric_mean
from soc.bench.cores import Cores
from soc.bench.measure import Boot, Program, ratio
from soc.bench.separation import Separation
from soc.time import in_ns
from soc.timing import Timing


def host() -> dict[str, Any]:
    """What the figures depend on: processor, count, load at the start, versions."""
    from importlib import metadata

    return {
        "processor": _processor(),
        "processors": os.cpu_count(),
        "load": os.getloadavg()[0],
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in ("numba", "llvmlite")},
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def program_table(results: Sequence[Program], qemu: str | None) -> str:
    """A row per contestant. The ratio is to QEMU by the time of the engine alone, per round; median of the rounds."""
    theirs = next((result for result in results if result.name == qemu), None)
    rows = [("", "instructions", "wall s", "start-up s", "MIPS", "MIPS with start-up", "of QEMU")]
    for result in results:
        speed = ""
        if theirs is not None:
            scale = result.instructions / theirs.instructions
            speed = f"{ratio(result.engine_s, theirs.engine_s) * scale:.3g}"
        walls = f"{median(result.wall_s):.3f}", f"{median(result.short_wall_s):.3f}"
        rates = f"{result.mips:.2f}", f"{result.whole_mips:.2f}"
        rows.append((result.name, f"{result.instructions:,}", *walls, *rates, speed))
    return table(rows)


def compute_table(results: Sequence[Part]) -> str:
    """A row per program, with the ratio to QEMU: median, and the range over the rounds; then their geometric mean."""
    rows = [("", "tier", "instructions", "MIPS", "QEMU's", "of QEMU", "from", "to")]
    for part in results:
        row = [part.name, part.ours.name, f"{part.ours.instructions:,}", f"{part.ours.mips:.0f}"]
        if part.theirs is not None:
            row.append(f"{part.theirs.mips:.0f}")
            row += [f"{value:.3g}" for value in (median(part.ratios), min(part.ratios), max(part.ratios))]
        rows.append((*row, *[""] * (8 - len(row))))
    if all(part.ratios for part in results):
        rows.append(("geometric mean", *[""] * 4, f"{geometric_mean(results):.3g}", "", ""))
    return table(rows)


def boot_table(results: Sequence[Boot]) -> str:
    """A row per contestant and command line: wall time of the whole process, median and range."""
    rows = [("", "command line", "wall s", "from", "to", "in the run s", "instructions", "of QEMU")]
    for result in results:
        theirs = next((r for r in results if r.command_line == result.command_line and r.name != "soc"), None)
        engine = f"{median(result.engine_s):.2f}" if result.engine_s else ""
        count = f"{result.instructions / 1e6:.1f} M" if result.instructions else ""
        speed = f"{ratio(result.wall_s, theirs.wall_s):.3f}" if theirs else ""
        walls = [f"{value:.2f}" for value in (median(result.wall_s), min(result.wall_s), max(result.wall_s))]
        rows.append((result.name, result.command_line or "default", *walls, engine, count, speed))
    return table(rows)


def cores_table(results: Sequence[Cores]) -> str:
    """A row per number of busy cores; the ratio is to the first row, per round, median of the rounds."""
    rows = [("busy cores", "window ns", "MIPS of all", "MIPS of each", f"of {results[0].cores}")]
    for result in results:
        speed = median(_rates(result, results[0]))
        each = result.mips / result.cores
        rows.append((str(result.cores), in_ns(result.window_ps), f"{result.mips:.1f}", f"{each:.1f}", f"{speed:.2f}"))
    return table(rows)


def windows_table(results: Sequence[Cores]) -> str:
    """A row per window; the ratio is to the longest one, per round, median of the rounds."""
    longest = max(results, key=lambda result: result.window_ps)
    rows = [("window ns", "MIPS of all", "ns for a turn", f"of {in_ns(longest.window_ps)} ns")]
    for result in results:
        rows.append(
            (
                in_ns(result.window_ps),
                f"{result.mips:.1f}",
                f"{turn_ns(result):.0f}",
                f"{median(_rates(result, longest)):.2f}",
            )
        )
    return table(rows)


def turn_ns(result: Cores) -> float:
    """Host time in ns of one core's turn: a busy core completes an instruction a cycle."""
    turns = result.instructions / Timing().core.ticks(result.window_ps)
    return median(result.wall_s) / turns * 1e9


def _rates(result: Cores, other: Cores) -> list[float]:
    scale = result.instructions / other.instructions
    return [theirs / ours * scale for ours, theirs in zip(result.wall_s, other.wall_s, strict=True)]


def separation_table(results: Sequence[Separation]) -> str:
    """A row per workload; the overhead is by round, median of the rounds."""
    rows = [
        ("devices in other processes", "s here", "s there", "overhead", "told/s", "answered/s", "turn us", "us added")
    ]
    for result in results:
        wall = median(result.there_s)
        rows.append(
            (
                result.name,
                f"{median(result.here_s):.2f}",
                f"{wall:.2f}",
                f"{100 * result.overhead:.0f} %",
                f"{result.told / wall:.0f}",
                f"{result.answered / wall:.0f}",
                f"{result.turn_us:.1f}",
                f"{result.added_us:.1f}",
            )
        )
    return table(rows)


def cold_lines(cold: Mapping[str, float]) -> list[str]:
    """A line per cold start."""
    names = {"run": "the short program", "boot": "the boot (default command line)"}
    return [f"with an empty code cache, {names[name]} takes {wall:.1f} s" for name, wall in cold.items()]


def table(rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as they need, the first to the left."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            text.ljust(width) if place == 0 else text.rjust(width)
            for place, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
