"""The GPA page table of a VM: guest physical to root physical addresses, filled by faults, and what edits it; and the
GVA page tables of a vCPU under trap and emulate.

Three levels in Linux's format with 16 KiB pages; the refill of the core's root TLB walks them where they lie. A PTE
that is old is not VALID, one that is clean is not DIRTY in hardware's sense: that is all the tracking of use there is.
Source: Linux 6.1: arch/mips/kvm/mmu.c, arch/mips/include/asm/pgtable-64.h.

PTEs are left for the root TLB to find: whoever takes rights away flushes the TLBs of all vCPUs afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from errno import EFAULT
from typing import Any

import numpy as np

from cpu.kvm.errors import KvmError
from cpu.kvm.uapi import MEM_LOG_DIRTY_PAGES, MEM_READONLY, PAGE_SHIFT, PAGE_SIZE
from soc.bits import bits

ENTRIES = 2048
PTE_BITS = 11
PMD_SHIFT = PAGE_SHIFT + PTE_BITS
PGD_SHIFT = PMD_SHIFT + PTE_BITS
GPA_BITS = PGD_SHIFT + PTE_BITS
GPA_MASK = (1 << GPA_BITS) - 1
_INDEX = ENTRIES - 1

PRESENT, WRITE, ACCESSED, MODIFIED = 1 << 0, 1 << 1, 1 << 2, 1 << 3
GLOBAL, VALID, DIRTY = 1 << 8, 1 << 9, 1 << 10
CACHEABLE = 3 << 11
ADDRESS_SHIFT = 2
"""A PTE is an EntryLo moved up by 8: its physical address stands 2 above its own place."""
_READABLE = PRESENT | VALID | ACCESSED | CACHEABLE
_CLEANED = ~(MODIFIED | DIRTY)
_OLD = ~(ACCESSED | VALID)
_FLAGS = (1 << (PAGE_SHIFT + ADDRESS_SHIFT)) - 1


@dataclass
class Slot:
    """A memory slot: `npages` pages of 16 KiB from `base_gfn`, in the machine's memory from `userspace_addr`."""

    number: int
    base_gfn: int
    npages: int
    userspace_addr: int
    flags: int
    dirty: bytearray | None = None
    """One bit a page, while MEM_LOG_DIRTY_PAGES is set."""

    @property
    def end_gfn(self) -> int:
        """The first page behind it."""
        return self.base_gfn + self.npages

    @property
    def read_only(self) -> bool:
        return bool(self.flags & MEM_READONLY)

    def address(self, gfn: int) -> int:
        """Root physical address of a page of the slot."""
        return self.userspace_addr + ((gfn - self.base_gfn) << PAGE_SHIFT)

    def log(self, logging: bool) -> None:
        """Begin with an empty dirty bitmap, or end logging."""
        self.flags = self.flags & ~MEM_LOG_DIRTY_PAGES | (MEM_LOG_DIRTY_PAGES if logging else 0)
        self.dirty = bytearray((self.npages + 63) // 64 * 8) if logging else None

    def mark_dirty(self, gfn: int) -> None:
        if self.dirty is not None:
            page = gfn - self.base_gfn
            self.dirty[page >> 3] |= 1 << (page & 7)


class NoSlotError(KvmError):
    """A guest physical address that no memory slot lets the access have: a device's, or read-only memory."""

    def __init__(self, gpa: int, write: bool) -> None:
        super().__init__(EFAULT, f"no {'writable ' if write else ''}memory at guest physical {gpa:#x}")


class PageTable:
    """Three levels of tables, and a walk of them. A page is numbered by its address over 16 KiB (for a GPA: gfn)."""

    def __init__(self) -> None:
        self.pgd = np.zeros(ENTRIES, np.int64)
        self.address = self.pgd.ctypes.data
        """Host address of the PGD, for the core's refill."""
        self._tables: dict[int, np.ndarray] = {}
        """Tables below the PGD by their host address, which is what the entries above them hold."""

    def _below(self, table: np.ndarray, index: int, allocate: bool) -> np.ndarray | None:
        address = int(table[index])
        if address:
            return self._tables[address]
        if not allocate:
            return None
        below = np.zeros(ENTRIES, np.int64)
        table[index] = below.ctypes.data
        self._tables[below.ctypes.data] = below
        return below

    def _leaf(self, gfn: int, allocate: bool = False) -> np.ndarray | None:
        pmd = self._below(self.pgd, gfn >> (2 * PTE_BITS) & _INDEX, allocate)
        return None if pmd is None else self._below(pmd, gfn >> PTE_BITS & _INDEX, allocate)

    def pte(self, gfn: int) -> int:
        """The entry of a page; 0 where there is none."""
        leaf = self._leaf(gfn)
        return 0 if leaf is None else int(leaf[gfn & _INDEX])

    def _leaves(self, start: int, end: int) -> Iterator[tuple[np.ndarray, np.ndarray, int]]:
        """The parts of existing leaf tables that hold gfns start..end, both included, each with where it hangs."""
        end = min(end, GPA_MASK >> PAGE_SHIFT)
        while start <= end:
            pmd = self._below(self.pgd, start >> (2 * PTE_BITS) & _INDEX, False)
            if pmd is None:
                start = (start | (1 << 2 * PTE_BITS) - 1) + 1
                continue
            last, index = min(end, start | _INDEX), start >> PTE_BITS & _INDEX
            leaf = self._below(pmd, index, False)
            if leaf is not None:
                yield leaf[start & _INDEX : (last & _INDEX) + 1], pmd, index
            start = last + 1

    @staticmethod
    def root_address(pte: int) -> int:
        """Root physical address of the page of an entry."""
        return (pte & ~_FLAGS) >> ADDRESS_SHIFT

    def flush(self, start: int, end: int) -> bool:
        """Forget pages `start` to `end`, both included; a table that is covered as a whole goes too. Says whether
        there were any (kvm_mips_flush_{gpa,gva}_pt)."""
        changed = False
        for part, pmd, index in self._leaves(start, end):
            if part.any():
                changed = True
                part[:] = 0
            if len(part) == ENTRIES:
                del self._tables[int(pmd[index])]
                pmd[index] = 0
        return changed

    def save_leaves(self) -> list[Any]:
        """The leaf tables, each with the page it begins at, as msgpack types."""
        return [
            [upper << 2 * PTE_BITS | middle << PTE_BITS, self._below(pmd, middle, False).tobytes()]
            for upper in np.flatnonzero(self.pgd).tolist()
            for pmd in [self._below(self.pgd, upper, False)]
            for middle in np.flatnonzero(pmd).tolist()
        ]

    def restore_leaves(self, leaves: list[Any]) -> None:
        """What `save_leaves` gave, into an empty table."""
        for gfn, entries in leaves:
            self._leaf(gfn, allocate=True)[:] = np.frombuffer(entries, np.int64)


class GvaTable(PageTable):
    """A table of a vCPU under trap and emulate: guest virtual to root physical addresses."""

    def set(self, gva: int, pte: int) -> None:
        """The entry of the page at a guest virtual address."""
        page = gva >> PAGE_SHIFT
        self._leaf(page, allocate=True)[page & _INDEX] = pte

    def forget_pair(self, gva: int) -> None:
        """No entries for the pair of pages that one TLB entry maps."""
        leaf, page = self._leaf(gva >> PAGE_SHIFT), gva >> PAGE_SHIFT & ~1
        if leaf is not None:
            leaf[page & _INDEX : (page & _INDEX) + 2] = 0


def gva_pte(pte: int, writable: bool = True) -> int:
    """The GVA entry of a page with that GPA entry. Stores fault where the guest's own TLB lets none through, and into a
    clean page, so that the first one marks it."""
    return pte if writable and pte & MODIFIED else pte & ~(WRITE | DIRTY)


def shared_pte(address: int) -> int:
    """The entry of a page of the host's own at a root physical address, to be read and written."""
    return address << ADDRESS_SHIFT | _READABLE | WRITE | MODIFIED | DIRTY


class GpaTable(PageTable):
    """The table of one VM. `find_slot(gfn)` is the VM's lookup of memory slots."""

    def __init__(self, find_slot: Callable[[int], Slot | None]) -> None:
        super().__init__()
        self._find_slot = find_slot
        self.sequence = 0
        """Counts invalidations by the notifier: a fault that saw another number tries again."""
        self.before_commit: Callable[[], None] | None = None
        """Called between the lookup of a page and its entry into the table, for whoever tests that race."""

    # Snapshots.

    def save(self) -> list[Any]:
        """The leaf tables and the number of invalidations, as msgpack types."""
        return [self.save_leaves(), self.sequence]

    def restore(self, saved: list[Any]) -> None:
        """What `save` gave, into an empty table."""
        leaves, self.sequence = saved
        self.restore_leaves(leaves)

    # Faults.

    def map_page(self, gpa: int, write: bool) -> bool:
        """Make a page accessible as a fault asks; True when the fast path sufficed. NoSlotError where it cannot be."""
        gfn = gpa >> PAGE_SHIFT
        if gpa >> GPA_BITS:
            raise NoSlotError(gpa, write)
        leaf = self._leaf(gfn)
        if leaf is not None and self._map_fast(leaf, gfn, write):
            return True
        while True:
            sequence = self.sequence
            slot = self._find_slot(gfn)
            if slot is None or (write and slot.read_only):
                raise NoSlotError(gpa, write)
            if self.before_commit is not None:
                self.before_commit()
            if sequence == self.sequence:
                break
        pte = slot.address(gfn) << ADDRESS_SHIFT | _READABLE
        if not slot.read_only:
            pte |= WRITE
            if write:
                pte |= MODIFIED | DIRTY
                slot.mark_dirty(gfn)
        self._leaf(gfn, allocate=True)[gfn & _INDEX] = pte
        return False

    def _map_fast(self, leaf: np.ndarray, gfn: int, write: bool) -> bool:
        """A page that is present and only old, or clean and writable: no lookup is needed."""
        pte = int(leaf[gfn & _INDEX])
        if not pte & PRESENT:
            return False
        pte |= ACCESSED | VALID
        if write and not pte & MODIFIED:
            if not pte & WRITE:
                return False
            pte |= MODIFIED | DIRTY
            slot = self._find_slot(gfn)
            if slot is not None:
                slot.mark_dirty(gfn)
        leaf[gfn & _INDEX] = pte
        return True

    # Taking rights away, as `flush` does; gfns are inclusive. Each says whether anything changed, so that a flush of
    # TLBs is needed.

    def mkclean(self, start: int, end: int) -> bool:
        """The next store to each page faults (kvm_mips_mkclean_gpa_pt)."""
        return self._clear(start, end, _CLEANED, MODIFIED | DIRTY)

    def mkclean_masked(self, base: int, mask: int) -> bool:
        """`mkclean` for the pages from gfn `base` whose bit is set in `mask`."""
        changed = False
        for page in bits(mask):
            changed |= self.mkclean(base + page, base + page)
        return changed

    def mkold(self, start: int, end: int) -> bool:
        """The next access to each page faults (kvm_mips_mkold_gpa_pt)."""
        return self._clear(start, end, _OLD, ACCESSED | VALID)

    def _clear(self, start: int, end: int, keep: int, looked_at: int) -> bool:
        changed = False
        for part, _, _ in self._leaves(start, end):
            present = (part & PRESENT) != 0
            if (part[present] & looked_at).any():
                changed = True
                part[present] &= keep
        return changed

    # The MMU notifier's hooks. User addresses are root physical ones, where nothing has changed a PTE.

    def unmap_range(self, slots: Iterable[Slot], start: int, end: int) -> bool:
        """The slots' pages at user addresses [start, end) are gone."""
        self.sequence += 1
        return any([self.flush(first, last) for _, first, last in _overlaps(slots, start, end)])

    def age(self, slots: Iterable[Slot], start: int, end: int) -> bool:
        """Mark the pages at user addresses [start, end) old; whether one was young."""
        return any([self.mkold(first, last) for _, first, last in _overlaps(slots, start, end)])

    def test_age(self, slots: Iterable[Slot], address: int) -> bool:
        """Whether the page at a user address is young."""
        found = next(_overlaps(slots, address, address + 1), None)
        return found is not None and bool(self.pte(found[1]) & ACCESSED)

    def change_pte(self, slots: Iterable[Slot], address: int, new: int) -> bool:
        """The page at a user address is root physical `new` now; whether TLBs may hold what it was."""
        self.sequence += 1
        changed = False
        for slot, gfn, _ in _overlaps(slots, address, address + PAGE_SIZE):
            leaf = self._leaf(gfn)
            old = 0 if leaf is None else int(leaf[gfn & _INDEX])
            if not old & PRESENT:
                continue
            pte = new << ADDRESS_SHIFT | (old & _FLAGS)
            if slot.flags & MEM_LOG_DIRTY_PAGES:
                pte &= _CLEANED
            if slot.read_only:
                pte &= ~WRITE
            leaf[gfn & _INDEX] = pte
            changed |= bool(old & ACCESSED)
        return changed


def _overlaps(slots: Iterable[Slot], start: int, end: int) -> Iterator[tuple[Slot, int, int]]:
    """Slots whose memory lies at user addresses [start, end), with the first and last gfn."""
    for slot in slots:
        low = max(start, slot.userspace_addr)
        high = min(end, slot.userspace_addr + (slot.npages << PAGE_SHIFT))
        if low < high:
            first = slot.base_gfn + ((low - slot.userspace_addr) >> PAGE_SHIFT)
            yield slot, first, slot.base_gfn + ((high - 1 - slot.userspace_addr) >> PAGE_SHIFT)
