"""The memory of a guest under trap and emulate: its TLB, which is an array, and the shadow of it in page tables that
the refill of root's TLB walks.

The guest's addresses are root's user addresses. Each vCPU has two tables of them, for its guest's kernel and user mode,
each with an ASID of the host's on every core. Source: Linux 5.10: arch/mips/kvm/{mmu,tlb,emulate,trap_emul}.c,
arch/mips/include/asm/kvm_host.h.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum, auto
from errno import EINVAL
from typing import TYPE_CHECKING, Any

from cpu.cp0.fields import ENTRYLO_D, ENTRYLO_G, ENTRYLO_V, ST_ERL, ST_EXL, ST_USER
from cpu.kvm import commpage
from cpu.kvm.errors import KvmError
from cpu.kvm.mmu import GpaTable, GvaTable, NoSlotError, gva_pte, shared_pte
from cpu.kvm.tlb import Entry, flush_roottlb_own
from cpu.kvm.uapi import PAGE_SHIFT, PAGE_SIZE

if TYPE_CHECKING:
    from cpu.core import Core
    from cpu.kvm.vcpu import Vcpu

GUEST_TLB_SIZE = 64
USEG, KSEG0, KSEG23, USER_END = 0, 0x40000000, 0x60000000, 0x80000000
"""Where the guest's segments begin; kseg0 and kseg1 are one."""
PHYSICAL = 0x1FFFFFFF
_SEGMENT = 0xE0000000
VPN2, ASID = 0xFFFFE000, 0xFF
PAIR_MASK = 2 * PAGE_SIZE - 1 & VPN2
"""PageMask of a pair of the host's pages."""
ENTRYLO_PFN = 0x3FFFFFC0
FIRST_VERSION = ASID + 1


class Fault(Enum):
    """What became of a guest virtual address (enum kvm_mips_fault_result)."""

    MAPPED = auto()
    GVA = auto()
    """No address of the guest's."""
    GPA = auto()
    """No memory there, or none that may be written."""
    TLB = auto()
    TLBINV = auto()
    TLBMOD = auto()


def segment(gva: int) -> int:
    """KVM_GUEST_KSEGX: the segment of a guest virtual address."""
    return gva & _SEGMENT


def is_mapped(gva: int) -> bool:
    """Whether the guest's TLB is asked for an address: in useg and kseg2/3."""
    return segment(gva) < KSEG0 or segment(gva) == KSEG23


def in_kernel_mode(vcpu: Vcpu) -> bool:
    """KVM_GUEST_KERNEL_MODE"""
    status = vcpu.soft("status")
    return bool(status & (ST_EXL | ST_ERL)) or not status & ST_USER


@dataclass
class Space:
    """An address space: its table, and for each core version and ASID (kvm->arch.guest_{kernel,user}_mm)."""

    table: GvaTable = field(default_factory=GvaTable)
    asids: dict[int, int] = field(default_factory=dict)

    def forget(self, *ranges: tuple[int, int]) -> None:
        """The table loses guest virtual addresses, each range from its first up to but not including its second."""
        for start, end in ranges:
            self.table.flush(start >> PAGE_SHIFT, (end >> PAGE_SHIFT) - 1)


class HostAsids:
    """asid_cache of each core: version and the ASID given last."""

    def __init__(self) -> None:
        self.last: dict[int, int] = {}

    def check(self, core: Core, space: Space) -> int:
        """The space's ASID on a core, a new one where entries under the old cannot be trusted (check_mmu_context)."""
        number = core.number
        last = self.last.setdefault(number, FIRST_VERSION)
        cached = space.asids.get(number, 0)
        if (cached ^ last) & ~ASID:
            cached = space.asids[number] = self.last[number] = last + 1
            if not cached & ASID:
                flush_roottlb_own(core)
        return cached & ASID


