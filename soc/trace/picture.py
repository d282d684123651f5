"""A picture of an interrupt's path and of how long each hop takes, as PNG. Needs matplotlib (extra `plots`)."""

from __future__ import annotations

from pathlib import Path as FilePath
from typing import Any

from soc.errors import ConfigurationError
from soc.trace.latency import Latency, Spread
from soc.trace.words import facts, label, main_hops, short, title

INK, MUTED, RULE, PAPER = "#1d2733", "#667585", "#d5dce3", "#ffffff"
BLUE, PALE, RED = "#2467a8", "#cfe0f1", "#c2452d"
BINS = 40
DPI = 150


def draw(latency: Latency, path: str | FilePath, about: dict[str, Any] | None = None) -> None:
    """Write the picture to `path`. `about`, plain data such as the hash, goes under the title.

    ConfigurationError without matplotlib; SocError when no interrupt is complete; OSError when the host refuses.
    """
    try:
        from matplotlib import rc_context
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as cause:
        raise ConfigurationError(
            "the picture needs the Python package matplotlib, which is not installed.\n"
            "`pip install '.[plots]'` in the project's folder installs it; `--html` needs nothing."
        ) from cause
    hops = main_hops(latency)
    with rc_context({"font.family": "DejaVu Sans", "font.size": 9, "text.color": INK, "axes.labelcolor": INK}):
        figure = Figure(figsize=(12, 6.2 + 0.18 * max(0, len(hops) - 5)), dpi=DPI, facecolor=PAPER)
        FigureCanvasAgg(figure)
        grid = figure.add_gridspec(
            2,
            2,
            height_ratios=(1, 1.7),
            width_ratios=(1.35, 1),
            left=0.225,
            right=0.975,
            top=0.86,
            bottom=0.09,
            wspace=0.16,
            hspace=0.28,
        )
        figure.text(0.025, 0.945, title(latency), fontsize=14, fontweight="bold")
        figure.text(0.025, 0.905, facts(latency, about), fontsize=9, color=MUTED)
        if note := latency.note():
            figure.text(0.025, 0.014, f"Not in the figures: {note}.", fontsize=7.5, color=MUTED)
        way = figure.add_axes((0.025, 0.60, 0.95, 0.28))
        _draw_way(way, latency.places, hops)
        _draw_hops(figure.add_subplot(grid[1, 0]), [*hops, latency.total])
        _draw_totals(figure.add_subplot(grid[1, 1]), latency)
        # No date and no version in the file: equal runs give equal pictures.
        figure.savefig(path, format="png", metadata={"Software": None})


def _draw_way(axes: Any, places: list[str], hops: list[Spread]) -> None:
    from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

    axes.set_axis_off()
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    count = len(places)
    step = 1 / count
    width = step * 0.62
    longest = max(len(line) for place in places for line in label(place))
    size = min(9, 860 / max(longest, 8) / max(count, 6))
    middle_line = {"ha": "center", "va": "center", "linespacing": 1.25, "fontsize": size}
    for number, place in enumerate(places):
        middle = (number + 0.5) * step
        ends = number in (0, count - 1)
        axes.add_patch(
            FancyBboxPatch(
                (middle - width / 2, 0.3),
                width,
                0.36,
                boxstyle="round,pad=0.002,rounding_size=0.012",
                mutation_aspect=4,
                facecolor=BLUE if ends else PALE,
                edgecolor=BLUE,
                linewidth=1,
            )
        )
        axes.text(middle, 0.48, "\n".join(label(place)), color=PAPER if ends else INK, **middle_line)
        if number:
            hop = hops[number - 1]
            left, right = middle - step + width / 2 + 0.004, middle - width / 2 - 0.004
            axes.add_patch(
                FancyArrowPatch((left, 0.48), (right, 0.48), arrowstyle="-|>", mutation_scale=11, color=INK, lw=1.2)
            )
            gap = (left + right) / 2
            axes.text(gap, 0.72, short(hop.p50), ha="center", va="bottom", fontsize=8.5, fontweight="bold")
            if hop.min != hop.max:
                axes.text(
                    gap, 0.23, f"{short(hop.min)}\nto {short(hop.max)}", ha="center", va="top", fontsize=7, color=MUTED
                )


