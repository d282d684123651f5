"""Start-up without garbage collection: what is loaded and built then is there to stay."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


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
