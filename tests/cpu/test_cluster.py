"""Several cores on one memory: the same on both tiers and for every slice, every store, link, line and reply at its
place. Whole registers, times and memory are compared, so a test that looks at one number still sees everything else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import pairwise

import pytest

import cpu.memory
from cpu import state
from cpu.cluster import Cluster
from cpu.core import CoreError, StopKind
from cpu.cp0 import registers
from cpu.engine import shared
from cpu.engine.blocks import NO_LIMIT, find_block, flush_pool
from cpu.engine.softmmu import flush_all
from cpu.isa.assembler import assemble
from cpu.memory import Memory
from tests.cpu.cluster_rig import DEVICE, LATENCY, WINDOW, Smp
from tests.cpu.core_rig import DBE, IE, IP, MIB, STATUS, TIERS, physical

SLICES = (1, 100, 1000, 10_000, 1_000_000)

# $a0: this core's number; $a1: rounds; $s0: `cells`, one cache line for each purpose.
SHARED = """
.equ LOCK, 0x00
.equ COUNT, 0x40
.equ INSIDE, 0x80
.equ CLASH, 0xc0
.equ FLAG, 0x100
.equ SUM, 0x140
.equ RING, 0x200
        .align 6
cells:  .space 0x400
        .macro atomic_add cell, amount
90:     lld     $t0, \\cell($s0)
        daddiu  $t0, $t0, \\amount
        scd     $t0, \\cell($s0)
        beqz    $t0, 90b
        nop
        .endm
"""

LOCK = (
    SHARED
    + """
_start: la      $s0, cells
1:      ll      $t0, LOCK($s0)
        bnez    $t0, 1b
        li      $t0, 1
        sc      $t0, LOCK($s0)
        beqz    $t0, 1b
        sync
        ld      $t1, INSIDE($s0)        # nobody else may be here
        beqz    $t1, 2f
        li      $t1, 1
        sd      $t1, CLASH($s0)
2:      sd      $t1, INSIDE($s0)
        ld      $t2, COUNT($s0)
        li      $t3, 7
3:      addiu   $t3, $t3, -1
        bnez    $t3, 3b
        daddu   $a7, $a7, $a0
        daddiu  $t2, $t2, 1
        sd      $t2, COUNT($s0)
        sd      $0, INSIDE($s0)
        sync
        sw      $0, LOCK($s0)
        daddiu  $a2, $a0, 3             # something else for a while, of another length on each core
4:      addiu   $a2, $a2, -1
        bnez    $a2, 4b
        addiu   $a1, $a1, 0
        addiu   $a1, $a1, -1
        bnez    $a1, 1b
        nop
        wait    0
"""
)

COUNTER = (
    SHARED
    + """
_start: la      $s0, cells
1:      atomic_add COUNT, 1
        addiu   $a1, $a1, -1
        bnez    $a1, 1b
        nop
        wait    0
"""
)

# Core 0 passes $a1 numbers through a ring of 8 to core 1, which adds them up.
RING = (
    SHARED
    + """
_start: la      $s0, cells
        li      $t2, 0                  # sent or taken so far
        bnez    $a0, consumer
        li      $t3, 0x1234567
1:      ld      $t0, FLAG($s0)          # taken
        dsubu   $t0, $t2, $t0
        sltiu   $t0, $t0, 8
        beqz    $t0, 1b
        andi    $t1, $t2, 7
        dsll    $t1, $t1, 3
        daddu   $t1, $t1, $s0
        daddu   $t3, $t3, $t3
        xor     $t3, $t3, $t2
        sd      $t3, RING($t1)
        daddu   $s1, $s1, $t3
        sync
        daddiu  $t2, $t2, 1
        sd      $t2, COUNT($s0)         # sent
        bne     $t2, $a1, 1b
        nop
        wait    0
