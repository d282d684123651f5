"""The address map: which port an uncached access goes to, and what answers where the platform has nothing."""

from __future__ import annotations

import logging
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any, Generic, NamedTuple, TypeVar

from soc.errors import ConfigurationError, UnmappedAccessError, choose

log = logging.getLogger("soc.bus")
PAGE_SHIFT = 12
READS = ("zeros", "ones", "error")
T = TypeVar("T")


class Window(NamedTuple):
    """A range of physical addresses with a default answer: reads give zeros or all ones, or the access is an error."""

    name: str
    base: int
    size: int
    reads: str


class AddressMap(Generic[T]):
    """Disjoint ranges of physical addresses, each with a target."""

    def __init__(self) -> None:
        self._ranges: list[tuple[int, int, str, T]] = []
        self._bases: list[int] = []

    def add(self, name: str, base: int, size: int, target: T) -> None:
        """Map `size` bytes from `base`. Raises ConfigurationError when empty or overlapping another range."""
        if size < 1 or base < 0 or base + size > 1 << 64:
            raise ConfigurationError(f"{name}: {size} bytes at {base:#x} are no range of 64-bit addresses")
        for other, end, owner, _ in self._ranges:
            if base < end and other < base + size:
                raise ConfigurationError(
                    f"{name} at {base:#x}..{base + size - 1:#x} overlaps {owner} at {other:#x}..{end - 1:#x}"
                )
        self._ranges.append((base, base + size, name, target))
        self._ranges.sort(key=lambda entry: entry[0])
        self._bases = [entry[0] for entry in self._ranges]

    def find(self, address: int) -> tuple[int, T] | None:
        """(offset within the range, its target), or None where nothing is mapped."""
        place = bisect_right(self._bases, address) - 1
        if place >= 0:
            base, end, _, target = self._ranges[place]
            if address < end:
                return address - base, target
        return None

    def __iter__(self) -> Iterable[tuple[int, int, str, T]]:
        return iter(self._ranges)


class OpenBus:
    """What answers an access that no device claims. Counted per page, logged once per page; never a host error.

    `on_strict(text)` is called for every such access when it is given: the machine stops then.
    """

    def __init__(self, windows: Iterable[Window], on_strict: Callable[[str], None] | None = None) -> None:
        # The smallest window that holds an address decides: ECAM lies inside the configuration window.
        self._windows = sorted(windows, key=lambda window: window.size)
        for window in self._windows:
            if window.reads not in READS:
                raise ConfigurationError(f"window {window.name}: {choose('read behaviour', window.reads, READS)}")
        self._pages: dict[int, int] = {}
        self.unclaimed_csrs: Counter[int] = Counter()
        """Accesses so far to configuration registers that no device has, by number."""
        self._on_strict = on_strict

    @property
    def unmapped(self) -> dict[int, int]:
        """Accesses so far by page: address of the page to count."""
        return {page << PAGE_SHIFT: count for page, count in sorted(self._pages.items())}

    def restore(self, unmapped: dict[int, int]) -> None:
        """Count on from what another bus had as `unmapped`."""
        self._pages = {page >> PAGE_SHIFT: count for page, count in unmapped.items()}

    def window(self, address: int) -> Window | None:
        """The smallest window that holds `address`."""
        for window in self._windows:
            if window.base <= address < window.base + window.size:
                return window
        return None

    def ranges(self, claimed: Iterable[tuple[int, int]]) -> list[tuple[int, int, bool]]:
        """(start, end, whether reads give all ones) wherever an access has an answer, outside the `claimed` (start,
        end); neighbours joined, lowest first. None where each access is to be heard of."""
        if self._on_strict is not None:
            return []
        claimed = list(claimed)
        spans = [*claimed, *((window.base, window.base + window.size) for window in self._windows)]
        found: list[tuple[int, int, bool]] = []
        for start, end in pairwise(sorted({edge for span in spans for edge in span})):
            window = self.window(start)
            if window is None or window.reads == "error" or any(base <= start < top for base, top in claimed):
                continue
            ones = window.reads == "ones"
            if found and found[-1][1:] == (start, ones):
                start = found.pop()[0]
            found.append((start, end, ones))
        return found

    def read(self, address: int, size: int, core: int = 0) -> int:
        """The value of an unclaimed address; UnmappedAccessError where the platform gives a bus error."""
        window = self._note(address, size, core, "read")
        return 0 if window.reads == "zeros" else (1 << 8 * size) - 1

    def write(self, address: int, size: int, value: int, core: int = 0) -> None:
        """Dropped; UnmappedAccessError where the platform gives a bus error."""
        self._note(address, size, core, f"write of {value:#x}")

    def csr(self, number: int, size: int, core: int, what: str) -> int:
        """An access to a configuration register that no device has: reads 0, a write is dropped."""
        self.unclaimed_csrs[number] += 1
        if self.unclaimed_csrs[number] == 1 or self._on_strict is not None:
            text = f"core {core}: {size}-byte {what} of configuration register {number:#x}, which no device has"
            log.info("%s (logged once)", text)
            if self._on_strict is not None:
                self._on_strict(text)
        return 0

    @property
    def count(self) -> int:
        """Accesses so far that nothing claimed."""
        return sum(self._pages.values()) + self.unclaimed_csrs.total()

    def _note(self, address: int, size: int, core: int, what: str) -> Window:
        page = address >> PAGE_SHIFT
        seen = self._pages.get(page, 0)
        self._pages[page] = seen + 1
        window = self.window(address)
        answer = window.reads if window is not None else "error"
        if not seen or self._on_strict is not None:
            place = f"in window {window.name!r}" if window is not None else "outside every window"
            text = f"core {core}: {size}-byte {what} at {address:#x}, {place}: nothing is there, answer {answer}"
            if not seen:
                log.info("%s (logged once for this page)", text)
            if self._on_strict is not None:
                self._on_strict(text)
        if answer == "error":
            raise UnmappedAccessError(f"{size}-byte {what} at {address:#x}: no device and no window; a bus error")
        return window


class OpenBusDevice:
    """The open bus behind the face of a device."""

    def __init__(self, bus: OpenBus) -> None:
        self._bus = bus

    def attach(self, outside: Any) -> None:
        """It has no outputs."""

    def read(self, offset: int, size: int, core: int = 0, space: str = "memory") -> int:
        if space == "csr":
            return self._bus.csr(offset, size, core, "read")
        return self._bus.read(offset, size, core)

    def write(self, offset: int, size: int, value: int, core: int = 0, space: str = "memory") -> None:
        if space == "csr":
            self._bus.csr(offset, size, core, f"write of {value:#x}")
        else:
            self._bus.write(offset, size, value, core)
