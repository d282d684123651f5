"""The TLB, segments and CP0's memory registers, on both tiers."""

from __future__ import annotations

import pytest

from cpu import state
from tests.cpu.core_rig import (
    ADEL,
    ADES,
    CODE,
    ERL,
    EXL,
    IEC,
    KSEG0,
    KSEG1,
    KX,
    M64,
    MIB,
    MOD,
    RI_BIT,
    RIE,
    SM,
    STATUS,
    SX,
    SYS,
    TLBL,
    TLBRI,
    TLBS,
    TLBXI,
    UM,
    UX,
    XI_BIT,
    XIE,
    XKPHYS,
    D,
    G,
    V,
    lo,
    on_both_tiers,
)

rig = on_both_tiers()

DATA = 4 * MIB
SIZES = {4 << 10 << 2 * n: ((1 << 2 * n) - 1) << 13 for n in range(10)}


def load_at(rig, address: int, **start):
    return rig.go("lbu $v0, 0($a0)\nwait 0", a0=address, **start)


def store_at(rig, address: int, value: int = 0xA5, **start):
    return rig.go("sb $t0, 0($a0)\nwait 0", a0=address, t0=value, **start)


@pytest.mark.parametrize(("size", "mask"), SIZES.items(), ids=lambda v: f"{v:#x}")
def test_a_page_of_each_size(rig, size, mask):
    """Both pages of the pair at the smallest physical frames, so that their starts are RAM whatever the size."""
    base = 0xC000_1000_0000_0000 | 4 * size
    rig.memory.write(0x234, b"\x11")
    frame = 0 if size > 8 * MIB else size
    rig.memory.write(frame + 0x234, b"\x22")
    rig.tlb(7, base, lo(0, V | D), lo(frame, V), mask)
    even, odd = load_at(rig, base + 0x234), load_at(rig, base + size + 0x234)
    assert odd["v0"] == 0x22 and even["v0"] == (0x22 if frame == 0 else 0x11)
    assert load_at(rig, base - 1).vector == 0x080 and load_at(rig, base + 2 * size).vector == 0x080
    assert store_at(rig, base + 0x235).vector is None
    assert rig.memory.read(0x235, 1) == b"\xa5"
    assert store_at(rig, base + size + 0x235).code == MOD
    if size < 8 * MIB:
        rig.memory.write(2 * size - 1, b"\x33")
        assert load_at(rig, base + 2 * size - 1)["v0"] == 0x33


def test_pagemask_keeps_only_sizes_there_are(rig):
    for written, read in [(M64, 0x7FFF_E000), (0x6000, 0x6000), (0x1FFF_E000, 0x1FFF_E000), (0x2000, 0), (0xE000, 0),
                          (0x1_E000, 0x1_E000), (0x1FFF, 0)]:  # fmt: skip
        end = rig.go("dmtc0 $a0, $pagemask\nmfc0 $v0, $pagemask\nwait 0", a0=written)
        assert end["v0"] == read, hex(written)


def test_an_entry_belongs_to_its_asid(rig):
    rig.tlb(0, 0x4000, lo(DATA, V | D), lo(DATA + 0x1000, V | D), asid=5)
    rig.tlb(1, 0x4000, lo(DATA + 0x2000, V | D), lo(DATA + 0x3000, V | D), asid=0x3FF)
    rig.memory.write(DATA, b"\5")
    rig.memory.write(DATA + 0x2000, b"\7")
    for _ in range(2):
        assert load_at(rig, 0x4000, cp0={"entryhi": 5})["v0"] == 5
        assert load_at(rig, 0x4000, cp0={"entryhi": 0x3FF})["v0"] == 7
        assert load_at(rig, 0x4000, cp0={"entryhi": 6}).vector == 0x080