consumer:
2:      ld      $t0, COUNT($s0)
        beq     $t0, $t2, 2b
        sync
        andi    $t1, $t2, 7
        dsll    $t1, $t1, 3
        daddu   $t1, $t1, $s0
        ld      $t1, RING($t1)
        daddu   $s1, $s1, $t1
        daddiu  $t2, $t2, 1
        sd      $t2, FLAG($s0)
        bne     $t2, $a1, 2b
        nop
        sd      $s1, SUM($s0)
        wait    0
"""
)

# Cores change each other's `patch` (and a word of data beside it, on the same page) and call their own.
PATCH = (
    SHARED
    + """
_start: la      $s0, cells
        la      $s1, patch0
        la      $s2, patch1
        movn    $s3, $s1, $a0           # the other's
        movz    $s3, $s2, $a0
        movn    $s4, $s2, $a0           # one's own
        movz    $s4, $s1, $a0
        la      $a4, first
        lw      $a4, 0($a4)
1:      daddu   $a5, $a4, $a1
        andi    $a5, $a5, 0x7ff
        lui     $t0, 0x6442             # daddiu $v0, $v0, ...
        or      $a5, $a5, $t0
        sw      $a5, 0($s3)
        sd      $a1, 16($s3)
        jalr    $s4
        nop
        ld      $t0, 16($s4)
        daddu   $a6, $a6, $t0
        addiu   $a1, $a1, -1
        bnez    $a1, 1b
        nop
        wait    0
first:  .word   5
        .align  12
patch0: daddiu  $v0, $v0, 1
        jr      $ra
        nop
        nop
        .dword  0
        .align  8
patch1: daddiu  $v0, $v0, 1
        jr      $ra
        nop
        nop
        .dword  0
"""
)

# The ASID changes more often than there are translation contexts, on every core, while code is written.
ASIDS = PATCH.replace("        jalr    $s4\n", """
        daddu   $t0, $a1, $a0
        andi    $t0, $t0, 0x3f
        dmtc0   $t0, $entryhi
        jalr    $s4
""")  # fmt: skip


def smp(text: str, cores: int, tier: str = "threaded", rounds: int = 0, status: int = STATUS, **options) -> Smp:
    """All cores at `_start`, run until every one waits for ever."""
    m = Smp(cores, tier, **options)
    m.load(text)
    m.start_all(status=status, a1=rounds)
    m.finish()
    return m


def same(make: Callable[..., Smp], variants: Iterable[dict]) -> Smp:
    """What `make` gives is the same for every variant; the first of them."""
    first = None
    for variant in variants:
        m = make(**variant)
        first = first or m
        assert m.whole() == first.whole(), variant
    return first


def on_both_tiers(make: Callable[..., Smp]) -> Smp:
    return same(make, [{"tier": tier} for tier in TIERS])


# What cores say to each other through memory.


@pytest.mark.parametrize("cores", [2, 4, 16])
def test_a_lock_lets_one_core_in_at_a_time(cores):
    m = on_both_tiers(lambda **k: smp(LOCK, cores, rounds=6, **k))
    cells = m.program.symbol("cells")
    count, clash = (int.from_bytes(m.memory.read(physical(cells + at), 8), "little") for at in (0x40, 0xC0))
    assert (count, clash) == (6 * cores, 0)


@pytest.mark.parametrize("cores", [2, 3, 16])
@pytest.mark.parametrize("window", [8, 20, 80, 1000])
def test_no_increment_is_lost(cores, window):
    m = smp(COUNTER, cores, rounds=500, window=window)
    assert int.from_bytes(m.memory.read(physical(m.program.symbol("cells") + 0x40), 8), "little") == 500 * cores


def test_increments_are_the_same_on_both_tiers():
    on_both_tiers(lambda **k: smp(COUNTER, 5, rounds=30, **k))


def test_a_ring_passes_every_number_once():
    m = on_both_tiers(lambda **k: smp(RING, 2, rounds=60, **k))
    total = int.from_bytes(m.memory.read(physical(m.program.symbol("cells") + 0x140), 8), "little")
    assert total == m.reg(0, "s1") == m.reg(1, "s1") != 0


@pytest.mark.parametrize("text", [LOCK, RING, PATCH, ASIDS], ids=["lock", "ring", "patch", "asids"])
def test_a_slice_changes_nothing(text):
    same(lambda **k: smp(text, 2, rounds=50, **k), [{}] + [{"slice_cycles": n} for n in SLICES])


@pytest.mark.parametrize("cores", [1, 2, 3])
def test_cutting_a_run_at_grid_points_changes_nothing(cores):
    def pieces(step: int) -> Smp:
        m = Smp(cores)
        m.load(LOCK)
        m.start_all(a1=20)
        for until in range(0, 1000, step):
            m.run(until=until)
        m.finish()
        return m

    same(pieces, [{"step": step} for step in (1001, 80, 81, 560)])


# The link of LL and SC.

# Core 0 holds a link for about 120 cycles; core 1 meanwhile changes the cell and puts the old value back.
LINK = (
    SHARED
    + """
