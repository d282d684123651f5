"""CSR instructions at the core: an access of another space that parks it, wherever in a block, and DRDTIME."""

from __future__ import annotations

import pytest

from cpu import state
from cpu.core import StopKind
from cpu.costs import Costs
from cpu.engine.blocks import flush_pool
from tests.cpu.cluster_rig import Smp
from tests.cpu.core_rig import CODE, CPU, CU0, EXL, IE, IP, KSEG0, STATUS, TIERS, UM, Rig, on_both_tiers
from tests.cpu.test_cluster import SLICES, same
from tests.cpu.test_tiers import different, whole_state

rig = on_both_tiers()
M64 = (1 << 64) - 1
VALUES = {0x1000: 0x8765_4321_89AB_CDEF, 0x1020: 0x1122_3344_5566_7788}


def test_what_leaves_the_core(rig):
    rig.load("rdcsr $v0, $a0\ndrdcsr $v1, $a1\nwrcsr $a2, $a3\ndwrcsr $a2, $a3\nrdcsr $0, $a0\nwait 0")
    rig.set(pc=CODE, a0=0xFFFF_FFFF_0000_1000, a1=0x1020, a2=0xF000_0000_8000_0001, a3=0x8000_1158)
    expected = [
        (StopKind.MMIO_READ, 0x1000, 4, 0),
        (StopKind.MMIO_READ, 0x1020, 8, 0),
        (StopKind.MMIO_WRITE, 0x8000_1158, 4, 0x8000_0001),
        (StopKind.MMIO_WRITE, 0x8000_1158, 8, 0xF000_0000_8000_0001),
        (StopKind.MMIO_READ, 0x1000, 4, 0),
    ]
    start = rig.core.cycles
    for number, access in enumerate(expected):
        stop = rig.core.run(None)
        assert (stop.kind, stop.address, stop.size, stop.value) == access and stop.space == state.CSR_SPACE
        assert stop.cycle - start == number * 101, "at its own time, after those before it and their answers"
        if stop.kind is StopKind.MMIO_READ:
            rig.core.finish_read(VALUES.get(stop.address, 0), stop.cycle + 100)
        else:
            rig.core.finish_write(stop.cycle + 100)
    assert rig.core.run(None).kind is StopKind.DEADLOCK
    assert rig.core.regs[2] == 0xFFFF_FFFF_89AB_CDEF, "sign-extended, as LW"
    assert rig.core.regs[3] == VALUES[0x1020] and rig.core.regs[0] == 0
    assert rig.core.instructions == 6 and rig.core.mmio_count == 5


def test_a_load_after_it_is_of_memory_again(rig):
    rig.load("rdcsr $v0, $a0\nlw $v1, 0($a1)\nwait 0")
    rig.set(pc=CODE, a0=0x1000, a1=0xFFFF_FFFF_BFE0_0000)
    spaces = []
    for _ in range(2):
        stop = rig.core.run(None)
        spaces.append(stop.space)
        rig.core.finish_read(0, stop.cycle)
    assert spaces == [state.CSR_SPACE, state.MEMORY_SPACE]


@pytest.mark.parametrize("text", ["rdcsr $v0, $a0", "wrcsr $v0, $a0", "drdcsr $v0, $a0", "dwrcsr $v0, $a0"])
def test_only_for_the_kernel(rig, text):
    rig.tlb(0, 0x2000, 0x10000 >> 12 << 6 | 0x1E)
    end = rig.go(text, base=0x2000, at=0x10000, status=STATUS | UM, a0=0x1000, v0=5)
    assert (end.code, end.ce, end.vector, end["v0"]) == (CPU, 0, 0x180, 5) and rig.core.mmio_count == 0
    for status in (STATUS | UM | EXL, STATUS | UM | CU0):
        rig.core.reset()
        rig.tlb(0, 0x2000, 0x10000 >> 12 << 6 | 0x1E)
        rig.load(text, base=0x2000, at=0x10000)
        rig.set(pc=0x2000, status=status, a0=0x1000)
        assert rig.core.run(None).space == state.CSR_SPACE


PLACES = "\n".join(
    [
        "1: rdcsr $t0, $a0",
        "daddu $v0, $v0, $t0",
        *(f"{'nop' if n % 3 else 'daddiu $v0, $v0, 1'}" for n in range(59)),
        "rdcsr $t1, $a0",  # the last word before a boundary of 256 bytes
        "wrcsr $v0, $a0",
        "b 2f",
        "drdcsr $t2, $a1",
        "nop",
        "2: bnel $t2, $0, 3f",
        "dwrcsr $t2, $a1",
        "3: daddu $v0, $v0, $t2",
        "jalr $a1, $a2",
        "drdcsr $a1, $a1",  # over the link that its branch wrote
        "4: addiu $s0, $s0, -1",
        "bnez $s0, 1b",
        "mfc0 $v1, $count",
        "mtc0 $0, $status",
        "wait 0",
    ]
)