def test_asids_switch_within_a_run(rig):
    """Without a stop in between, so that the soft-MMU's tables are those of the run."""
    rig.tlb(0, 0x4000, lo(DATA, V | D), 0, asid=1)
    rig.tlb(1, 0x4000, lo(DATA + 0x1000, V | D), 0, asid=2)
    rig.tlb(2, 0x8000, lo(DATA + 0x2000, V | D | G), lo(0, G), asid=3)
    text = """
        li      $s0, 40                 # more ASIDs than the soft-MMU has contexts, then the first two again
1:      dmtc0   $s0, $entryhi
        sw      $s0, 0($a1)
        addiu   $s0, $s0, -1
        slti    $t0, $s0, 3
        beqz    $t0, 1b
        nop
        li      $s1, 20
2:      li      $t0, 1
        dmtc0   $t0, $entryhi
        sw      $s1, 0($a0)
        li      $t0, 2
        dmtc0   $t0, $entryhi
        lw      $v0, 0($a0)
        addiu   $s1, $s1, -1
        sw      $s1, 0($a0)
        bgtz    $s1, 2b
        nop
        wait    0
    """
    end = rig.go(text, a0=0x4000, a1=0x8000)
    assert (end.vector, end["v0"]) == (None, 1)
    words = [int.from_bytes(rig.memory.read(DATA + at, 4), "little") for at in (0, 0x1000, 0x2000)]
    assert words == [1, 0, 3]


def test_global_needs_both_halves(rig):
    rig.tlb(0, 0x4000, lo(DATA, V | G), lo(DATA, V | G), asid=5)
    rig.tlb(1, 0x8000, lo(DATA, V | G), lo(DATA, V), asid=5)
    assert load_at(rig, 0x4000, cp0={"entryhi": 9}).vector is None
    assert load_at(rig, 0x8000, cp0={"entryhi": 9}).vector == 0x080
    assert load_at(rig, 0x8000, cp0={"entryhi": 5}).vector is None


@pytest.mark.parametrize("base", [0x4000, 0xC000_0000_0000_4000, 0xFFFF_FFFF_C009_8000, 0xFFFF_FFFF_E000_0000], ids=hex)
def test_a_remapped_page_is_seen_at_once(rig, base):
    rig.memory.write(DATA, b"\1")
    rig.memory.write(DATA + 0x1000, b"\2")
    text = """
        lbu     $v0, 0($a0)
        sb      $v0, 1($a0)
        dmtc0   $a1, $entrylo0
        tlbwi
        lbu     $v1, 0($a0)
        sb      $v1, 1($a0)
        dmtc0   $0, $entrylo0
        tlbwi
        lbu     $t0, 0($a0)
    """
    rig.tlb(0, base, lo(DATA, V | D), 0)
    end = rig.go(text, a0=base, a1=lo(DATA + 0x1000, V | D), cp0={"entryhi": base})
    assert (end["v0"], end["v1"], end.code, end.vector) == (1, 2, TLBL, 0x180)
    assert rig.memory.read(DATA, 2) == b"\1\1" and rig.memory.read(DATA + 0x1000, 2) == b"\2\2"


def test_a_large_page_that_goes_takes_all_of_itself_along(rig):
    mask = SIZES[1 * MIB]
    rig.tlb(0, 0x40_0000, lo(0, V | D), lo(MIB, V | D), mask)
    text = "lbu $t0, 0($a0)\nlbu $t0, 0($a1)\ntlbwi\nlbu $t0, 0($a2)"
    for last in (0x40_0000, 0x41_F000, 0x5F_F000):
        rig.tlb(0, 0x40_0000, lo(0, V | D), lo(MIB, V | D), mask)
        end = rig.go(text, a0=last, a1=0x40_3000, a2=last, cp0={"entryhi": 0xFFFF_FFFF_C000_0000, "index": 0})
        assert (end.code, end.epc, end.badvaddr, end.vector) == (TLBL, CODE + 12, last, 0x080)


