"""The memory of machines that nobody holds any more.

A machine's parts refer to each other, so that it stays until Python looks for garbage. Python does so by the number of
objects there are, and a machine is few objects and much memory.
"""

from __future__ import annotations

import gc
import os
from contextlib import suppress
from pathlib import Path

GROWTH = 512 << 20
"""Bytes by which the process may grow between two looks."""
_STATM = Path("/proc/self/statm")
_most = 0


def make_room() -> None:
    """Has Python look for garbage where this process has grown by `GROWTH` since the last look, or the first call."""
    global _most
    if resident() <= _most:
        return
    if _most:
        gc.collect()
    _most = resident() + GROWTH


def resident() -> int:
    """Bytes of this process in the host's memory; 0 where the host does not say."""
    with suppress(OSError):
        return int(_STATM.read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0
