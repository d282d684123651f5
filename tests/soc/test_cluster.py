"""Machines with several cores: one trace hash whatever the slice, the tier, the trace, the wire and the pieces of the
run, and latencies of interrupts that are the same to the picosecond.
"""

from __future__ import annotations

import threading
from itertools import pairwise
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cpu.isa.assembler import assemble
from cpu.isa.program import Program
from soc import Machine, PoweredOff
from soc.errors import ConfigurationError
from soc.messages import InterruptLevel, MmioWrite
from soc.timing import Timing

SLICES = (100, 1000, 10_000, 1_000_000)
BASE = 0xFFFF_FFFF_8001_0000
CYCLE_PS = 1250
WINDOW = Timing().core_window // CYCLE_PS

# Core 0 releases the others, up to $s7 of them; all meet at `work` with their number in $s6 and their IPI block in $s0.
START = """
.equ UNCACHED, 0x9000000000000000
.equ IPI, UNCACHED + 0x3ff01000
.equ UART, UNCACHED + 0x1fe001e0
.equ POWER, UNCACHED + 0x10080010
_start: li      $t0, 0x340000e0
        mtc0    $t0, $status
        li      $s6, 1
1:      sltu    $t0, $s6, $s7
        beqz    $t0, 2f
        srl     $t1, $s6, 2
        dsll32  $t1, $t1, 12            # node: address bits 47:44
        dli     $s0, IPI
        or      $s0, $s0, $t1
        andi    $t1, $s6, 3
        dsll    $t1, $t1, 8
        or      $s0, $s0, $t1
        sd      $s0, 0x28($s0)
        sd      $s6, 0x30($s0)
        sd      $s7, 0x38($s0)
        la      $t0, secondary
        sd      $t0, 0x20($s0)
        b       1b
        addiu   $s6, $s6, 1
2:      dli     $s0, IPI
        b       ready
        move    $s6, $0
secondary:
        move    $s0, $sp                # mailboxes 1 to 3: sp, gp, a1
        move    $s6, $gp
        move    $s7, $a1
ready:  la      $t0, vectors
        or      $t0, $t0, $s6
        mtc0    $t0, $ebase
        li      $t0, 0x340000e0
        mtc0    $t0, $status
        mtc0    $0, $cause
        dli     $s1, UART
        la      $s2, cells
        b       work
        nop
        .align  12
vectors:
        .org    vectors + 0x180
        b       handler
        nop
        .align  7
cells:  .space  0x400
# Waits until all cores have come here once; core 0 then switches the machine off.
finish: daddiu  $t0, $s2, 0x380
1:      lld     $t1, 0($t0)
        daddiu  $t1, $t1, 1
        scd     $t1, 0($t0)
        beqz    $t1, 1b
        nop
        bnez    $s6, 3f
2:      ld      $t1, 0($t0)
        bne     $t1, $s7, 2b
        nop
        dli     $t0, POWER
        li      $t1, 0xff
        sb      $t1, 0($t0)
3:      b       3b
        nop
"""

# Every core sends every number an action and counts what reaches it; the others see the counts in memory.
STORM = (
    START
    + """
work:   li      $t0, -1
        sw      $t0, 4($s0)
        li      $t0, 0x340040e1         # IP6
        mtc0    $t0, $status
        li      $s3, 12
1:      move    $s4, $0
2:      srl     $t1, $s4, 2
        dsll32  $t1, $t1, 12
        andi    $t2, $s4, 3
        dsll    $t2, $t2, 8
        or      $t1, $t1, $t2
        dli     $t2, IPI
        or      $t1, $t1, $t2
        li      $t3, 1
        sllv    $t3, $t3, $s6
        sw      $t3, 8($t1)             # an action of the target's, with the sender's number
        addiu   $s4, $s4, 1
        bne     $s4, $s7, 2b
        nop
        lw      $t0, 0($s1)
        addiu   $s3, $s3, -1
        bnez    $s3, 1b
        nop
        li      $t0, 400
3:      addiu   $t0, $t0, -1
        bnez    $t0, 3b
        nop
        b       finish
        nop
handler:
        lw      $k0, 0($s0)
        sw      $k0, 0xc($s0)
        daddiu  $s5, $s5, 1
        daddu   $a3, $a3, $k0
        mfc0    $k1, $count
        xor     $a2, $a2, $k1
        eret
"""
)

