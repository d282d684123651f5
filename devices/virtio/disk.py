"""Disk images: a file, read-only or not, and a copy-on-write layer over one, in memory or in a file of its own."""

from __future__ import annotations

import errno
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


class _HostFile:
    """A file of the host, open while this object lives. Raises DiskError where it cannot be opened."""

    def __init__(self, path: Path, flags: int) -> None:
        self.path = path
        self._file = _open(path, flags)

    @property
    def size(self) -> int:
        return os.fstat(self._file).st_size

    def read(self, at: int, size: int) -> bytes:
        return os.pread(self._file, size, at)

    def write(self, at: int, data: bytes) -> None:
        view = memoryview(data)
        while view:
            done = os.pwrite(self._file, view, at)
            view, at = view[done:], at + done

    def flush(self) -> None:
        os.fsync(self._file)

    def save(self) -> dict:
        """When it was last written: a snapshot does not hold the contents."""
        return {"written_ns": os.fstat(self._file).st_mtime_ns}

    def restore(self, saved: dict) -> None:
        """DiskError where it was written after `save`."""
        if self.save() != saved:
            raise DiskError(
                f"{self.path} was written after the snapshot was taken, which does not hold what is in it.\n"
                "Give a copy made with `cp -p` at that time; with overlay=memory nothing of it is needed."
            )

    def __del__(self) -> None:
        if hasattr(self, "_file"):
            os.close(self._file)


class ImageFile:
    """An image as it is; writes change it. Raises DiskError."""

    def __init__(self, path: str | Path, readonly: bool = False) -> None:
        self.path, self.readonly = Path(path), readonly
        self._file = _HostFile(self.path, os.O_RDONLY if readonly else os.O_RDWR)
        size = self._file.size
        if not size or size % SECTOR:
            raise DiskError(
                f"disk image {path}: {size} bytes; a disk has one or more whole sectors of {SECTOR} bytes.\n"
                f"`truncate -s {max(SECTOR, -(-size // SECTOR) * SECTOR)} FILE` makes a copy of it fit."
            )
        self.sectors = size // SECTOR

    def read(self, sector: int, count: int) -> bytes:
        data = self._file.read(sector * SECTOR, count * SECTOR)
        if len(data) != count * SECTOR:
            raise OSError(f"{self.path} was cut off while in use")
        return data

    def write(self, sector: int, data: bytes) -> None:
        self._file.write(sector * SECTOR, data)

    def flush(self) -> None:
        self._file.flush()

    def save(self) -> dict:
        """What tells whether the image is still the same; a snapshot does not hold it."""
        return {} if self.readonly else self._file.save()

    def restore(self, saved: dict) -> None:
        """DiskError for an image that was written after `save`."""
        if not self.readonly:
            self._file.restore(saved)


class _Overlay:
    """A layer of sectors over `base`, which never changes. A subclass keeps them: `_kept(sector)`, None for none."""

    readonly = False

    def __init__(self, base: Disk) -> None:
        self._base, self.sectors = base, base.sectors

    def read(self, sector: int, count: int) -> bytes:
        data = bytearray(self._base.read(sector, count))
        for place in range(count):
            kept = self._kept(sector + place)
            if kept is not None:
                data[place * SECTOR : (place + 1) * SECTOR] = kept
        return bytes(data)

    def _kept(self, sector: int) -> bytes | None:
        raise NotImplementedError


class MemoryOverlay(_Overlay):
    """Writes stay in the simulator's memory and end with it."""

    def __init__(self, base: Disk) -> None:
        super().__init__(base)
        self._written: dict[int, bytes] = {}

    def _kept(self, sector: int) -> bytes | None:
        return self._written.get(sector)

    def write(self, sector: int, data: bytes) -> None:
        for at in range(0, len(data), SECTOR):
            self._written[sector + at // SECTOR] = data[at : at + SECTOR]

    def flush(self) -> None:
        """Nothing to do."""

    def save(self) -> dict:
        return {"written": sorted(self._written.items())}

    def restore(self, saved: dict) -> None:
        self._written = {sector: data for sector, data in saved["written"]}


class FileOverlay(_Overlay):
    """Writes go to a file beside the image, which takes only the room they need.

    The file: a header sector, a map with one bit per sector of the image, the sectors at their places after it. A
    sector's bit is set after its data: a write that fails, as on a full host disk, leaves the old contents.
    """

    def __init__(self, base: Disk, path: str | Path) -> None:
        super().__init__(base)
        self.path = Path(path)
        map_bytes = -(-self.sectors // 8 // SECTOR) * SECTOR + SECTOR
        self._data_at = SECTOR + map_bytes
        header = _MAGIC + self.sectors.to_bytes(8, "little")
        self._file = _HostFile(self.path, os.O_RDWR | os.O_CREAT)
        found = self._file.read(0, SECTOR)
        if found and found[: len(header)] != header:
            kind = "is for a disk of another size" if found.startswith(_MAGIC) else "is no overlay"
            raise DiskError(f"overlay {path} {kind}.\nGive a path where no file is yet, or the image it was made for.")
        if not found:
            self._file.write(0, header.ljust(SECTOR, b"\0"))
        self._map = bytearray(self._file.read(SECTOR, map_bytes).ljust(map_bytes, b"\0"))

    def _kept(self, sector: int) -> bytes | None:
        if not self._map[sector >> 3] >> (sector & 7) & 1:
            return None
        return self._file.read(self._data_at + sector * SECTOR, SECTOR).ljust(SECTOR, b"\0")

    def write(self, sector: int, data: bytes) -> None:
        self._file.write(self._data_at + sector * SECTOR, data)
        last = sector + len(data) // SECTOR
        first_byte, end_byte = sector >> 3, (last + 7) >> 3
        marked = bytearray(self._map[first_byte:end_byte])
        for number in range(sector, last):
            marked[(number >> 3) - first_byte] |= 1 << (number & 7)
        if marked != self._map[first_byte:end_byte]:
            self._file.write(SECTOR + first_byte, bytes(marked))
            self._map[first_byte:end_byte] = marked

    def flush(self) -> None:
        self._file.flush()

    def save(self) -> dict:
        """What tells whether the file is still the same; a snapshot does not hold it."""
        return self._file.save()

    def restore(self, saved: dict) -> None:
        """DiskError for a file that was written after `save`."""
        self._file.restore(saved)


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
            raise IsADirectoryError(errno.EISDIR, "it is a directory")
        return os.open(path, flags | os.O_CLOEXEC, 0o644)
    except OSError as cause:
        writing = "write" if flags & os.O_RDWR else "read"
        advice = "Check the path; `truncate -s 64M FILE` makes an empty disk."
        if isinstance(cause, PermissionError) or cause.errno == errno.EROFS:
            advice = "Give `readonly`, or `overlay=memory`, to leave the image as it is."
        raise DiskError(f"cannot {writing} disk image {path}: {cause.strerror}.\n{advice}") from cause
