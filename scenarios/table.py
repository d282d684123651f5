"""Tables of figures as text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from soc.time import in_ns


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Rows below their head: the first column on the left, figures on the right."""
    cells = [[str(cell) for cell in row] for row in [head, *rows]]
    widths = [max(len(row[place]) for row in cells) for place in range(len(head))]
    lines = []
    for row in cells:
        first, *figures = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        figures = [figure.strip().rjust(width) for figure, width in zip(figures, widths[1:], strict=True)]
        lines.append("  ".join([first, *figures]))
    return "\n".join(lines)


def spreads(what: str, samples: Mapping[str, Iterable[int]]) -> str:
    """One line for each name: count, least, median, 99th percentile and greatest of its times in ps, as ns."""
    from soc.trace import Spread

    rows = []
    for name, times in samples.items():
        if found := list(times):
            _, count, *figures = Spread.of(name, found)
            rows.append((name, count, *(f"{in_ns(time)} ns" for time in figures)))
        else:
            rows.append((name, 0, "-", "-", "-", "-"))
    return table((what, "count", "min", "p50", "p99", "max"), rows)