# Core 1 asks core 0 to wake it, again and again; core 0 is busy. Both note Count at the handler's first instruction.
PING = (
    START
    + """
work:   li      $t0, -1
        sw      $t0, 4($s0)
        dli     $s3, IPI + 0x100
        movn    $s3, $0, $s6
        dli     $t0, IPI
        movn    $s3, $t0, $s6           # the other's block
        li      $t0, 0x340040e1
        bnez    $s6, waiter
        mtc0    $t0, $status
1:      daddiu  $v0, $v0, 1
        sltiu   $t1, $s5, 15
        bnez    $t1, 1b
        xor     $v1, $v1, $v0
        b       finish
        nop
waiter: li      $t1, 1
        sw      $t1, 8($s3)
        wait    0
        sltiu   $t1, $s5, 15
        bnez    $t1, waiter
        nop
        b       finish
        nop
handler:
        li      $k0, -1
        sw      $k0, 0xc($s0)
        bnez    $s6, 1f
        daddiu  $s5, $s5, 1
        sw      $k0, 8($s3)
1:      eret
"""
)

# The UART interrupts core 1 for every typed byte; core 0 is busy, core 1 busy or waiting.
TYPED_AT = (9_000_000, 9_700_001, 11_000_003, 11_900_777)
RECEIVE = (
    START
    + """
work:   bnez    $s6, 1f
        move    $s3, $0
2:      ld      $t0, 0x100($s2)
        daddiu  $v0, $v0, 1
        sltiu   $t0, $t0, 4
        bnez    $t0, 2b
        nop
        b       finish
        nop
1:      li      $t0, 1
        sb      $t0, 1($s1)
        dli     $t0, UNCACHED + 0x3ff01400
        li      $t1, 0x12               # input 0 to IP2 of core 1
        sb      $t1, 0($t0)
        li      $t1, 1
        sw      $t1, 0x28($t0)
        li      $t0, 0x340004e1         # IP2
        mtc0    $t0, $status
3:      slti    $t0, $s5, 2
        bnez    $t0, 3b
        daddiu  $v0, $v0, 1
4:      wait    0
        slti    $t0, $s5, 4
        bnez    $t0, 4b
        nop
        b       finish
        nop
handler:
        lbu     $k0, 0($s1)
        daddiu  $s5, $s5, 1
        sd      $s5, 0x100($s2)
        eret
"""
)


def build(text: str, cpus: int, **options) -> tuple[Machine, Program]:
    program = assemble(text, BASE)
    m = Machine("virt", cpus=cpus, ram="16 MiB", **options)
    m.memory.write(BASE & 0x1FFF_FFFF, program.data)
    registers = [0] * 32
    registers[23] = cpus
    m.cpu[0].set_state({"pc": program.symbol("_start"), "gpr": registers})
    return m, program


def whole(m: Machine, result) -> tuple:
    counts = [(core.instructions, core.cycles) for core in m.cpu]
    return result.ended, result.reason, result.trace_hash, counts, m.console, m.exits, m.now


def run(text: str, cpus: int, slice: int | None = None, pieces=(), **options) -> tuple:
    m, _ = build(text, cpus, **options)
    for piece in pieces:
        result = m.run(slice=slice, **piece)
        if result.ended == "poweroff":
            return whole(m, result)
        assert result.ended == "limit"
    result = m.run(until=PoweredOff, max_virtual="20 ms", slice=slice)
    assert result.ended == "poweroff", result.reason
    return whole(m, result)


