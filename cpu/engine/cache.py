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
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

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
    """The cache directory of these sources; made when missing."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    path = Path(base) / "loongson-soc" / "code" / source_hash()
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError:
        path = Path(tempfile.gettempdir()) / f"loongson-soc-{os.getuid()}" / source_hash()
        path.mkdir(parents=True, exist_ok=True)
    _forget_old(path)
    return path


def _forget_old(current: Path) -> None:
    """Keeps the directories of the latest versions of the sources; a version in use renews its date."""
    with contextlib.suppress(OSError):
        os.utime(current)
        others = sorted(current.parent.iterdir(), key=lambda p: p.stat().st_mtime, reverse=True)
        for old in others[KEPT_VERSIONS:]:
            shutil.rmtree(old, ignore_errors=True)


def write_atomically(path: Path, data: bytes) -> None:
    """Whole or not at all, also when several processes compile at once."""
    handle, name = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
    os.replace(name, path)


def kept(name: str, derive: Callable[[], Any]) -> Any:
    """What `derive` makes of the sources, as JSON types, from the disk where it has been kept."""
    path = directory() / f"{name}.json"
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError):
        write_atomically(path, json.dumps(derive()).encode())
        return json.loads(path.read_bytes())


def prepare() -> None:
    """Points numba at the cache directory. Call before the first import of numba."""
    os.environ["NUMBA_CACHE_DIR"] = str(directory())
    if "numba" in sys.modules:
        import numba

        numba.config.CACHE_DIR = str(directory())
