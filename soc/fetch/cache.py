"""The cache of guest material: files plus a manifest that says what they are and what their bytes must hash to."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from soc.fetch.errors import FetchError
from soc.files import write_atomically

MANIFEST = "manifest.json"
FORMAT = 1


def sha256(data: bytes) -> str:
    """The hash as 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


@dataclass(frozen=True)
class Material:
    """A kernel and an initrd in the cache, and the manifest that describes them."""

    directory: Path
    manifest: dict[str, Any]

    @property
    def kernel(self) -> Path:
        """The vmlinuz, as its package has it."""
        return self.directory / self.manifest["kernel"]["file"]

    @property
    def initrd(self) -> Path:
        """The initramfs: busybox and an init."""
        return self.directory / self.manifest["initrd"]["file"]

    @property
    def modules(self) -> Path | None:
        """The archive of kernel modules to go behind the initrd; None in a cache from before there was one."""
        return self.directory / self.manifest["modules"]["file"] if "modules" in self.manifest else None


def store(directory: Path, manifest: dict[str, Any], files: dict[str, bytes]) -> Material:
    """Keeps `files` (by role: kernel, initrd, modules) and then the manifest, which makes them valid."""
    for role, data in files.items():
        manifest[role] = {**manifest[role], "file_sha256": sha256(data), "bytes": len(data)}
        write_atomically(directory / manifest[role]["file"], data)
    manifest["format"] = FORMAT
    write_atomically(directory / MANIFEST, (json.dumps(manifest, indent=2, sort_keys=True) + "\n").encode())
    return Material(directory, manifest)


def load(directory: Path) -> Material | None:
    """What `directory` keeps, None when nothing. Raises FetchError when its files are not what they were."""
    path = directory / MANIFEST
    if not path.exists():
        return None
    again = "`soc fetch debian --refresh` gets it again."
    try:
        manifest = json.loads(path.read_text("utf-8"))
        if manifest["format"] != FORMAT:
            return None
        for role in ("kernel", "initrd", *(["modules"] if "modules" in manifest else [])):
            data = (directory / manifest[role]["file"]).read_bytes()
            if sha256(data) != manifest[role]["file_sha256"]:
                raise FetchError(f"{directory / manifest[role]['file']} changed since it was fetched", again)
    except (OSError, ValueError, KeyError, TypeError) as cause:
        raise FetchError(f"the cache {directory} is damaged ({cause})", again) from cause
    return Material(directory, manifest)
