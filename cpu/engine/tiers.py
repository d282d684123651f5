"""The tiers a core can run in, by name."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from cpu.engine import cache
from soc.errors import SocError

# What makes everything that a core needs.
CORE = "from cpu.core import Core; from cpu.memory import PAGE, Memory; Core(0, Memory(PAGE), {!r})"


class TierError(SocError):
    """An execution tier that does not exist or cannot run here."""


class ThreadedTier:
    """Tier T: generated handlers under the jitted loop."""

    name = "threaded"

    def __init__(self) -> None:
        from cpu.engine.threaded import Threaded

        self.code = Threaded()

    def runner(self, core) -> Callable[[], int]:
        from cpu.engine import shared
        from cpu.engine.loop import start

        M, S = core.memory.shared, core.S
        code = self.code
        M[shared.PREPARE], M[shared.ENTER], M[shared.ENTER_SLOW] = code.prepare, code.enter, code.enter_slow
        return lambda: start(S, M)


class StencilTier(ThreadedTier):
    """Tier E: hot blocks translated by copy-and-patch, tier T for the rest."""

    name = "stencil"

    def __init__(self) -> None:
        super().__init__()
        from cpu.engine import stencil_tables, stencils

        if not stencils.available():
            raise TierError("tier stencil needs Linux on x86-64; use auto or threaded")
        self.stencils = stencil_tables.load()

    def runner(self, core) -> Callable[[], int]:
        from cpu.engine.code_buffer import CodeBuffer

        memory = core.memory
        if memory.code_buffer is None:
            memory.code_buffer = CodeBuffer(self.stencils)
            memory.code_buffer.attach(memory.shared)
        return super().runner(core)


@functools.cache
def _stencil() -> StencilTier:
    return StencilTier()


@functools.cache
def _threaded() -> ThreadedTier:
    return ThreadedTier()


def _reference():
    from cpu.engine.reference import ReferenceTier

    return ReferenceTier()


TIERS = {"stencil": _stencil, "threaded": _threaded, "reference": _reference}


def choose(name: str):
    """The tier of that name; "auto" is the fastest there is."""
    return TIERS[_exact(name)]()


def _exact(name: str) -> str:
    """The name of a tier; of the fastest on this host for "auto". Raises TierError."""
    if name == "auto":
        from cpu.engine import code_buffer

        return "stencil" if code_buffer.usable() else "threaded"
    if name not in TIERS:
        raise TierError(f"no tier {name!r}; there are auto, {', '.join(TIERS)}")
    return name


def is_compiled(name: str) -> bool:
    """Whether the code of that tier is in the cache, or there is none to compile."""
    name = _exact(name)
    if name == "reference":
        return True
    from cpu.engine import stencil_tables, threaded

    exists = os.path.exists
    return exists(threaded.kept_at()) and (name == "threaded" or exists(stencil_tables.kept_at()))


def compiling_elsewhere(name: str) -> AbstractContextManager[None]:
    """In a first run, a process of its own meanwhile compiles what a core on that tier needs, and leaves it in the
    cache. Without a second processor or such a cache, or where that process fails, it is compiled when it is wanted."""
    if is_compiled(name) or os.cpu_count() == 1 or not cache.is_writable():
        return nullcontext()
    from soc.process import alongside

    return alongside("-c", CORE.format(name))
