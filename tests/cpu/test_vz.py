"""Guests on a core with VZ: the tiers against each other, what the soft-MMU must forget, root mode as a model."""

from __future__ import annotations

import pytest

from cpu import state
from cpu.core import Core, StopKind
from cpu.isa.assembler import assemble
from cpu.memory import Memory
from cpu.tlb.ftlb import END as END_OF_TLB
from cpu.tlb.ftlb import FIRST
from cpu.vz.face import RootModeError
from tests.cpu.core_rig import IE, IP, KSEG0, KX, MIB, TIERS, Rig, physical
from tests.cpu.hypervisor_rig import DATA, PAGE, PAGES, REFILL_CYCLES, Hypervisor
from tests.cpu.vz_programs import CODE, END, handlers, program
from tests.cpu.vz_rig import FCD, GE, GPSI, HC, ID, Entry, GuestRun, P, VzRig, guest_lo, maps

EXL = 2


def run_program(seed: int, tier: str, steps: int = 150, **options) -> Hypervisor:
    rig = Hypervisor(tier, wired=(0, 40, 60)[seed % 3], ext=FCD if seed % 2 else 0, **options)
    rig.load(handlers(), KSEG0)
    assert rig.load(program(seed, steps), CODE) < DATA * PAGE
    rig.vz.set_gc0("ebase", KSEG0)
    rig.go(CODE, END)
    return rig


def test_random_guests_run_alike_on_every_tier():
    seen, refills = set(), 0
    for seed in range(6):
        first, *others = (run_program(seed, tier) for tier in TIERS)
        for other in others:
            assert other.exits == first.exits
            assert other.whole() == first.whole()
        seen |= {(e.code, e.reason) for e in first.exits}
        refills += first.vz.refills
    assert {(GE, GPSI), (GE, HC), (GE, 1), (1, 10), (2, 10), (3, 10)} <= seen
    assert refills > 200


def test_random_guests_run_alike_with_an_ftlb():
    """The root refill of the core puts its pages of 16 KiB there; with four other entries left it was busier."""
    first, *others = (run_program(2, tier, ftlb=True) for tier in TIERS)
    for other in others:
        assert other.whole() == first.whole()
    tlb = first.core.S[state.TLB : state.TLB + END_OF_TLB * state.TLB_FIELDS].reshape(END_OF_TLB, -1)
    owned = [e for e in range(END_OF_TLB) if tlb[e, 1] >= 0 and tlb[e, 6] == ID]
    assert owned and min(owned) >= FIRST
    assert first.vz.refills < run_program(2, "threaded").vz.refills


def test_random_guests_run_alike_where_root_asids_tell_them_apart():
    """The same guest as with GuestIDs, cycle for cycle."""
    with_ids = run_program(4, "threaded")
    for tier in TIERS:
        rig = run_program(4, tier, vz={"rad": True})
        assert rig.exits == with_ids.exits and rig.vz.refills == with_ids.vz.refills
        assert rig.memory.digest() == with_ids.memory.digest()


@pytest.mark.parametrize("tier", TIERS)
def test_root_asids_select_translations_within_a_run(tier):
    """Root changes its ASID at an exit and back at the next; the guest's page is another one meanwhile."""
    rig = VzRig(tier, vz={"rad": True})
    page, places = 0x8000, {5: 2 * MIB, 6: 3 * MIB}
    for asid, place in places.items():
        rig.memory.write(place, bytes([asid]))
    code = [maps(physical(P), asid=asid) for asid in places]
    data = [Entry(page, guest_lo(place), asid=asid) for asid, place in places.items()]
    other = "dmfc0 $k0, $10\nxori $k0, $k0, 3\ndmtc0 $k0, $10\n"  # 5 and 6 in turn
    rig.go_guest(
        GuestRun(
            "lbu $v0, 0($a0)\nhypcall 1\nlbu $v1, 0($a0)\nhypcall 1\nlbu $a1, 0($a0)",
            root={"entryhi": 5},
            gpr={"a0": KSEG0 + page},
            tlb=(*code, *data),
            handler="slti $t0, $k1, 2\nbeqz $t0, 1f\naddiu $k1, $k1, 1\n"
            + f"dmfc0 $k0, $14\ndaddiu $k0, $k0, 4\ndmtc0 $k0, $14\n{other}eret\n1: wait 0",
        )
    )
    assert [rig.reg(name) for name in ("v0", "v1", "a1")] == [5, 6, 5]


@pytest.mark.slow
@pytest.mark.parametrize("first", range(100, 200, 10))
def test_many_random_guests_run_alike_on_every_tier(first):
    for seed in range(first, first + 10):
        first, *others = (run_program(seed, tier, 300).whole() for tier in TIERS)
        assert all(other == first for other in others), seed


@pytest.mark.parametrize("seed", range(2))
def test_neither_slices_nor_windows_show(seed):
    whole = run_program(seed, "threaded", 400).whole()
    assert run_program(seed, "threaded", 400, slice_cycles=97).whole() == whole
    assert run_program(seed, "threaded", 400, window=40).whole() == whole