_start: la      $s0, cells
        li      $t0, 5
        sd      $t0, COUNT($s0)
        li      $t3, 10
1:      addiu   $t3, $t3, -1
        bnez    $t3, 1b
        dli     $s1, 0x900000001fe00000
        lld     $t1, COUNT($s0)
between:
        .space  4
        li      $t2, 40
2:      addiu   $t2, $t2, -1
        bnez    $t2, 2b
        li      $t1, 9
        scd     $t1, COUNT($s0)
        wait    0
other:  la      $s0, cells
        dli     $s1, 0x900000001fe00000
again:  sd      $0, COUNT($s0)
        li      $t1, 5
        sd      $t1, COUNT($s0)
        mtc0    $0, $status
        wait    0
"""
)


@pytest.mark.parametrize("between", ["nop", "lw $0, 0($s1)"], ids=["running", "parked"])
@pytest.mark.parametrize(("owner", "at"), [(0, 50), (0, 70), (0, 90), (0, 130), (1, 90), (1, 110), (1, 130)])
def test_a_link_ends_where_another_core_has_executed(owner, at, between):
    # The other core comes from reset, or from a WAIT: it is not awake when the window opens.
    def make(tier: str) -> Smp:
        m = Smp(2, tier)
        program = m.load(LINK)
        m.memory.write(physical(program.symbol("between")), assemble(between).data)
        if owner == 0:
            m.start(0)
            m.start(1, "other", at=at)
        else:
            m.load(LINK.replace("other:", "other: wait 0\n"))
            m.memory.write(physical(m.program.symbol("between")), assemble(between).data)
            m.start(0, "other", status=STATUS | IP[2])
            m.start(1)
            m.line(at, 0, 2, 1)
        m.finish()
        return m

    m = on_both_tiers(make)
    assert m.reg(owner, "t1") == 0, "SC succeeded over two stores of another core"


def test_a_link_survives_windows_in_which_the_others_wait():
    m = Smp(3)
    m.load(LINK.replace("other:", "other: wait 0\n").replace("$t3, 10", "$t3, 100"))
    m.memory.write(physical(m.program.symbol("between")), assemble("nop").data)
    m.start(0)
    m.start(1, "other")
    m.finish()
    assert m.reg(0, "t1") == 1


# Code that other cores write.


@pytest.mark.parametrize("text", [PATCH, ASIDS], ids=["patch", "asids"])
def test_cores_that_write_each_others_code(text):
    m = on_both_tiers(lambda **k: smp(text, 2, rounds=70, **k))
    assert all(m.reg(core, "v0") > 70 for core in (0, 1)), "the patches were executed"
    assert m.reg(0, "a6") and m.reg(1, "a6")


PARKED = (
    SHARED
    + """
_start: dli     $s1, 0x900000001fe00000
        lw      $t0, 0($s1)
        .rept   20
        nop
        .endr
there:  li      $v0, 1
        wait    0
other:  la      $s0, there
        la      $t0, new
        lw      $t0, 0($t0)
        sw      $t0, 0($s0)
        wait    0
