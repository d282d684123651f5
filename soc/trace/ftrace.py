"""Export as ftrace text, the form of Linux's /sys/kernel/tracing/trace: for tools and eyes that know it.

Interrupts of the hardware side by side: `irq_raise` where a line rises or a vector leaves, `irq_handler_entry` at the
handler's first instruction, `irq_handler_exit` at the end of interrupt. Times are seconds with twelve digits, so that
no picosecond is lost.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path as FilePath
from typing import Any

from soc.time import PS_PER_SECOND
from soc.trace.activity import Activity
from soc.trace.path import END

NO_CORE = "soc"


def write(activity: Activity, path: str | FilePath, about: dict[str, Any] | None = None) -> None:
    """Write the export to `path`. OSError when the host refuses."""
    FilePath(path).write_text("".join(f"{line}\n" for line in lines(activity, about)), "utf-8")


def lines(activity: Activity, about: dict[str, Any] | None = None) -> Iterator[str]:
    """The text, line by line."""
    yield "# tracer: nop"
    yield "#"
    for key, value in (about or {}).items():
        yield f"# {key}: {value}"
    entries = sorted(_entries(activity))
    yield f"# entries-in-buffer/entries-written: {len(entries)}/{len(entries)}   #P:{max(1, activity.wiring.cores)}"
    yield "#"
    yield "#           TASK-PID     CPU#        TIMESTAMP  FUNCTION"
    yield "#              | |         |             |         |"
    for time, _, core, text in entries:
        task = f"cpu{core}-0" if core >= 0 else f"{NO_CORE}-0"
        yield f"{task:>17}     [{max(core, 0):03d}] {time // PS_PER_SECOND:>5}.{time % PS_PER_SECOND:012d}: {text}"


def _entries(activity: Activity) -> Iterator[tuple[int, int, int, str]]:
    for number, path in enumerate(activity.paths, 1):
        core = int(path.core[3:]) if path.core else -1
        sender = int(path.sender[3:]) if path.sender else -1
        yield path.began, 0, sender, f"irq_raise: irq={number} name={path.origin} cause={path.cause:#x}"
        if path.core is not None:
            yield path.hops[f"{path.core} handler"], 1, core, f"irq_handler_entry: irq={number} name={path.origin}"
        if path.core is not None and END in path.hops:
            yield path.hops[END], 2, core, f"irq_handler_exit: irq={number} ret=handled"
        elif END in path.hops:
            yield path.hops[END], 2, -1, f"irq_served_inside: irq={number} name={path.origin}"
