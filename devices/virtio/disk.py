"""Disk images: a file, read-only or not, and a copy-on-write layer over one, in memory or in a file of its own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

from devices.errors import DeviceError

SECTOR = 512
_MAGIC = b"soc-overlay-1\0\0\0"


class DiskError(DeviceError):
    """An image that cannot be used: missing, unreadable, not writable, not whole sectors, a foreign overlay."""


class Disk(Protocol):
    """What a block device reads and writes, in whole sectors. OSError from read, write and flush is an I/O error."""

    sectors: int
    readonly: bool

    def read(self, sector: int, count: int) -> bytes: ...
    def write(self, sector: int, data: bytes) -> None: ...
    def flush(self) -> None: ...
    def save(self) -> dict: ...
    def restore(self, saved: dict) -> None: ...


class ImageFile:
    """An image as it is; writes change it. Raises DiskError."""

    def __init__(self, path: str | Path, readonly: bool = False) -> None:
        self.path, self.readonly = Path(path), readonly
        self._file = _open(self.path, os.O_RDONLY if readonly else os.O_RDWR)
        size = os.fstat(self._file).st_size
        if not size or size % SECTOR:
            raise DiskError(
                f"disk image {path}: {size} bytes; a disk has one or more whole sectors of {SECTOR} bytes.\n"
                f"`truncate -s {max(SECTOR, -(-size // SECTOR) * SECTOR)} FILE` makes a copy of it fit."
            )
        self.sectors = size // SECTOR

    def read(self, sector: int, count: int) -> bytes:
        data = os.pread(self._file, count * SECTOR, sector * SECTOR)
        if len(data) != count * SECTOR:
            raise OSError(f"{self.path} was cut off while in use")
        return data

    def write(self, sector: int, data: bytes) -> None:
        _write_all(self._file, data, sector * SECTOR)

    def flush(self) -> None:
        os.fsync(self._file)

    def save(self) -> dict:
        """Nothing: what the guest wrote is in the image, and a snapshot does not take it back."""
        return {}

    def restore(self, saved: dict) -> None:
        """Nothing to take back."""

    def __del__(self) -> None:
        if hasattr(self, "_file"):
            os.close(self._file)
            del self._file


class MemoryOverlay:
    """Writes stay in the simulator's memory and end with it; `base` never changes."""

    readonly = False

    def __init__(self, base: Disk) -> None:
        self._base, self.sectors = base, base.sectors
        self._written: dict[int, bytes] = {}

    def read(self, sector: int, count: int) -> bytes:
        data = bytearray(self._base.read(sector, count))
        for number in range(sector, sector + count):
            if number in self._written:
                at = (number - sector) * SECTOR
                data[at : at + SECTOR] = self._written[number]
        return bytes(data)

    def write(self, sector: int, data: bytes) -> None:
        for at in range(0, len(data), SECTOR):
            self._written[sector + at // SECTOR] = data[at : at + SECTOR]

    def flush(self) -> None:
        """Nothing to do."""

    def save(self) -> dict:
        return {"written": sorted(self._written.items())}

    def restore(self, saved: dict) -> None:
        self._written = {sector: data for sector, data in saved["written"]}


class FileOverlay:
    """Writes go to a file beside the image, which takes only the room they need; `base` never changes.

    The file: a header sector, a map with one bit per sector of the image, the sectors at their places after it. A
    sector's bit is set after its data: a write that fails, as on a full host disk, leaves the old contents.
    """

    readonly = False

    def __init__(self, base: Disk, path: str | Path) -> None:
        self._base, self.sectors, self.path = base, base.sectors, Path(path)
        self._map_bytes = -(-self.sectors // 8 // SECTOR) * SECTOR + SECTOR
        self._data_at = SECTOR + self._map_bytes
        header = _MAGIC + self.sectors.to_bytes(8, "little")
        self._file = _open(self.path, os.O_RDWR | os.O_CREAT)
        found = os.pread(self._file, SECTOR, 0)
        if found and found[: len(header)] != header:
            kind = "is for a disk of another size" if found.startswith(_MAGIC) else "is no overlay"
            raise DiskError(f"overlay {path} {kind}.\nGive a path where no file is yet, or the image it was made for.")
        if not found:
            _write_all(self._file, header.ljust(SECTOR, b"\0"), 0)
        self._map = bytearray(os.pread(self._file, self._map_bytes, SECTOR).ljust(self._map_bytes, b"\0"))

    def read(self, sector: int, count: int) -> bytes:
        data = bytearray(self._base.read(sector, count))
        for number in range(sector, sector + count):
            if self._map[number >> 3] >> (number & 7) & 1:
                found = os.pread(self._file, SECTOR, self._data_at + number * SECTOR)
                at = (number - sector) * SECTOR
                data[at : at + SECTOR] = found.ljust(SECTOR, b"\0")
        return bytes(data)

    def write(self, sector: int, data: bytes) -> None:
        _write_all(self._file, data, self._data_at + sector * SECTOR)
        last = sector + len(data) // SECTOR
        first_byte, end_byte = sector >> 3, (last + 7) >> 3
        marked = bytearray(self._map[first_byte:end_byte])
        for number in range(sector, last):
            marked[(number >> 3) - first_byte] |= 1 << (number & 7)
        if marked != self._map[first_byte:end_byte]:
            _write_all(self._file, bytes(marked), SECTOR + first_byte)
            self._map[first_byte:end_byte] = marked

    def flush(self) -> None:
        os.fsync(self._file)

    def save(self) -> dict:
        """Nothing: what the guest wrote is in the overlay's file, and a snapshot does not take it back."""
        return {}

    def restore(self, saved: dict) -> None:
        """Nothing to take back."""

    def __del__(self) -> None:
        if hasattr(self, "_file"):
            os.close(self._file)
            del self._file


def open_disk(image: str | Path, readonly: bool = False, overlay: str | Path | None = None) -> Disk:
    """The disk `image`: written in place, or `readonly`, or under an overlay ("memory", or the path of a file).

    Raises DiskError.
    """
    if overlay is None:
        return ImageFile(image, readonly)
    base = ImageFile(image, readonly=True)
    return MemoryOverlay(base) if overlay == "memory" else FileOverlay(base, overlay)


def _open(path: Path, flags: int) -> int:
    try:
        if path.is_dir():
            raise IsADirectoryError(21, "it is a directory")
        return os.open(path, flags | os.O_CLOEXEC, 0o644)
    except OSError as cause:
        writing = "write" if flags & os.O_RDWR else "read"
        advice = "Check the path; `truncate -s 64M FILE` makes an empty disk."
        if isinstance(cause, PermissionError) or cause.errno == 30:
            advice = "Give `readonly`, or `overlay=memory`, to leave the image as it is."
        raise DiskError(f"cannot {writing} disk image {path}: {cause.strerror}.\n{advice}") from cause


def _write_all(file: int, data: bytes, at: int) -> None:
    view = memoryview(data)
    while view:
        done = os.pwrite(file, view, at)
        view, at = view[done:], at + done