new:    li      $v0, 2
"""
)


@pytest.mark.parametrize("owner", [0, 1])
def test_code_written_while_a_core_is_parked_in_front_of_it(owner):
    def make(tier: str) -> Smp:
        m = Smp(2, tier)
        m.load(PARKED)
        m.start(owner)
        m.start(1 - owner, "other")
        m.finish()
        return m

    assert on_both_tiers(make).reg(owner, "v0") == 2


def test_a_small_pool_is_flushed_and_nobody_sees_it(monkeypatch):
    plain = smp(PATCH, 2, rounds=9000)
    assert plain.memory.shared[shared.POOL_FLUSHES] == 0
    monkeypatch.setattr(cpu.memory, "POOL_WORDS", 32_000)
    small = smp(PATCH, 2, rounds=9000)
    assert small.memory.shared[shared.POOL_FLUSHES] >= 2
    assert small.whole() == plain.whole()


def test_few_chunks_are_enough(monkeypatch):
    plain = smp(PATCH, 2, rounds=300)
    monkeypatch.setattr(cpu.memory, "CHUNK_LIMIT", 4)
    small = smp(PATCH, 2, rounds=300)
    assert small.memory.shared[shared.POOL_FLUSHES] > plain.memory.shared[shared.POOL_FLUSHES] == 0
    assert small.whole() == plain.whole()


@pytest.mark.parametrize("text", [LOCK, PATCH, ASIDS], ids=["lock", "patch", "asids"])
def test_what_is_translated_and_by_whom_changes_nothing(text):
    def run(forget: int, until: int = 0) -> Smp:
        m = Smp(4)
        program = m.load(text)
        if forget:
            # Core 3 translates a block from every word.
            for pc in range(program.base - (1 << 64), program.base + len(program.data) - (1 << 64), 4):
                find_block(m.cluster.cores[3].S, m.memory.shared, pc, NO_LIMIT)
        m.start_all(a1=40)
        for cycle in range(forget, until, forget or 1):
            m.run(until=cycle)
            flush_pool(m.memory.shared)
            flush_all(m.cluster.cores[cycle // forget % 4].S)
        m.finish()
        return m

    end = run(0).cluster.grid - WINDOW
    same(run, [{"forget": 0}] + [{"forget": cycles, "until": end} for cycles in (400, 2000)])


# Lines, replies, release, in their own time.

WAITER = """
_start: mfc0    $s0, $count
        wait    0
        mfc0    $s1, $count
        mtc0    $0, $status
        wait    0
spin:   .rept   6
        daddiu  $v0, $v0, 1
        .endr
        b       spin
        nop
reader: dli     $s1, 0x900000001fe00000
first:  lw      $t0, 0($s1)
        lw      $t1, 4($s1)
        sw      $t1, 8($s1)
        mtc0    $0, $status
        wait    0
