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
        from cpu.engine.loop import run

        M, S = core.memory.shared, core.S
        M[shared.ENTER], M[shared.ENTER_SLOW] = self.code.enter, self.code.enter_slow
        return lambda: run(S, M)


@functools.cache
def _threaded() -> ThreadedTier:
    return ThreadedTier()


def _reference():
    from cpu.engine.reference import ReferenceTier

    return ReferenceTier()


_TIERS = {"auto": _threaded, "threaded": _threaded, "reference": _reference}


def choose(name: str):
    """The tier of that name; "auto" is the fastest there is."""
    if name == "stencil":
        raise TierError("tier stencil is not built yet; use auto, threaded or reference")
    if name not in _TIERS:
        raise TierError(f"no tier {name!r}; there are auto, threaded and reference")
    return _TIERS[name]()