HOW = [
    {"slice": 1},
    *({"slice": n} for n in SLICES),
    {"trace": True},
    {"wire": True},
    {"tier": "reference"},
    {"trace": True, "wire": True, "slice": 333},
    {"pieces": [{"max_insns": n} for n in (1, 2, 40, 300, 1, 1000)]},
    {"pieces": [{"max_virtual": f"{n} ns"} for n in (1, 99, 100, 101, 1234, 5000)]},
    {"pieces": [{"max_insns": 70}, {"max_virtual": "333 ns"}] * 8, "slice": 50},
]


@pytest.fixture(scope="module", params=[2, 4, 16])
def storm(request):
    return request.param, run(STORM, request.param)


@pytest.mark.parametrize("how", HOW, ids=lambda how: ", ".join(f"{k} {str(v)[:40]}" for k, v in how.items()))
def test_how_the_host_runs_many_cores_changes_nothing(storm, how):
    cpus, plain = storm
    if cpus == 16 and how.get("slice") == 1:
        how = {"slice": 7}
    assert run(STORM, cpus, **how) == plain


def test_every_core_gets_every_cores_interrupt():
    for cpus in (2, 5, 16):
        m, _ = build(STORM, cpus)
        assert m.run(until=PoweredOff, max_virtual="20 ms").ended == "poweroff"
        for core in m.cpu:
            assert core.exceptions == {0: core.regs[21]} and core.regs[21] > 0
            # Several actions may be taken together, none is lost: the sum has at least one of each sender's.
            assert core.regs[7] >= (1 << cpus) - 1


def test_another_window_is_another_run_of_the_same_program():
    one, other = (run(STORM, 4, timing={"core_window": window}) for window in ("250 ns", "70 ns"))
    assert one[0] == other[0] == "poweroff"
    assert one[2] != other[2]


# Latency.


def hops(m: Machine, kind: type, of) -> list[tuple[int, ...]]:
    """What `of` gives of every record of a message type, in order."""
    return [of(r.message, r.link) for r in m.trace.records if type(r.message) is kind]


def latencies(text: str, slice: int | None, type_at=()) -> tuple:
    m, _ = build(text, 2, trace=True)
    m.replay([(at, b"x") for at in type_at])
    result = m.run(until=PoweredOff, max_virtual="20 ms", slice=slice)
    assert result.ended == "poweroff", result.reason
    lines = hops(m, InterruptLevel, lambda message, link: (message.time, link.name, message.level))
    latency = m.trace.latency()
    return lines, latency.totals, latency.table(), result.trace_hash


@pytest.mark.parametrize(("text", "typed"), [(PING, ()), (RECEIVE, TYPED_AT)], ids=["core to core", "device to core"])
def test_latency_is_the_same_to_the_picosecond_for_every_slice(text, typed):
    plain = latencies(text, None, typed)
    assert len(plain[1]) >= 4 and plain[0]
    for slice in SLICES:
        assert latencies(text, slice, typed) == plain


def test_the_way_of_an_interrupt_between_cores_is_the_sum_of_its_links():
    m, _ = build(PING, 2, trace=True)
    assert m.run(until=PoweredOff, max_virtual="20 ms").ended == "poweroff"
    timing = m.timing
    sent = hops(m, MmioWrite, lambda message, link: (message.time, message.address, message.core))
    rises = [
        message.time
        for message, link in m.trace.records
        if type(message) is InterruptLevel and message.level and link.target[0] == "cpu1.ip[6]"
    ]
    to_core_1 = [time for time, address, core in sent if core == 0 and address == 0x3FF0_1108]
    assert len(rises) == len(to_core_1) == 15
    # A message's time is its arrival: the store was executed one link earlier.
    assert [rise - time for rise, time in zip(rises, to_core_1, strict=True)] == [timing.ipi_pin] * 15
    assert all(b - a > timing.mmio_request + timing.mmio_reply for a, b in pairwise(to_core_1))