def test_ehinv_writes_an_entry_that_matches_nothing(rig):
    rig.tlb(3, 0x4000, lo(DATA, V | G), lo(DATA, V | G))
    text = "lbu $t0, 0($a0)\nmtc0 $a1, $entryhi\ntlbwi\nmtc0 $0, $entryhi\nlbu $t0, 0($a0)"
    end = rig.go(text, a0=0x4000, a1=0x4400, cp0={"index": 3})
    assert (end.vector, end.epc) == (0x080, CODE + 16)
    end = rig.go("tlbr\nwait 0", cp0={"index": 3, "pagemask": 0x6000, "entrylo0": 7})
    assert (end.cp0["entryhi"], end.cp0["pagemask"], end.cp0["entrylo0"], end.cp0["entrylo1"]) == (0x400, 0, 0, 0)


def test_tlbinvf_empties_the_tlb_and_tlbinv_spares_others(rig):
    def fill():
        rig.tlb(0, 0x4000, lo(DATA, V), lo(DATA, V), asid=1)
        rig.tlb(1, 0x8000, lo(DATA, V), lo(DATA, V), asid=2)
        rig.tlb(2, 0xC000, lo(DATA, V | G), lo(DATA, V | G), asid=1)

    fill()
    assert rig.go("tlbinv\nwait 0", cp0={"entryhi": 1}).vector is None
    assert load_at(rig, 0x4000, cp0={"entryhi": 1}).vector == 0x080
    assert load_at(rig, 0x8000, cp0={"entryhi": 2}).vector is None
    assert load_at(rig, 0xC000, cp0={"entryhi": 1}).vector is None
    fill()
    for address, asid in ((0x4000, 1), (0x8000, 2), (0xC000, 0)):
        fill()
        end = rig.go("lbu $t0, 0($a0)\ntlbinvf\nlbu $t0, 0($a0)", a0=address, cp0={"entryhi": asid})
        assert (end.vector, end.epc) == (0x080, CODE + 8)
    assert all(rig.entry(k)[1] >> 63 for k in range(state.TLB_ENTRIES))


def test_probe_write_and_read_back(rig):
    text = """
        dmtc0   $a0, $entryhi
        dmtc0   $a1, $entrylo0
        dmtc0   $a2, $entrylo1
        mtc0    $a3, $pagemask
        tlbwi
        dmtc0   $0, $entrylo0
        dmtc0   $0, $entrylo1
        mtc0    $0, $pagemask
        mtc0    $0, $index
        tlbp
        mfc0    $v0, $index
        dmtc0   $s0, $entryhi
        tlbp
        mfc0    $v1, $index
        tlbr
        wait    0
    """
    high = 0xC000_1234_5678_0000 & ~0x7FFF
    even, odd = lo(0x1234_5000 & ~0x3FFF, V | D | G), lo(0x55_4000, V | G)
    end = rig.go(text, a0=high | 0x155, a1=even, a2=odd, a3=0x6000, s0=high ^ 1 << 40, cp0={"index": 9})
    # TLBR reads entry 0 here: the second probe failed, Index is P (bit 31) and its low bits are undefined.
    assert (end["v0"], end["v1"] >> 31 & 1) == (9, 1)
    end = rig.go("tlbr\nwait 0", cp0={"index": 9})
    assert end.cp0["entryhi"] == high | 0x155
    assert (end.cp0["entrylo0"], end.cp0["entrylo1"], end.cp0["pagemask"]) == (even, odd, 0x6000)


def test_global_is_read_back_as_the_and_of_both(rig):
    rig.tlb(4, 0x4000, lo(DATA, V | G), lo(DATA, V))
    end = rig.go("tlbr\nwait 0", cp0={"index": 4})
    assert (end.cp0["entrylo0"] & G, end.cp0["entrylo1"] & G) == (0, 0)


