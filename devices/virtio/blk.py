"""virtio-blk: a disk. Source: Virtual I/O Device 1.1, section 5.2."""

from __future__ import annotations

import logging
import struct
from pathlib import Path
from typing import Any

from devices.virtio.device import VirtioDevice
from devices.virtio.disk import SECTOR, Disk, DiskError, open_disk
from devices.virtio.queue import Chain, QueueError, Steps, gather, scatter

log = logging.getLogger(__name__)

IN, OUT, FLUSH, GET_ID, DISCARD, WRITE_ZEROES = 0, 1, 4, 8, 11, 13
OK, IOERR, UNSUPPORTED = b"\0", b"\1", b"\2"
SEG_MAX, RO, BLK_SIZE, F_FLUSH, F_DISCARD, F_WRITE_ZEROES = 1 << 2, 1 << 5, 1 << 6, 1 << 9, 1 << 13, 1 << 14
MOST_SEGMENTS = 126
MOST_SECTORS = 1 << 16
"""Sectors of one discard or write-zeroes request."""


class VirtioBlk(VirtioDevice):
    """A disk from `image`, or any `disk`; see `open_disk` for the options. Raises DiskError.

    serial   what the guest reads as the disk's name, of which 20 bytes count

    A host error (a full file system under an overlay) is an I/O error for the guest and is kept in `troubles`.
    """

    device_type = 2
    pci_class = 0x010000
    queues = 1

    def __init__(
        self,
        *,
        image: str | Path | None = None,
        readonly: bool = False,
        overlay: str | Path | None = None,
        disk: Disk | None = None,
        serial: str = "soc",
        **options: Any,
    ) -> None:
        if disk is None and image is None:
            raise DiskError("a disk without an image: give image=FILE; `truncate -s 64M FILE` makes an empty one")
        self.disk = disk if disk is not None else open_disk(image, readonly, overlay)
        self.serial = serial.encode()[:20].ljust(20, b"\0")
        self.troubles: list[str] = []
        """Host errors the disk met, in words."""
        super().__init__(**options)

    @property
    def features(self) -> int:
        writable = 0 if self.disk.readonly else F_DISCARD | F_WRITE_ZEROES
        return SEG_MAX | BLK_SIZE | F_FLUSH | (RO if self.disk.readonly else writable)

    def configuration(self) -> bytes:
        data = struct.pack("<QII4xI", self.disk.sectors, 0, MOST_SEGMENTS, SECTOR).ljust(36, b"\0")
        limits = 0 if self.disk.readonly else MOST_SECTORS
        return data + struct.pack("<IIIIIB3x", limits, 1, 1, limits, 1, 0)

    def serve_chain(self, queue: int, chain: Chain, given: Any) -> Steps:
        if chain.to_read < 16 or chain.to_write < 1:
            raise QueueError(
                f"a request of {chain.to_read} bytes to read and {chain.to_write} to write: "
                "it has a header of 16 and a status of 1"
            )
        kind, _, sector = struct.unpack("<IIQ", (yield from gather(chain.readable, 0, 16)))
        room = chain.to_write - 1
        sent = chain.to_read - 16
        answer, status = b"", UNSUPPORTED
        if kind == IN:
            answer, status = self._read(sector, room)
        elif kind == OUT:
            # The data comes first: a request that cannot be fetched must not reach the disk in part.
            data = yield from gather(chain.readable, 16)
            status = self._write(sector, data)
        elif kind == FLUSH:
            status = self._attempt(self.disk.flush)
        elif kind == GET_ID:
            answer, status = (self.serial[:room], OK) if room >= 20 else (b"", IOERR)
        elif kind in (DISCARD, WRITE_ZEROES) and not self.disk.readonly:
            data = (yield from gather(chain.readable, 16, 16)) if sent == 16 else b""
            status = self._clear_range(data)
        elif kind in (DISCARD, WRITE_ZEROES):
            status = IOERR
        yield from scatter(chain.writable, answer)
        yield from scatter(chain.writable, status, room)
        return len(answer) + 1 if len(answer) == room else 1, None

    def _read(self, sector: int, size: int) -> tuple[bytes, bytes]:
        if size % SECTOR or sector + size // SECTOR > self.disk.sectors:
            return b"", IOERR
        try:
            return self.disk.read(sector, size // SECTOR), OK
        except OSError as error:
            self._trouble(error)
            return b"", IOERR

    def _write(self, sector: int, data: bytes) -> bytes:
        if self.disk.readonly or len(data) % SECTOR or sector + len(data) // SECTOR > self.disk.sectors:
            return IOERR
        return self._attempt(self.disk.write, sector, data)

    def _clear_range(self, data: bytes) -> bytes:
        if len(data) != 16:
            return IOERR
        sector, count, flags = struct.unpack("<QII", data)
        if flags & ~1:
            return UNSUPPORTED
        if count > MOST_SECTORS or sector + count > self.disk.sectors:
            return IOERR
        return self._attempt(self.disk.write, sector, bytes(count * SECTOR))

    def _attempt(self, call: Any, *arguments: Any) -> bytes:
        try:
            call(*arguments)
        except OSError as error:
            self._trouble(error)
            return IOERR
        return OK

    def _trouble(self, error: OSError) -> None:
        text = (
            f"{self.name}: the host could not do a disk access: {error.strerror or error}; the guest gets an I/O error"
        )
        self.troubles.append(text)
        log.error("%s", text)

    def save(self) -> dict[str, Any]:
        return {**super().save(), "disk": self.disk.save()}

    def restore(self, saved: dict[str, Any]) -> None:
        # First: a request under way is done again as far as it was, and reads the disk.
        self.disk.restore(saved["disk"])
        super().restore(saved)
