"""The FTLB on every tier: geometry, where entries go, reach of the TLB instructions, root's and the guest's."""

from __future__ import annotations

import pytest

from cpu import state
from cpu.core import Core, CoreError
from cpu.memory import Memory
from cpu.tlb.ftlb import FIRST
from tests.cpu.core_rig import CODE, KSEG0, KX, M64, MIB, TIERS, TLBL, D, Rig, V, lo
from tests.cpu.vz_rig import ID, GuestRun, VzRig, guest_lo, move

MCHECK = 24
MASK_16K, PAIR = 0x6000, 0x8000
WAY = state.FTLB_SETS
EHINV = 0x400
FTLBDIS = 1 << 22
DATA = 4 * MIB
BASE = 0xC000_0000_0100_0000  # a mapped address of set 0: bits 22:15 are clear


@pytest.fixture(params=TIERS)
def rig(request) -> Rig:
    return Rig(request.param, ftlb=True)


def entry(high: int, index: int = 0, mask: int = MASK_16K, low: int | None = None) -> str:
    """Code that fills the registers of a TLB write."""
    low = lo(DATA, V | D) if low is None else low
    names = {"index": index, "entryhi": high, "pagemask": mask, "entrylo0": low, "entrylo1": low}
    return "".join(move("mtc0", name, value) for name, value in names.items())


def do(rig, *texts: str, **start):
    return rig.go("\n".join(texts) + "\nwait 0", **start)


def valid(rig, bank: int = 0) -> list[int]:
    """Indices of the valid entries of a context."""
    at = bank + state.TLB + 1
    masks = rig.S[at : at + (FIRST + state.FTLB_ENTRIES) * state.TLB_FIELDS : state.TLB_FIELDS]
    return [k for k, mask in enumerate(masks.tolist()) if mask >= 0]


def test_what_the_registers_say(rig):
    """MT = 4; MMUExtDef = 3 with no more VTLB than MMUSize says, 2 + 6 ways of 2^8 sets, pages of 4^2 KiB."""
    end = do(rig, "mfc0 $v0, $16\nmfc0 $v1, $16, 1\nmfc0 $a0, $16, 4")
    assert end["v0"] >> 7 & 7 == 4 and end["v1"] >> 25 & 63 == 63
    fields = [end["a0"] >> at & (1 << bits) - 1 for at, bits in ((24, 4), (14, 2), (8, 5), (4, 4), (0, 4))]
    assert fields == [0, 3, 2, 6, 8]
    assert do(rig, move("mtc0", "index", M64) + "mfc0 $v0, $0")["v0"] == 0xFFF


@pytest.mark.parametrize(("field", "kept"), [(n, n if 1 <= n <= 10 else 2) for n in (0, 1, 2, 3, 10, 11, 31)])
def test_the_page_size_is_one_that_pagemask_knows(rig, field, kept):
    end = do(rig, move("mtc0", "config4", field << 8) + "mfc0 $v0, $16, 4")
    assert end["v0"] & 0xFFFF_FFFF == 0xD0FC_C068 | kept << 8


@pytest.mark.parametrize("number", [0, 1, 255])
def test_random_writes_of_its_page_size_fill_the_set(rig, number):
    """Free ways first, in order; the ninth page of a set replaces one of them; no other set is touched."""
    sets = [entry(BASE + PAIR * (number + WAY * k)) + "tlbwr" for k in range(9)]
    do(rig, *sets[:8])
    assert valid(rig) == [FIRST + number + WAY * way for way in range(8)]
    assert rig.entry(FIRST + number + WAY * 3)[0] == BASE + PAIR * (number + WAY * 3)
    do(rig, sets[8])
    assert len(valid(rig)) == 8
    held = {rig.entry(k)[0] for k in valid(rig)}
    assert BASE + PAIR * (number + WAY * 8) in held and len(held) == 8
    assert do(rig, "mfc0 $v0, $1")["v0"] == 63, "Random is of the VTLB"


def test_other_page_sizes_go_to_the_vtlb(rig):
    wired = move("mtc0", "wired", 60)
    do(rig, wired, *(entry(BASE + 2 * k * MIB, mask=mask) + "tlbwr" for k, mask in enumerate((0, 0x1E000, 0x1FE000))))
    assert valid(rig) and all(60 <= k < 64 for k in valid(rig))
    do(rig, move("mtc0", "config4", 1 << 8), entry(BASE, mask=0) + "tlbwr")
    assert valid(rig)[-1] == FIRST, "pages of 4 KiB are now those of the FTLB"


def test_a_page_is_found_and_translated(rig):
    rig.memory.write(DATA + 0x123, b"\x5a")
    end = do(rig, entry(BASE) + "tlbwr\nlbu $v0, 0x123($a0)\nlbu $v1, 0x4123($a0)", a0=BASE)
    assert end["v0"] == end["v1"] == 0x5A
    assert do(rig, "lbu $v0, 0($a0)", a0=BASE + PAIR).code == TLBL


