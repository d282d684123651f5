"""Split virtqueues as the device sees them: generators over DMA, and every check the guest's memory needs.

Source: Virtual I/O Device 1.1, section 2.6. All of these are parts of a process (see devices.dma): they change nothing.
"""

from __future__ import annotations

import struct
from collections.abc import Generator
from typing import NamedTuple

from devices.dma import Read, Write
from devices.errors import DeviceError

NEXT, WRITE, INDIRECT = 1, 2, 4
MOST_BYTES = 1 << 24
"""The longest chain of buffers accepted, 16 MiB: no driver of these devices comes near it."""
_DESCRIPTOR = struct.Struct("<QIHH")

Steps = Generator[Read | Write, bytes, object]


class QueueError(DeviceError):
    """The driver broke the rules of a virtqueue; the device then needs a reset."""


class Ring(NamedTuple):
    """A queue while one of its chains is served: number of descriptors, the three areas, chains served so far."""

    size: int
    descriptors: int
    available: int
    used: int
    last: int

    def check(self) -> None:
        """Raises QueueError for areas that are unaligned or do not fit the address space."""
        areas = (
            ("descriptor table", self.descriptors, 16, 16 * self.size),
            ("available ring", self.available, 2, 6 + 2 * self.size),
            ("used ring", self.used, 4, 6 + 8 * self.size),
        )
        for name, address, alignment, length in areas:
            if address % alignment or address + length > 1 << 64:
                raise QueueError(
                    f"{name} of {length} bytes at {address:#x}: it must be a multiple of {alignment} below 2^64"
                )


class Buffer(NamedTuple):
    """A piece of guest memory."""

    address: int
    size: int


class Chain(NamedTuple):
    """A request: its first descriptor, what the device reads, what it writes."""

    head: int
    readable: list[Buffer]
    writable: list[Buffer]

    @property
    def to_read(self) -> int:
        """Bytes the device reads."""
        return sum(buffer.size for buffer in self.readable)

    @property
    def to_write(self) -> int:
        """Bytes the device may write."""
        return sum(buffer.size for buffer in self.writable)


def peek(ring: Ring) -> Steps:
    """(flags, index) of the available ring. Raises QueueError for an index that is ahead by more than the ring."""
    flags, index = struct.unpack("<HH", (yield Read(ring.available, 4)))
    if index - ring.last & 0xFFFF > ring.size:
        ahead = index - ring.last & 0xFFFF
        raise QueueError(f"available index {index}: {ahead} ahead of the device, the ring has {ring.size}")
    return flags, index


def take(ring: Ring, indirect: bool) -> Steps:
    """The next chain of the ring, which must have one. `indirect`: the feature was negotiated. Raises QueueError."""
    head = int.from_bytes((yield Read(ring.available + 4 + 2 * (ring.last % ring.size), 2)), "little")
    readable: list[Buffer] = []
    writable: list[Buffer] = []
    table, count, inside = ring.descriptors, ring.size, False
    index, seen, total = head, 0, 0
    while True:
        if index >= count:
            raise QueueError(f"descriptor {index}: the table has {count}")
        address, size, flags, following = _DESCRIPTOR.unpack((yield Read(table + 16 * index, 16)))
        if flags & INDIRECT:
            if not indirect or inside or flags & NEXT or seen:
                raise QueueError(f"descriptor {index} is indirect where that is not allowed")
            if not size or size % 16 or size // 16 > ring.size or address + size > 1 << 64:
                raise QueueError(f"indirect table of {size} bytes at {address:#x}: 1 to {ring.size} descriptors of 16")
            table, count, inside, index = address, size // 16, True, 0
            continue
        seen += 1
        total += size
        if seen > count:
            raise QueueError(f"a chain of more than {count} descriptors: it has a loop")
        if total > MOST_BYTES or address + size > 1 << 64:
            raise QueueError(f"buffer of {size} bytes at {address:#x}: a chain has at most {MOST_BYTES} bytes")
        if flags & WRITE:
            if size:
                writable.append(Buffer(address, size))
        elif writable:
            raise QueueError(f"descriptor {index} is to be read and follows one to be written")
        elif size:
            readable.append(Buffer(address, size))
        if not flags & NEXT:
            return Chain(head, readable, writable)
        index = following


def gather(buffers: list[Buffer], start: int = 0, size: int | None = None) -> Steps:
    """The bytes of `buffers` from `start`, up to `size` of them."""
    pieces = []
    for buffer in span(buffers, start, size):
        pieces.append((yield Read(buffer.address, buffer.size)))
    return b"".join(pieces)


def scatter(buffers: list[Buffer], data: bytes, start: int = 0) -> Steps:
    """Store `data` into `buffers` from `start` on; returns how many bytes fitted."""
    done = 0
    for buffer in span(buffers, start, len(data)):
        yield Write(buffer.address, data[done : done + buffer.size])
        done += buffer.size
    return done


def span(buffers: list[Buffer], start: int, size: int | None) -> list[Buffer]:
    """The part of `buffers` that begins `start` bytes in and has at most `size` bytes."""
    end = start + size if size is not None else 1 << 64
    found, at = [], 0
    for buffer in buffers:
        first, last = max(start - at, 0), min(end - at, buffer.size)
        if first < last:
            found.append(Buffer(buffer.address + first, last - first))
        at += buffer.size
    return found


def put(ring: Ring, head: int, written: int) -> Steps:
    """Give the chain back: its used element, and then the index."""
    yield Write(ring.used + 4 + 8 * (ring.last % ring.size), struct.pack("<II", head, written))
    yield Write(ring.used + 2, (ring.last + 1 & 0xFFFF).to_bytes(2, "little"))
