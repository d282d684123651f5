"""The tiers a core can run in, by name."""

from __future__ import annotations

import functools
from collections.abc import Callable

from soc.errors import SocError


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


def _auto():
    """The fastest there is on this host."""
    from cpu.engine import code_buffer

    return _stencil() if code_buffer.usable() else _threaded()


TIERS = {"auto": _auto, "stencil": _stencil, "threaded": _threaded, "reference": _reference}


def choose(name: str):
    """The tier of that name; "auto" is the fastest there is."""
    if name not in TIERS:
        raise TierError(f"no tier {name!r}; there are {', '.join(TIERS)}")
    return TIERS[name]()
