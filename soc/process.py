"""Python in processes of its own beside this one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


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
    """Python with `arguments` runs meanwhile, and its end is waited for. Whether it starts and how it ends makes no
    difference: it does what somebody would else do later."""
    try:
        process = python(*arguments, stderr=subprocess.DEVNULL)
    except OSError:
        yield
        return
    try:
        yield
    except BaseException:
        process.kill()
        raise
    finally:
        process.wait()
