"""Export to Perfetto and other readers of Chrome's JSON trace events: https://ui.perfetto.dev opens the file.

Tracks: one process per core (interrupt handlers, accesses) and per component (a track per port); slices for the stays
of lines, vectors on their way, accesses and handlers; flow arrows follow each interrupt. The process "interrupts" has
each interrupt as nested slices, one per hop. Times are microseconds with all six digits of the picoseconds.

Source: Google's "Trace Event Format" document.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path as FilePath
from typing import Any

from soc.trace.activity import Activity, ip_bits
from soc.trace.path import MSI, TIMER, Path
from soc.trace.wiring import component

PS_PER_US = 10**6
HANDLER, ACCESSES = "handler", "accesses"
INTERRUPTS = "interrupts"


class _Tracks:
    """Numbers for processes and threads, in the order they are first used."""

    def __init__(self) -> None:
        self.processes: dict[str, int] = {}
        self.threads: dict[tuple[str, str], int] = {}

    def place(self, process: str, thread: str) -> dict[str, int]:
        pid = self.processes.setdefault(process, len(self.processes) + 1)
        return {"pid": pid, "tid": self.threads.setdefault((process, thread), len(self.threads) + 1)}

    def names(self) -> Iterator[dict[str, Any]]:
        for name, pid in self.processes.items():
            yield {"ph": "M", "name": "process_name", "pid": pid, "tid": 0, "args": {"name": name}}
            yield {"ph": "M", "name": "process_sort_index", "pid": pid, "tid": 0, "args": {"sort_index": pid}}
        for (process, name), tid in self.threads.items():
            yield {
                "ph": "M",
                "name": "thread_name",
                "pid": self.processes[process],
                "tid": tid,
                "args": {"name": name},
            }


def write(activity: Activity, path: str | FilePath, about: dict[str, Any] | None = None) -> None:
    """Write the export to `path`; `about` is plain data on the run. OSError when the host refuses."""
    document = {
        "displayTimeUnit": "ns",
        "otherData": {key: str(value) for key, value in (about or {}).items()},
        "traceEvents": list(events(activity)),
    }
    FilePath(path).write_text(json.dumps(document, separators=(",", ":")), "utf-8")


def events(activity: Activity) -> Iterator[dict[str, Any]]:
    """All trace events."""
    tracks = _Tracks()
    for core in activity.cores:
        tracks.place(core, HANDLER)
    yield from _cores(activity, tracks)
    yield from _ports(activity, tracks)
    of_cause: dict[int, list[tuple[str, int]]] = {}
    for port, vectors in activity.vectors.items():
        for sent in vectors:
            of_cause.setdefault(sent.cause, []).append((port, sent.left))
    for number, path in enumerate(activity.paths, 1):
        yield from _hops(path, number, tracks)
        yield from _flow(path, number, of_cause, tracks)
    yield from tracks.names()


def _us(ps: int) -> float:
    return ps / PS_PER_US


def _slice(name: str, category: str, place: dict[str, int], start: int, end: int, **args: Any) -> dict[str, Any]:
    event = {"ph": "X", "name": name, "cat": category, **place, "ts": _us(start), "dur": _us(end - start)}
    return {**event, "args": args} if args else event


def _cores(activity: Activity, tracks: _Tracks) -> Iterator[dict[str, Any]]:
    ends: dict[tuple[str, int], int] = {}
    for path in activity.paths:
        if path.core is not None and path.kind != TIMER:
            key = path.core, path.hops[f"{path.core} handler"]
            ends[key] = max(ends.get(key, 0), path.finish)
    for core in activity.cores:
        taken = activity.taken.get(core, [])
        place = tracks.place(core, HANDLER)
        for this, following in pairwise([*taken, None]):
            # A handler is shown to the end of the interrupts it was entered for, as far as the trace knows it.
            end = ends.get((core, this.time), this.time)
            if following is not None:
                end = min(end, following.time)
            yield _slice(f"interrupt {ip_bits(this.mask)}", HANDLER, place, this.time, end, mask=this.mask)
        place = tracks.place(core, ACCESSES)
        for access in activity.accesses.get(core, ()):
            end = activity.end if access.back is None else access.back
            yield _slice(
                f"{'store' if access.is_store else 'load'} {access.target}",
                "access",
                place,
                access.left,
                end,
                address=f"{access.address:#x}",
                size=access.size,
                instructions=access.instructions,
            )


def _ports(activity: Activity, tracks: _Tracks) -> Iterator[dict[str, Any]]:
    for port, stays in activity.lines.items():
        place = tracks.place(component(port), port)
        for stay in stays:
            fell = activity.end if stay.fell is None else stay.fell
            yield _slice(
                "high", "line", place, stay.rose, fell, cause=f"{stay.cause:#x}", ended_by_access=stay.by_access
            )
    for port, vectors in activity.vectors.items():
        place = tracks.place(component(port), port)
        for sent in vectors:
            yield _slice(f"vector {sent.vector:#x}", "vector", place, sent.left, sent.arrived, cause=f"{sent.cause:#x}")
    for path in activity.paths:
        if path.kind == MSI:
            times = list(path.hops.values())
            place = tracks.place(component(path.origin), path.origin)
            yield _slice("message write", "vector", place, path.began, times[1], cause=f"{path.cause:#x}")


def _hops(path: Path, number: int, tracks: _Tracks) -> Iterator[dict[str, Any]]:
    """The interrupt and its hops, as nested asynchronous slices."""
    place = tracks.place(INTERRUPTS, path.origin)
    common = {"cat": "interrupt", "id": number, **place}
    args = {"cause": f"{path.cause:#x}", "status": path.status, "core": path.core or ""}
    yield {"ph": "b", "name": path.origin, **common, "ts": _us(path.began), "args": args}
    for (here, left), (there, reached) in pairwise(path.hops.items()):
        yield {"ph": "b", "name": f"{here} to {there}", **common, "ts": _us(left)}
        yield {"ph": "e", "name": f"{here} to {there}", **common, "ts": _us(reached)}
    yield {"ph": "e", "name": path.origin, **common, "ts": _us(path.finish)}


def _flow(
    path: Path, number: int, vectors: dict[int, list[tuple[str, int]]], tracks: _Tracks
) -> Iterator[dict[str, Any]]:
    points: list[tuple[int, dict[str, int]]] = []
    if path.kind == MSI:
        points.append((path.began, tracks.place(component(path.origin), path.origin)))
    elif path.sender is not None:
        points.append((path.began, tracks.place(path.sender, ACCESSES)))
    ports = {port: time for port, time in path.rises.items() if time <= path.finish}
    for port, left in vectors.get(path.cause, ()):
        if path.began <= left <= path.finish:
            ports.setdefault(port, left)
    points += sorted(
        ((time, tracks.place(component(port), port)) for port, time in ports.items()), key=lambda point: point[0]
    )
    if path.core is not None:
        points.append((path.hops[f"{path.core} handler"], tracks.place(path.core, HANDLER)))
    if len(points) < 2:
        return
    for index, (time, place) in enumerate(points):
        phase = "s" if index == 0 else "f" if index == len(points) - 1 else "t"
        event = {"ph": phase, "name": "interrupt", "cat": "flow", "id": number, **place, "ts": _us(time)}
        yield {**event, "bp": "e"} if phase == "f" else event
