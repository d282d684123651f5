"""Python in processes of its own beside this one."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

log = logging.getLogger(__name__)
PATIENCE_S = 60
"""How long a process is waited for when all that it ran beside is done."""


def python(*arguments: str, **options: Any) -> subprocess.Popen[bytes]:
    """Starts Python with `arguments`, nothing to read and nobody who reads its output; `options` are Popen's. It finds
    the same modules as here, and none from the current folder that is not on the path. OSError when it cannot start."""
    path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
    return subprocess.Popen(
        [sys.executable, "-P", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": path},
        **options,
    )


@contextmanager
def alongside(*arguments: str) -> Iterator[None]:
    """Python with `arguments` runs meanwhile; its end is waited for, at most `PATIENCE_S` longer. Whether it starts and
    how it ends makes no difference: it does what somebody would else do later. A failure is told."""
    try:
        process = python(*arguments, stderr=subprocess.DEVNULL)
    except OSError as cause:
        _tell(f"cannot start: {cause.strerror}")
        yield
        return
    try:
        yield
        _await(process)
    finally:
        process.kill()
        process.wait()


def _await(process: subprocess.Popen[bytes]) -> None:
    try:
        status = process.wait(PATIENCE_S)
    except subprocess.TimeoutExpired:
        _tell(f"has not ended in {PATIENCE_S} s")
    else:
        if status:
            _tell(f"ended with status {status}")


def _tell(fact: str) -> None:
    log.warning("the second Python process %s; this one does its work too", fact)
