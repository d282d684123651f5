"""Cycles per class of instruction, and to enter an exception: exact at each instruction, on both tiers, however the
host cuts the run.
"""

from __future__ import annotations

from random import Random

import pytest

from cpu.core import StopKind
from cpu.costs import MOST_CYCLES, CostError, Costs
from cpu.engine.micro import OPS
from cpu.isa.table import TIMING_CLASSES
from cpu.memory import MemoryRangeError
from soc.timing import MOST_CYCLES as MOST_CYCLES_OF_THE_TABLE
from soc.timing import Timing
from tests.cpu.cluster_rig import DEVICE, Smp
from tests.cpu.core_rig import CODE, IE, IP, KSEG0, STATUS, TIERS, Rig
from tests.cpu.test_cluster import COUNTER, RING, SLICES, same, smp
from tests.cpu.test_tiers import LIMIT, Program, different, run_whole, whole_state

# A prime per class: a sum of a few of them tells which were counted.
PRIMES = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61)
COSTS = Costs(dict(zip(TIMING_CLASSES, PRIMES, strict=True)), exception_entry=67)
C = COSTS.cycles


def random_costs(number: int, most: int) -> Costs:
    random = Random(f"costs {number}")
    classes = {name: random.randint(1, most) for name in TIMING_CLASSES}
    return Costs(classes, exception_entry=random.randrange(most), count_divider=random.choice((1, 2, 3, 7, 64)))


CLASSES = {
    "alu": "addu slt sll movz clz ext seb lui syscall teq pref prefx mfhi",
    "multiply": "mult dmultu madd mul gsmult gsdmultu",
    "divide": "div ddivu gsdiv gsdmodu",
    "branch": "beq bnel bgezal j jal jr jalr bc1t bc1fl bz.v bnz.h",
    "load": "lb lwl ldr lld gsldx lwc1 ldxc1 gslwlc1 ld.b",
    "store": "sb swl sdr scd gssdx swc1 sdxc1 gssdrc1 st.d",
    "sync": "sync",
    "cache": "cache synci",
    "cp0": "mfc0 dmtc0 di ei eret wait rdhwr cpucfg rdpgpr",
    "tlb": "tlbr tlbwi tlbwr tlbp tlbinv tlbinvf",
    "fpu_move": "mov.d abs.s neg.d mfc1 dmtc1 cfc1 ctc1 movn.s puu.ps alnv.ps",
    "fpu_add": "add.s sub.d c.eq.d add.ps c.le.ps",
    "fpu_convert": "cvt.s.d cvt.d.l trunc.w.d round.l.s",
    "fpu_multiply": "mul.s madd.d nmsub.s mul.ps madd.ps",
    "fpu_divide": "div.d recip.s",
    "fpu_sqrt": "sqrt.s rsqrt.d",
    "msa": "cfcmsa ctcmsa addv.b fdiv.w vshf.d",
}


@pytest.mark.parametrize("timing_class", CLASSES)
def test_instructions_are_in_the_class_one_looks_in(timing_class):
    found = {op.name: op.timing for op in OPS}
    assert {name: found[name] for name in CLASSES[timing_class].split()} == dict.fromkeys(
        CLASSES[timing_class].split(), timing_class
    )


def test_a_branch_costs_the_same_in_both_its_forms():
    found = {op.name: op.timing for op in OPS}
    assert all(found[op.name.rstrip("?")] == op.timing for op in OPS)


def test_the_table_has_a_constant_per_class_and_the_same_bound():
    assert tuple(Timing().instruction_cycles) == TIMING_CLASSES
    assert MOST_CYCLES_OF_THE_TABLE == MOST_CYCLES


def test_unless_told_every_instruction_takes_a_cycle():
    assert set(Timing().instruction_cycles.values()) == {1} and Timing().exception_entry == 0
    assert {Costs().cycles(name) for name in TIMING_CLASSES} == {1}


PLACES = """
        mfc0    $v0, $count             # 0
        mult    $t0, $t1
        mfc0    $v1, $count             # multiply
        ld      $t2, 0($s0)
        sd      $t2, 8($s0)
        ddiv    $0, $t0, $t1
        nop
        mfc0    $a0, $count             # load, store, divide, alu
        add.d   $f0, $f2, $f4
        mul.d   $f0, $f2, $f4
        div.d   $f0, $f2, $f4
        sqrt.d  $f0, $f2
        cvt.l.d $f0, $f2
        mov.d   $f0, $f2
        mfc0    $a1, $count             # one of each
        beqz    $0, 1f
        mfc0    $a2, $count             # branch: in the delay slot
1:      mfc0    $a3, $count
        bnel    $0, $0, 1f
        div     $0, $t0, $t1            # nullified: costs nothing
        mfc0    $a4, $count
        sync
1:      cache   0, 0($s0)
        mfc0    $a5, $count
        tlbp
        j       2f
        mult    $t0, $t1
2:      rdhwr   $a6, $2
        rdhwr   $a7, $3
        wait    0
"""


