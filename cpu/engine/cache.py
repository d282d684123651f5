"""Where compiled code is kept between runs, keyed by everything it depends on.

numba's own cache sees neither edits in callees of other files nor changed globals, so the directory's name holds a
hash of all sources under cpu/ and the constants of `soc` that they compile in, the host CPU and the versions of numba,
llvmlite and Python. Set before numba is imported. cpu/kvm is left out: nothing in it is compiled.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import logging
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from soc.files import cache_root, write_atomically

log = logging.getLogger(__name__)

ROOT = Path(__file__).resolve().parent.parent
NOT_COMPILED = "kvm"
CONSTANTS = ("soc/ram.py", "soc/nodes.py")
KEPT_VERSIONS = 8


@functools.cache
def source_hash() -> str:
    """Hash of every source file the compiled code derives from."""
    digest = hashlib.sha256()
    own = [path for path in sorted(ROOT.rglob("*.py")) if path.relative_to(ROOT).parts[0] != NOT_COMPILED]
    for path in (*own, *(ROOT.parent / name for name in CONSTANTS)):
        digest.update(path.relative_to(ROOT.parent).as_posix().encode() + b"\0")
        digest.update(path.read_bytes())
    for name in ("numba", "llvmlite", "numpy"):
        digest.update(f"{name} {metadata.version(name)}".encode())
    digest.update(sys.version.encode())
    digest.update(_host_cpu().encode())
    return digest.hexdigest()[:24]


def _host_cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return "".join(line for line in lines if line.startswith(("model name", "flags", "Features")))[:4096]


@functools.cache
def directory() -> Path:
    """The cache directory of these sources; made when missing, where the host lets it."""
    path = cache_root() / "code" / source_hash()
    with contextlib.suppress(OSError):  # what wants to keep something there tells
        path.mkdir(parents=True, exist_ok=True)
        _forget_old(path)
    return path


def is_writable() -> bool:
    """Whether what one process compiles can be there for others; a full disk says so too."""
    return os.access(directory(), os.W_OK)


def _forget_old(current: Path) -> None:
    """Keeps the directories of the latest versions of the sources; a version in use renews its date."""
    os.utime(current)
    others = sorted(current.parent.iterdir(), key=lambda p: p.stat().st_mtime, reverse=True)
    for old in others[KEPT_VERSIONS:]:
        shutil.rmtree(old, ignore_errors=True)


@contextlib.contextmanager
def using() -> Iterator[None]:
    """Around a use of the directory: a host that refuses costs the time to compile, not the run."""
    try:
        yield
    except OSError as cause:
        _say_refused(cause.strerror)


@functools.cache
def _say_refused(reason: str) -> None:
    log.warning("compiled code cannot be kept in %s: %s; each run takes seconds to compile it", directory(), reason)


def find(path: Path) -> bytes | None:
    """A file of the directory; None where there is none, or none that can be read."""
    if os.path.exists(path):
        with using():
            return path.read_bytes()
    return None


def keep(path: Path, data: bytes) -> None:
    """Writes a file of the directory, where the host lets it."""
    with using():
        write_atomically(path, data)


def kept(name: str, derive: Callable[[], Any]) -> Any:
    """What `derive` makes of the sources, as JSON types, from the disk where it has been kept."""
    path = directory() / f"{name}.json"
    with contextlib.suppress(ValueError):
        return json.loads(find(path) or b"")
    made = json.dumps(derive())
    keep(path, made.encode())
    return json.loads(made)


def prepare() -> None:
    """Points numba at the cache directory. Call before the first import of numba."""
    os.environ["NUMBA_CACHE_DIR"] = str(directory())
    if "numba" in sys.modules:
        import numba

        numba.config.CACHE_DIR = str(directory())
