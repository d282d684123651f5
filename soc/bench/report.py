"""A table as text, and what its figures depend on."""

import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def host() -> dict[str, Any]:
    """What the figures depend on: processor, count, load at the start, versions."""
    from importlib import metadata

    return {
        "processor": _processor(),
        "processors": os.cpu_count(),
        "load": os.getloadavg()[0],
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in ("numba", "llvmlite")},
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def table(rows: Sequence[Sequence[str]], right: bool = True) -> str:
    """Columns as wide as they need, the first to the left, the others to the right or to the left too."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            text.rjust(width) if right and place else text.ljust(width)
            for place, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