def test_count_is_read_at_the_instructions_own_time():
    cp0 = C("cp0")
    v1 = cp0 + C("multiply")
    a0 = v1 + cp0 + C("load") + C("store") + C("divide") + C("alu")
    a1 = a0 + cp0 + sum(C(f"fpu_{name}") for name in ("add", "multiply", "divide", "sqrt", "convert", "move"))
    a2 = a1 + cp0 + C("branch")
    a3 = a2 + cp0
    a4 = a3 + cp0 + C("branch")
    a5 = a4 + cp0 + C("sync") + C("cache")
    a6 = a5 + cp0 + C("tlb") + C("branch") + C("multiply")
    expected = dict(v0=0, v1=v1, a0=a0, a1=a1, a2=a2, a3=a3, a4=a4, a5=a5, a6=a6)
    for tier in TIERS:
        for divider in (1, 3):
            rig = Rig(tier, costs=Costs(COSTS.classes, count_divider=divider))
            end = rig.go(PLACES, s0=KSEG0 + 0x4000, t1=3, cp0={"count": 0})
            assert {name: end[name] for name in expected} == {name: t // divider for name, t in expected.items()}
            assert end["a7"] == divider
            assert end.instructions == len(PLACES.split("\n")[1:-1]) - 2  # without the nullified one and WAIT


def test_an_access_to_a_device_leaves_at_its_own_time():
    for tier in TIERS:
        rig = Rig(tier, costs=COSTS)
        rig.load("mult $t0, $t1\nlw $t0, 0($a0)\nmfc0 $v0, $count\nb 1f\nsw $t0, 4($a0)\n1: mfc0 $v1, $count\nwait 0")
        rig.set(pc=CODE, a0=0xFFFF_FFFF_BFE0_0000, cp0={"count": 0})
        read = rig.core.run(None)
        assert (read.kind, read.cycle) == (StopKind.MMIO_READ, C("multiply"))
        rig.core.finish_read(1, read.cycle + 1000)
        write = rig.core.run(None)
        behind = read.cycle + 1000 + C("load")
        assert (write.kind, write.cycle) == (StopKind.MMIO_WRITE, behind + C("cp0") + C("branch"))
        rig.core.finish_write(write.cycle + 500)
        rig.core.run(None)
        assert rig.core.regs[2] == behind // 2
        assert rig.core.regs[3] == (write.cycle + 500 + C("store")) // 2
        assert rig.core.instructions == 7


def test_an_exception_enters_its_handler_later():
    """By a fault, a trap and an interrupt; none of them completes an instruction."""
    handler = "mfc0 $v0, $count\nwait 0"
    cases = (
        ("mult $t0, $t1\nld $t0, 0($0)", C("multiply"), {}, 0x080),
        ("mult $t0, $t1\nsyscall 0", C("multiply"), {}, 0x180),
        ("mult $t0, $t1\n.word 0x7000003e", C("multiply"), {}, 0x180),
        ("1: mult $t0, $t1\nb 1b\nnop", 2 * (C("multiply") + C("branch") + C("alu")), {"compare": 20}, 0x180),
    )
    for text, cycles, cp0, vector in cases:
        for tier in TIERS:
            rig = Rig(tier, costs=Costs(COSTS.classes, exception_entry=67, count_divider=1))
            rig.load(handler, KSEG0 + vector)
            rig.load(text)
            rig.set(pc=CODE, status=STATUS | IE | IP[7], cp0={"compare": 0x10000, "count": 0, **cp0})
            rig.run(max_insns=1000)
            assert rig.core.regs[2] == cycles + 67, (text, tier)


def test_a_line_that_rises_while_a_handler_is_entered_is_seen_there():
    """The entry takes long: what comes due meanwhile is in Cause when the handler begins, for every horizon."""
    for tier in TIERS:
        for step in (2000, 1, 7):
            rig = Rig(tier, costs=Costs(exception_entry=1000, count_divider=1))
            rig.load("mfc0 $v0, $cause\nmfc0 $v1, $count\nwait 0", KSEG0 + 0x180)
            rig.load("nop\nsyscall 0")
            rig.set(pc=CODE, cp0={"count": 0, "compare": 500})
            horizon = 0
            while not rig.core.waiting:
                rig.core.run(horizon := horizon + step)
            assert rig.core.regs[2] & IP[7] and rig.core.regs[3] == 1002, (tier, step)


@pytest.mark.parametrize("number", range(200, 224))
def test_the_tiers_agree_under_random_costs(number):
    program, costs = Program(number), random_costs(number, (3, 50, 3000)[number % 3])
    *others, reference = (run_whole(program, tier, costs=costs) for tier in TIERS)
    for fast in others:
        assert different(fast, reference) == {}
    assert reference["cycles"] > reference["instructions"]


@pytest.mark.slow
@pytest.mark.parametrize("number", range(1000, 1400))
def test_the_tiers_agree_under_many_random_costs(number):
    test_the_tiers_agree_under_random_costs(number)


@pytest.mark.parametrize("number", range(224, 232))
def test_how_the_host_cuts_the_run_changes_nothing(number):
    program, costs = Program(number), random_costs(number, 200)
    free = run_whole(program, "threaded", costs=costs)
    for cycles in (1, 100, 10_007):
        assert different(free, run_whole(program, "threaded", costs=costs, slice_cycles=cycles)) == {}, cycles
    random = Random(number)
    rig = program.prepare("threaded", costs=costs)
    while rig.core.instructions < LIMIT:
        if rig.run(max_insns=min(LIMIT - rig.core.instructions, random.randint(1, 300))).kind is StopKind.DEADLOCK:
            break
    assert different(free, whole_state(rig)) == {}


def test_more_instructions_than_one_budget_holds_are_all_counted():
    """2^21 instructions without a stop, cheap and dear ones: the counts are those of the program."""
    rounds = 1 << 20
    for costs in (Costs(), COSTS):
        rig = Rig("threaded", costs=costs)
        rig.load("1: bnez $t0, 1b\naddiu $t0, $t0, -1\nwait 0")
        rig.set(pc=CODE, t0=rounds)
        rig.run(max_insns=None)
        assert rig.core.instructions == 2 * (rounds + 1) + 1
        expected = (rounds + 1) * (costs.cycles("branch") + costs.cycles("alu")) + costs.cycles("cp0")
        assert rig.core.cycles == expected


def test_the_dearest_block_there_can_be():
    """64 instructions and a delay slot, each at the bound: prefixes and charges hold it."""
    text = ".org 0\n" + "nop\n" * 62 + "mfc0 $v0, $count\nb 1f\nmfc0 $v1, $count\n1: wait 0"
    costs = Costs(dict.fromkeys(TIMING_CLASSES, MOST_CYCLES), count_divider=1)
    for tier in TIERS:
        end = Rig(tier, costs=costs).go(text, cp0={"count": 0})
        assert (end["v0"], end["v1"]) == (62 * MOST_CYCLES, 64 * MOST_CYCLES)


@pytest.mark.parametrize("text", [COUNTER, RING], ids=["counter", "ring"])
def test_cores_under_costs_are_the_same_on_both_tiers_and_for_every_slice(text):
    costs = random_costs(1, 6)
    options = {"rounds": 8, "window": 400, "costs": costs}
    same(
        lambda **k: smp(text, 2, **options, **k),
        [{}, {"tier": "reference"}] + [{"slice_cycles": n} for n in SLICES],
    )


def test_a_block_longer_than_a_window_keeps_its_accesses_in_order():
    text = """
_start: li      $a1, 6
1:      dmult   $t0, $t1
        ld      $t2, 0($s0)
        daddu   $s1, $s1, $t2
        sd      $a0, 0($s0)
        addiu   $a1, $a1, -1
        bnez    $a1, 1b
        nop
        wait    0
    """
    costs = Costs({"multiply": 700, "alu": 90, "load": 130}, exception_entry=333)

    def make(**options) -> Smp:
        m = Smp(3, device=lambda request: request.cycle, costs=costs, **options)
        m.load(text)
        m.start_all(s0=DEVICE)
        m.finish()
        return m

    m = same(make, [{}, {"tier": "reference"}] + [{"slice_cycles": n} for n in SLICES])
    for core in range(3):
        cycles = [request.cycle for request in m.seen if request.core == core]
        assert len(cycles) == 12 and cycles == sorted(cycles)
        assert m.reg(core, "s1") == sum(cycles[::2])


def test_numbers_a_core_cannot_have_are_refused():
    for wrong in (0, -1, 1.5, True, MOST_CYCLES + 1):
        with pytest.raises(CostError, match=r"load = .* 1 to 1,000,000 is needed"):
            Costs({"load": wrong})
    with pytest.raises(CostError, match="timing class 'fpu'; allowed: alu"):
        Costs({"fpu": 2})
    with pytest.raises(CostError, match="exception_entry = -1"):
        Costs(exception_entry=-1)
    with pytest.raises(CostError, match="count_divider = 0"):
        Costs(count_divider=0)


def test_code_in_memory_keeps_the_costs_it_was_translated_for():
    rig = Rig("threaded")
    rig.load("1: b 1b\nnop")
    rig.set(pc=CODE)
    rig.run(max_insns=10)
    with pytest.raises(MemoryRangeError, match="make a new Memory"):
        rig.memory.set_charges(COSTS.charges())
    rig.memory.set_charges(Costs().charges())
