"""The one way functions of the engine are compiled: cached on disk, in the directory that `cpu.engine.cache` names.

Arrays are only borrowed: no function returns or keeps one, so none counts references. Counting would cost more
than a short window of a core.
"""

from __future__ import annotations

from cpu.engine import cache

cache.prepare()
from numba import njit  # noqa: E402

_OPTIONS = {"cache": True, "_nrt": False}


def jit(function):
    """Compiles for the argument types of each call."""
    return njit(**_OPTIONS)(function)


def jit_as(signature: str):
    """Compiles for one signature: callers with booleans or narrow integers make no further copies."""
    return njit(signature, **_OPTIONS)
