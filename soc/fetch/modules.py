"""The kernel modules a guest needs for virtio devices, from the kernel's own package, and a cpio archive of them."""

import io
import re
from collections.abc import Iterable

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

from soc.fetch import cpio, initramfs
from soc.fetch.deb import Package
from soc.fetch.errors import FetchError

WANTED = ("virtio_pci", "virtio_blk", "virtio_rng", "virtio_console", "virtio_net")
DIRECTORY = "lib/modules"
AGAIN = "Get the package from a Debian mirror."
_PATH = re.compile(r"lib/modules/[^/]+/kernel/.+/([^/]+)\.ko")


def read_modules(package: Package, wanted: Iterable[str] = WANTED) -> list[tuple[str, bytes]]:
    """(name, contents) of the modules `wanted` and all they depend on, dependencies first. Raises FetchError.

    A module's name has underscores for its file's dashes. What the package lacks counts as built into the kernel when
    its list of built-in modules says so.
    """
    files: dict[str, bytes] = {}
    builtin: set[str] = set()
    for path, data in package.files(lambda path: bool(_PATH.fullmatch(path)) or path.endswith("/modules.builtin")):
        match = _PATH.fullmatch(path)
        if match:
            files[_name(match[1])] = data
        else:
            builtin = {_name(line.rpartition("/")[2].removesuffix(".ko")) for line in data.decode().split()}
    order: list[str] = []

    def visit(name: str, needed_by: str, above: tuple[str, ...]) -> None:
        if name in order or name in builtin:
            return
        if name in above or name not in files:
            why = "depends on itself" if name in above else "is neither a file of it nor built in"
            raise FetchError(f"package {package.name}: module {name}, needed by {needed_by}, {why}", AGAIN)
        for dependency in depends(files[name], name):
            visit(dependency, name, (*above, name))
        order.append(name)

    for name in wanted:
        visit(name, "virtio devices", ())
    return [(name, files[name]) for name in order]


def depends(module: bytes, name: str) -> list[str]:
    """What a module's own information says it depends on."""
    try:
        section = ELFFile(io.BytesIO(module)).get_section_by_name(".modinfo")
        entries = section.data().split(b"\0") if section else []
    except (ELFError, ValueError, KeyError) as cause:
        raise FetchError(f"module {name} is no ELF object ({cause})", AGAIN) from cause
    found = [entry.removeprefix(b"depends=").decode() for entry in entries if entry.startswith(b"depends=")]
    return [_name(dependency) for text in found for dependency in text.split(",") if dependency]


def build(modules: list[tuple[str, bytes]]) -> bytes:
    """A cpio archive to go behind the initramfs: the modules, and an init that loads them in this order first."""
    load = "".join(f"insmod /{DIRECTORY}/{name}.ko\n" for name, _ in modules)
    return cpio.archive(
        [
            cpio.directory("lib"),
            cpio.directory(DIRECTORY),
            *(cpio.file(f"{DIRECTORY}/{name}.ko", data) for name, data in modules),
            cpio.file("init", initramfs.init(load).encode(), 0o755),
        ]
    )


def _name(stem: str) -> str:
    return stem.replace("-", "_")