class Shadow:
    """What a vCPU has for it; `commpage_at` is the root physical address of its commpage."""

    def __init__(self, vcpu: Vcpu, commpage_at: int) -> None:
        self._vcpu, self._commpage_at = vcpu, commpage_at
        self.kernel, self.user = Space(), Space()
        self.guest_tlb = [Entry(0, 0, 0, 0)] * GUEST_TLB_SIZE
        self.last_user_gasid = 0
        """The guest's ASID when its user mode ran last."""
        self._random = vcpu.number + 1

    # Snapshots.

    def save(self) -> dict[str, Any]:
        """All of it, as msgpack types."""
        spaces = {"kernel": self.kernel, "user": self.user}
        return {
            **{name: [space.table.save_leaves(), dict(space.asids)] for name, space in spaces.items()},
            "guest_tlb": [list(entry) for entry in self.guest_tlb],
            "last_user_gasid": self.last_user_gasid,
            "random": self._random,
        }

    def restore(self, saved: dict[str, Any]) -> None:
        """What `save` gave, with empty tables."""
        for name, space in {"kernel": self.kernel, "user": self.user}.items():
            leaves, space.asids = saved[name]
            space.table.restore_leaves(leaves)
        self.guest_tlb = [Entry(*entry) for entry in saved["guest_tlb"]]
        self.last_user_gasid, self._random = saved["last_user_gasid"], saved["random"]

    def digest(self) -> bytes:
        """The guest TLB as bytes, for the trace hash."""
        words = (word for entry in self.guest_tlb for word in entry)
        return b"".join(word.to_bytes(8, "little") for word in (*words, self.last_user_gasid, self._random))

    # The guest's TLB.

    @property
    def _entryhi(self) -> int:
        return self._vcpu.soft("entryhi")

    def lookup(self, gva: int) -> int:
        """Index of the entry that has the address for the guest's ASID, or -1 (kvm_mips_guest_tlb_lookup)."""
        high = gva & VPN2 | self._entryhi & ASID
        for index, entry in enumerate(self.guest_tlb):
            different = entry.hi ^ high
            if not different & VPN2 & ~entry.mask and (entry.lo0 & entry.lo1 & ENTRYLO_G or not different & ASID):
                return index
        return -1

    def written_entries(self) -> list[list[int]]:
        """The guest TLB as msgpack types; nothing where it is as at reset."""
        return [list(entry) for entry in self.guest_tlb] if any(map(any, self.guest_tlb)) else []

    @staticmethod
    def entry_lo(entry: Entry, gva: int) -> int:
        """EntryLo of the page of the pair."""
        return entry.lo1 if gva & PAGE_SIZE else entry.lo0

    def next_random(self) -> int:
        """The index that TLBWR takes: of a sequence that the vCPU's number begins."""
        self._random = self._random * 1103515245 + 12345 & 0x7FFFFFFF
        return (self._random >> 16) % GUEST_TLB_SIZE

    def write_entry(self, index: int) -> None:
        """TLBWI or TLBWR: the guest's registers into the entry; what was shadowed through the old one is forgotten."""
        self._forget(self.guest_tlb[index])
        names = ("pagemask", "entryhi", "entrylo0", "entrylo1")
        self.guest_tlb[index] = Entry(*(self._vcpu.soft(name) & 0xFFFFFFFF for name in names))

    def read_entry(self, index: int) -> None:
        """TLBR: the entry into the guest's registers, EntryHi as by a write of it."""
        entry = self.guest_tlb[index]
        for name, value in (("pagemask", entry.mask), ("entrylo0", entry.lo0), ("entrylo1", entry.lo1)):
            self._vcpu.set_soft(name, value)
        self.change_entryhi(entry.hi)

    def _forget(self, entry: Entry) -> None:
        """kvm_mips_invalidate_guest_tlb"""
        if not (entry.lo0 | entry.lo1) & ENTRYLO_V or entry.hi >= USER_END:
            return
        gva = entry.hi & VPN2
        spaces = (self.kernel, self.user) if gva < KSEG0 else (self.kernel,)
        here = self._vcpu.core.number
        for space in spaces:
            space.table.forget_pair(gva)
            self._drop(space, gva)
            for core in [core for core in space.asids if core != here]:
                del space.asids[core]

    def change_entryhi(self, value: int) -> None:
        """A write of EntryHi: with another ASID all that is mapped is another's; user mode's table follows when it
        runs next (kvm_mips_change_entryhi)."""
        old, new = self._entryhi & ASID, value & ASID
        if old != new:
            self._vcpu.emit("kvm_asid_change", self._vcpu.pc, old, new)
            self.kernel.forget((USEG, KSEG0), (KSEG23, USER_END))
            self.kernel.asids.clear()
        self._vcpu.set_soft("entryhi", value)

    # The shadow.

    @property
    def space(self) -> Space:
        """The address space of the mode the guest is in."""
        return self.kernel if in_kernel_mode(self._vcpu) else self.user

    def forget(self) -> None:
        """Both tables are empty: what guest physical addresses lead to has changed."""
        self.kernel.forget((USEG, USER_END))
        self.user.forget((USEG, KSEG0))

    def drop_asids(self) -> None:
        """What root's TLBs hold for the vCPU is out of reach, on every core."""
        self.kernel.asids.clear()
        self.user.asids.clear()

    def follow_asid(self) -> None:
        """Before user mode runs: the table of another guest ASID is of no use."""
        asid = self._entryhi & ASID
        if not in_kernel_mode(self._vcpu) and asid != self.last_user_gasid:
            self.user.forget((USEG, KSEG0))
            self.user.asids.clear()
            self.last_user_gasid = asid

    def root_address(self, gva: int) -> int:
        """Root physical address of a guest virtual one that has just been mapped."""
        return GpaTable.root_address(self.space.table.pte(gva >> PAGE_SHIFT)) | gva % PAGE_SIZE

    def fill_commpage(self) -> None:
        """The commpage becomes visible to the guest's kernel (kvm_mips_handle_commpage_tlb_fault)."""
        self.kernel.table.set(commpage.ADDRESS, shared_pte(self._commpage_at))
        self._drop(self.kernel, commpage.ADDRESS)

    def fill_kseg0(self, gva: int, write: bool) -> None:
        """The pair of pages at an address of kseg0, where the VM knows them (kvm_mips_handle_kseg0_tlb_fault).
        NoSlotError where there is no such memory."""
        self._map(gva & PHYSICAL, write)
        space = self.space
        for page in _pair(gva):
            space.table.set(page, gva_pte(self._gpa_pte(page & PHYSICAL)))
        self._drop(space, gva)

    def fill_mapped(self, entry: Entry, gva: int, write: bool) -> None:
        """The pair of pages that a guest TLB entry maps (kvm_mips_handle_mapped_seg_tlb_fault). NoSlotError where there
        is no such memory, KvmError for a page of another size than the host's."""
        if entry.mask != PAIR_MASK:
            raise KvmError(
                EINVAL, f"a guest page by PageMask {entry.mask:#x}: with pages of {PAGE_SIZE:#x} it is {PAIR_MASK:#x}"
            )
        los = {page: self.entry_lo(entry, page) for page in _pair(gva)}
        if commpage.ADDRESS in los:
            los[commpage.ADDRESS] = 0
        wanted = gva & -PAGE_SIZE
        self._map(_physical(los[wanted]), write)
        space = self.space
        for page, lo in los.items():
            pte = self._gpa_pte(_physical(lo)) if page == wanted or lo & ENTRYLO_V else 0
            space.table.set(page, gva_pte(pte, bool(lo & ENTRYLO_D)))
        self._drop(space, gva)

    def fault_in(self, gva: int, write: bool) -> Fault:
        """Make an address accessible to KVM as it is to the guest (kvm_trap_emul_gva_fault)."""
        if gva >= USER_END:
            return Fault.GVA
        try:
            if not is_mapped(gva):
                self.fill_kseg0(gva, write)
                return Fault.MAPPED
            index = self.lookup(gva)
            if index < 0:
                return Fault.TLB
            lo = self.entry_lo(self.guest_tlb[index], gva)
            if not lo & ENTRYLO_V:
                return Fault.TLBINV
            if write and not lo & ENTRYLO_D:
                return Fault.TLBMOD
            self.fill_mapped(self.guest_tlb[index], gva, write)
        except NoSlotError:
            return Fault.GPA
        return Fault.MAPPED

    def _map(self, gpa: int, write: bool) -> None:
        fast = self._vcpu.vm.gpa.map_page(gpa, write)
        self._vcpu.stats["map_fast" if fast else "map_slow"] += 1

    def _gpa_pte(self, gpa: int) -> int:
        return self._vcpu.vm.gpa.pte(gpa >> PAGE_SHIFT)

    def _drop(self, space: Space, gva: int) -> None:
        """kvm_mips_host_tlb_inv: the entry of root's TLB on this core, which the next access loads anew."""
        core = self._vcpu.core
        if core.number in space.asids:
            core.vz.invalidate_va(gva, space.asids[core.number] & ASID)


def _pair(gva: int) -> Iterable[int]:
    """The addresses of the two pages that one TLB entry maps."""
    even = gva & -2 * PAGE_SIZE
    return even, even + PAGE_SIZE


def _physical(lo: int) -> int:
    """mips3_tlbpfn_to_paddr"""
    return (lo & ENTRYLO_PFN) << 6
