"""A little virtio driver in Python: what the tests of the virtio devices play with."""

from __future__ import annotations

import struct
from typing import Any

from devices.fake import RAM_BASE, RAM_BYTES, FakeOutside
from devices.virtio.device import (
    ACKNOWLEDGE,
    COMMON,
    DEVICE,
    DRIVER,
    DRIVER_OK,
    FEATURES_OK,
    INDIRECT_DESC,
    ISR,
    NOTIFY,
    VERSION_1,
    VirtioDevice,
)
from devices.virtio.queue import INDIRECT, NEXT, WRITE

BASE, SIZE = RAM_BASE, RAM_BYTES


class Driver:
    """Brings `device` up as a driver does, and makes chains available. Queue q lies at BASE + 0x10000 * q."""

    def __init__(
        self, device: VirtioDevice, *, features: int | None = None, size: int = 16, indirect: bool = True
    ) -> None:
        self.device, self.size = device, size
        self.board = FakeOutside(device)
        device.reset()
        self.config(0x04, 2, 0x0006)
        for bit in (ACKNOWLEDGE, DRIVER):
            self.common(0x14, 1, self.common(0x14, 1) | bit)
        offered = 0
        for half in (0, 1):
            self.common(0x00, 4, half)
            offered |= self.common(0x04, 4) << 32 * half
        self.offered = offered
        wanted = offered if features is None else features | VERSION_1
        if not indirect:
            wanted &= ~INDIRECT_DESC
        for half in (0, 1):
            self.common(0x08, 4, half)
            self.common(0x0C, 4, wanted >> 32 * half & 0xFFFF_FFFF)
        self.common(0x14, 1, self.status | FEATURES_OK)
        self.ready = [0] * device.queues
        self.taken = [0] * device.queues
        self.free = BASE + 0x80000
        for queue in range(device.queues):
            self.common(0x16, 2, queue)
            self.common(0x18, 2, size)
            for offset, area in zip((0x20, 0x28, 0x30), self.areas(queue), strict=True):
                self.common(offset, 4, area & 0xFFFF_FFFF)
                self.common(offset + 4, 4, area >> 32)
            self.common(0x1C, 2, 1)
        self.common(0x14, 1, self.status | DRIVER_OK)
        self.board.rest()

    def areas(self, queue: int) -> tuple[int, int, int]:
        base = BASE + 0x10000 * queue
        return base, base + 0x2000, base + 0x3000

    @property
    def status(self) -> int:
        return self.common(0x14, 1)

    def config(self, offset: int, size: int, value: int | None = None) -> Any:
        return self._access("config", offset, size, value)

    def common(self, offset: int, size: int, value: int | None = None) -> Any:
        return self._access("bar0", COMMON + offset, size, value)

    def bar(self, offset: int, size: int, value: int | None = None) -> Any:
        return self._access("bar0", offset, size, value)

    def _access(self, space: str, offset: int, size: int, value: int | None) -> Any:
        if value is None:
            return self.device.read(offset, size, 0, space)
        return self.device.write(offset, size, value, 0, space)

    def device_config(self, offset: int, size: int) -> int:
        return self.bar(DEVICE + offset, size)

    def isr(self) -> int:
        return self.bar(ISR, 1)

    def poke(self, address: int, data: bytes) -> None:
        self.board.ram[address - BASE : address - BASE + len(data)] = data

    def peek(self, address: int, size: int) -> bytes:
        return bytes(self.board.ram[address - BASE : address - BASE + size])

    def room(self, size: int) -> int:
        """A buffer of guest memory."""
        address, self.free = self.free, self.free + -(-size // 16) * 16
        assert self.free <= BASE + SIZE
        return address

    def add(self, queue: int, readable: list[bytes], writable: list[int], indirect: bool = False) -> list[int]:
        """Make a chain available; returns the addresses of the buffers to be written."""
        rows = []
        for data in readable:
            address = self.room(len(data))
            self.poke(address, data)
            rows.append((address, len(data), 0))
        places = [self.room(size) for size in writable]
        rows += [(address, size, WRITE) for address, size in zip(places, writable, strict=True)]
        table = self.room(16 * len(rows)) if indirect else self.areas(queue)[0]
        for place, (address, size, flags) in enumerate(rows):
            more = NEXT if place + 1 < len(rows) else 0
            self.poke(table + 16 * place, struct.pack("<QIHH", address, size, flags | more, place + 1))
        if indirect:
            self.poke(self.areas(queue)[0], struct.pack("<QIHH", table, 16 * len(rows), INDIRECT, 0))
        self.offer(queue, 0)
        return places

    def offer(self, queue: int, head: int) -> None:
        """Put descriptor `head` into the available ring."""
        _, available, _ = self.areas(queue)
        self.poke(available + 4 + 2 * (self.ready[queue] % self.size), struct.pack("<H", head))
        self.ready[queue] = self.ready[queue] + 1 & 0xFFFF
        self.poke(available + 2, struct.pack("<H", self.ready[queue]))

    def notify(self, queue: int, run: bool = True) -> None:
        self.bar(NOTIFY + 4 * queue, 2, queue)
        if run:
            self.board.rest()

    def used(self, queue: int) -> list[tuple[int, int]]:
        """(head, bytes written) of every chain given back since the last call."""
        used = self.areas(queue)[2]
        index = int.from_bytes(self.peek(used + 2, 2), "little")
        found = []
        while self.taken[queue] != index:
            found.append(struct.unpack("<II", self.peek(used + 4 + 8 * (self.taken[queue] % self.size), 8)))
            self.taken[queue] = self.taken[queue] + 1 & 0xFFFF
        return found

    def request(self, queue: int, readable: list[bytes], writable: list[int], indirect: bool = False) -> list[bytes]:
        """One chain, served: the contents of the buffers to be written. Fails unless it was given back."""
        places = self.add(queue, readable, writable, indirect)
        self.notify(queue)
        assert [head for head, _ in self.used(queue)] == [0]
        return [self.peek(address, size) for address, size in zip(places, writable, strict=True)]
