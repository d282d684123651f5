"""Physical memory of a machine: RAM and the boot ROM where soc/ram.py puts them, as the cores see it."""

from __future__ import annotations

import hashlib
import mmap
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from cpu.engine import shared as m
from cpu.words import fits, signed
from soc.errors import SocError
from soc.garbage import make_room
from soc.ram import HIGH_BASE, LOW_BYTES, ROM_BASE, ROM_BYTES

if TYPE_CHECKING:
    from cpu.engine.code_buffer import CodeBuffer

PAGE = 4096
POOL_WORDS = 4 << 20
CHUNK_LIMIT = 16384
MOST_WATCHES = 64
WATCH_LOADS, WATCH_STORES = 1, 2


class MemoryRangeError(SocError):
    """An access outside memory, or an impossible size."""


class Watch(NamedTuple):
    """Virtual addresses `first` to `last` that are watched; `kinds` is WATCH_LOADS, WATCH_STORES or both."""

    first: int
    last: int
    kinds: int


def zeros(count: int, kind: type) -> np.ndarray:
    """An array of pages that the host gives when they are first written, and gets back with the array. numpy's own may
    be of memory that was in use before: then all of it is written. MemoryRangeError where the host refuses."""
    size = count * np.dtype(kind).itemsize
    try:
        pages = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except OSError as cause:
        raise MemoryRangeError(
            f"the host gives no {size >> 20} MiB of memory: {cause.strerror}.\nGive the machine less RAM."
        ) from cause
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with suppress(OSError):  # a kernel without them
            pages.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(pages, kind)