def _draw_hops(axes: Any, rows: list[Spread]) -> None:
    from matplotlib.ticker import FuncFormatter

    smallest = min((value for row in rows for value in row[2:] if value), default=1)
    axes.set_xscale("symlog", linthresh=smallest, linscale=0.35)
    for number, row in enumerate(reversed(rows)):
        colour = INK if row is rows[-1] else BLUE
        axes.plot((row.min, row.max), (number, number), color=RULE, lw=5, solid_capstyle="round", zorder=1)
        axes.plot(
            (row.min, row.p99), (number, number), color=colour, lw=5, solid_capstyle="round", alpha=0.45, zorder=2
        )
        axes.plot((row.p50,), (number,), "o", color=colour, ms=6.5, zorder=3)
        axes.plot((row.max,), (number,), "|", color=RED, ms=9, mew=1.6, zorder=3)
        axes.annotate(
            short(row.p50),
            (row.p50, number),
            xytext=(0, 6.5),
            textcoords="offset points",
            ha="center",
            fontsize=7.5,
            color=colour,
        )
    names = [row.name.replace(" to ", "\nto ") if len(row.name) > 24 else row.name for row in rows]
    axes.set_yticks(range(len(rows)), names[::-1], fontsize=7.5)
    axes.get_yticklabels()[0].set_fontweight("bold")
    axes.set_ylim(-0.6, len(rows) - 0.3)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short(round(value))))
    axes.set_xlim(left=-smallest * 0.25, right=max(row.max for row in rows) * 2)
    axes.set_title("each hop: ● median   ▬ min to p99   | max   (log scale)", fontsize=9, loc="left", color=MUTED)
    _plain(axes)
    axes.grid(axis="x", color=RULE, lw=0.6)


def _draw_totals(axes: Any, latency: Latency) -> None:
    from matplotlib.ticker import FuncFormatter, NullLocator

    total = latency.total
    rows = latency.bins(BINS)
    step = rows[0][1] - rows[0][0]
    wide = rows[-1][1] - rows[-1][0] > step
    heights = [count for _, _, count in rows]
    colours = [BLUE] * (BINS - 1) + [RED if wide else BLUE]
    axes.bar(range(BINS), heights, width=0.92, color=colours, align="edge")
    if max(heights) > 50 * min(height for height in heights if height):
        axes.set_yscale("log")
        axes.set_ylim(bottom=0.6)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_locator(NullLocator())
    ticks = [0, 10, 20, 30] + ([BINS - 1] if wide else [BINS])
    texts = [short(total.min + tick * step) for tick in ticks]
    if wide:
        texts[-1] = f"≥ {texts[-1]}"
    axes.set_xticks(ticks, texts, fontsize=8)
    for value, name in ((total.p50, "median"), (total.p99, "p99")):
        place = min((value - total.min) / step, BINS - 0.5)
        axes.axvline(place, color=INK, lw=0.9, ls=(0, (3, 2)))
        axes.annotate(
            f" {name} {short(value)}",
            (place, 1.0 if name == "median" else 0.92),
            xycoords=("data", "axes fraction"),
            va="top",
            ha="right" if place > BINS * 0.7 else "left",
            fontsize=8,
        )
    axes.set_ylabel("interrupts")
    axes.set_title("total, beginning to end", fontsize=9, loc="left", color=MUTED)
    _plain(axes)
    axes.grid(axis="y", color=RULE, lw=0.6)


def _plain(axes: Any) -> None:
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(RULE)
    axes.tick_params(length=0, colors=INK)
    axes.set_axisbelow(True)
