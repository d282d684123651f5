"""A machine that is stopped and stepped does exactly what it does otherwise: the same hash, times, counts and
registers, in every tier."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cpu import state
from cpu.core import StopKind
from cpu.isa.assembler import assemble
from cpu.memory import WATCH_LOADS, WATCH_STORES, Watch
from soc import Machine, PoweredOff
from tests.soc.test_cluster import BASE, STORM, build, random_program, whole
from tests.soc.test_passing_over import device_program

UART = 0x9000_0000_1FE0_01E0
TIERS = ("reference", "threaded", "stencil")


class Meddler:
    """A debugger that sets breakpoints and watchpoints and steps cores by chance, at most `most` times; it writes
    nothing."""

    def __init__(self, machine: Any, program: Any, seed: int, most: int = 300) -> None:
        self.cluster, self.random, self.most = machine._cluster.cluster, Random(seed), most
        self.code = [program.base + 4 * n for n, word in enumerate(program.words) if word]
        self.data = program.symbol("cells")
        self.told: list[tuple[StopKind, int, int]] = []
        machine._cluster.debugger = self.stopped
        self.cluster.step(0)

    def choose(self) -> None:
        """What the cores are to stop at next."""
        if len(self.told) >= self.most:
            self.cluster.stops, self.cluster.watches = frozenset(), ()
            self.cluster.step(None)
            return
        if self.random.randrange(4) == 0:
            self.cluster.stops = frozenset(self.random.choices(self.code, k=self.random.randrange(10, 40)))
        if self.random.randrange(8) == 0:
            self.cluster.watches = tuple(self.watch() for _ in range(self.random.randrange(3)))
        goes_on = self.cluster.stops and self.random.randrange(3) == 0
        self.cluster.step(None if goes_on else self.random.randrange(len(self.cluster.cores)))

    def watch(self) -> Watch:
        first = self.random.choice((self.data + 8 * self.random.randrange(0x40), UART))
        return Watch(first, first + self.random.randrange(1, 9), self.random.randrange(1, 4))

    def stopped(self, stop: Any) -> None:
        core = self.cluster.cores[stop.core]
        if stop.kind is StopKind.PC:
            assert core.pc in self.cluster.stops
        elif stop.kind is StopKind.WATCH:
            assert stop.watch in self.cluster.watches
        else:
            assert stop.kind is StopKind.STEP
            at, done = int(core.S[state.STEP_PC]), int(core.S[state.STEP_DONE])
            assert core.instructions - done in (0, 1, 2), "one instruction, or a branch and its delay slot"
            assert core.instructions > done or core.pc != at & (1 << 64) - 1
        self.told.append((stop.kind, stop.core, core.pc))
        self.choose()


def outcome(text: str, cpus: int, seed: int | None = None, most: int = 300, **options: Any) -> tuple:
    """How the program ended, meddled with unless `seed` is None; and what the meddler was told."""
    machine, program = build(text, cpus, **options)
    meddler = None if seed is None else Meddler(machine, program, seed, most)
    result = machine.run(until=PoweredOff, max_virtual="20 ms")
    return whole(machine, result), [] if meddler is None else meddler.told


def check(text: str, cpus: int, seed: int, most: int = 300, **options: Any) -> None:
    plain, _ = outcome(text, cpus, **options)
    ended, told = zip(*(outcome(text, cpus, seed, most, tier=tier, **options) for tier in TIERS), strict=True)
    assert ended == (plain,) * len(TIERS)
    assert told == (told[0],) * len(TIERS)
    assert {kind for kind, *_ in told[0]} >= {StopKind.PC, StopKind.STEP}


@pytest.mark.parametrize("cpus", [1, 4])
def test_breakpoints_and_steps_change_nothing(cpus):
    check(STORM, cpus, cpus)


@pytest.mark.parametrize("seed", range(2))
def test_around_accesses_waits_and_the_timer(seed):
    check(device_program(seed), 1, seed)


@pytest.mark.parametrize("seed", range(2))
def test_between_cores_that_share_memory(seed):
    check(random_program(seed), 2 + seed, seed)


def under_kvm(kvm: str, seed: int | None) -> tuple:
    """The same of three virtual CPUs on two cores."""
    program = assemble(STORM, BASE)
    machine = Machine("virt", cpus=2, vcpus=3, hypervisor="kvm", kvm=kvm, tier="threaded", ram="16 MiB")
    machine.memory.write(BASE & 0x1FFF_FFFF, program.data)
    machine.hypervisor.load({"pc": program.symbol("_start"), "gpr": [*[0] * 23, 3, *[0] * 8]})
    meddler = None if seed is None else Meddler(machine, program, seed)
    result = machine.run(until=PoweredOff, max_virtual="20 ms")
    assert result.ended == "poweroff", result.reason
    return whole(machine, result), [] if meddler is None else meddler.told


@pytest.mark.parametrize("kvm", ["vz", "ls3acomp"])
def test_a_guest_of_the_kvm_model(kvm):
    plain, _ = under_kvm(kvm, None)
    ended, told = under_kvm(kvm, 7)
    assert ended == plain
    assert {kind for kind, *_ in told} >= {StopKind.PC, StopKind.STEP}


@pytest.mark.slow
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(number=st.integers(0, 1 << 32), window=st.sampled_from(["25 ns", "60 ns", "250 ns"]))
def test_many_random_programs(number, window):
    check(random_program(number), 2 + number % 3, number, 2000, timing={"core_window": window})
    check(device_program(number), 1, number, 2000, timing={"core_window": window})


ACCESSES = """
_start: li      $t0, 0x340000e0
        mtc0    $t0, $status
        la      $s0, cells
        sd      $t0, 0x20($s0)
        sw      $t0, 0x24($s0)
        lbu     $t1, 0x23($s0)
        ldl     $t1, 0x2a($s0)
        jal     1f
        sb      $t0, 0x27($s0)
1:      lld     $t1, 0x20($s0)
        scd     $t1, 0x20($s0)
        ld      $t1, 0x28($s0)
        dli     $t1, 0x9000000010080010
        li      $t2, 0xff
        sb      $t2, 0($t1)
2:      b       2b
        nop
        .align  4
cells:  .space  0x40
"""


@pytest.mark.parametrize("tier", TIERS)
def test_a_watch_stops_before_each_access_to_its_bytes_and_behind_a_delay_slot(tier):
    machine, program = build(ACCESSES, 1, tier=tier)
    cells, start, stops = program.symbol("cells"), program.symbol("_start"), []
    cluster = machine._cluster.cluster

    def stopped(stop: Any) -> None:
        stops.append(((machine.cpu[0].pc - start) // 4, stop.watch.kinds))

    machine._cluster.debugger = stopped
    cluster.watches = (Watch(cells + 0x24, cells + 0x27, WATCH_STORES), Watch(cells + 0x23, cells + 0x23, WATCH_LOADS))
    assert machine.run(max_virtual="1 ms").ended == "poweroff"
    sd = next(n for n, word in enumerate(program.words) if word >> 26 == 0x3F)
    slot_target, store, load = sd + 6, WATCH_STORES, WATCH_LOADS
    assert stops == [(sd, store), (sd + 1, store), (sd + 2, load), (slot_target, store), (slot_target, load),
                     (slot_target + 1, store)]  # fmt: skip