def places(tier: str, offset: int, costs: Costs | None = None, **options) -> dict:
    rig = Rig(tier, latency=53, devices=dict(VALUES), costs=costs, **options)
    program = rig.load("nop\n" * offset + PLACES)
    # Interrupts come in the middle of it all, more than one a round; the handler counts them.
    rig.load("mfc0 $k0, $count\naddiu $k0, $k0, 97\nmtc0 $k0, $compare\ndaddiu $s7, $s7, 1\neret", KSEG0 + 0x180)
    fourth = program.base + 4 * (offset + PLACES.split("\n").index("4: addiu $s0, $s0, -1"))
    rig.set(pc=CODE, status=STATUS | IE | IP[7], a0=0x1000, a1=0x1020, a2=fourth, s0=9, cp0={"compare": 50})
    rig.finish(max_insns=5000)
    return whole_state(rig)


@pytest.mark.parametrize("offset", [0, 1, 2, 3, 30, 59, 60, 61, 62, 63])
def test_wherever_it_stands_the_tiers_agree(offset):
    reference = places("reference", offset)
    assert reference["mmio"] >= 9 * 5 and reference["gpr"][23] >= 9
    for options in ({}, {"slice_cycles": 1}, {"slice_cycles": 100}):
        assert different(places("threaded", offset, **options), reference) == {}, options
    costs = Costs({"csr": 7, "alu": 2, "branch": 3}, exception_entry=11)
    dear = places("reference", offset, costs)
    assert different(places("threaded", offset, costs), dear) == {}
    assert dear["cycles"] > reference["cycles"]


def test_a_parked_core_survives_that_the_pool_is_filled_anew():
    """In the middle of a block, in a delay slot, and in front of a boundary."""
    for text in ("nop\nrdcsr $v0, $a0\nnop", "b 1f\nrdcsr $v0, $a0\n1: nop", "nop\n" * 63 + "rdcsr $v0, $a0"):
        rig = Rig("threaded")
        rig.load(text + "\naddiu $v1, $v0, 1\nwait 0")
        rig.set(pc=CODE, a0=0x1000)
        stop = rig.core.run(None)
        flush_pool(rig.memory.shared)
        rig.core.finish_read(41, stop.cycle + 9)
        assert rig.core.run(None).kind is StopKind.DEADLOCK
        assert (rig.core.regs[2], rig.core.regs[3]) == (41, 42)


def test_cores_get_their_own_answers():
    text = """
_start: li      $s0, 6
        li      $a1, 0x1000
1:      drdcsr  $t0, $a1
        daddu   $v0, $v0, $t0
        dwrcsr  $v0, $a1
        addiu   $s0, $s0, -1
        bnez    $s0, 1b
        nop
        wait    0
    """

    def make(**options) -> Smp:
        m = Smp(3, device=lambda request: request.core << 20 | request.space << 16 | request.cycle & 0xFFF, **options)
        m.load(text)
        m.start_all()
        m.finish()
        return m

    m = same(make, [{}, {"tier": "reference"}] + [{"slice_cycles": n} for n in SLICES])
    for core in range(3):
        reads = [r for r in m.seen if r.core == core and not r.is_store]
        assert len(reads) == 6 and {r.space for r in m.seen} == {state.CSR_SPACE}
        assert m.reg(core, "v0") == sum(core << 20 | 1 << 16 | r.cycle & 0xFFF for r in reads)


def test_a_bus_error_is_a_data_bus_error(rig):
    rig.load("rdcsr $v0, $a0\nwait 0")
    rig.set(pc=CODE, a0=0x1000, v0=3)
    stop = rig.core.run(None)
    rig.core.finish_error(stop.cycle + 5)
    end = rig.finish()
    assert (end.code, end.epc, end["v0"]) == (7, CODE, 3)


def test_drdtime_gives_the_stable_counter_and_its_number():
    for tier in TIERS:
        rig = Rig(tier, costs=Costs(core_clock=900_000_000, stable_clock=100_000_000))
        rig.load("drdtime $v0, $v1\ndrdtime $a0, $a0\n" + "nop\n" * 7 + "drdtime $0, $a1\ndrdtime $t0, $0\nwait 0")
        rig.set(pc=CODE, v1=7, a1=7)
        seconds = 3
        rig.core.S[state.CYCLES] = seconds * 900_000_000 + 4
        rig.run(max_insns=50)
        regs = rig.core.regs
        assert (regs[2], regs[3]) == (seconds * 100_000_000, 0)
        assert regs[4] == seconds * 100_000_000, "where both name one register, the counter stays"
        assert (regs[0], regs[5], regs[12]) == (0, 0, seconds * 100_000_000 + (4 + 10) // 9)


def test_drdtime_is_for_everybody(rig):
    rig.tlb(0, 0x2000, 0x10000 >> 12 << 6 | 0x1E)
    rig.load("drdtime $v0, $v1\nsyscall 0", base=0x2000, at=0x10000)
    rig.set(pc=0x2000, status=STATUS | UM, v1=9)
    assert rig.finish().code == 8 and rig.core.regs[3] == 0
