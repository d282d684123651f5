"""Two result files of `soc bench` side by side: what became faster, in itself and against QEMU in the same run."""

from soc.bench.figures import LESS_IS_MORE
from soc.bench.results import Results
from soc.bench.sections import SECTIONS


def figures(results: Results) -> dict[str, tuple[float, str]]:
    """Name of each figure, section first -> (median, unit)."""
    return {
        f"{name}: {what}": (value, unit)
        for name, rows in results.sections.items()
        for what, value, unit in SECTIONS[name].figures(rows)
    }


def rows(before: Results, after: Results) -> list[tuple[str, str, str, str, str]]:
    """A head, then a row per figure of either file; the last column is above 1 where `after` is better."""
    old, new = figures(before), figures(after)
    table = [("", "unit", "before", "after", "better by")]
    for name in [*old, *(name for name in new if name not in old)]:
        unit = (old.get(name) or new[name])[1]
        values = [side[name][0] if name in side else None for side in (old, new)]
        change = ""
        if None not in values:
            ratio = values[1] / values[0]
            change = f"{1 / ratio if unit in LESS_IS_MORE else ratio:.3f}"
        table.append((name, unit, *("" if value is None else f"{value:.4g}" for value in values), change))
    return table
