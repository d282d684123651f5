"""A profile for people and for programs: tables, plain data, a page with flame graphs."""

from __future__ import annotations

import json
from collections import defaultdict
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

from soc.errors import ConfigurationError
from soc.files import regular
from soc.profile import flame
from soc.profile.profile import GROUPS, Item, Profile
from soc.profile.symbols import Symbols

DATA, PAGE = "profile.json", "profile.html"
MOST_SHOWN = 20


class Hot(NamedTuple):
    """A guest function and what of the sampled instructions fell to it."""

    mode: str
    function: str
    start: int
    """Its address; that of the page where nothing names it."""
    samples: int
    instructions: int
    share: float
    """Of all instructions sampled, 0 to 1."""
    blocks: dict[int, int]
    """First pc of a block to instructions."""


def functions(profile: Profile, symbols: Symbols) -> list[Hot]:
    """The functions of the guest by mode, the hottest first."""
    found: dict[tuple[str, str, int], list[Any]] = defaultdict(lambda: [0, 0, defaultdict(int)])
    for place, (samples, instructions) in profile.samples.places.items():
        entry = found[place.mode, *symbols.find(place.pc)]
        entry[0] += samples
        entry[1] += instructions
        entry[2][place.pc] += instructions
    total = sum(entry[1] for entry in found.values())
    hot = [Hot(*key, entry[0], entry[1], entry[1] / total, dict(entry[2])) for key, entry in found.items()]
    return sorted(hot, key=lambda one: (-one.instructions, one.mode, one.start))


def data(profile: Profile, symbols: Symbols) -> dict[str, Any]:
    """The profile as plain data: what profile.json has."""
    items, hot = profile.items(), functions(profile, symbols)
    return {
        "host": {
            "seconds": sum(item.seconds for item in items),
            "items": [item._asdict() for item in items],
            "engine": profile.engine,
        },
        "guest": {
            "instructions": profile.instructions,
            "every": profile.samples.every,
            "samples": profile.samples.taken,
            "sampled_instructions": sum(one.instructions for one in hot),
            "symbols": symbols.source,
            "functions": [
                {
                    **one._asdict(),
                    "start": f"{one.start:#x}",
                    "blocks": {f"{pc:#x}": count for pc, count in sorted(one.blocks.items())},
                }
                for one in hot
            ],
            "cores": [
                {"core": place.core, "mode": place.mode, "pc": f"{place.pc:#x}", "samples": n, "instructions": count}
                for place, (n, count) in sorted(profile.samples.places.items())
            ],
        },
    }


def write(profile: Profile, symbols: Symbols, folder: str | Path, title: str = "Profile") -> None:
    """Writes profile.json and profile.html to `folder`, made when missing. ConfigurationError when the host refuses."""
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        regular(folder / DATA).write_text(json.dumps(data(profile, symbols), indent=1) + "\n", "utf-8")
        regular(folder / PAGE).write_text(page(profile, symbols, title), "utf-8")
    except OSError as cause:
        raise ConfigurationError(f"cannot write the profile to {folder}: {cause.strerror}.") from cause


def show(profile: Profile, symbols: Symbols) -> None:
    """The two tables on standard error."""
    from rich.console import Console
    from rich.table import Table

    console = Console(stderr=True, highlight=False)
    items, hot = profile.items(), functions(profile, symbols)
    whole = sum(item.seconds for item in items)
    table = Table("host time", "", "times", "seconds", "share", title=f"{whole:.3f} s of host time", box=None)
    for column in table.columns[2:]:
        column.justify = "right"
    for group, of_it in _grouped(items):
        spent = sum(item.seconds for item in of_it)
        table.add_row(group, "", "", f"{spent:.3f}", _percent(spent, whole), style="bold")
        for item in of_it:
            table.add_row("", item.name, f"{item.count:,}", f"{item.seconds:.3f}", _percent(item.seconds, whole))
    console.print(table)
    if not hot:
        console.print(f"The guest was not sampled: it completed {profile.instructions} instructions, and a sample is "
                      f"taken every {profile.samples.every} or so.")  # fmt: skip
        return
    title = f"guest functions: {profile.samples.taken} samples, symbols: {symbols.source}"
    table = Table("mode", "function", "samples", "share", title=title, box=None)
    for column in table.columns[2:]:
        column.justify = "right"
    for one in hot[:MOST_SHOWN]:
        table.add_row(one.mode, one.function, str(one.samples), f"{one.share:.1%}")
    if rest := hot[MOST_SHOWN:]:
        samples, share = sum(one.samples for one in rest), sum(one.share for one in rest)
        table.add_row("", f"{len(rest)} others", str(samples), f"{share:.1%}", style="dim")
    console.print(table)


def page(profile: Profile, symbols: Symbols, title: str) -> str:
    """The page with both flame graphs and the figures of the guest's functions."""
    items, hot = profile.items(), functions(profile, symbols)
    whole = sum(item.seconds for item in items)
    groups = [
        flame.Node(group, sum(i.seconds for i in of_it), [flame.Node(i.name, i.seconds) for i in of_it])
        for group, of_it in _grouped(items)
    ]
    modes: dict[str, list[Hot]] = defaultdict(list)
    for one in hot:
        modes[one.mode].append(one)
    guest = flame.Node(
        "guest",
        sum(one.instructions for one in hot),
        [flame.Node(m, sum(one.instructions for one in of_it), list(map(_node, of_it))) for m, of_it in modes.items()],
    )
    about = (
        f"{profile.samples.taken} samples, one in about {profile.samples.every} instructions; "
        f"symbols: {symbols.source}. Levels: mode, function, block."
    )
    graphs = [
        flame.Graph("Host time", "Levels: group, item.", flame.Node("host", whole, groups), lambda s: f"{s:.4f} s"),
        flame.Graph("Guest instructions", about, guest, lambda count: f"{count:,.0f} instructions"),
    ]
    rows = "\n".join(
        f'<tr><td>{escape(one.mode)}<td>{escape(one.function)}<td class="n">{one.samples}<td class="n">'
        f'{one.instructions:,}<td class="n">{one.share:.1%}'
        for one in hot
    )
    heads = "<tr><th>mode<th>function<th>samples<th>instructions<th>share"
    return flame.page(title, graphs, f"<h2>Guest functions</h2><table>{heads}\n{rows}</table>")


def _grouped(items: list[Item]) -> list[tuple[str, list[Item]]]:
    grouped = {group: [item for item in items if item.group == group] for group in GROUPS}
    return [(group, of_it) for group, of_it in grouped.items() if of_it]


def _node(one: Hot) -> flame.Node:
    blocks = [flame.Node(f"{one.function}+{pc - one.start:#x}", count) for pc, count in one.blocks.items()]
    return flame.Node(one.function, one.instructions, blocks)


def _percent(part: float, whole: float) -> str:
    return f"{part / whole:.1%}" if whole else ""
