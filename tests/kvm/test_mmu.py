"""The GPA page table alone: faults, tracking of use, flushes, the notifier."""

from __future__ import annotations

import ctypes

import pytest

from cpu.kvm import mmu
from cpu.kvm.mmu import ACCESSED, DIRTY, MODIFIED, PRESENT, VALID, WRITE, GpaTable, NoSlotError, Slot

PAGE = 1 << 14
RAM = Slot(0, 0x10, 5000, 0x8000_0000, 0)
ROM = Slot(1, 0x9000, 4, 0x1000_0000, mmu.MEM_READONLY)


@pytest.fixture
def table():
    slots = (RAM, ROM)
    RAM.log(False)
    return GpaTable(lambda gfn: next((s for s in slots if s.base_gfn <= gfn < s.end_gfn), None))


def gpa(gfn):
    return gfn * PAGE


def walked(table, address):
    """The PTE as the core's refill finds it: by host addresses."""

    def entry(host, index):
        return ctypes.c_int64.from_address(host + 8 * index).value

    pmd = entry(table.address, address >> 36 & 2047)
    leaf = entry(pmd, address >> 25 & 2047) if pmd else 0
    return entry(leaf, address >> 14 & 2047) if leaf else 0


def test_a_read_fault_makes_a_page_young_and_clean(table):
    assert table.map_page(gpa(0x20), write=False) is False
    pte = table.pte(0x20)
    assert pte & (PRESENT | VALID | ACCESSED | WRITE | MODIFIED | DIRTY) == PRESENT | VALID | ACCESSED | WRITE
    assert GpaTable.root_address(pte) == 0x8000_0000 + 0x10 * PAGE
    assert pte >> 8 >> 6 << 12 == GpaTable.root_address(pte), "EntryLo is the PTE moved down by 8"
    assert walked(table, gpa(0x20)) == pte


def test_a_write_fault_makes_it_dirty_by_the_fast_path(table):
    RAM.log(True)
    table.map_page(gpa(0x20), write=False)
    assert table.map_page(gpa(0x20), write=True) is True
    assert table.pte(0x20) & (MODIFIED | DIRTY) == MODIFIED | DIRTY
    assert RAM.dirty[2] == 1 << 0, "page 0x10 of the slot"


@pytest.mark.parametrize(
    ("address", "write"),
    [(0, False), (gpa(0x10 + 5000), False), (gpa(0x9001), True), (1 << 47, False), (1 << 63, True)],
)
def test_what_no_slot_gives(table, address, write):
    with pytest.raises(NoSlotError):
        table.map_page(address, write)


def test_a_read_only_page_can_be_read(table):
    table.map_page(gpa(0x9001), write=False)
    assert not table.pte(0x9001) & WRITE


def test_old_and_clean_pages_fault_once_and_stay_where_they_are(table):
    for gfn in range(0x10, 0x20):
        table.map_page(gpa(gfn), write=True)
    assert table.mkold(0x12, 0x13) is True
    assert table.mkold(0x12, 0x13) is False
    assert [bool(table.pte(gfn) & VALID) for gfn in (0x11, 0x12, 0x13, 0x14)] == [True, False, False, True]
    assert table.map_page(gpa(0x12), write=False) is True
    assert table.mkclean(0x10, 0x1F) is True
    assert table.mkclean(0x10, 0x1F) is False
    assert not table.pte(0x12) & (MODIFIED | DIRTY)
    assert table.pte(0x12) & WRITE


def test_mkclean_of_a_mask(table):
    for gfn in range(0x10, 0x20):
        table.map_page(gpa(gfn), write=True)
    assert table.mkclean_masked(0x10, 0b101) is True
    assert [bool(table.pte(gfn) & DIRTY) for gfn in (0x10, 0x11, 0x12)] == [False, True, False]


def test_a_flush_forgets_and_frees_whole_tables(table):
    for gfn in (0x20, 0x900, 0x1200):
        table.map_page(gpa(gfn), write=False)
    assert table.flush(0x20, 0x20) is True
    assert table.flush(0x20, 0x20) is False
    assert table.pte(0x20) == 0 and walked(table, gpa(0x20)) == 0
    tables = len(table._tables)
    assert table.flush(0x800, 0xFFF) is True, "one leaf table from end to end"
    assert len(table._tables) == tables - 1
    assert walked(table, gpa(0x900)) == 0 and table.pte(0x1200)
    assert table.flush(0, (1 << 50) - 1) is True


def test_an_invalidation_between_lookup_and_commit_makes_the_fault_look_again(table):
    rounds = []

    def interfere():
        rounds.append(1)
        if len(rounds) == 1:
            table.unmap_range([RAM, ROM], 0x8000_0000, 0x8000_0000 + PAGE)

    table.before_commit = interfere
    table.map_page(gpa(0x10), write=False)
    assert len(rounds) == 2


def test_the_notifier(table):
    slots = [RAM, ROM]
    for gfn in (0x10, 0x11, 0x12):
        table.map_page(gpa(gfn), write=True)
    assert table.test_age(slots, 0x8000_0000 + PAGE)
    assert table.age(slots, 0x8000_0000 + PAGE, 0x8000_0000 + 2 * PAGE)
    assert not table.test_age(slots, 0x8000_0000 + PAGE)
    assert table.pte(0x10) & VALID and table.pte(0x12) & VALID
    assert table.change_pte(slots, 0x8000_0000, 0x9000_0000) is True
    assert GpaTable.root_address(table.pte(0x10)) == 0x9000_0000
    assert table.unmap_range(slots, 0x8000_0000, 0x8000_0000 + PAGE) is True
    assert table.pte(0x10) == 0
