"""The tables of docs/performance.md, from a result file: `python -m soc.bench.page docs/performance.json`."""

import sys
from collections.abc import Sequence
from pathlib import Path

from soc.bench.results import Results, read
from soc.bench.sections import SECTIONS


def page(results: Results) -> str:
    """All tables in Markdown, each under its heading."""
    host = results.host
    lines = [
        f"Host: {host['processor']}, {host['processors']} processors, load {host['load']:.1f} at the start; Python "
        f"{host['python']}, numba {host['numba']}, llvmlite {host['llvmlite']}. Beside it: {results.qemu or 'no QEMU'}."
        f" Kernel: {results.kernel or 'none'}. Rounds: {results.rounds}; medians, and the range over the rounds.",
    ]
    for name, rows in results.sections.items():
        section = SECTIONS[name]
        lines += ["", f"### {section.title}", "", *_markdown(list(section.table(rows)))]
    return "\n".join(lines) + "\n"


def _markdown(rows: Sequence[Sequence[str]]) -> list[str]:
    def line(row: Sequence[str]) -> str:
        return "| " + " | ".join(row) + " |"

    return [line(rows[0]), line(["---", *["---:"] * (len(rows[0]) - 1)]), *(line(row) for row in rows[1:])]


if __name__ == "__main__":
    print(page(read(Path(sys.argv[1]))), end="")