def test_a_page_can_be_written_by_index_into_its_set_alone(rig):
    at = FIRST + 5 * WAY + 7
    do(rig, entry(BASE + 7 * PAIR, at) + "tlbwi")
    assert valid(rig) == [at]
    wrong_set, wrong_size = entry(BASE + 8 * PAIR, at), entry(BASE + 7 * PAIR, at, mask=0)
    for text in (wrong_set, wrong_size):
        end = do(rig, text + "tlbwi")
        assert (end.code, end.vector) == (MCHECK, 0x180)
        assert valid(rig) == [at] and rig.entry(at)[0] == BASE + 7 * PAIR
    do(rig, entry(KSEG0 + 9 * PAIR | EHINV, at, mask=0) + "tlbwi")
    assert valid(rig) == [], "an invalid entry has its place anywhere"


def test_probe_and_read_reach_both(rig):
    at = FIRST + 2 * WAY + 3
    end = do(rig, entry(BASE + 3 * PAIR, at), "tlbwi", entry(BASE, 9, mask=0), "tlbwi",
             entry(BASE + 3 * PAIR), "tlbp\nmfc0 $v0, $0\ntlbr\ndmfc0 $v1, $10\nmfc0 $a0, $5",
             entry(BASE), "tlbp\nmfc0 $a1, $0")  # fmt: skip
    assert (end["v0"], end["v1"], end["a0"], end["a1"]) == (at, BASE + 3 * PAIR, MASK_16K, 9)


def test_no_two_entries_match(rig):
    """A page of the VTLB drops those of the FTLB that it covers, in all their sets, and the other way round."""
    do(rig, *(entry(BASE + k * PAIR) + "tlbwr" for k in range(5)))
    do(rig, entry(BASE, 11, mask=0x1FFFF & ~0x1FFF) + "tlbwi")
    assert valid(rig) == [11, FIRST + 4], "128 KiB at BASE are four pairs of 16 KiB"
    do(rig, entry(BASE + 3 * PAIR) + "tlbwr")
    assert valid(rig) == [FIRST + 3, FIRST + 4]
    do(rig, entry(BASE + 3 * PAIR + 0x2000, 5, mask=0) + "tlbwi")
    assert valid(rig) == [5, FIRST + 4]
    do(rig, entry(BASE, 6, mask=0x7FFF_E000) + "tlbwi")
    assert valid(rig) == [6], "2 GiB cover every set"


FILLED = [0, 40, FIRST, FIRST + WAY, FIRST + 3]


def fill(rig) -> None:
    do(rig, *(entry(BASE + 16 * MIB + k * PAIR, k) + "tlbwi" for k in (0, 40)),
       *(entry(BASE + k * PAIR) + "tlbwr" for k in (0, WAY, 3)))  # fmt: skip
    assert valid(rig) == sorted(FILLED)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (move("mtc0", "index", 0) + "tlbinvf", FILLED[2:]),
        (move("mtc0", "index", 63) + "tlbinvf", FILLED[2:]),
        (move("mtc0", "index", FIRST) + "tlbinvf", [0, 40, FIRST + 3]),
        (move("mtc0", "index", FIRST + 3 + 2 * WAY) + "tlbinvf", [0, 40, FIRST, FIRST + WAY]),
        (move("mtc0", "index", FIRST) + move("mtc0", "entryhi", 9) + "tlbinv", FILLED),
        (move("mtc0", "index", FIRST) + move("mtc0", "entryhi", 0) + "tlbinv", [0, 40, FIRST + 3]),
        (move("mtc0", "diag", 1 << 12), FILLED[2:]),
        (move("mtc0", "diag", 1 << 13), [0, 40]),
        (move("mtc0", "diag", 3 << 12), []),
        (move("mtc0", "config4", 3 << 8), [0, 40]),
        (move("mtc0", "config4", 2 << 8), FILLED),
        (move("mtc0", "config6", FTLBDIS), [0, 40]),
    ],
    ids=("vtlb", "vtlb by its last", "set 0", "set 3 by way 2", "other asid", "asid", "Diag.VTLB", "Diag.FTLB",
         "Diag both", "page size", "same page size", "FTLBDIS"),
)  # fmt: skip
def test_what_is_invalidated(rig, text, left):
    fill(rig)
    do(rig, text)
    assert valid(rig) == sorted(left)


def test_without_the_ftlb_there_is_the_vtlb(rig):
    do(rig, move("mtc0", "config6", FTLBDIS), entry(BASE) + "tlbwr", entry(BASE + MIB, 64 + 9) + "tlbwi")
    assert len(valid(rig)) == 2 and max(valid(rig)) < 64


def test_a_replaced_page_is_forgotten(rig):
    """Within one run, so that the soft-MMU knows the page that goes; so many others of its set leave it no chance."""
    others = "".join(entry(BASE + PAIR * WAY * k) + "tlbwr\n" for k in range(1, 65))
    end = do(rig, entry(BASE) + f"tlbwr\nlbu $v0, 0($a0)\n{others}lbu $v1, 0($a0)", a0=BASE)
    assert end.code == TLBL and end.badvaddr == BASE
    held = {rig.entry(k)[0] for k in valid(rig)}
    assert len(held) == 8 and BASE not in held


