"""virtio-rng: random bytes from a seed, the same in every run. Source: Virtual I/O Device 1.1, section 5.4."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

from devices.errors import DeviceError
from devices.registers import Internal
from devices.virtio.device import VirtioDevice
from devices.virtio.queue import Chain, Steps, scatter

MOST = 4096
_BLOCK = 64


class VirtioRng(VirtioDevice):
    """Fills each buffer, up to 4096 bytes of it, from the stream of `seed`, 0 to 2**64 - 1. Raises DeviceError."""

    device_type = 4
    queues = 1
    kept = ("given",)

    given = Internal(0)
    """Bytes of the stream given out."""

    def __init__(self, *, seed: int = 0, **options: Any) -> None:
        if type(seed) is not int or not 0 <= seed < 1 << 64:
            raise DeviceError(f"seed {seed!r}: a whole number from 0 to 2**64 - 1")
        self._key = seed.to_bytes(8, "little")
        super().__init__(**options)

    def stream(self, start: int, size: int) -> bytes:
        """Bytes [start, start + size) of the stream."""
        first, last = start // _BLOCK, (start + size) // _BLOCK
        blocks = (blake2b(n.to_bytes(8, "little"), key=self._key).digest() for n in range(first, last + 1))
        return b"".join(blocks)[start - first * _BLOCK :][:size]

    def begin(self, queue: int) -> Any:
        return self.given

    def serve_chain(self, queue: int, chain: Chain, given: Any) -> Steps:
        written = yield from scatter(chain.writable, self.stream(given, min(chain.to_write, MOST)))
        return written, written

    def finish(self, queue: int, outcome: Any) -> None:
        self.given += outcome
