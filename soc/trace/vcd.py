"""Export to VCD, for waveform viewers: every line, every core's interrupt pins, vectors, and interrupts taken.

Needs the package pyvcd (extra `waves`). One time unit is a picosecond. A vector port shows its vector while it is on
its way; `taken` of a core is the mask of the last interrupt, `handler` an event at its handler's first instruction.

Source: IEEE 1364-2005, section 18.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path as FilePath
from typing import Any

from soc.errors import ConfigurationError
from soc.trace.activity import Activity
from soc.trace.wiring import component

VECTOR_BITS = 32


def write(activity: Activity, path: str | FilePath, about: dict[str, Any] | None = None) -> None:
    """Write the export to `path`. ConfigurationError without pyvcd, OSError when the host refuses."""
    try:
        from vcd import VCDWriter
    except ImportError as cause:
        raise ConfigurationError(
            "VCD needs the Python package pyvcd, which is not installed.\n"
            "`pip install '.[waves]'` in the project's folder installs it."
        ) from cause
    comment = ", ".join(f"{key} {value}" for key, value in (about or {}).items())
    changes = sorted(_changes(activity), key=lambda change: (change[0], change[1]))
    with FilePath(path).open("w", encoding="ascii", errors="replace") as file:
        # Without a date the writer would put in the host's.
        with VCDWriter(file, timescale="1 ps", date="none", comment=comment, version="loongson-soc") as writer:
            variables = {}
            for scope, name, kind, size in _variables(activity):
                initial = {"wire": 0, "reg": "x", "event": None}[kind]
                variables[scope, name] = writer.register_var(scope, name, kind, size=size, init=initial)
            for time, (scope, name), value in changes:
                writer.change(variables[scope, name], time, value)
            writer.close(activity.end)


def identifier(port: str) -> str:
    """A port's name within its scope: `"pin[4]"` -> `"pin_4"`; brackets would be a bit select."""
    return re.sub(r"\[(\d+)\]", r"_\1", port)


def _split(port: str) -> tuple[str, str]:
    return component(port), identifier(port.partition(".")[2])


def _pins(activity: Activity) -> dict[tuple[str, str], list[tuple[str, int]]]:
    """Core pin to the lines that lead there, each with its latency in ps."""
    pins: dict[tuple[str, str], list[tuple[str, int]]] = {}
    for link in activity.wiring.channels.values():
        if ".ip[" in link.target[0]:
            pins.setdefault(_split(link.target[0]), []).append((link.origin[0], link.latency))
    return pins


def _variables(activity: Activity) -> Iterator[tuple[str, str, str, int]]:
    for scope, name in sorted(map(_split, activity.lines)):
        yield scope, name, "wire", 1
    for scope, name in sorted(map(_split, activity.vectors)):
        yield scope, name, "reg", VECTOR_BITS
    for (scope, name), lines in sorted(_pins(activity).items()):
        if any(line in activity.lines for line, _ in lines):
            yield scope, name, "wire", 1
    for core in activity.cores:
        yield core, "taken", "reg", 8
        yield core, "handler", "event", 1


def _changes(activity: Activity) -> Iterator[tuple[int, tuple[str, str], Any]]:
    for port, stays in activity.lines.items():
        for stay in stays:
            yield stay.rose, _split(port), 1
            if stay.fell is not None:
                yield stay.fell, _split(port), 0
    for port, vectors in activity.vectors.items():
        name = _split(port)
        for place, sent in enumerate(vectors):
            yield sent.left, name, sent.vector
            if place + 1 == len(vectors) or vectors[place + 1].left > sent.arrived:
                yield sent.arrived, name, "z"
    for pin, lines in _pins(activity).items():
        edges = []
        for line, latency in lines:
            for stay in activity.lines.get(line, ()):
                edges.append((stay.rose + latency, 1))
                if stay.fell is not None:
                    edges.append((stay.fell + latency, -1))
        high = 0
        # Several lines may hold a pin: it is high while any of them is.
        for time, step in sorted(edges, key=lambda edge: (edge[0], -edge[1])):
            before, high = high, high + step
            if (before > 0) != (high > 0):
                yield time, pin, int(high > 0)
    for core, taken in activity.taken.items():
        for entry in taken:
            yield entry.time, (core, "taken"), entry.mask
            yield entry.time, (core, "handler"), True