def test_tlbwr_spares_wired_entries_and_reaches_all_others(rig):
    wired = 5
    for k in range(wired):
        rig.tlb(k, 0x100_0000 + k * 0x2000, lo(DATA, V), 0)
    text = """
1:      dmtc0   $s0, $entryhi
        tlbwr
        daddiu  $s0, $s0, 0x2000
        addiu   $s1, $s1, -1
        bnez    $s1, 1b
        nop
        wait    0
    """
    end = rig.go(text, s0=0x4000_0000, s1=1000, cp0={"wired": wired, "entrylo0": lo(DATA, V)})
    assert end.vector is None
    assert [rig.entry(k)[0] for k in range(wired)] == [0x100_0000 + k * 0x2000 for k in range(wired)]
    assert all(rig.entry(k)[0] >= 0x4000_0000 for k in range(wired, 64))


@pytest.mark.parametrize("iec", [0, IEC])
def test_read_inhibit(rig, iec):
    grain = {"pagegrain": RIE | XIE | iec}
    rig.tlb(0, 0x4000, lo(DATA, V | D) | RI_BIT, 0)
    end = load_at(rig, 0x4000, cp0=grain)
    assert (end.code, end.vector, end.badvaddr) == (TLBRI if iec else TLBL, 0x180, 0x4000)
    assert store_at(rig, 0x4000, cp0=grain).vector is None


@pytest.mark.parametrize("iec", [0, IEC])
def test_execute_inhibit(rig, iec):
    grain = {"pagegrain": RIE | XIE | iec}
    rig.tlb(0, 0x4000, lo(DATA, V | D) | XI_BIT, 0)
    end = rig.go("jr $a0\nnop", a0=0x4000, cp0=grain)
    assert (end.code, end.vector, end.badvaddr, end.epc) == (TLBXI if iec else TLBL, 0x180, 0x4000, 0x4000)
    assert load_at(rig, 0x4000, cp0=grain).vector is None


def test_a_page_first_read_can_still_not_be_executed(rig):
    """Reads, writes and fetches are remembered apart."""
    rig.load("syscall 0", KSEG0 + DATA)
    rig.tlb(0, 0x4000, lo(DATA, V) | XI_BIT, 0)
    end = rig.go("lw $t0, 0($a0)\njr $a0\nnop", a0=0x4000, cp0={"pagegrain": RIE | XIE | IEC})
    assert (end.code, end.epc) == (TLBXI, 0x4000)
    rig.tlb(0, 0x4000, lo(DATA, V) | RI_BIT, 0)
    end = rig.go("jr $a0\nnop", a0=0x4000, cp0={"pagegrain": RIE | XIE | IEC})
    assert (end.code, end.epc) == (SYS, 0x4000)
    end = rig.go("lw $t0, 0($a0)\nsw $t0, 0($a0)", a0=0x8000)
    rig.tlb(0, 0x4000, lo(DATA, V), 0)
    end = rig.go("lw $t0, 0($a0)\nsw $t0, 0($a0)", a0=0x4000)
    assert (end.code, end.epc, end.badvaddr) == (MOD, CODE + 4, 0x4000)


def test_entrylo_probe_of_linux(rig):
    """All ones written, read back: the PFN's width, and RI and XI only once PageGrain enables them."""
    text = "dmtc0 $a0, $entrylo0\ndmfc0 $v0, $entrylo0\nmfc0 $v1, $entrylo0\nwait 0"
    end = rig.go(text, a0=M64)
    assert (end["v0"], end["v1"]) == ((1 << 42) - 1, 0x3FFF_FFFF)
    end = rig.go(text, a0=M64, cp0={"pagegrain": RIE | XIE})
    assert end["v0"] == 3 << 62 | (1 << 42) - 1
    assert end["v1"] == M64
    end = rig.go("mtc0 $a0, $entrylo1\ndmfc0 $v0, $entrylo1\nwait 0", a0=M64, cp0={"pagegrain": RIE | XIE})
    assert end["v0"] == 3 << 62 | 0x3FFF_FFFF


