"""One self-contained HTML page of an interrupt's path: the way with its hops, a distribution of each hop, the longest
interrupts with their stories. It loads nothing from anywhere."""

from __future__ import annotations

import json
import re
from html import escape
from importlib.resources import files
from pathlib import Path as FilePath
from typing import Any

from soc.time import in_ns
from soc.trace.latency import Latency, Spread, bins
from soc.trace.words import facts, label, main_hops, short, title

BINS = 48
OUTLIERS = 5
BOX, GAP, HEIGHT = 132, 86, 150
TOP, TALL = 46, 58


def write(latency: Latency, path: str | FilePath, about: dict[str, Any] | None = None) -> None:
    """Write the page to `path`. SocError when no interrupt is complete, OSError when the host refuses."""
    FilePath(path).write_text(page(latency, about), "utf-8")


def page(latency: Latency, about: dict[str, Any] | None = None) -> str:
    """The page's text. SocError when no interrupt is complete."""
    hops = main_hops(latency)
    total = latency.total
    others = [hop for hop in latency.hops if hop not in hops]
    cores = [(core, part.total, part.totals) for core, part in latency.per_core.items()]
    rows = [(hop, latency.samples[hop.name]) for hop in [*hops, *others]]
    chosen = len(rows)
    rows.append((total, latency.totals))
    if len(cores) > 1:
        rows += [(spread._replace(name=f"total at {core}"), totals) for core, spread, totals in cores]
    most = max(row.max for row, _ in rows)
    data = [
        {"name": row.name, "bins": bins(values, BINS), "p50": row.p50, "p99": row.p99, "max": row.max}
        for row, values in rows
    ]
    pieces = {
        "title": escape(title(latency)),
        "facts": escape(facts(latency, about)),
        "note": escape(f"Not in the figures: {latency.note()}.") if latency.note() else "",
        "way": _way(latency.places, hops),
        "rows": "\n".join(_row(number, row, most, number == chosen) for number, (row, _) in enumerate(rows)),
        "chosen": str(chosen),
        "data": json.dumps(data, separators=(",", ":")).replace("</", "<\\/"),
        "stories": "\n".join(f"<pre>{escape(str(outlier))}</pre>" for outlier in latency.outliers(OUTLIERS)),
    }
    text = files("soc.trace").joinpath("page.html").read_text("utf-8")
    return re.sub(r"@@(\w+)@@", lambda found: pieces[found[1]], text)


def _way(places: list[str], hops: list[Spread]) -> str:
    width = len(places) * BOX + (len(places) - 1) * GAP + 4
    parts = [
        f'<svg viewBox="0 0 {width} {HEIGHT}" role="img" aria-label="the path, hop by hop" style="max-width:{width}px">'
    ]
    for number, place in enumerate(places):
        left = 2 + number * (BOX + GAP)
        ends = " end" if number in (0, len(places) - 1) else ""
        parts.append(f'<rect class="box{ends}" x="{left}" y="{TOP}" width="{BOX}" height="{TALL}" rx="9"/>')
        lines = label(place)
        for line, words in enumerate(lines):
            y = TOP + TALL / 2 + 4.5 + (line - (len(lines) - 1) / 2) * 15
            fit = f' textLength="{BOX - 12}" lengthAdjust="spacingAndGlyphs"' if len(words) > 17 else ""
            parts.append(f'<text class="place{ends}" x="{left + BOX / 2}" y="{y:g}"{fit}>{escape(words)}</text>')
        if number:
            hop = hops[number - 1]
            middle, start, stop = left - GAP / 2, left - GAP + 6, left - 6
            span = "" if hop.min == hop.max else f"{short(hop.min)} to {short(hop.max)}"
            parts.append(
                f'<g class="hop" data-row="{number - 1}" tabindex="0"><rect class="hit" x="{left - GAP}" y="4" '
                f'width="{GAP}" height="{HEIGHT - 8}"/><path class="arrow" d="M{start} {TOP + TALL / 2}H{stop - 6}"/>'
                f'<path class="head" d="M{stop - 8} {TOP + TALL / 2 - 5}L{stop} {TOP + TALL / 2}L{stop - 8} '
                f'{TOP + TALL / 2 + 5}z"/><text class="time" x="{middle}" y="{TOP - 12}">{short(hop.p50)}</text>'
                f'<text class="span" x="{middle}" y="{TOP + TALL + 22}">{span}</text></g>'
            )
    parts.append("</svg>")
    return "\n".join(parts)


def _row(number: int, row: Spread, most: int, is_total: bool) -> str:
    cells = "".join(f"<td>{in_ns(value)}</td>" for value in row[2:])
    share = 100 * row.p50 / most
    reach = max(100 * (row.p99 - row.p50) / most, 0)
    bar = f'<span class="bar"><i style="width:{share:.2f}%"></i><b style="width:{reach:.2f}%"></b></span>'
    kind = ' class="total"' if is_total else ""
    return (
        f'<tr{kind} data-row="{number}" tabindex="0"><th scope="row">{escape(row.name)}</th><td>{row.count}</td>{cells}'
        f"<td class=wide>{bar}</td></tr>"
    )
