"""Flame graphs as one self-contained HTML page: drawn here, so that it loads nothing and runs no script.

Widths are shares; a box's tooltip has its figures. The host's graph has the levels group and item; the guest's has mode
(with the ASID in user mode), function, and block: what called what is not known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from html import escape
from typing import NamedTuple
from zlib import crc32

WIDTH, ROW = 1200, 22
LETTER = 6.7
"""Width of a letter of the labels, in the units of WIDTH."""
NARROWEST = 0.25
"""Boxes narrower than this are left out; their parents show that something is missing."""
STYLE = """
body { font: 14px system-ui, sans-serif; margin: 2em auto; max-width: 1240px; color: #1d2733; background: #fff }
svg { width: 100%; font: 11px ui-monospace, monospace } rect { stroke: #fff; stroke-width: .5 }
h1 { font-size: 1.4em } h2 { font-size: 1.1em; margin: 1.6em 0 .3em } p { color: #667585; margin: .3em 0 }
table { border-collapse: collapse; margin-top: .6em } td, th { padding: .15em .9em .15em 0; text-align: left }
td.n { text-align: right; font-variant-numeric: tabular-nums }
"""


class Node(NamedTuple):
    """A box, at least as wide as its children together."""

    name: str
    value: float
    children: Sequence[Node] = ()


class Graph(NamedTuple):
    """A graph with its heading, what is said below that, and how a value is written."""

    title: str
    about: str
    root: Node
    shown: Callable[[float], str]


def page(title: str, graphs: Sequence[Graph], tables: str = "") -> str:
    """The page's text. `tables` is HTML that follows the graphs."""
    parts = [f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title>']
    parts.append(f"<style>{STYLE}</style><h1>{escape(title)}</h1>")
    for graph in graphs:
        parts.append(f"<h2>{escape(graph.title)}</h2><p>{escape(graph.about)}</p>{svg(graph)}")
    return "\n".join([*parts, tables, "</html>\n"])


def svg(graph: Graph) -> str:
    """The graph as an SVG element, the root at the top."""
    root = graph.root
    scale = WIDTH / root.value if root.value else 0.0
    boxes = list(_boxes(root, 0.0, 0))
    height = ROW * (1 + max(depth for _, _, depth in boxes))
    parts = [f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(graph.title)}">']
    for node, at, depth in boxes:
        left, width = at * scale, node.value * scale
        if width < NARROWEST:
            continue
        share = f"{100 * node.value / root.value:.1f} %" if root.value else ""
        tip = escape(f"{node.name}: {graph.shown(node.value)}, {share}")
        parts.append(
            f'<g><title>{tip}</title><rect x="{left:.2f}" y="{depth * ROW}" width="{width:.2f}" '
            f'height="{ROW - 1}" rx="2" fill="{_colour(node.name, depth)}"/>'
        )
        room = int((width - 6) / LETTER)
        if room >= 3:
            label = node.name if len(node.name) <= room else node.name[: room - 1] + "…"
            parts.append(f'<text x="{left + 3:.2f}" y="{depth * ROW + 15}">{escape(label)}</text>')
        parts.append("</g>")
    return "\n".join([*parts, "</svg>"])


def _boxes(node: Node, at: float, depth: int) -> Iterator[tuple[Node, float, int]]:
    yield node, at, depth
    for child in sorted(node.children, key=lambda child: (-child.value, child.name)):
        yield from _boxes(child, at, depth + 1)
        at += child.value


def _colour(name: str, depth: int) -> str:
    """The same for the same name in every graph."""
    if not depth:
        return "#d5dce3"
    number = crc32(name.encode())
    return f"hsl({20 + number % 35} {70 + number // 64 % 20}% {66 + number // 4096 % 14}%)"
