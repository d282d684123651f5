"""QEMU 10 of Debian's backports, the oracle that models a Loongson-3A4000: unpacked into the cache, never installed.

QEMU and every library it needs come through the host's own apt configuration, with a private list and an empty package
state, and run under their own dynamic loader, so that the host's release does not matter.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from soc.bench.qemu import PROGRAM, Qemu, probe
from soc.errors import SocError
from soc.fetch import apt
from soc.fetch.errors import FetchError
from soc.fetch.sources import Source
from soc.files import cache_root

PACKAGE = "qemu-system-mips"
SUITE, BACKPORTS = "bookworm", "bookworm-backports"
CPU = "Loongson-3A4000"
VERSION = 10
KEPT = (f"usr/bin/{PROGRAM}", "usr/share/qemu", "lib", "usr/lib")
LOADER = re.compile(r"ld-linux[-.\w]*\.so\.\d+|ld64\.so\.\d+")


class HostApt(apt.PrivateApt):
    """The private apt, for packages of the host's own architecture instead of the guest's."""

    def __init__(self, directory: Path, mirror: Source, architecture: str) -> None:
        self.architecture = architecture
        super().__init__(directory, mirror, f"{SUITE} {BACKPORTS}")

    def _sources(self) -> str:
        return super()._sources().replace(apt.ARCHITECTURE, self.architecture)

    def _configuration(self) -> str:
        return super()._configuration().replace(f'"{apt.ARCHITECTURE}"', f'"{self.architecture}"')

    def with_dependencies(self, package: str) -> list[Path]:
        """The .deb files of `package` from the backports and of all it depends on. Raises FetchError."""
        options = ("-q", "-y", "--no-install-recommends", "--download-only", "-t", BACKPORTS)
        self._run("apt-get", "install", *options, package)
        return sorted((self.directory / "cache/archives").glob("*.deb"))


@cache
def find() -> Qemu | str:
    """QEMU 10 with its Loongson-3A4000, fetched when the cache lacks it; or the reason why it cannot be had."""
    try:
        root = directory()
        if not root.exists():
            _fetch(root)
    except (SocError, OSError, subprocess.SubprocessError) as error:
        return f"QEMU {VERSION} cannot be had: {str(error).splitlines()[0]}"
    found = probe(command(root), CPU)
    if found is None:
        return f"QEMU {VERSION} in {root} does not run here"
    if int(found.version.partition(".")[0]) < VERSION:
        return f"QEMU {found.version} is older than {VERSION}, which first has {CPU} on loongson3-virt"
    return found


def directory() -> Path:
    """Where the unpacked programs are kept, one folder per host architecture."""
    return cache_root() / "qemu10" / _architecture()


def command(root: Path) -> tuple[str, ...]:
    """The words that start QEMU from `root`. Raises FetchError when its dynamic loader is missing."""
    loaders = [path for path in root.rglob("ld*.so.*") if LOADER.fullmatch(path.name) and not path.is_symlink()]
    if not loaders:
        raise FetchError(f"{root} has no dynamic loader", "Remove that folder, it is fetched again.")
    libraries = sorted({str(path.parent) for path in root.rglob("*.so.*")})
    program = str(root / "usr/bin" / PROGRAM)
    return (str(loaders[0]), "--library-path", ":".join(libraries), program, "-L", str(root / "usr/share/qemu"))


def _architecture() -> str:
    if not apt.available() or shutil.which("dpkg-deb") is None:
        raise FetchError("this host has no apt and dpkg", "Tests against QEMU 10 need a Debian-like host.")
    done = subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _fetch(root: Path) -> None:
    root.parent.mkdir(parents=True, exist_ok=True)
    failures: list[FetchError] = []
    for mirror in apt.host_mirrors(SUITE):
        with tempfile.TemporaryDirectory(dir=root.parent) as scratch:
            try:
                _unpack(HostApt(Path(scratch) / "apt", mirror, root.name), Path(scratch), root)
                return
            except FetchError as failure:
                failures.append(failure)
    raise failures[0]


def _unpack(private: HostApt, scratch: Path, root: Path) -> None:
    private.update()
    whole, kept = scratch / "whole", scratch / "kept"
    for package in private.with_dependencies(PACKAGE):
        subprocess.run(["dpkg-deb", "-x", str(package), str(whole)], check=True, capture_output=True)
    for name in KEPT:
        if (whole / name).exists():
            (kept / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.move(whole / name, kept / name)
    try:
        os.replace(kept, root)
    except OSError:
        # Another process was faster; what it left is the same.
        if not root.exists():
            raise