class Memory:
    """`ram_bytes` of RAM, a multiple of 4 KiB, and 2 MiB of ROM at 0x1fc00000; all zero."""

    def __init__(self, ram_bytes: int, rom_bytes: int = ROM_BYTES):
        if ram_bytes <= 0 or ram_bytes % PAGE or ram_bytes > 64 << 30:
            raise MemoryRangeError(f"RAM of {ram_bytes} bytes: needs a positive multiple of {PAGE}, at most 64 GiB")
        make_room()
        self.ram_bytes = ram_bytes
        self.rom_bytes = rom_bytes
        pages = (ram_bytes + rom_bytes) // PAGE
        self.image = zeros(ram_bytes + rom_bytes + PAGE, np.uint8)[:-PAGE]
        self._page_chunk = np.zeros(pages, np.int64)
        self._page_blocks = np.zeros(pages, np.int64)
        self.touched = np.zeros(pages, np.uint8)
        self._chunks = zeros(CHUNK_LIMIT * m.CHUNK_WORDS, np.int64)
        self.pool = zeros(POOL_WORDS, np.int64)
        self._side = zeros(POOL_WORDS, np.int64)
        self.charges = np.zeros(0, np.int64)
        self._stops = np.zeros(4096, np.int64)
        self.stops: frozenset[int] = frozenset()
        self._watches = np.zeros(MOST_WATCHES * m.WATCH_WORDS, np.int64)
        self.watches: tuple[Watch, ...] = ()
        self.code_buffer: CodeBuffer | None = None  # of tier E
        self.shared = shared = np.zeros(m.SIZE, np.int64)
        shared[m.RAM] = self.image.ctypes.data
        shared[m.RAM_BYTES], shared[m.ROM_BYTES], shared[m.PAGES] = ram_bytes, rom_bytes, pages
        for slot, array in (
            (m.PAGE_CHUNK, self._page_chunk),
            (m.PAGE_BLOCKS, self._page_blocks),
            (m.TOUCHED, self.touched),
            (m.CHUNKS, self._chunks),
            (m.POOL, self.pool),
            (m.SIDE, self._side),
            (m.STOPS, self._stops),
            (m.WATCHES, self._watches),
        ):
            shared[slot] = array.ctypes.data
        shared[m.CHUNK_NEXT], shared[m.CHUNK_LIMIT] = 1, CHUNK_LIMIT
        shared[m.POOL_NEXT], shared[m.POOL_LIMIT] = m.POOL_START, POOL_WORDS

    def offset(self, paddr: int) -> int:
        """Offset in the image of a physical address, or -1 when it is not memory."""
        if paddr < LOW_BYTES:
            return paddr if 0 <= paddr < self.ram_bytes else -1
        if HIGH_BASE <= paddr < HIGH_BASE + self.ram_bytes:
            return paddr - HIGH_BASE
        if ROM_BASE <= paddr < ROM_BASE + self.rom_bytes:
            return self.ram_bytes + paddr - ROM_BASE
        return -1

    def is_ram(self, paddr: int) -> bool:
        return self.offset(paddr) >= 0

    def _range(self, paddr: int, count: int) -> int:
        first = self.offset(paddr)
        if count < 0:
            raise MemoryRangeError(f"{count} bytes at physical {paddr:#x}; a number from 0 is needed")
        if count and (first < 0 or self.offset(paddr + count - 1) != first + count - 1):
            raise MemoryRangeError(
                f"{count} bytes at physical {paddr:#x} are not all memory: there is RAM from 0 to "
                f"{min(self.ram_bytes, LOW_BYTES):#x} from {HIGH_BASE:#x} to {HIGH_BASE + self.ram_bytes:#x}, "
                f"and ROM from {ROM_BASE:#x} to {ROM_BASE + self.rom_bytes:#x}"
            )
        return first

    def read(self, paddr: int, count: int) -> bytes:
        """`count` bytes from a physical address."""
        at = self._range(paddr, count)
        return self.image[at : at + count].tobytes()

    def write(self, paddr: int, data: bytes) -> None:
        """Writes bytes at a physical address; instruction fetch sees them."""
        if not data:
            return
        at = self._range(paddr, len(data))
        first, last = at // PAGE, (at + len(data) - 1) // PAGE
        if self._page_chunk[first : last + 1].any():
            from cpu.engine.blocks import written

            written(self.shared, at, len(data))
        self.touched[first : last + 1] = 1
        self.image[at : at + len(data)] = np.frombuffer(data, np.uint8)

    def set_stops(self, pcs) -> None:
        """The pcs before which a run stops; blocks are built accordingly."""
        for pc in pcs:
            if not fits(pc, 64):
                raise MemoryRangeError(f"stop pc {pc!r}; a 64-bit address is needed")
        stops = frozenset(signed(pc) for pc in pcs)
        if len(stops) > len(self._stops):
            raise MemoryRangeError(f"{len(stops)} stop pcs, at most {len(self._stops)}")
        changed, self.stops = self.stops ^ stops, stops
        if not changed:
            return
        self._stops[: len(stops)] = sorted(stops)
        self.shared[m.STOP_COUNT] = len(stops)
        if self.shared[m.BLOCKS_BUILT]:
            from cpu.engine.blocks import drop_around

            for pc in changed:
                drop_around(self.shared, pc)

    def set_watches(self, watches: Iterable[Watch]) -> None:
        """The virtual addresses at whose access a run stops. The cores' soft-MMUs must be empty of them."""
        watches = tuple(watches)
        if len(watches) > MOST_WATCHES:
            raise MemoryRangeError(f"{len(watches)} watches, at most {MOST_WATCHES}")
        for n, (first, last, kinds) in enumerate(watches):
            self._watches[n * m.WATCH_WORDS : (n + 1) * m.WATCH_WORDS] = signed(first), signed(last), kinds
        self.watches = watches
        self.shared[m.WATCH_COUNT] = len(watches)

    def set_charges(self, charges: np.ndarray) -> None:
        """What each micro-op takes from the budget (cpu/costs.py). Blocks hold it, so it is for good once some are
        built."""
        if self.shared[m.BLOCKS_BUILT] and not np.array_equal(charges, self.charges):
            raise MemoryRangeError("this memory holds code translated for other costs: make a new Memory")
        self.charges = charges
        self.shared[m.CHARGES] = charges.ctypes.data

    def contents(self) -> Iterator[tuple[int, bytes]]:
        """What is not zero: (offset in the image, bytes), whole pages, at most 1 MiB at once."""
        pages = self.image.reshape(-1, PAGE)
        found = [page for page in np.flatnonzero(self.touched).tolist() if pages[page].any()]
        while found:
            count = next((n for n in range(1, min(len(found), 256)) if found[n] != found[0] + n), min(len(found), 256))
            yield found[0] * PAGE, pages[found[0] : found[0] + count].tobytes()
            del found[:count]

    def restore(self, offset: int, data: bytes) -> None:
        """Puts back what `contents` gave, into memory that is all zero. MemoryRangeError when it does not fit."""
        first, count = offset // PAGE, len(data) // PAGE
        if offset % PAGE or len(data) % PAGE or not 0 <= offset < offset + len(data) <= len(self.image):
            raise MemoryRangeError(
                f"{len(data)} bytes at {offset:#x} are no pages of an image of {len(self.image)} bytes"
            )
        self.touched[first : first + count] = 1
        self.image[offset : offset + len(data)] = np.frombuffer(data, np.uint8)

    def digest(self) -> bytes:
        """Hash of the contents: the non-zero pages with their numbers."""
        total = hashlib.blake2b(digest_size=32)
        image, zeros = memoryview(self.image), bytes(PAGE)
        for page in np.flatnonzero(self.touched).tolist():
            # Copied and compared, a page takes half the time that numpy needs to look at it.
            data = bytes(image[page * PAGE : page * PAGE + PAGE])
            if data != zeros:
                total.update(page.to_bytes(8, "little") + data)
        return total.digest()
