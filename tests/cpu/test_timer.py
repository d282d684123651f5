"""Count, Compare, WAIT and the moment an interrupt is taken, on both tiers."""

from __future__ import annotations

import pytest

from cpu.core import StopKind
from tests.cpu.core_rig import CODE, IE, INT, IP, KSEG0, STATUS, TIERS, Rig, on_both_tiers

rig = on_both_tiers()

TI, DC = 1 << 30, 1 << 27
LIVE = STATUS | IE | IP[7]
LOOP = "1: " + "addiu $v0, $v0, 1\n" * 9 + "b 1b\nnop"  # a block of 11 cycles
HANDLER = KSEG0 + 0x180


def taken(rig, text: str = LOOP, status: int = LIVE, **cp0: int) -> int:
    """Cycles from the start to the first instruction of the interrupt's handler."""
    rig.load(text)
    rig.set(pc=CODE, status=status, cp0=cp0)
    start = rig.core.cycles
    stop = rig.run(max_insns=None, stop_pcs=(HANDLER,))
    assert stop.kind is StopKind.PC and rig.core.cp0("cause") >> 2 & 31 == INT
    return rig.core.cycles - start


def test_count_goes_at_half_the_core_clock(rig):
    end = rig.go(
        "mfc0 $v0, $count\nnop\nnop\nnop\nmfc0 $v1, $count\nrdhwr $t0, $2\nrdhwr $t1, $3\nwait 0", cp0={"count": 1000}
    )
    assert (end["v0"], end["v1"], end["t0"], end["t1"]) == (1000, 1002, 1002, 2)


def test_count_wraps_and_reads_sign_extended(rig):
    end = rig.go("mfc0 $v0, $count\nnop\nnop\nmfc0 $v1, $count\nwait 0", cp0={"count": 0xFFFF_FFFF})
    assert (end["v0"], end["v1"]) == (0xFFFF_FFFF_FFFF_FFFF, 0)
    assert rig.go("mfc0 $v0, $count\nwait 0", cp0={"count": 0x8000_0000})["v0"] == 0xFFFF_FFFF_8000_0000


