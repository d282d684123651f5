"""The stable timer and counter of a guest, on the tiers: who reaches them, when the timer is at 0, what it drives."""

from __future__ import annotations

import pytest

from cpu.cp0.stable import ENABLE, PERIODIC, TICKS, TIMER_CFG, TIMER_TICKS
from tests.cpu.core_rig import IP, TIERS
from tests.cpu.vz_rig import D0, GE, GPSI, GT, HC, GuestRun, P, VzRig

EXTIMER, INNTIMER, TI, IE = 1 << 7, 1 << 6, 1 << 30, 1
CYCLES = 8  # of a tick: 800 MHz, 100 MHz
SELECTED = {"config6": EXTIMER | INNTIMER}
WRITE = f"li $a0, {TIMER_CFG:#x}\ndwrcsr $a1, $a0\n"
READ = f"li $a0, {TIMER_CFG:#x}\ndrdcsr $v0, $a0\nli $a0, {TIMER_TICKS:#x}\ndrdcsr $v1, $a0"
SPIN = "1: b 1b\nnop"
INTERRUPTS = {"status": IP[7] | IE, "compare": 1 << 31}


@pytest.fixture(params=TIERS)
def rig(request) -> VzRig:
    return VzRig(request.param)


def run(guest: str, control: int = D0, root: dict | None = None, **other) -> GuestRun:
    return GuestRun(guest, root={"guestctl0": control, **(SELECTED if root is None else root)}, **other)


def test_a_guest_reaches_the_timer_that_is_lent(rig):
    rig.go_guest(run(WRITE + READ, gpr={"a1": ENABLE | 5000}))
    assert rig.exit == (GE, HC)
    assert rig.reg("v0") == ENABLE | 5000
    assert 4990 < rig.reg("v1") <= 5000


@pytest.mark.parametrize(
    ("guest", "control", "root"),
    [
        (WRITE, D0 & ~GT, SELECTED),
        (READ, D0 & ~GT, SELECTED),
        (WRITE, D0, {"config6": INNTIMER}),
        (f"li $a0, {TIMER_CFG:#x}\nwrcsr $a1, $a0", D0, SELECTED),
        ("li $a0, 0x408\ndrdcsr $v0, $a0", D0, SELECTED),
        ("drdtime $v0, $a0", D0, SELECTED),
    ],
)
def test_what_is_not_lent_is_an_exit(rig, guest, control, root):
    rig.go_guest(run(guest, control, root))
    assert rig.exit == (GE, GPSI)


@pytest.mark.parametrize("again", [0, PERIODIC])
def test_the_interrupt_comes_after_as_many_ticks(rig, again):
    """The exit is HYPCALL at the guest's vector, a few cycles later; the timer was written a few after the entry."""
    rig.enter(run(WRITE + SPIN, gcp0=INTERRUPTS, gpr={"a1": again | ENABLE | 500}))
    before = rig.core.cycles
    rig.finish()
    assert rig.exit == (GE, HC) and rig.gcp0("cause") & TI
    assert 0 <= rig.core.cycles - before - 500 * CYCLES < 3 * CYCLES
    cfg, left = rig.core.vz.guest_timer
    assert cfg == again | ENABLE | 500
    assert left == TICKS if not again else 0 < left <= 500


def test_tiers_take_it_at_the_same_cycle():
    ends = set()
    for tier in TIERS:
        rig = VzRig(tier)
        rig.go_guest(run(WRITE + "2: daddiu $s0, $s0, 1\nb 2b\ndaddiu $s1, $s1, 3", gcp0=INTERRUPTS,
                         gpr={"a1": ENABLE | 777}))  # fmt: skip
        ends.add((rig.core.cycles, rig.reg("s0"), rig.reg("s1")))
    assert len(ends) == 1


@pytest.mark.parametrize("selected", [True, False])
def test_config6_selects_what_drives_the_line(rig, selected):
    """Count and Compare of the guest match 200 ticks of Count after its start, its stable timer is at 0 much later."""
    root = SELECTED if selected else {"config6": INNTIMER}
    rig.enter(run("li $t0, 2000\n1: bnez $t0, 1b\naddiu $t0, $t0, -1", root=root))
    vz = rig.core.vz
    vz.set_guest_timer(ENABLE | 100_000)
    vz.set_gc0("compare", vz.gc0("count") + 200)
    rig.finish()
    assert bool(rig.gcp0("cause") & TI) is not selected


def test_a_count_of_nothing_expires_and_a_stopped_one_stands(rig):
    rig.enter(run("nop"))
    vz = rig.core.vz
    vz.set_guest_timer(ENABLE | 400)
    rig.core.vz.charge(100 * CYCLES)
    vz.set_guest_timer(7)
    vz.charge(1000 * CYCLES)
    assert vz.guest_timer == (7, 300)
    vz.set_guest_timer(ENABLE)
    vz.charge(CYCLES)
    assert vz.guest_timer == (ENABLE, TICKS)
    assert vz.gc0("cause") & TI


def test_missed_periods_are_one_interrupt(rig):
    rig.enter(run("nop"))
    vz = rig.core.vz
    vz.set_guest_timer(PERIODIC | ENABLE | 10)
    vz.charge(10_005 * CYCLES)
    assert vz.guest_timer[1] == 5


def test_the_guests_counter_has_roots_offset(rig):
    text = "rdhwr $v0, $30\nhypcall 7"
    handler = "rdhwr $v1, $30\nwait 0"
    rig.enter(run(text, handler=handler))
    rig.core.vz.set_guest_counter_offset(1 << 40)
    rig.finish()
    assert (rig.exit, rig.root("epc")) == ((GE, HC), P + 4)
    assert 0 <= rig.reg("v1") + (1 << 40) - rig.reg("v0") <= 1
    assert rig.reg("v1") > 0