def test_entryhi_probe_of_linux(rig):
    """How many segment bits there are; the ASID's width; EHINV."""
    end = rig.go("dmtc0 $a0, $entryhi\ndmfc0 $v0, $entryhi\nwait 0", a0=0x3FFF_FFFF_FFFF_E000)
    assert end["v0"] == 0x0000_FFFF_FFFF_E000
    end = rig.go("dmtc0 $a0, $entryhi\ndmfc0 $v0, $entryhi\nwait 0", a0=M64)
    assert end["v0"] == 0xC000_FFFF_FFFF_E7FF


def test_ebase_write_gate(rig):
    text = "dmtc0 $a0, $15, 1\ndmfc0 $v0, $15, 1\nwait 0"
    end = rig.go(text, a0=0x9800_0000_1234_5FFF & ~0x800, cp0={"ebase": KSEG0})
    assert end["v0"] == 0xFFFF_FFFF_9234_5000, "without WG only bits 29:12 change; CPUNum is read-only"
    end = rig.go(text, a0=0x9800_0000_1234_5FFF, cp0={"ebase": KSEG0})
    assert end["v0"] == 0x9800_0000_1234_5800
    rig.set()


def test_segments_of_kernel_mode(rig):
    rig.memory.write(DATA + 8, b"\x5a")
    for base in (KSEG0, KSEG1, XKPHYS, 0x9000_0000_0000_0000, 0x8000_0000_0000_0000, 0xB800_0000_0000_0000):
        assert load_at(rig, base + DATA + 8)["v0"] == 0x5A, hex(base)
    assert load_at(rig, XKPHYS + 0x8000_0000 + DATA + 8)["v0"] == 0x5A, "all RAM is also at 0x80000000"
    assert load_at(rig, 0x9801_0000_0000_0000).code == ADEL
    assert load_at(rig, XKPHYS + DATA, status=STATUS & ~KX).code == ADEL
    assert load_at(rig, KSEG0 + DATA + 8, status=STATUS & ~(KX | SX | UX))["v0"] == 0x5A
    for address in (0x0001_0000_0000_0000, 0x4001_0000_0000_0000, 0xC000_FFFF_8000_0000, 0xFFFF_FFFF_7FFF_FFFF):
        assert (load_at(rig, address).code, store_at(rig, address).code) == (ADEL, ADES), hex(address)


SEGMENTS = {
    "useg": 0x4000,
    "xuseg": 0x1_0000_4000,
    "xsseg": 0x4000_0000_0000_4000,
    "xkseg": 0xC000_0000_0000_4000,
    "sseg": 0xFFFF_FFFF_C000_4000,
    "kseg3": 0xFFFF_FFFF_E000_4000,
    "kseg0": KSEG0 + DATA,
    "kseg1": KSEG1 + DATA,
    "xkphys": XKPHYS + DATA,
}
REACHED = {
    (0, UX | SX | KX): set(SEGMENTS),
    (0, 0): {"useg", "sseg", "kseg3", "kseg0", "kseg1"},
    (0, KX): set(SEGMENTS) - {"xuseg", "xsseg"},
    (SM, UX | SX | KX): {"useg", "xuseg", "xsseg", "sseg"},
    (SM, 0): {"useg", "sseg"},
    (UM, UX | SX | KX): {"useg", "xuseg"},
    (UM, SX | KX): {"useg", "xuseg", "xsseg", "xkseg", "xkphys"},  # useg, by the low 32 bits of the address
    (UM | EXL, UX | SX | KX): set(SEGMENTS),
    (SM | ERL, UX | SX | KX): set(SEGMENTS),
}