def test_a_guest_goes_on_from_what_was_saved(monkeypatch):
    whole = run_program(1, "threaded").whole()
    enter = Hypervisor.enter

    def restored(rig, pc):
        rig.core.restore(rig.core.save())
        enter(rig, pc)

    monkeypatch.setattr(Hypervisor, "enter", restored)
    assert run_program(1, "threaded").whole() == whole


@pytest.fixture(params=TIERS)
def host(request) -> Hypervisor:
    return Hypervisor(request.param)


def test_a_root_refill_takes_its_time_and_no_exit(host):
    host.load("ld $v0, 0($a0)\nhypcall 0", CODE)
    data = 9 * PAGE + 8
    host.memory.write(host.where(data), b"\x2a")
    host.core.S[state.GPR + 4] = data + KSEG0 - (1 << 64)
    host.go(CODE, 0)
    assert host.reg("v0") == 0x2A and host.vz.refills == 2
    # Two refills and the load; HYPCALL is not completed.
    assert host.core.cycles == 2 * REFILL_CYCLES + 1


def test_a_store_in_a_delay_slot_is_repeated_with_its_branch(host):
    host.load("bal 1f\nsd $ra, 0($a0)\n1: hypcall 0", CODE)
    data = 9 * PAGE
    host.core.S[state.GPR + 4] = data + KSEG0 - (1 << 64)
    host.go(CODE, 0)
    assert int.from_bytes(host.memory.read(host.where(data), 8), "little") == CODE + 8
    assert [e.code for e in host.exits] == [GE]


def test_an_absent_page_exits_at_the_general_vector(host):
    host.load("nop\nlw $v0, 0($a0)", CODE)
    host.core.S[state.GPR + 4] = PAGES * PAGE + 12 + KSEG0 - (1 << 64)
    host.enter(CODE)
    host.run()
    last = host.exits[-1]
    assert (last.code, last.reason, last.epc, last.badvaddr) == (2, 10, CODE + 4, PAGES * PAGE + 12)
    assert last.badinstr == assemble("lw $v0, 0($a0)").words[0]
    assert host.core.pc == (host.vz.c0("ebase") & ~0xFFF) + 0x180
    assert host.vz.c0("entryhi") == PAGES * PAGE
    # It comes back at once until somebody enters the guest.
    assert host.cluster.run(None).kind is StopKind.EXIT


def test_a_page_that_moves_is_looked_for_anew(host):
    host.load("ld $v0, 0($a0)\nld $v0, 0($a0)\nhypcall 0", CODE)
    data = 9 * PAGE
    for value in (1, 2, 3):
        host.place(9, (100 + value) * PAGE)
        assert host.vz.invalidate_gpa(data) == (value > 1)
        host.memory.write(host.where(data), bytes([value]))
        host.core.S[state.GPR + 4] = data + KSEG0 - (1 << 64)
        host.go(CODE, 0)
        assert host.reg("v0") == value


def test_code_that_moves_is_fetched_anew(host):
    """Two places with other code at the same guest address, and one entry of the root TLB between them."""
    for value in (1, 2):
        host.place(1, (100 + value) * PAGE)
        host.load(f"b 1f\nli $v0, {value}\n.space 0x1100\n1: addiu $v0, $v0, {value}\nhypcall 0", CODE)
    for value in (1, 2, 1, 2):
        host.place(1, (100 + value) * PAGE)
        host.vz.invalidate_gpa(PAGE)
        host.go(CODE, 0)
        assert host.reg("v0") == 2 * value


def test_guests_with_their_own_id_do_not_meet(host):
    host.load("ld $v0, 0($a0)\nhypcall 0", CODE)
    data = 9 * PAGE
    for value in (1, 2, 1, 2):
        host.place(9, (100 + value) * PAGE)
        host.memory.write(host.where(data), bytes([value]))
        host.vz.set_c0("guestctl1", value << 16 | value)
        host.core.S[state.GPR + 4] = data + KSEG0 - (1 << 64)
        before = host.vz.refills
        host.go(CODE, 0)
        assert host.reg("v0") == value
    assert host.vz.refills == before, "both guests' entries are still there"


def test_roots_interrupts_end_guest_mode(host):
    host.load("1: b 1b\nnop", CODE)
    host.vz.set_c0("epc", CODE)
    host.vz.set_c0("status", KX | EXL | IE | IP[6])
    host.vz.enter_guest()
    host.cluster.line(0, 500, 6, 1)
    host.run()
    last = host.exits[-1]
    assert (last.code, last.epc) == (0, CODE)
    assert last.cycle == 501, "boundaries are every second cycle from the refill's 31 on"
    assert host.vz.mode == "root" and host.vz.c0("guestctl0") >> 31


def test_an_idle_core_wakes_for_its_timer_and_exits(host):
    host.vz.set_c0("compare", 1000)
    host.vz.set_c0("status", KX | IE | IP[7])
    host.vz.idle()
    host.run()
    assert (host.exits[-1].code, host.core.cycles, host.core.instructions) == (0, 2000, 0)


