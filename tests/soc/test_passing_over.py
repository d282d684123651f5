"""Grid points that are passed over change nothing, nor do accesses to nothing that the cores' loop answers: the same
run with a visit to every one has the same hash, end, registers, messages and times.
"""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from soc import Machine, PoweredOff
from tests.soc.test_cluster import PING, RECEIVE, START, STORM, TYPED_AT, build, random_program, whole

TIMER_AND_UART = """
        dli     $s3, UNCACHED + 0x10000000      # nothing is there
        dli     $a1, UNCACHED + 0x18000000      # nothing either: all ones
        dli     $s4, UNCACHED + 0x3ff01400
        li      $t0, 0x11                       # input 0 to IP2 of core 0
        sb      $t0, 0($s4)
        li      $t0, 1
        sw      $t0, 0x28($s4)
        li      $t0, 0x340084e1                 # IP7, IP2
        mtc0    $t0, $status
"""
HANDLER = """
handler:
        lbu     $k0, 2($s1)
        daddu   $s5, $s5, $k0
        lbu     $k0, 0($s1)
        daddu   $s5, $s5, $k0
        mfc0    $k1, $count
        xor     $a2, $a2, $k1
        li      $k0, 0x7000
        addu    $k0, $k0, $k1
        mtc0    $k0, $compare
        eret
"""


def device_program(number: int) -> str:
    """Accesses of every kind, waits for the timer and for the UART, and work between them, in an order of chance."""
    random = Random(f"passing over {number}")

    def piece(n: int) -> list[str]:
        return random.choice((
            [f"lbu $v0, {random.choice((0, 1, 2, 5, 6))}($s1)", "daddu $s5, $s5, $v0"],
            [f"sb $s5, {random.choice((0, 0, 0, 7))}($s1)"],
            [f"li $v0, {random.randrange(4)}", "sb $v0, 1($s1)"],
            [f"ld $v0, {8 * random.randrange(64)}($s3)"],
            [f"{random.choice(('lb', 'lhu', 'lwu', 'ld', 'lw'))} $v0, 8($a1)", "daddu $s5, $s5, $v0"],
            [f"{random.choice(('sb', 'sh', 'sw', 'sd'))} $s5, {8 * random.randrange(64)}($s3)"],
            ["lw $v0, 0x20($s4)", "daddu $s5, $s5, $v0"],
            [f"li $v0, {random.randrange(1, 900)}", f"w{n}: bnez $v0, w{n}", "addiu $v0, $v0, -1"],
            ["mfc0 $v0, $count", f"addiu $v0, $v0, {random.randrange(60, 3000)}", "mtc0 $v0, $compare", "wait 0"],
        ))  # fmt: skip

    lines = [line for n in range(60) for line in piece(n)]
    return START + "\n".join(["work:", TIMER_AND_UART, *lines, "b finish", "nop", HANDLER])


def outcome(
    text: str, cpus: int, passes_over: bool, typed=(), until: Any = PoweredOff, pieces=(), **options: Any
) -> tuple[tuple, list[str], int]:
    """How a run ended, its records, and how often the cores were visited."""
    m, _ = build(text, cpus, trace=True, **options)
    m._cluster.passes_over = passes_over
    m.replay([(at, b"x") for at in typed])
    visits, execute = 0, m._cluster.execute

    def counted(target: int | None) -> Any:
        nonlocal visits
        visits += 1
        return execute(target)

    m._cluster.execute = counted
    with m:
        for piece in (*pieces, {"until": until, "max_virtual": "3 ms"}):
            if not m.is_off:
                result = m.run(**piece)
    return whole(m, result), [str(record) for record in m.trace.records], visits


def check(text: str, cpus: int = 1, **options: Any) -> tuple:
    """Both ways; what the shorter one gave."""
    ended, records, visits = outcome(text, cpus, True, **options)
    ended_too, records_too, all_visits = outcome(text, cpus, False, **options)
    assert records == records_too
    assert ended == ended_too
    assert visits < all_visits
    return ended


@pytest.mark.parametrize("seed", range(6))
def test_one_core_and_its_devices(seed):
    typed = [n * 1_700_001 for n in range(1, 9)]
    ended, *_, exits, _ = check(device_program(seed), typed=typed)
    assert ended == "poweroff" and exits > 20


@pytest.mark.parametrize(("text", "cpus"), [(STORM, 1), (STORM, 4), (PING, 2), (RECEIVE, 2)])
def test_many_cores(text, cpus):
    assert check(text, cpus, typed=TYPED_AT)[0] == "poweroff"