@pytest.mark.parametrize(("mode", "wide"), REACHED, ids=lambda v: f"{v:#x}")
def test_what_each_mode_reaches(rig, mode, wide):
    """The code runs from a global mapping of useg; with ERL, useg is physical memory."""
    status = STATUS & ~(UX | SX | KX) | wide | mode
    for k, (name, address) in enumerate(SEGMENTS.items()):
        if "kseg0" not in name and name not in ("kseg1", "xkphys"):
            rig.tlb(10 + k, address, lo(DATA, V | D | G), lo(DATA, V | D | G))
    rig.tlb(0, 0x10000, lo(0x10000, V | D | G), lo(0x11000, V | D | G))
    rig.tlb(1, DATA, lo(DATA, V | D | G), lo(DATA, V | D | G))
    reached = set()
    for name, address in SEGMENTS.items():
        end = rig.go("lbu $v0, 0($a0)\nsyscall 0", 0x10000, 0x10000, a0=address, status=status)
        assert end.code == SYS or (end.code, end.badvaddr) == (ADEL, address), name
        if end.code == SYS:
            reached.add(name)
    assert reached == REACHED[mode, wide]


def test_erl_makes_useg_physical(rig):
    rig.memory.write(DATA + 8, b"\x5a")
    assert load_at(rig, DATA + 8, status=STATUS | ERL)["v0"] == 0x5A
    assert load_at(rig, DATA + 8).vector == 0x080
    assert load_at(rig, 0x1_0000_0000 + DATA + 8, status=STATUS | ERL).code == TLBL


def test_unaligned_accesses_within_and_across_pages(rig):
    rig.tlb(0, 0x4000, lo(DATA, V | D), lo(DATA + 0x5000, V | D))
    rig.memory.write(DATA, bytes(range(256)) * 16)
    rig.memory.write(DATA + 0x5000, bytes(range(256)) * 16)
    end = rig.go("ld $v0, 3($a0)\nlw $v1, 0xfff($a0)\nlhu $t0, 0xfff($a0)\nlwu $t1, 0xffd($a0)\nwait 0", a0=0x4000)
    assert end["v0"] == 0x0A09_0807_0605_0403
    assert (end["v1"], end["t0"], end["t1"]) == (0x0201_00FF, 0x00FF, 0x00FF_FEFD)
    rig.go("sd $t0, 0xffb($a0)\nsh $t0, 1($a0)\nwait 0", a0=0x4000, t0=0x1122_3344_5566_7788)
    assert rig.memory.read(DATA + 0xFFB, 5) == bytes.fromhex("8877665544")
    assert rig.memory.read(DATA + 0x5000, 4) == bytes.fromhex("33221103")
    assert rig.memory.read(DATA + 0x1000, 4) == bytes(4)
    assert rig.memory.read(DATA + 1, 2) == bytes.fromhex("8877")


@pytest.mark.parametrize(
    ("second", "code", "vector"),
    [(None, TLBS, 0x080), (D, TLBS, 0x180), (V, MOD, 0x180)],
    ids=["refill", "invalid", "mod"],
)
def test_a_fault_on_the_second_page_comes_before_the_first_byte(rig, second, code, vector):
    rig.tlb(0, 0x6000, lo(DATA + 0x2000, V | D), lo(DATA + 0x3000, V | D))
    if second is not None:
        rig.tlb(1, 0x8000, lo(DATA, second), 0)
    before = rig.memory.read(DATA + 0x3FF0, 16)
    end = rig.go("sd $t0, 0($a0)", a0=0x7FFD, t0=M64)
    assert (end.code, end.vector, end.badvaddr, end.epc) == (code, vector, 0x8000, CODE)
    assert end.cp0["entryhi"] == 0x8000
    assert rig.memory.read(DATA + 0x3FF0, 16) == before
    if second != V:
        end = rig.go("ld $t0, 0($a0)", a0=0x7FFD, t0=77)
        assert (end.code, end.badvaddr, end["t0"]) == (TLBL, 0x8000, 77)


def test_left_and_right_report_their_own_address(rig):
    for text, code in (("ldl $t0, 5($a0)", TLBL), ("ldr $t0, 5($a0)", TLBL), ("swl $t0, 6($a0)", TLBS)):
        end = rig.go(text, a0=0x4000)
        assert (end.code, end.badvaddr) == (code, 0x4005 if "5(" in text else 0x4006)


