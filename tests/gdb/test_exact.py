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
from soc import PoweredOff
from tests.soc.test_cluster import STORM, build, random_program, whole
from tests.soc.test_passing_over import device_program

TIERS = ("reference", "threaded", "stencil")


class Meddler:
    """A debugger that sets breakpoints and steps cores by chance, at most `most` times; it writes nothing."""

    def __init__(self, machine: Any, program: Any, seed: int, most: int = 300) -> None:
        self.cluster, self.random, self.most = machine._cluster.cluster, Random(seed), most
        self.code = [program.base + 4 * n for n, word in enumerate(program.words) if word]
        self.told: list[tuple[StopKind, int]] = []
        machine._cluster.debugger = self.stopped
        self.cluster.step(0)

    def choose(self) -> None:
        """What the cores are to stop at next."""
        if len(self.told) >= self.most:
            self.cluster.stops = frozenset()
            self.cluster.step(None)
            return
        if self.random.randrange(4) == 0:
            self.cluster.stops = frozenset(self.random.choices(self.code, k=self.random.randrange(10, 40)))
        goes_on = self.cluster.stops and self.random.randrange(3) == 0
        self.cluster.step(None if goes_on else self.random.randrange(len(self.cluster.cores)))

    def stopped(self, stop: Any) -> None:
        core = self.cluster.cores[stop.core]
        if stop.kind is StopKind.PC:
            assert core.pc in self.cluster.stops
        else:
            assert stop.kind is StopKind.STEP
            at, done = int(core.S[state.STEP_PC]), int(core.S[state.STEP_DONE])
            assert core.instructions - done in (0, 1, 2), "one instruction, or a branch and its delay slot"
            assert core.instructions > done or core.pc != at & (1 << 64) - 1
        self.told.append((stop.kind, stop.core))
        self.choose()


def outcome(text: str, cpus: int, seed: int | None = None, most: int = 300, **options: Any) -> tuple:
    """How the program ended, meddled with unless `seed` is None; and what the meddler was told."""
    machine, program = build(text, cpus, **options)
    meddler = None if seed is None else Meddler(machine, program, seed, most)
    result = machine.run(until=PoweredOff, max_virtual="20 ms")
    assert result.ended == "poweroff", result.reason
    return whole(machine, result), [] if meddler is None else meddler.told


def check(text: str, cpus: int, seed: int, most: int = 300, **options: Any) -> None:
    plain, _ = outcome(text, cpus, **options)
    ended, told = zip(*(outcome(text, cpus, seed, most, tier=tier, **options) for tier in TIERS), strict=True)
    assert ended == (plain,) * len(TIERS)
    assert told == (told[0],) * len(TIERS)
    assert {kind for kind, _ in told[0]} == {StopKind.PC, StopKind.STEP}


@pytest.mark.parametrize("cpus", [1, 4])
def test_breakpoints_and_steps_change_nothing(cpus):
    check(STORM, cpus, cpus)


@pytest.mark.parametrize("seed", range(2))
def test_around_accesses_waits_and_the_timer(seed):
    check(device_program(seed), 1, seed)


@pytest.mark.parametrize("seed", range(2))
def test_between_cores_that_share_memory(seed):
    check(random_program(seed), 2 + seed, seed)


@pytest.mark.slow
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(number=st.integers(0, 1 << 32), window=st.sampled_from(["25 ns", "60 ns", "250 ns"]))
def test_many_random_programs(number, window):
    check(random_program(number), 2 + number % 3, number, 2000, timing={"core_window": window})
    check(device_program(number), 1, number, 2000, timing={"core_window": window})
