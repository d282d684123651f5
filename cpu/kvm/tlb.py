"""TLB work of KVM on a core: tags, flushes, probes, saved entries.

Source: Linux 6.1: arch/mips/kvm/tlb.c. Every function leaves the CP0 registers it uses as it found them.
"""

from __future__ import annotations

from errno import EFAULT
from typing import TYPE_CHECKING, NamedTuple

from cpu.cp0.fields import CONFIG1_TLBS_SHIFT, CONFIG1_TLBS_SIZE, CONFIG_MT, CONFIG_MT_FTLB, EHINV, ENTRYLO_V
from cpu.kvm.errors import KvmError
from cpu.vz.guestctl import ID, RID_SHIFT

if TYPE_CHECKING:
    from cpu.core import Core

CKSEG0, CKSEG1 = 0xFFFFFFFF80000000, 0xFFFFFFFFA0000000
ENTRY_SHIFT = 15
"""An entry of two 16 KiB pages."""
_ROOT = ("index", "entryhi", "entrylo0", "entrylo1", "pagemask", "guestctl1")
_GUEST = ("index", "entryhi", "entrylo0", "entrylo1", "pagemask")


class Entry(NamedTuple):
    """A saved TLB entry, as its registers hold it."""

    mask: int
    hi: int
    lo0: int
    lo1: int


def set_root_gid_to_guest_gid(core: Core) -> None:
    """GuestCtl1.RID := ID: the root TLB instructions work on the guest's entries."""
    ctl1 = core.vz.c0("guestctl1")
    core.vz.set_c0("guestctl1", ctl1 & ~(ID << RID_SHIFT) | (ctl1 & ID) << RID_SHIFT)


def clear_root_gid(core: Core) -> None:
    """GuestCtl1.RID := 0: they work on the root's own."""
    core.vz.set_c0("guestctl1", core.vz.c0("guestctl1") & ~(ID << RID_SHIFT))


def unique_entryhi(index: int, base: int = CKSEG0) -> int:
    """EntryHi of an invalid entry that can neither match nor be met twice."""
    return base + (index << ENTRY_SHIFT) | EHINV


def vtlb_size(core: Core) -> int:
    """Entries of the root VTLB (Config1.MMUSize-1)."""
    return (core.vz.c0("config1") >> CONFIG1_TLBS_SHIFT & CONFIG1_TLBS_SIZE) + 1


def ftlb_sets(core: Core) -> int:
    """Sets of the FTLB, 0 without one (decode_config4)."""
    return 1 << (core.vz.c0("config4") & 0xF) if _has_ftlb(core) else 0


def ftlb_size(core: Core) -> int:
    """Entries of the FTLB, 0 without one."""
    return ftlb_sets(core) * ((core.vz.c0("config4") >> 4 & 0xF) + 2)


def _has_ftlb(core: Core) -> bool:
    return core.vz.c0("config") & CONFIG_MT == CONFIG_MT_FTLB


def guest_tlb_size(core: Core) -> int:
    """Entries of the guest TLB: its VTLB as it has been sized, and its FTLB."""
    return (core.vz.gc0("config1") >> CONFIG1_TLBS_SHIFT & CONFIG1_TLBS_SIZE) + 1 + ftlb_size(core)


def flush_roottlb_all_guests(core: Core) -> None:
    """Drop every root entry that a GuestID owns."""
    saved = {name: core.vz.c0(name) for name in _ROOT}
    for index in range(core.vz.c0("wired"), vtlb_size(core) + ftlb_size(core)):
        core.vz.set_c0("index", index)
        core.vz.tlbr()
        if core.vz.c0("guestctl1") >> RID_SHIFT & ID:
            clear_root_gid(core)
            core.vz.set_c0("entryhi", unique_entryhi(index))
            for name in ("entrylo0", "entrylo1", "pagemask"):
                core.vz.set_c0(name, 0)
            core.vz.tlbwi()
    for name, value in saved.items():
        core.vz.set_c0(name, value)