def test_a_waiting_core_takes_an_interrupt_at_its_own_cycle():
    m, _ = build(RECEIVE, 2, trace=True)
    m.replay([(at, b"x") for at in TYPED_AT])
    assert m.run(until=PoweredOff, max_virtual="20 ms").ended == "poweroff"
    path = m.trace.latency("uart").paths
    assert len(path) == 4
    for waiting in path[2:]:
        places = list(waiting.hops.items())
        at_pin, in_handler = (dict(places)[name] for name in ("cpu1.ip[2]", "cpu1 handler"))
        assert 0 <= in_handler - at_pin < CYCLE_PS, "the first cycle at or after the line's rise"


# Start and end.


def test_the_first_of_two_releases_counts():
    # Cores 0 and 1 write core 2's mailbox within one window; core 1's store comes 7 cycles after core 0's.
    text = (
        START.replace("b       work", "b       race")
        + """
race:   sltiu   $t0, $s6, 2
        beqz    $t0, 3f
        dli     $t1, IPI + 0x200
        la      $t0, lost
        la      $t2, won
        movz    $t0, $t2, $s6
1:      mfc0    $t2, $count             # both at the same Count
        li      $t3, 20000
        bne     $t2, $t3, 1b
        nop
        .rept   7
        movn    $v0, $s6, $s6
        .endr
        sd      $t0, 0x20($t1)
3:      bnez    $s6, 4f
        nop
        li      $t0, 1000
5:      bnez    $t0, 5b
        addiu   $t0, $t0, -1
        dli     $t0, POWER
        li      $t1, 0xff
        sb      $t1, 0($t0)
4:      b       4b
        nop
won:    b       won
        li      $v1, 1
lost:   b       lost
        li      $v1, 2
handler: eret
"""
    )
    # Core 2 must not be released by the start-up code.
    text = text.replace("1:      sltu    $t0, $s6, $s7", "1:      sltiu   $t0, $s6, 2", 1)
    text = text.replace(
        "bne     $t2, $t3, 1b\n        nop\n        .rept   7",
        "sltu    $t3, $t2, $t3\n        bnez    $t3, 1b\n        nop\n        .rept   7",
    )
    seen = []
    for how in ({}, {"tier": "reference"}, {"slice": 10}):
        m, program = build(text, 3, trace=True, **{k: v for k, v in how.items() if k != "slice"})
        result = m.run(until=PoweredOff, max_virtual="20 ms", slice=how.get("slice"))
        assert result.ended == "poweroff", result.reason
        writes = hops(m, MmioWrite, lambda message, link: (message.time, message.address, message.value))
        first, second = (w for w in writes if w[1] == 0x3FF0_1220)
        assert second[0] - first[0] < 100_000, "both within a window"
        winner = 1 if first[2] == program.symbol("won") else 2
        assert m.cpu[2].regs[3] == winner
        # It executes from its release on, a cycle for each instruction.
        released = first[0] + m.timing.ipi_pin
        assert m.cpu[2].cycles - m.cpu[2].instructions == -(-released // CYCLE_PS)
        seen.append(whole(m, result))
    assert seen[1:] == seen[:1] * 2


def test_a_deadlock_of_many_cores_says_what_each_waits_for():
    m, _ = build(
        START
        + "work: sll $t0, $s6, 10\nli $t1, 0x340000e0\nor $t0, $t0, $t1\nmtc0 $t0, $status\nwait 0\nhandler: nop\n",
        3,
    )
    result = m.run()
    assert result.ended == "deadlock"
    for text in ("core 0 waits at pc", "for no interrupt at all", "core 1 waits at pc", "for IP2 ", "for IP3 "):
        assert text in result.reason
    assert result.virtual_s < 1e-3, "the run ends in the window that brought it to an end"


def test_an_instruction_that_is_not_modelled_names_the_core():
    m, _ = build(START + "work: bnez $s6, 1f\nnop\n2: b 2b\nnop\n1: gsle $t0, $t1\nhandler: nop\n", 2)
    result = m.run()
    assert result.ended == "error" and result.reason.startswith("cpu1: core 1 at pc ")


@pytest.mark.parametrize("cpus", [1, 2])
def test_a_core_that_loops_for_ever_can_be_interrupted(cpus):
    m, _ = build("_start: b _start\nnop\n", cpus)
    timer = threading.Timer(0.2, m.interrupt)
    timer.start()
    result = m.run()
    assert (result.ended, result.reason) == ("limit", "interrupted")
    # And goes on, to a limit of time.
    before = m.now
    result = m.run(max_virtual="1 us")
    assert result.ended == "limit" and m.now - before < 1_200_000


@pytest.mark.parametrize("cpus", [1, 2])
def test_a_lone_core_stops_at_each_limit(cpus):
    def go(*pieces: dict) -> tuple:
        m, _ = build("_start: daddiu $v0, $v0, 1\nb _start\nnop\n", cpus)
        for piece in pieces:
            result = m.run(**piece)
            assert result.ended == "limit"
        return m, result

    m, _ = go({"max_insns": 1000})
    assert 1000 <= m.instructions < 1000 + (1 if cpus == 1 else WINDOW + 3)
    m, _ = go({"max_insns": 1000}, {"max_virtual": "2 us"})
    assert m.instructions < 1000 + 1600 + 2 * WINDOW
    plain, sliced = (
        go({"max_virtual": "50 us"}),
        go(*[{"max_virtual": "1 us", "slice": 77}] * 3, {"max_virtual": "47 us"}),
    )
    assert abs(plain[0].now - sliced[0].now) <= 4 * WINDOW * CYCLE_PS


@pytest.mark.parametrize("cpus", [1, 2])
def test_live_typing_is_replayed_to_the_same_hash_while_a_core_is_busy(cpus):
    text = (
        START.replace("2:      dli     $s0, IPI", "2:      b quick\n        dli     $s0, IPI", 1)
        + """
quick:  la      $t0, vectors
        mtc0    $t0, $ebase
        la      $s2, cells
        dli     $s1, UART
        li      $t0, 1
        sb      $t0, 1($s1)
        dli     $t0, UNCACHED + 0x3ff01400
        li      $t1, 0x11
        sb      $t1, 0($t0)
        li      $t1, 1
        sw      $t1, 0x28($t0)
        li      $t0, 0x340004e1
        mtc0    $t0, $status
1:      daddiu  $v0, $v0, 1
        ld      $t0, 0($s2)
        beqz    $t0, 1b
        nop
        dli     $t0, POWER
        li      $t1, 0xff
        sb      $t1, 0($t0)
work:   b       work
        nop
handler:
        lbu     $k0, 0($s1)
        sd      $k0, 0($s2)
        eret
"""
    )
    m, _ = build(text.replace("sltu    $t0, $s6, $s7", "move    $t0, $0", 1), cpus)
    calls = iter(range(10_000))

    def progress(machine: Machine) -> None:
        if next(calls) == 30:
            machine.type("x")

    live = whole(m, m.run(until=PoweredOff, max_virtual="5 ms", slice=1000, progress=progress, progress_ms=0))
    assert live[0] == "poweroff"
    for slice in (None, 77):
        again, _ = build(text.replace("sltu    $t0, $s6, $s7", "move    $t0, $0", 1), cpus)
        again.replay(m.typed)
        assert whole(again, again.run(until=PoweredOff, max_virtual="5 ms", slice=slice)) == live


def test_too_many_or_too_few_cores_are_refused():
    for cpus in (0, 17, -1):
        with pytest.raises(ConfigurationError, match="cpus"):
            Machine("virt", cpus=cpus, ram="16 MiB")


# Random programs.


def random_program(number: int) -> str:
    """Loads, stores, LL/SC, uncached accesses, IPIs and waits on all cores at once, over the same few cells."""
    random = Random(f"cluster {number}")
    lines = []

    def reg() -> str:
        return random.choice(("$t0", "$t1", "$t2", "$t3", "$v0", "$v1", "$a0", "$a1"))

    def place(size: int) -> str:
        return f"{random.randrange(0, 64, size)}($s2)"

    def piece(n: int) -> list[str]:
        kind = random.randrange(16)
        if kind < 3:
            name = random.choice(("daddu", "xor", "sltu", "dsubu", "movn"))
            return [f"{name} {reg()}, {reg()}, {reg()}"]
        if kind < 6:
            name, size = random.choice((("ld", 8), ("lw", 4), ("lbu", 1), ("lh", 2)))
            return [f"{name} {reg()}, {place(size)}"]
        if kind < 9:
            name, size = random.choice((("sd", 8), ("sw", 4), ("sb", 1), ("sh", 2)))
            return [f"{name} {reg()}, {place(size)}"]
        if kind == 9:
            a, at = reg(), place(8)
            return [f"lld {a}, {at}", *(piece(-1) if random.randrange(2) else []), f"scd {a}, {at}"]
        if kind == 10:
            a, at = reg(), place(4)
            return [f"7: ll {a}, {at}", f"addiu {a}, {a}, 5", f"sc {a}, {at}", f"beqz {a}, 7b", "nop"]
        if kind == 11:
            return [random.choice((f"sb {reg()}, 7($s1)", f"lbu {reg()}, 7($s1)", f"lbu {reg()}, 5($s1)"))]
        if kind == 12:
            return [f"dli $a3, IPI + {random.choice((0x20, 0x128, 0x230, 4, 0x100))}", f"lw {reg()}, 0($a3)"]
        if kind == 13:
            return [f"dli $a3, IPI + {random.choice((0x28, 0x130, 0x238))}", f"sd {reg()}, 0($a3)"]
        if kind == 14:
            return [
                f"dli $a3, IPI + {random.randrange(3) << 8 | 8}",
                f"li $a2, {1 << random.randrange(5)}",
                "sw $a2, 0($a3)",
            ]
        if n >= 0:
            return [f"bne {reg()}, {reg()}, q{random.randint(n + 1, min(n + 5, 60))}", f"mfc0 {reg()}, $count"]
        return ["nop"]

    for n in range(60):
        lines += [f"q{n}:", *piece(n)]
    return START + "\n".join([
        "work: li $t0, -1", "sw $t0, 4($s0)", "li $t0, 0x340040e1", "mtc0 $t0, $status", "li $s3, 3",
        "dsll $t0, $s6, 4", "dsll $a1, $s6, 9",
        "top:", *lines, "q60:", "addiu $s3, $s3, -1", "bnez $s3, top", "nop", "b finish", "nop",
        "handler: lw $k0, 0($s0)", "sw $k0, 0xc($s0)", "daddu $s5, $s5, $k0", "mfc0 $k0, $count", "xor $s4, $s4, $k0",
        "eret", "",
    ])  # fmt: skip


def check(number: int, slice: int, window: str) -> None:
    text = random_program(number)
    cpus = 2 + number % 3
    plain = run(text, cpus, timing={"core_window": window})
    assert run(text, cpus, timing={"core_window": window}, tier="reference") == plain
    assert run(text, cpus, slice, timing={"core_window": window}) == plain
    assert (
        run(text, cpus, timing={"core_window": window}, pieces=[{"max_insns": slice}, {"max_virtual": "777 ns"}])
        == plain
    )


WINDOWS = st.sampled_from(["25 ns", "60 ns", "100 ns"])


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(number=st.integers(0, 1 << 32), slice=st.integers(1, 3000), window=WINDOWS)
def test_random_programs_are_the_same_on_both_tiers_and_however_they_are_cut(number, slice, window):
    check(number, slice, window)


@pytest.mark.slow
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(number=st.integers(0, 1 << 32), slice=st.integers(1, 3000), window=WINDOWS)
def test_many_random_programs(number, slice, window):
    check(number, slice, window)
