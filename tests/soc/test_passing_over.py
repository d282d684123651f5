"""Grid points that are passed over change nothing: the same run with a visit to every one has the same hash, end,
registers, messages and times.
"""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from soc import Machine, PoweredOff
from tests.soc.test_cluster import PING, RECEIVE, START, STORM, TYPED_AT, build, random_program, whole

TIMER_AND_UART = """
        dli     $s3, UNCACHED + 0x10000000      # nothing is there
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
