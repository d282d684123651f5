"""The tables of docs/performance.md, from a result file: `python -m soc.bench.page docs/performance.json`."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from math import exp, log
from pathlib import Path
from statistics import median
from typing import Any

from soc.time import in_ns

Data = Mapping[str, Any]


def page(data: Data) -> str:
    """All tables in Markdown, each under its heading."""
    host = data["host"]
    lines = [
        f"Host: {host['processor']}, {host['processors']} processors, load {host['load']:.1f} at the start; Python "
        f"{host['python']}, numba {host['numba']}, llvmlite {host['llvmlite']}. Beside it: {data['qemu'] or 'no QEMU'}."
        f" {data['rounds']} rounds; medians, and for ratios the range over the rounds.",
    ]
    for key, (heading, table) in _TABLES.items():
        if key in data:
            lines += ["", f"### {heading}", "", *_markdown(list(table(data[key])))]
    return "\n".join(lines) + "\n"


def _compute(parts: Sequence[Data]) -> Iterator[Sequence[str]]:
    yield "program", "tier", "MIPS", "QEMU's MIPS", "of QEMU", "from", "to"
    for part in parts:
        ours, theirs, ratios = part["ours"], part["theirs"], part["ratios"]
        row = [part["part"], ours["name"], f"{ours['mips']:.0f}"]
        if theirs:
            row += [f"{theirs['mips']:.0f}", *(f"{v:.2f}" for v in (median(ratios), min(ratios), max(ratios)))]
        yield [*row, *[""] * (7 - len(row))]
    if all(part["ratios"] for part in parts):
        mean = exp(sum(log(median(part["ratios"])) for part in parts) / len(parts))
        yield "geometric mean", "", "", "", f"{mean:.2f}", "", ""


def _program(results: Sequence[Data]) -> Iterator[Sequence[str]]:
    yield "", "MIPS", "MIPS with start-up", "start-up, s"
    for result in results:
        yield (
            result["name"], f"{result['mips']:.1f}", f"{result['whole_mips']:.1f}",
            f"{median(result['short_wall_s']):.2f}",
        )  # fmt: skip


def _boot(results: Sequence[Data]) -> Iterator[Sequence[str]]:
    yield "", "command line", "wall, s", "from", "to", "in the run, s", "instructions"
    for result in results:
        walls = result["wall_s"]
        yield (
            result["name"], result["command_line"] or "default",
            *(f"{value:.2f}" for value in (median(walls), min(walls), max(walls))),
            f"{median(result['engine_s']):.2f}" if result["engine_s"] else "",
            f"{result['instructions'] / 1e6:.0f} M" if result["instructions"] else "",
        )  # fmt: skip


def _cores(results: Sequence[Data]) -> Iterator[Sequence[str]]:
    yield "busy cores", "window, ns", "MIPS of all", "MIPS of each"
    for result in results:
        mips = result["mips"]
        yield str(result["cores"]), in_ns(result["window_ps"]), f"{mips:.0f}", f"{mips / result['cores']:.0f}"


def _cold(cold: Data) -> Iterator[Sequence[str]]:
    yield "first run with an empty code cache", "wall, s"
    names = {"run": "a short program", "boot": "the boot, default command line"}
    for name, wall in cold.items():
        yield names[name], f"{wall:.1f}"


_TABLES = {
    "compute": ("Compute set", _compute),
    "program": ("The mixed program on every tier", _program),
    "boot": ("Boot of Debian's kernel to a shell, a script, power-off", _boot),
    "cores": ("The same busy program on every core", _cores),
    "cold": ("Cold start", _cold),
}


def _markdown(rows: Sequence[Sequence[str]]) -> list[str]:
    def line(row: Sequence[str]) -> str:
        return "| " + " | ".join(row) + " |"

    return [line(rows[0]), line(["---", *["---:"] * (len(rows[0]) - 1)]), *(line(row) for row in rows[1:])]


if __name__ == "__main__":
    print(page(json.loads(Path(sys.argv[1]).read_text("utf-8"))), end="")
