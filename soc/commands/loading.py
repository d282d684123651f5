"""Start-up without garbage collection, as what is loaded and built then is there to stay; what the first one takes."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

from soc.commands.output import say


@contextmanager
def loading() -> Iterator[None]:
    """Python looks for no garbage meanwhile, nor afterwards among what is there at the end, until `gc.unfreeze`."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if enabled:
            gc.enable()


def say_when_compiling(tier: str) -> None:
    """A word to who waits: a version's first run, in the reference interpreter or in a compiled tier, takes longer."""
    from cpu.engine import cache, tiers

    done = any(cache.directory().glob("*/*.nbi")) if tier == "reference" else tiers.is_compiled(tier)
    if not done and cache.is_writable():
        say(f"soc: the first run of this version compiles the core, which takes seconds; kept in {cache.directory()}")