@pytest.mark.parametrize("distance", [1, 3, 5, 6, 50, 51, 500])
def test_an_interrupt_is_taken_at_the_first_boundary_at_or_after_its_time(rig, distance):
    cycles = taken(rig, count=0, compare=distance)
    assert cycles == -(-2 * distance // 11) * 11


@pytest.mark.parametrize("slice_cycles", [1, 7, 11, 40, 1000])
def test_slices_do_not_move_an_interrupt(slice_cycles):
    for tier in TIERS:
        rig = Rig(tier, slice_cycles=slice_cycles)
        assert taken(rig, count=0, compare=777) == -(-2 * 777 // 11) * 11


def test_compare_across_the_wrap(rig):
    assert taken(rig, count=0xFFFF_FF00, compare=0x40) == -(-2 * 0x140 // 11) * 11


def test_compare_equal_to_count_is_a_whole_wrap_away(rig):
    rig.load("1: wait 0\nb 1b\nnop")
    rig.set(pc=CODE, status=LIVE, cp0={"count": 77, "compare": 77})
    start = rig.core.cycles
    assert rig.run(max_insns=None, stop_pcs=(HANDLER,)).kind is StopKind.PC
    assert rig.core.cycles - start == 2 << 32


def test_writing_compare_acknowledges(rig):
    text = """
1:      mfc0    $v0, $cause
        bgez    $v0, 2f
        nop
2:      dext    $t0, $v0, 30, 1
        beqz    $t0, 1b
        nop
        mtc0    $s0, $compare
        mfc0    $v1, $cause
        wait    0
    """
    end = rig.go(text, s0=0x1000_0000, status=STATUS, cp0={"count": 0, "compare": 40})
    assert end["v0"] & (TI | IP[7]) == TI | IP[7] and end["v1"] & (TI | IP[7]) == 0


@pytest.mark.parametrize("offset", range(0, 36, 3))
def test_writing_cause_or_count_after_the_match_does_not_lose_it(rig, offset):
    """The match lies inside the block whose last instruction is the write: its boundary has not come yet."""
    for write in ("mtc0 $s0, $cause", "mtc0 $s1, $count"):
        text = "nop\n" * 37 + write + "\n" + LOOP
        assert taken(rig, text, count=0, compare=1 + offset // 2) in range(1, 80), (write, offset)


def test_cause_dc_stops_count_and_its_interrupt(rig):
    text = """
        mtc0    $s0, $cause
        mfc0    $v0, $count
        li      $t0, 100
1:      addiu   $t0, $t0, -1
        bnez    $t0, 1b
        nop
        mfc0    $v1, $count
        mtc0    $0, $cause
        mfc0    $a0, $count
        mfc0    $a1, $cause
        wait    0
    """
    end = rig.go(text, s0=DC, status=STATUS, cp0={"count": 10, "compare": 60})
    assert (end["v0"], end["v1"], end["a0"]) == (10, 10, 10)
    assert end["a1"] & TI == 0
    rig.set(pc=end.pc, status=STATUS | IP[7], cp0={"cause": DC, "compare": 5})
    assert rig.core.run(None).kind is StopKind.DEADLOCK, "a timer that stands still wakes nobody"


def test_the_timer_goes_on_after_dc(rig):
    text = "mtc0 $s0, $cause\n" + "nop\n" * 100 + "mtc0 $0, $cause\n" + LOOP
    rig.set(s0=DC)
    rig.load(text)
    rig.core.set_state({"pc": CODE, "cp0": {"status": LIVE, "cause": 0, "count": 0, "compare": 100}})
    start = rig.core.cycles
    rig.run(max_insns=None, stop_pcs=(HANDLER,))
    assert 2 * 100 + 100 <= rig.core.cycles - start <= 2 * 100 + 103 + 2 * 11


@pytest.mark.parametrize("compare", [50, 51, 1000, 123_456_789])
def test_wait_ends_at_the_timer_exactly(rig, compare):
    cycles = taken(rig, "wait 0\n" + LOOP, count=0, compare=compare)
    assert cycles == 2 * compare
    assert rig.core.cp0("epc") == CODE + 4
    assert rig.core.cp0("count") == compare


def test_wait_with_interrupts_masked_by_ie_ends_all_the_same(rig):
    end = rig.go(
        "wait 0\nli $v0, 1\nmtc0 $0, $compare\nmtc0 $0, $status\nwait 0",
        status=STATUS | IP[7],
        cp0={"count": 0, "compare": 99},
    )
    assert (end["v0"], end.vector) == (1, None) and rig.core.exceptions == {}


def test_wait_goes_on_at_once_when_something_is_pending(rig):
    end = rig.go("wait 0\nli $v0, 1\nmtc0 $0, $status\nwait 0", status=STATUS | IP[0], cp0={"cause": IP[0]})
    assert end["v0"] == 1 and rig.core.cycles - end.instructions <= 1


def test_wait_ends_when_a_line_rises(rig):
    rig.load("wait 0\nli $v0, 1\nb .\nnop")
    rig.set(pc=CODE, status=STATUS | IP[3])
    assert rig.core.run(5000).kind is StopKind.HORIZON
    assert (rig.core.cycles, rig.core.instructions, rig.core.waiting) == (5000, 1, True)
    rig.core.set_line(3, 1)
    stop = rig.run(max_insns=3)
    assert stop.kind is StopKind.LIMIT and not rig.core.waiting and rig.core.regs[2] == 1
    assert rig.core.cycles - rig.core.instructions == 4999


def test_a_deadlock_says_what_the_core_waits_for(rig):
    rig.load("wait 0")
    rig.set(pc=CODE, status=STATUS | IP[3] | IP[4])
    stop = rig.core.run(None)
    assert stop.kind is StopKind.DEADLOCK and "IP3 or IP4" in stop.text


def test_a_line_seen_with_the_horizon_at_any_cycle_is_taken_at_the_boundary():
    """Stops at horizons are at boundaries, the first at or after the horizon: the line rises in between."""
    for horizon in range(1, 40):
        ends = []
        for tier in TIERS:
            rig = Rig(tier)
            rig.load(LOOP)
            rig.set(pc=CODE, status=STATUS | IE | IP[2])
            stop = rig.core.run(horizon)
            assert stop.kind is StopKind.HORIZON and stop.cycle == -(-horizon // 11) * 11
            rig.core.set_line(2, 1)
            rig.run(max_insns=1)
            ends.append((rig.core.cycles, rig.core.pc, rig.core.cp0("epc"), rig.core.drain_irq_log()))
        assert ends[0] == ends[1]
        assert ends[0][2] == CODE and [taken[:2] for taken in ends[0][3]] == [(stop.cycle, IP[2] >> 8)]


def test_software_interrupts(rig):
    rig.load("mtc0 $s0, $cause\nli $v0, 1")
    rig.set(pc=CODE, s0=IP[1], status=STATUS | IE | IP[1] | IP[0])
    assert rig.run(stop_pcs=(HANDLER,)).kind is StopKind.PC
    assert (rig.core.cp0("epc"), rig.core.regs[2], rig.core.cp0("cause")) == (CODE + 4, 0, IP[1] | INT << 2)


def test_ei_and_di(rig):
    rig.load("di $t0\nmtc0 $s0, $cause\nli $v0, 1\nei $t1\nli $v0, 2")
    rig.set(pc=CODE, status=STATUS | IE | IP[1], s0=IP[1])
    rig.run(max_insns=100, stop_pcs=(HANDLER,))
    regs = rig.core.regs
    assert (regs[2], regs[12] & IE, regs[13] & IE) == (1, IE, 0)
    assert rig.core.cp0("epc") == CODE + 16


def test_nothing_is_delivered_while_ie_exl_or_erl_say_no(rig):
    for status in (STATUS, STATUS | IE | 2, STATUS | IE | 4):
        rig.load("nop\n" * 600 + "b .\nnop")
        rig.set(pc=CODE, status=status | IP[7] | IP[2], cp0={"count": 0, "compare": 10})
        rig.core.set_line(2, 1)
        rig.run(max_insns=1000)
        rig.core.set_line(2, 0)
        assert rig.core.exceptions == {}


def test_mmio_stamps_and_faults_carry_their_own_time(rig):
    rig.load("nop\nnop\nnop\nlw $t0, 0($a0)\nmfc0 $v0, $count\nsw $t0, 4($a0)\nmfc0 $v1, $count\nwait 0")
    rig.set(pc=CODE, a0=0xFFFF_FFFF_BFE0_0000, cp0={"count": 0})
    start = rig.core.cycles
    stop = rig.core.run(None)
    assert (stop.kind, stop.address, stop.size, stop.cycle - start) == (StopKind.MMIO_READ, 0x1FE0_0000, 4, 3)
    rig.core.finish_read(0x8000_0001, stop.cycle + 100)
    stop = rig.core.run(None)
    assert (stop.kind, stop.value, stop.cycle - start) == (StopKind.MMIO_WRITE, 0x8000_0001, 105)
    rig.core.finish_write(stop.cycle + 50)
    stop = rig.core.run(None)
    assert stop.kind is StopKind.DEADLOCK and rig.core.instructions == 8
    assert (rig.core.regs[2], rig.core.regs[3], rig.core.regs[12]) == (52, 78, 0xFFFF_FFFF_8000_0001)
    assert rig.core.cycles - start == 8 + 150


def test_a_timer_that_comes_due_during_an_access_is_taken_at_the_blocks_end(rig):
    for slot in ("lw $t0, 0($a0)\nnop\nnop\nb 1b\nnop", "nop\nb 1b\nlw $t0, 0($a0)"):
        rig.latency = 500
        rig.load("1: " + slot)
        rig.set(pc=CODE, status=LIVE, a0=0xFFFF_FFFF_BFE0_0000, cp0={"count": 0, "compare": 100})
        rig.run(max_insns=50, stop_pcs=(HANDLER,))
        assert rig.core.pc == HANDLER and rig.core.cp0("epc") == CODE
        assert rig.core.instructions in (5, 3, 8)
        rig.core.reset()