def test_a_snapshot_has_it_and_needs_it(rig):
    fill(rig)
    saved = rig.core.save()
    other = Core(0, Memory(MIB), rig.tier, ftlb=True)
    assert other.digest() != rig.core.digest()
    other.restore(saved)
    assert other.digest() == rig.core.digest()
    without = Core(0, Memory(MIB), rig.tier)
    assert not {"ftlb", "guest_ftlb"} & set(without.save()["slots"])
    with pytest.raises(CoreError, match="ftlb"):
        without.restore(saved)


# In guest mode.


@pytest.fixture(params=TIERS)
def vz(request) -> VzRig:
    return VzRig(request.param, ftlb=True)


def guest(text: str, before: str = "", **other) -> GuestRun:
    return GuestRun(text, before=before, **other)


def guest_entry(high: int, mask: int = MASK_16K, low: int = guest_lo(0, V | D)) -> str:
    return entry(high, mask=mask, low=low)


G = state.GUEST


@pytest.mark.parametrize(("choices", "first"), [({}, 34), ({"ftlb_at_64": True}, 64)])
@pytest.mark.parametrize("tier", TIERS)
def test_the_guests_own(tier, choices, first):
    """Behind a VTLB that root has made smaller, or at 64 nevertheless; each guest reaches its own entries."""
    vz = VzRig(tier, vz=choices, ftlb=True)
    vz.go_guest(
        guest(
            guest_entry(BASE) + "tlbwr\n" + guest_entry(BASE + PAIR) + "tlbwr\ntlbp\nmfc0 $v0, $0\nmfc0 $v1, $16, 4",
            move("mtgc0", "config1", 1 << 31 | 33 << 25),
        )
    )
    assert valid(vz, G) == [FIRST, FIRST + 1] and vz.tag(G, FIRST) == ID
    assert vz.reg("v0") == first + 1 and vz.reg("v1") >> 8 & 31 == 2
    vz.core.vz.set_gc0("index", first)
    vz.core.vz.set_c0("guestctl1", 2 << 16)
    vz.core.vz.tlbginvf()
    assert valid(vz, G) == [FIRST, FIRST + 1]
    vz.core.vz.set_c0("guestctl1", ID << 16)
    vz.core.vz.tlbginvf()
    assert valid(vz, G) == [FIRST + 1]


def test_guest_pages_of_both_contexts_ftlbs(vz):
    """Both stages by an FTLB; the root entry's replacement takes what the guest knew through it."""
    vz.memory.write(DATA + 0x40, b"\x77")
    root = entry(DATA, low=guest_lo(DATA, V | D)) + "tlbwr\n"
    load = guest_entry(BASE, low=guest_lo(DATA, V | D)) + "tlbwr\nlbu $v0, 0x40($a0)"
    vz.go_guest(guest(load, root, gpr={"a0": BASE}, gcp0={"status": KX}))
    assert vz.reg("v0") == 0x77
    rooted = [k for k in valid(vz) if k >= FIRST]
    assert [vz.tag(0, k) for k in rooted] == [ID]
    again = "lbu $v0, 0x40($a0)\nhypcall 3\nlbu $v1, 0x40($a0)"
    drop = f"bnez $k1, 1f\nli $k1, 1\n{move('mtc0', 'index', rooted[0])}{move('mtc0', 'entryhi', EHINV)}tlbwi\n"
    back = "dmfc0 $k0, $14\ndaddiu $k0, $k0, 4\ndmtc0 $k0, $14\neret\n1: wait 0"
    vz.core.reset()
    text = load.replace("lbu $v0, 0x40($a0)", again)
    vz.go_guest(guest(text, root, gpr={"a0": BASE}, gcp0={"status": KX}, handler=drop + back))
    assert vz.exit == (2, 10) and vz.root("badvaddr") == DATA + 0x40


def test_a_guests_machine_check_is_its_own(vz):
    vz.go_guest(guest(entry(BASE + PAIR, FIRST) + "tlbwi"))
    assert vz.gcp0("cause") >> 2 & 31 == MCHECK and valid(vz, G) == []


def test_root_writes_the_guests_by_index(vz):
    text = "".join(move("mtgc0", name, value) for name, value in
                   {"index": FIRST + WAY, "entryhi": BASE, "pagemask": MASK_16K, "entrylo0": 0x1E}.items())  # fmt: skip
    vz.go_guest(guest("nop", text + "tlbgwi\ntlbgr\nmfc0 $s0, $10, 4"))
    assert valid(vz, G) == [FIRST + WAY] and vz.reg("s0") >> 16 == ID


def test_the_default_has_none():
    rig = Rig("reference")
    rig.go(entry(BASE) + "tlbwr\nwait 0", CODE)
    assert max(valid(rig)) < 64
