"""The guest's stable timer, which Config6.EXTIMER connects: root's access to it by RDGCSR and its kin, the guest's own,
and its interrupt, on every tier.

Eight core cycles are a tick, each instruction takes a cycle.
"""

from __future__ import annotations

import pytest

from cpu.core import StopKind
from tests.cpu.core_rig import CODE, CPU, TIERS, Rig
from tests.cpu.hypervisor_rig import Hypervisor
from tests.cpu.vz_rig import D0, GE, GPSI, GT, HC, GuestRun, P, VzRig

CFG, TICKS = 0x1060, 0x1070
ALWAYS_ONE, PERIODIC, ENABLE, PARKED = 1 << 63, 1 << 62, 1 << 61, (1 << 48) - 1
TI = 1 << 30
EXTIMER = 1 << 7
CYCLES = 8
READ = f"li $a0, {CFG:#x}\nli $a1, {TICKS:#x}\ndrd{{0}}csr $v0, $a0\ndrd{{0}}csr $v1, $a1\n"
SPIN = "li $a2, {}\n1: bnez $a2, 1b\naddiu $a2, $a2, -1\n"


@pytest.fixture(params=TIERS)
def vz(request) -> VzRig:
    return VzRig(request.param)


def start(ticks: int, flags: int = ENABLE) -> str:
    """Root's or the guest's code that starts the timer: {0} is "g" for root."""
    return f"li $t8, {CFG:#x}\ndli $t9, {flags | ticks:#x}\ndwr{{0}}csr $t9, $t8\n"


def go(vz, guest: str, control: int = D0, **other) -> None:
    vz.go_guest(GuestRun(guest, root={"guestctl0": control, "config6": EXTIMER}, **other))


def test_roots_access(vz):
    go(vz, "nop", before=start(1000, 0).format("g") + READ.format("g"))
    assert vz.exit == (GE, HC)
    assert (vz.reg("v0"), vz.reg("v1")) == (1000, 0), "a count that has not begun"
    word = "li $t9, 0x80000001\nwrgcsr $t9, $t8\nrdgcsr $s0, $t8\ndrdgcsr $s1, $t8"
    vz.core.reset()
    go(vz, "nop", before=start(0x1FFF_0000_0000_0000, ALWAYS_ONE).format("g") + word)
    assert vz.reg("s0") == 0xFFFF_FFFF_8000_0001
    assert vz.reg("s1") == ALWAYS_ONE | 0x8000_0001, "bits 60 to 48 are not there"


def test_the_guests_own_access_needs_its_timers(vz):
    go(vz, start(1000).format("") + READ.format(""))
    assert vz.exit == (GE, HC)
    assert vz.reg("v0") == ENABLE | 1000 and 990 < vz.reg("v1") <= 1000
    vz.core.reset()
    go(vz, READ.format(""), D0 & ~GT)
    assert vz.exit == (GE, GPSI) and vz.root("epc") == P + 8
    vz.core.reset()
    go(vz, "li $a0, 0x1000\ndrdcsr $v0, $a0")
    assert vz.exit == (GE, GPSI), "any other register is root's"


def test_a_guest_has_no_access_to_copies(vz):
    go(vz, READ.format("g"))
    assert vz.exit == (GE, GPSI)


@pytest.mark.parametrize("periodic", [0, PERIODIC])
def test_it_counts_down_and_interrupts(vz, periodic):
    """The interrupt comes at the first boundary after the tick; a one-shot timer then stands at all ones."""
    handler = "mfc0 $s0, $13\nmfc0 $s1, $9\n" + READ.format("") + "hypcall 9"
    guest = "mfc0 $s2, $9\n" + start(50, ENABLE | periodic).format("") + "1: b 1b\nnop"
    vz.start(GuestRun(guest, gcp0={"status": 1 | 1 << 15}, root={"config6": EXTIMER}))
    vz.guest_load(handler, P + 0x1000 + 0x180)
    vz.finish()
    assert vz.exit == (GE, HC) and vz.reg("s0") & TI
    assert 50 * CYCLES <= (vz.reg("s1") - vz.reg("s2")) * vz.core.costs.count_divider < 51 * CYCLES + 40
    if periodic:
        assert 40 < vz.reg("v1") <= 50
    else:
        assert vz.reg("v1") == PARKED


def test_compare_acknowledges(vz):
    go(vz, start(5).format("") + SPIN.format(100) + "mfc0 $s0, $13\nmtc0 $0, $11\nmfc0 $s1, $13")
    assert vz.reg("s0") & TI and not vz.reg("s1") & TI


def test_it_goes_on_while_root_executes(vz):
    go(vz, "nop", before=start(20).format("g") + SPIN.format(200) + "mfgc0 $s0, $13, 0\n" + READ.format("g"))
    assert vz.reg("s0") & TI and vz.reg("v1") == PARKED


def test_without_enable_it_stands_still(vz):
    stop = start(7, 0).format("")
    go(vz, start(100).format("") + SPIN.format(80) + stop + SPIN.format(400) + READ.format(""))
    assert 70 < vz.reg("v1") < 100 and vz.reg("v0") == 7
    assert not vz.gcp0("cause") & TI


def test_all_tiers_alike():
    text = start(3, ENABLE | PERIODIC).format("") + SPIN.format(1000) + READ.format("") + "mfc0 $s0, $13"
    ends = []
    for tier in TIERS:
        rig = VzRig(tier)
        go(rig, text)
        ends.append((rig.core.digest(), rig.core.cycles))
    assert len(set(ends)) == 1


@pytest.mark.parametrize("tier", TIERS)
def test_what_has_no_copy_stops_and_is_named(tier):
    for vz, number in ((True, 0x1000), (False, CFG)):
        rig = Rig(tier, vz=vz)
        rig.load(f"li $a0, {number}\nrdgcsr $v0, $a0\nwait 0")
        rig.set(pc=CODE)
        stop = rig.core.run(None)
        assert stop.kind is StopKind.UNMODELLED and "rdgcsr" in stop.text


@pytest.mark.parametrize("tier", TIERS)
def test_only_for_the_kernel(tier):
    rig = Rig(tier, vz=True)
    rig.tlb(0, 0x2000, 0x10000 >> 12 << 6 | 0x1E)
    end = rig.go("rdgcsr $v0, $a0", base=0x2000, at=0x10000, status=0x10 | 1 << 5, a0=CFG)
    assert end.code == CPU


def test_root_mode_as_a_model():
    vz = Hypervisor("threaded").vz
    vz.set_c0("config6", EXTIMER)
    vz.set_guest_timer(ENABLE | 40)
    assert vz.guest_timer == (ENABLE | 40, 40)
    vz.charge(15 * CYCLES)
    assert vz.guest_timer[1] == 25
    vz.charge(25 * CYCLES)
    assert vz.guest_timer[1] == PARKED and vz.gc0("cause") & TI