"""


@pytest.mark.parametrize("at", [2, 80, 158, 160, 4000, 4078])
def test_a_held_core_begins_at_its_cycle(at):
    def make(tier: str) -> Smp:
        m = Smp(2, tier)
        m.load(WAITER)
        m.start(0, "reader")
        m.start(1, at=at)
        m.finish()
        return m

    m = on_both_tiers(make)
    assert 2 * m.reg(1, "s0") == at
    assert m.cluster.cores[1].instructions == 2


def test_a_core_that_is_never_released_executes_nothing():
    m = smp(COUNTER, 1, rounds=5)
    two = Smp(2)
    two.load(COUNTER)
    two.start(0, a1=5)
    two.finish()
    assert two.cluster.cores[1].held and two.cluster.cores[1].instructions == 0
    assert two.cluster.cores[0].digest() == m.cluster.cores[0].digest()


@pytest.mark.parametrize("busy", [False, True], ids=["alone", "with a busy core"])
@pytest.mark.parametrize("at", [500, 561, 640, 719])
def test_a_line_wakes_a_core_at_its_cycle(busy, at):
    def make(**options) -> Smp:
        m = Smp(3, **options)
        m.load(WAITER)
        m.start(0, status=STATUS | IP[3])
        if busy:
            m.start(1, "spin")
        m.line(at, 0, 3, 1)
        m.run(until=4000)
        return m

    m = same(make, [{}, {"tier": "reference"}] + [{"slice_cycles": n} for n in SLICES])
    assert m.reg(0, "s1") == at // 2


def test_an_interrupt_is_taken_at_the_boundary_that_follows_whatever_the_slice():
    # Blocks of `spin` take eight cycles, so the vector is reached less than eight cycles after the line.
    def taken(at: int, **options) -> list[tuple[int, ...]]:
        m = Smp(2, **options)
        m.load(WAITER)
        m.start(0, "spin", status=STATUS | IE | IP[4])
        m.start(1, "spin")
        m.cluster.cores[0].log_interrupts()
        m.line(at, 0, 4, 1)
        m.run(until=4000)
        return m.cluster.cores[0].drain_irq_log()

    for at in range(1000, 1100, 7):
        first, *others = [taken(at), *(taken(at, slice_cycles=n) for n in SLICES), taken(at, tier="reference")]
        assert all(other == first for other in others)
        assert [entry[1] for entry in first] == [IP[4] >> 8]
        assert at <= first[0][0] < at + 8


def test_parked_cores_get_their_own_answers():
    def make(**options) -> Smp:
        m = Smp(4, device=lambda r: 100 * r.core + (r.address & 15), **options)
        m.load(WAITER)
        m.start(0, "spin")
        for core in (1, 2, 3):
            m.start(core, "reader", at=300 + core)
        m.run(until=20_000)
        return m

    m = same(make, [{}, {"tier": "reference"}] + [{"slice_cycles": n} for n in SLICES])
    assert [(m.reg(core, "t0"), m.reg(core, "t1")) for core in (1, 2, 3)] == [(100 * c, 100 * c + 4) for c in (1, 2, 3)]
    for core in (1, 2, 3):
        mine = [r for r in m.seen if r.core == core]
        assert [r.is_store for r in mine] == [False, False, True]
        # An access takes as long as its answer, and the instruction's own cycle.
        assert [b.cycle - a.cycle for a, b in pairwise(mine)] == [LATENCY + 1] * 2
        assert m.cluster.cores[core].cycles - m.cluster.cores[core].instructions >= 3 * LATENCY
    assert m.cluster.cores[0].instructions == m.cluster.cores[0].cycles


def test_a_bus_error_is_one_cores_own():
    def make(tier: str) -> Smp:
        m = Smp(3, tier, device=lambda r: None if r.core == 1 else 7)
        m.load(WAITER)
        for core in range(3):
            m.start(core, "reader")
        m.finish()
        return m

    m = on_both_tiers(make)
    causes = [core.cp0("cause") >> 2 & 31 for core in m.cluster.cores]
    assert causes == [0, DBE, 0]
    assert m.cluster.cores[1].cp0("epc") == m.program.symbol("first")
    assert m.reg(0, "t1") == m.reg(2, "t1") == 7


# Ends.


@pytest.mark.parametrize("tier", TIERS)
def test_an_instruction_that_is_not_modelled_names_the_core(tier):
    m = Smp(3, tier)
    m.load("_start: b _start\nnop\nbad: nop\ngsle $t0, $t1\nwait 0\n")
    for core, label in ((0, "_start"), (1, "_start"), (2, "bad")):
        m.start(core, label)
    stop = m.run(until=4000)
    assert (stop.kind, stop.core) == (StopKind.UNMODELLED, 2)
    assert f"core 2 at pc {m.program.symbol('bad') + 4:#018x}" in stop.text


def test_a_limit_ends_the_run_at_the_end_of_a_window():
    reached = []
    for tier, slice_cycles in (("threaded", 1), ("threaded", 1_000_000), ("reference", 1000)):
        m = Smp(3, tier, slice_cycles=slice_cycles)
        m.load("_start: b _start\nnop\n")
        m.start_all()
        m.cluster.limit(1000)
        assert m.run(until=100_000).kind is StopKind.LIMIT
        reached.append((m.cluster.grid, m.whole()))
    assert all(r == reached[0] for r in reached)
    total = sum(core.instructions for core in m.cluster.cores)
    assert 1000 <= total < 1000 + 3 * (WINDOW + 2)
    m.cluster.limit(2000)
    assert m.run(until=100_000).kind is StopKind.LIMIT
    assert sum(core.instructions for core in m.cluster.cores) >= 2000


def test_a_limit_on_a_lone_core_is_no_later():
    m = Smp(2)
    m.load("_start: b _start\nnop\n")
    m.start(0)
    m.cluster.limit(1000)
    assert m.run().kind is StopKind.LIMIT
    assert 1000 <= m.cluster.cores[0].instructions < 1000 + WINDOW + 2


@pytest.mark.parametrize("window", [64, 80])
def test_a_deadlock_is_at_the_end_of_its_window_and_says_what_each_core_waits_for(window):
    m = Smp(4, window=window)
    m.load("_start: nop\nwait 0\n")
    m.start(0, status=STATUS | IP[2] | IP[6])
    m.start(1)
    m.start(2, status=STATUS | IP[3])
    stop = m.run()
    assert stop.kind is StopKind.DEADLOCK
    assert m.cluster.grid == window
    for text in (
        "core 0 waits at pc",
        "for IP2 or IP6 ",
        "core 1 waits at pc",
        "for no interrupt at all",
        "for IP3 ",
        "held at reset until mailbox 0 is written: core 3",
    ):
        assert text in stop.text, text


def test_waiting_for_the_own_timer_is_no_deadlock():
    # One core sleeps for 60,000 cycles, the other for ever: one step, not 750 windows.
    m = Smp(2)
    m.load("_start: mfc0 $t0, $count\naddiu $t0, $t0, 30000\nmtc0 $t0, $compare\nwait 0\nmtc0 $0, $status\nwait 0\n")
    m.start(0, status=STATUS | IP[7])
    m.start(1)
    m.finish()
    assert 60_000 <= m.cluster.cores[0].cycles < 60_000 + 2 * WINDOW


# Misuse.


def test_the_face_refuses_what_cannot_be():
    memory = Memory(MIB)
    for cores in (0, 17):
        with pytest.raises(CoreError, match=f"{cores} cores: 1 to 16 are possible"):
            Cluster(memory, cores)
    with pytest.raises(CoreError, match="a window of 0 cycles; at least 1"):
        Cluster(memory, 1, window=0)
    cluster = Cluster(memory, 2)
    with pytest.raises(CoreError, match="core 0 is not held at reset"):
        cluster.release(0, 0, 0, {})
    for ip in (1, 8):
        with pytest.raises(CoreError, match=f"IP{ip}: devices drive IP2 to"):
            cluster.line(0, 0, ip, 1)
    cluster.release(1, 0, 0x1000, {29: 5})
    with pytest.raises(CoreError, match="core 1 is not held at reset"):
        cluster.release(1, 0, 0x2000, {})
    assert cluster.cores[1].held and cluster.cores[1].pc == 0x1000
    for _ in range(state.EVENT_ROOM):
        cluster.line(0, 10, 2, 1)
    with pytest.raises(CoreError, match=f"core 0: more than {state.EVENT_ROOM} line changes and replies in one window"):
        cluster.line(0, 10, 2, 0)


def test_lines_of_one_cycle_are_applied_in_order():
    m = Smp(2)
    m.load(WAITER)
    m.start(0, "spin")
    for level in (1, 0, 1, 0):
        m.line(200, 0, 2, level)
    m.line(200, 0, 3, 1)
    m.run(until=400)
    cause = int(m.cluster.states[0, registers.C0_CAUSE])
    assert cause & 0xFF00 == IP[3]
    assert DEVICE not in {r.address for r in m.seen}
