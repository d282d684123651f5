"""Files on the host: where this project keeps its own, and how they are written."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path


def cache_root() -> Path:
    """$XDG_CACHE_HOME/loongson-soc, by default ~/.cache/loongson-soc."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if base and Path(base).is_absolute() else Path(os.path.expanduser("~/.cache"))) / "loongson-soc"


def write_atomically(path: Path, data: bytes) -> None:
    """Writes `path` so that a reader sees the old file or the whole new one, also when several processes write it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def regular(path: Path) -> Path:
    """`path`, to be written. OSError where it is a FIFO, whose opening would wait, or anything else but a file."""
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, f"{path.name} is no regular file", str(path))
    return path
