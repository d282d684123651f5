"""Reads a Debian binary package without dpkg: an ar archive of a control and a data tar archive (see deb(5))."""

import io
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from soc.fetch.errors import FetchError
from soc.firmware.identify import describe

AR_MAGIC = b"!<arch>\n"
AR_HEADER_BYTES = 60
TAR_READERS = {"": "r|", ".gz": "r|gz", ".bz2": "r|bz2", ".xz": "r|xz", ".lzma": "r|xz"}
AGAIN = "Download the package again, or give another with --deb FILE."


@dataclass(frozen=True)
class Package:
    """One .deb: its control fields and its bytes; files are read on demand."""

    label: str
    data: bytes
    members: dict[str, tuple[int, int]]
    control: dict[str, str]

    @property
    def name(self) -> str:
        """The control field Package."""
        return self.control["Package"]

    @property
    def version(self) -> str:
        """The control field Version."""
        return self.control["Version"]

    @property
    def architecture(self) -> str:
        """The control field Architecture."""
        return self.control["Architecture"]

    def find(self, wanted: Callable[[str], bool]) -> tuple[str, bytes]:
        """The first regular file whose path (without leading './') satisfies `wanted`: its path and contents.

        Raises FetchError when the package has none.
        """
        for path, content in _files(self, "data.tar"):
            if wanted(path):
                return path, content()
        raise FetchError(f"package {self.name} {self.version} lacks the file looked for", AGAIN)

    def files(self, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
        """Path (without leading './') and contents of every regular file whose path satisfies `wanted`."""
        for path, content in _files(self, "data.tar"):
            if wanted(path):
                yield path, content()


def open_deb(data: bytes, label: str) -> Package:
    """The package in `data`; `label` is what errors call it. Raises FetchError when it is damaged or no package."""
    members = ar_members(data, label)
    if "debian-binary" not in members:
        raise FetchError(f"{label} is an ar archive but no Debian package: it has no member debian-binary", AGAIN)
    package = Package(label, data, members, {})
    for path, content in _files(package, "control.tar"):
        if path == "control":
            return Package(label, data, members, control_fields(content().decode("utf-8", "replace")))
    raise FetchError(f"{label} has no control file", AGAIN)


def ar_members(data: bytes, label: str) -> dict[str, tuple[int, int]]:
    """Name to (offset, size) of every member of the ar archive `data`. Raises FetchError when it is damaged."""
    if not data.startswith(AR_MAGIC):
        raise FetchError(f"{label} is {describe(data)}, not a Debian package", AGAIN)
    members = {}
    at = len(AR_MAGIC)
    while at < len(data):
        header = data[at : at + AR_HEADER_BYTES]
        if len(header) < AR_HEADER_BYTES or header[58:] != b"`\n":
            raise FetchError(f"{label} is damaged: no ar header at byte {at}", AGAIN)
        try:
            size = int(header[48:58])
        except ValueError:
            raise FetchError(f"{label} is damaged: no size in the ar header at byte {at}", AGAIN) from None
        start = at + AR_HEADER_BYTES
        if start + size > len(data):
            raise FetchError(f"{label} is truncated: it has {len(data)} bytes, a member ends at {start + size}", AGAIN)
        members[header[:16].decode("ascii", "replace").strip().rstrip("/")] = (start, size)
        at = start + size + size % 2
    return members


def control_fields(text: str) -> dict[str, str]:
    """The fields of a one-stanza control file; continuation lines are kept, joined by newlines."""
    fields: dict[str, str] = {}
    name = ""
    for line in text.splitlines():
        if line[:1] in (" ", "\t") and name:
            fields[name] += "\n" + line[1:]
        elif ":" in line:
            name, _, value = line.partition(":")
            fields[name] = value.strip()
    return fields


def _files(package: Package, stem: str) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """(path, function giving the contents) of each regular file in the tar member called `stem` plus a suffix."""
    name = next((member for member in package.members if member.startswith(stem)), None)
    if name is None:
        raise FetchError(f"{package.label} has no member {stem}", AGAIN)
    suffix = name.removeprefix(stem)
    if suffix not in TAR_READERS:
        known = ", ".join(stem + known for known in TAR_READERS)
        advice = f"Unpack it with dpkg-deb and give the files with --kernel and --initrd. Readable here: {known}."
        raise FetchError(f"{package.label} has the member {name}, which Python cannot decompress", advice)
    start, size = package.members[name]
    stream = io.BytesIO(memoryview(package.data)[start : start + size])
    try:
        with tarfile.open(fileobj=stream, mode=TAR_READERS[suffix]) as tar:
            for member in tar:
                if member.isreg():
                    yield member.name.removeprefix("./"), lambda tar=tar, member=member: tar.extractfile(member).read()
    except (tarfile.TarError, EOFError, OSError) as cause:
        raise FetchError(f"{package.label}: its member {name} is damaged ({cause})", AGAIN) from cause