def test_an_access_of_the_hypervisor_waits_for_its_reply(host):
    host.vz.park()
    host.cluster.answer(0, 700, 0x1234)
    assert host.cluster.run(None).kind is StopKind.EXIT
    assert (host.core.cycles, int(host.core.S[state.BOUNCE]), int(host.core.S[state.ACCESS_ERROR])) == (700, 0x1234, 0)
    host.vz.park()
    host.cluster.answer(0, 900, None)
    assert host.cluster.run(None).kind is StopKind.EXIT
    assert (host.core.cycles, int(host.core.S[state.ACCESS_ERROR])) == (900, 1)
    assert host.core.exceptions == {}


def test_a_charge_passes_time_and_nothing_else(host):
    before = host.core.instructions
    host.vz.charge(123)
    assert (host.core.cycles, host.core.instructions) == (123, before)


# Registers, as Linux probes them.
@pytest.fixture(params=TIERS)
def bare(request) -> Rig:
    return Rig(request.param, vz=True)


def test_what_linux_finds_when_it_probes(bare):
    vz = bare.core.vz
    assert vz.c0("config3") >> 23 & 1 and not vz.gc0("config3") >> 23 & 1
    control = vz.c0("guestctl0")
    assert [control >> bit & 1 for bit in (22, 19, 18, 9, 7)] == [1, 1, 1, 0, 1], "G1, G0E, PT, RAD, G2"
    vz.set_c0("guestctl0", control | 1 << 8)
    assert not vz.c0("guestctl0") >> 8 & 1, "no direct root access"
    vz.set_c0("guestctl1", 0xFFFF_FFFF)
    assert vz.c0("guestctl1") == 0x00FF00FF
    vz.set_c0("gtoffset", 0xFFFF_FFFF)
    assert vz.c0("gtoffset") == 0xFFFF_FFFF
    # Bits that Linux toggles, and those of them that root may switch: FP; MSAP and ULRI.
    probes = {
        "config1": (1 << 4 | 1 << 3 | 1, 1),
        "config3": (1 << 28 | 1 << 13 | 1 << 9, 1 << 28 | 1 << 13),
        "config4": (0xFF << 16, 0),
        "config5": (1 << 5 | 1 << 3, 0),
    }
    for name, (toggled, switched) in probes.items():
        before = vz.gc0(name)
        vz.set_gc0(name, before ^ toggled)
        assert vz.gc0(name) ^ before == switched, name
        vz.set_gc0(name, before)
    assert bare.go("li $a0, 2\ncpucfg $v0, $a0\nwait 0")["v0"] & 0x18008 == 0x18008, "LSPW, LVZP, LVZREV"


def test_roots_choice_of_units_binds_the_guest(bare):
    vz = bare.core.vz
    vz.set_gc0("status", 0x24000000)
    vz.set_gc0("config1", vz.gc0("config1") & ~1)
    assert vz.gc0("status") == 0
    vz.set_gc0("status", 0x24000000)
    assert vz.gc0("status") == 0
    vz.set_gc0("config3", vz.gc0("config3") & ~(1 << 28))
    vz.set_gc0("config5", 1 << 27)
    assert not vz.gc0("config5") >> 27 & 1


def test_the_guest_tlb_is_as_large_as_root_says(bare):
    vz = bare.core.vz
    vz.set_c0("guestctl1", ID << 16)
    for index in (5, 20):
        vz.set_gc0("index", index)
        vz.set_gc0("entryhi", 0x2000 * index)
        vz.tlbgwi()
    vz.set_gc0("config1", vz.gc0("config1") & ~(63 << 25) | 15 << 25)
    found = []
    for index in (5, 20):
        vz.set_gc0("entryhi", 0x2000 * index)
        vz.tlbgp()
        found.append(vz.gc0("index"))
    assert found == [5, 1 << 31]
    vz.set_gc0("wired", 3)
    seen = set()
    for _ in range(200):
        vz.tlbgwr()
        seen.add(vz.gc0("random"))
    assert seen == set(range(3, 16))


def test_without_vz_there_is_none_of_it():
    for tier in TIERS:
        rig = Rig(tier)
        assert rig.core.vz is None
        for text in ("mfgc0 $v0, $12, 0", "tlbgwi", "hypcall 0"):
            assert rig.go(text).code == 10, text
        rig.set(pc=rig.load("mfc0 $v0, $12, 6").entry)
        assert rig.run().kind is StopKind.UNMODELLED
        assert rig.go("mfc0 $v0, $16, 3\nwait 0")["v0"] >> 23 & 1 == 0
        assert rig.go("li $a0, 2\ncpucfg $v0, $a0\nwait 0")["v0"] == 1


def test_misuse_of_root_mode_is_refused():
    vz = Core(0, Memory(MIB), vz=True).vz
    with pytest.raises(RootModeError, match="guest context has no register guestctl0"):
        vz.gc0("guestctl0")
    with pytest.raises(RootModeError, match="guest context has no register prid"):
        vz.set_gc0("prid", 1)
    with pytest.raises(RootModeError, match="registers take 0 to"):
        vz.set_c0("epc", -1)
    with pytest.raises(RootModeError, match="handler of -1 cycles"):
        vz.charge(-1)
    with pytest.raises(RootModeError, match="refill of -1 cycles"):
        vz.host(-1)
