"""Decoded kernels, kept on disk: to decode one takes longer than all else before its first instruction.

A file is named by the hash of what it was decoded from and begins with the hash of what it holds; one that is damaged
is decoded again. It appears whole or not at all, so any number of processes may share the directory.
"""

import contextlib
import os
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from soc.files import cache_root, write_atomically

KEPT = 4
_HASH_BYTES = sha256().digest_size


def decoded(packed: bytes | memoryview, decode: Callable[[], bytes | None]) -> bytes | None:
    """What `decode()` makes of `packed`, from the disk where it has been kept. What is None is not kept."""
    path = cache_root() / "kernels" / sha256(packed).hexdigest()
    with contextlib.suppress(OSError):
        kept = path.read_bytes()
        image = kept[_HASH_BYTES:]
        if sha256(image).digest() == kept[:_HASH_BYTES]:
            os.utime(path)
            return image
    image = decode()
    if image is not None:
        # A disk that is full or read-only costs time, not the boot.
        with contextlib.suppress(OSError):
            write_atomically(path, sha256(image).digest() + image)
            _forget_old(path.parent)
    return image


def _forget_old(directory: Path) -> None:
    """Keeps the kernels used last."""
    files = sorted(directory.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
    for old in files[KEPT:]:
        old.unlink(missing_ok=True)
