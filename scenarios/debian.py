"""Debian in a scenario: the kernel and initramfs that `soc fetch debian` keeps, and programs of other packages."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from soc.errors import ConfigurationError, SocError

MULTIARCH = "mips64el-linux-gnuabi64"
RT_TESTS = {
    "rt-tests": {"usr/bin/cyclictest": "bin/cyclictest"},
    "libnuma1": {f"usr/lib/{MULTIARCH}/libnuma.so.1.0.0": f"lib/{MULTIARCH}/libnuma.so.1"},
    "libc6": {
        f"lib/{MULTIARCH}/ld.so.1": "lib64/ld.so.1",
        **{
            f"lib/{MULTIARCH}/{name}": f"lib/{MULTIARCH}/{name}"
            for name in ("libc.so.6", "libm.so.6", "libpthread.so.0", "librt.so.1", "libdl.so.2")
        },
    },
}
"""Package -> file in it -> where the initramfs has it: cyclictest and what it is linked with."""


def material() -> Any:
    """The fetched kernel and initramfs. Raises ConfigurationError when nothing was fetched yet."""
    from soc.fetch import debian

    found = debian.cached()
    if found is None:
        raise ConfigurationError(
            "this scenario boots Debian's kernel, and none was fetched.\n`soc fetch debian` gets it."
        )
    return found


def programs(name: str, packages: Mapping[str, Mapping[str, str]]) -> bytes:
    """A cpio archive to go behind the initramfs, with the files of `packages`; from the cache, or from the mirror.

    Raises FetchError when the packages cannot be had, ConfigurationError when the cached archive was altered.
    """
    from soc.fetch import cpio
    from soc.fetch.cache import sha256
    from soc.files import cache_root, write_atomically

    folder = cache_root() / name
    archive, manifest = folder / f"{name}.cpio", folder / "manifest.json"
    wanted = {package: dict(files) for package, files in packages.items()}
    kept = _kept(manifest)
    if kept.get("files") == wanted and archive.is_file():
        data = archive.read_bytes()
        if sha256(data) == kept["sha256"]:
            return data
        raise ConfigurationError(f"{archive} changed since it was fetched.\nRemove it, and it is fetched again.")
    versions, entries = _download(wanted)
    data = cpio.archive([*(cpio.directory(path) for path in _folders(entries)), *(
        cpio.file(path, content, 0o755) for path, content in sorted(entries.items())
    )])  # fmt: skip
    write_atomically(archive, data)
    about = {"files": wanted, "versions": versions, "sha256": sha256(data)}
    write_atomically(manifest, (json.dumps(about, indent=2) + "\n").encode())
    return data


def _kept(manifest: Path) -> dict[str, Any]:
    try:
        return json.loads(manifest.read_text("utf-8"))
    except (OSError, ValueError):
        return {}


def _download(wanted: Mapping[str, Mapping[str, str]]) -> tuple[dict[str, str], dict[str, bytes]]:
    from soc.fetch import apt, debian
    from soc.fetch.cache import sha256
    from soc.fetch.deb import open_deb
    from soc.fetch.errors import FetchError

    if not apt.available():
        raise FetchError("this host has no apt, so it cannot fetch Debian packages", apt.WITHOUT_APT)
    failures: list[SocError] = []
    for mirror in apt.host_mirrors(debian.SUITE):
        try:
            private = apt.PrivateApt(debian.directory() / "apt", mirror, debian.SUITE)
            private.update()
            versions, entries = {}, {}
            for name, files in wanted.items():
                record, data = private.record(name), private.download(name)
                if sha256(data) != record["SHA256"]:
                    raise FetchError(f"{name} does not have the sha256 of the signed index", apt.OTHER_MIRROR)
                package = open_deb(data, name)
                versions[name] = package.version
                found = dict(package.files(lambda path, files=files: path in files))
                if lacking := sorted(set(files) - set(found)):
                    raise FetchError(f"{name} {package.version} lacks {', '.join(lacking)}", apt.OTHER_MIRROR)
                entries |= {files[path]: content for path, content in found.items()}
            return versions, entries
        except FetchError as failure:
            failures.append(failure)
    raise failures[0]


def _folders(entries: Mapping[str, bytes]) -> list[str]:
    found = {str(parent) for path in entries for parent in Path(path).parents if str(parent) != "."}
    return sorted(found, key=lambda path: (path.count("/"), path))