@pytest.mark.parametrize("seed", range(3))
def test_cores_in_an_order_of_chance(seed):
    assert check(random_program(seed), 2 + seed)[0] == "poweroff"


@pytest.mark.parametrize("seed", range(2))
def test_limits_and_their_ends(seed):
    pieces = [{"max_virtual": f"{time} ns"} for time in (1, 249, 250, 251, 777, 5000)] * 2
    check(device_program(seed), pieces=[*pieces, {"max_insns": 40}, {"max_insns": 1}, {"max_virtual": "1 us"}])


def test_console_text_ends_the_run_at_the_same_point():
    text = START + "work: li $t0, 0x45\n" + "sb $t0, 0($s1)\n" * 9 + "b finish\nnop\nhandler: eret\n"
    assert check(text, until="EEEE")[0] == "until"


@pytest.mark.parametrize(
    "fault",
    [
        {"channel": "uart.mmio -> cpu0.mmio", "delay": "3 us", "probability": 0.3},
        {"channel": "uart.mmio -> cpu0.mmio", "drop": 0.02},
        {"channel": "cpu0.mmio -> open_bus.mmio", "delay": "77 ns", "probability": 0.5},
        {"channel": "uart.irq -> ls3a_router_irq.input[0]", "babble": "300 ns", "times": 3},
    ],
    ids=["late replies", "lost replies", "late requests", "a babbling line"],
)
def test_faults_on_the_way(fault):
    check(device_program(0), typed=[5_000_000], faults=[{**fault, "seed": 5}])


SCAN = """
work:   dli     $t0, UNCACHED + 0x10000000
        dli     $t1, UNCACHED + 0x18000000
        li      $t2, 1200
1:      ld      $v0, 0($t0)
        lbu     $v1, 1($t1)
        daddu   $s5, $s5, $v1
        sw      $s5, 4($t0)
        addiu   $t2, $t2, -1
        bnez    $t2, 1b
        nop
        b       finish
        nop
handler:
        eret
"""


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"cpus": 3},
        {"timing": {"mmio_reply": "77 ns"}},
        {"timing": {"core_clock": 333_333_333}},
        {"tier": "reference"},
    ],
    ids=lambda options: str(options),
)
def test_many_accesses_to_nothing(options):
    cpus = options.get("cpus", 1)
    ended = check(START + SCAN, cpus, **{name: value for name, value in options.items() if name != "cpus"})
    assert ended[0] == "poweroff"


def test_a_strict_machine_stops_at_the_first_access_to_nothing():
    one, other = (outcome(START + SCAN, 1, passes_over, strict=True) for passes_over in (True, False))
    assert one == other
    assert one[0][0] == "error" and "nothing is there" in one[0][1]


def test_the_end_of_a_window_of_nothing_is_an_error_on_both_ways():
    """The last address of a window of ones, then one outside every window, with the vector of a bus error."""
    text = (
        START
        + """
work:   dli     $t1, UNCACHED + 0x18000000 + 0x7fff8
        ld      $v0, 0($t1)
        daddu   $s5, $s5, $v0
        dli     $t1, UNCACHED + 0x60000000000
        ld      $v0, 0($t1)
        b       finish
        nop
handler:
        mfc0    $v1, $cause
        dla     $k0, over
        dmtc0   $k0, $epc
        eret
over:   b       finish
        nop
"""
    )
    m, _ = build(text, 1)
    assert m.run(until=PoweredOff, max_virtual="1 ms").ended == "poweroff"
    assert m.cpu[0].regs[3] >> 2 & 31 == 7 and m.cpu[0].regs[2] == (1 << 64) - 1
    check(text)


def test_a_device_in_another_process():
    typed = [2_000_000, 31_000_007]
    here, there = (check(device_program(1), typed=typed, placement=place) for place in (None, {"uart": "process"}))
    assert here == there
    assert outcome(device_program(1), 1, True, typed, placement={"uart": "process"}, wire=True)[0] == here


def test_a_predicate_is_asked_at_every_grid_point():
    """Its answer may depend on anything, so none is passed over."""
    asked: list[list[int]] = []
    for passes_over in (True, False):
        times: list[int] = []
        asked.append(times)

        def look(m: Machine, times: list[int] = times) -> bool:
            times.append(m.now)
            return False

        outcome(device_program(2), 1, passes_over, until=look)
    assert asked[0] == asked[1]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 160))
def test_many_programs(seed):
    random = Random(seed)
    typed = sorted(random.sample(range(1_000_000, 90_000_000), 6))
    assert check(device_program(seed), typed=typed)[0] == "poweroff"
    assert check(random_program(seed), 2 + seed % 3)[0] == "poweroff"