def test_a_load_to_r0_is_a_hint(rig):
    end = rig.go("lw $0, 0($a0)\nlb $0, 3($a1)\nwait 0", a0=0x4000, a1=1 << 50)
    assert end.vector is None and end.instructions == 2


def test_a_device_may_not_be_accessed_unaligned(rig):
    device = KSEG1 + 0x1FE0_0000
    assert (load := rig.go("lw $t0, 1($a0)", a0=device)).code == ADEL and load.badvaddr == device + 1
    assert rig.go("sh $t0, 3($a0)", a0=device).code == ADES
    assert not rig.written


def test_a_device_is_reached_through_the_tlb(rig):
    rig.tlb(0, 0x4000, lo(0x1FE0_0000, V | D), 0)
    rig.devices = {0x1FE0_0120: 0x8001, 0x1FE0_0124: 0xFFFF_FFFF_8000_0001}
    end = rig.go("lh $v0, 0x120($a0)\nlwu $v1, 0x124($a0)\nsw $v1, 0x128($a0)\nwait 0", a0=0x4000)
    assert (end["v0"], end["v1"]) == (0xFFFF_FFFF_FFFF_8001, 0x8000_0001)
    assert rig.written == [(0x1FE0_0128, 4, 0x8000_0001)]


def test_rom_is_read_as_memory_and_written_as_a_device(rig):
    rig.memory.write(0x1FC0_1000, b"\x77")
    assert load_at(rig, KSEG1 + 0x1FC0_1000)["v0"] == 0x77
    assert store_at(rig, KSEG1 + 0x1FC0_1000, 0x11).vector is None
    assert rig.written == [(0x1FC0_1000, 1, 0x11)] and rig.memory.read(0x1FC0_1000, 1) == b"\x77"


def test_code_in_user_mode_and_back(rig):
    rig.tlb(0, 0x10000, lo(0x10000, V | G), lo(0x11000, V | G))
    end = rig.go("li $v0, 5\nsyscall 0", 0x10000, 0x10000, status=STATUS | UM)
    assert (end.code, end.epc, end["v0"], end.cp0["status"]) == (SYS, 0x10004, 5, STATUS | UM | EXL)


WRITABLE = {
    # register: (written, read back) of DMTC0/DMFC0 or MTC0/MFC0
    "$index": (M64, 0x3F), "$wired": (M64, 0x3F), "$context": (M64, M64 & ~0x7F_FFFF),
    "$xcontext": (M64, M64 & ~0x1FF_FFFF_FFFF), "$hwrena": (M64, 0xFFFF_FFFF_E000_000F),
    "$12, 1": (M64, 0xFFFF_FFFF_E000_03E0), "$prid": (M64, 0x14C000), "$16, 1": (0, 0xFFFF_FFFF_FEAB_559B),
    "$16, 4": (0, 0xFFFF_FFFF_D0FC_0000), "$badvaddr": (M64, 0), "$epc": (M64 - 1, M64 - 1),
    "$31, 2": (M64, M64), "$31, 3": (1 << 63, 1 << 63), "$18, 0": (M64, 0), "$random": (0, 63),
}  # fmt: skip


def test_write_masks(rig):
    for register, (written, read) in WRITABLE.items():
        end = rig.go(f"dmtc0 $a0, {register}\ndmfc0 $v0, {register}\nwait 0", a0=written)
        assert end["v0"] == read, register
    end = rig.go("mtc0 $a0, $cause\nmfc0 $v0, $cause\nmtc0 $0, $cause\nwait 0", a0=M64)
    assert end["v0"] == 0x08C0_0300
    assert rig.go("mfc0 $v0, $7, 5\nmtc0 $a0, $7, 5\nmfc0 $v1, $7, 5\nwait 0", a0=5)["v1"] == 0, (
        "absent registers read 0"
    )
