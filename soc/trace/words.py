"""What a drawing of an interrupt's path says, on paper or on a page."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from soc.errors import SocError
from soc.time import in_ns
from soc.trace.latency import Latency, Spread
from soc.trace.path import END


def short(ps: int) -> str:
    """A time for a label: three or four digits and a unit that fits."""
    for scale, unit in ((10**12, "s"), (10**9, "ms"), (10**6, "us"), (10**3, "ns")):
        if ps >= scale:
            return f"{ps / scale:.4g} {unit}"
    return f"{ps} ps" if ps else "0"


def label(place: str) -> list[str]:
    """A place's name in lines short enough for a box."""
    if place == END:
        return ["end of", "interrupt"]
    words = []
    for word in place.split(" "):
        owner, dot, port = word.partition(".")
        words += [owner + dot, port] if dot else [word]
    lines: list[str] = []
    for word in words:
        if lines and not lines[-1].endswith(".") and len(lines[-1]) + len(word) < 12:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def title(latency: Latency) -> str:
    """What the picture shows."""
    places = latency.places
    return f"{latency.name}: {places[0]} \N{RIGHTWARDS ARROW} {places[-1]}"


def facts(latency: Latency, about: dict[str, Any] | None = None) -> str:
    """The line under the title: how many, how long, which run."""
    total = latency.total
    parts = [f"{total.count} interrupts", f"median {in_ns(total.p50)} ns", f"p99 {in_ns(total.p99)} ns"]
    parts += [f"{key} {value}" for key, value in (about or {}).items()]
    return "   ".join(parts)


def main_hops(latency: Latency) -> list[Spread]:
    """The hops of the commonest path, in its order. SocError when no interrupt is complete."""
    if not latency.complete:
        raise SocError(f"{latency.name}: no interrupt came to its end, so there is nothing to draw")
    places = latency.places
    by_name = {hop.name: hop for hop in latency.hops}
    return [by_name[f"{here} to {there}"] for here, there in pairwise(places)]