def flush_roottlb_own(core: Core) -> None:
    """Drop every root entry that no GuestID owns (local_flush_tlb_all)."""
    saved = {name: core.vz.c0(name) for name in ("index", "guestctl1")}
    clear_root_gid(core)
    first = vtlb_size(core)
    for index in (0, *range(first, first + ftlb_sets(core))):
        core.vz.set_c0("index", index)
        core.vz.tlbinvf()
    for name, value in saved.items():
        core.vz.set_c0(name, value)


def flush_guesttlb_all(core: Core) -> None:
    """Drop every entry of the guest TLB, whoever owns it."""
    saved = {name: core.vz.gc0(name) for name in _GUEST}
    for name in ("entrylo0", "entrylo1", "pagemask"):
        core.vz.set_gc0(name, 0)
    for index in range(guest_tlb_size(core)):
        core.vz.set_gc0("index", index)
        core.vz.set_gc0("entryhi", unique_entryhi(index, CKSEG1))
        core.vz.tlbgwi()
    for name, value in saved.items():
        core.vz.set_gc0(name, value)


def guest_tlb_lookup(core: Core, gva: int) -> int:
    """Guest physical address of a mapped guest virtual one, by the guest TLB. EFAULT where no valid entry has it."""
    saved = {name: core.vz.gc0(name) for name in _GUEST}
    ctl1 = core.vz.c0("guestctl1")
    core.vz.set_gc0("entryhi", gva & ~0x1FFF | saved["entryhi"] & 0x3FF)
    set_root_gid_to_guest_gid(core)
    core.vz.tlbgp()
    index = core.vz.gc0("index")
    found = not index >> 31 & 1
    if found:
        core.vz.tlbgr()
        lo, mask = (core.vz.gc0("entrylo0"), core.vz.gc0("entrylo1")), core.vz.gc0("pagemask") | 0x1FFF
    core.vz.set_c0("guestctl1", ctl1)
    for name, value in saved.items():
        core.vz.set_gc0(name, value)
    if not found:
        raise KvmError(EFAULT, f"guest virtual {gva:#x} is not in the guest TLB")
    half = mask >> 1
    entry = lo[1 if gva & (half + 1) else 0]
    if not entry & ENTRYLO_V:
        raise KvmError(EFAULT, f"the guest TLB entry of {gva:#x} is not valid")
    return (entry >> 6 & 0x3FFFFFFFF) << 12 & ~half | gva & half


def save_guesttlb(core: Core, count: int) -> list[Entry]:
    """The first `count` entries of the guest TLB that the current GuestID owns; invalid ones stand for the others."""
    saved = {name: core.vz.gc0(name) for name in _GUEST}
    ctl1 = core.vz.c0("guestctl1")
    entries = []
    for index in range(count):
        core.vz.set_gc0("index", index)
        core.vz.tlbgr()
        if core.vz.c0("guestctl1") >> RID_SHIFT & ID == ctl1 & ID:
            entries.append(Entry(*(core.vz.gc0(name) for name in ("pagemask", "entryhi", "entrylo0", "entrylo1"))))
        else:
            entries.append(Entry(0, unique_entryhi(index, CKSEG1), 0, 0))
    core.vz.set_c0("guestctl1", ctl1)
    for name, value in saved.items():
        core.vz.set_gc0(name, value)
    return entries


def load_guesttlb(core: Core, entries: list[Entry]) -> None:
    """Write entries from index 0 on, owned by the current GuestID."""
    saved = {name: core.vz.gc0(name) for name in _GUEST}
    ctl1 = core.vz.c0("guestctl1")
    set_root_gid_to_guest_gid(core)
    for index, entry in enumerate(entries):
        core.vz.set_gc0("index", index)
        for name, value in zip(("pagemask", "entryhi", "entrylo0", "entrylo1"), entry, strict=True):
            core.vz.set_gc0(name, value)
        core.vz.tlbgwi()
    core.vz.set_c0("guestctl1", ctl1)
    for name, value in saved.items():
        core.vz.set_gc0(name, value)
