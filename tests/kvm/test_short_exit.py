"""An exit that the core answers itself is the same exit: registers, time, counters, events."""

from __future__ import annotations

from random import Random

import pytest

from cpu.kvm.trace import EXIT_CACHE
from tests.kvm.rig import GB, IE, KSEG0, STATUS, Bench, P

IM2, IM7 = 1 << 10, 1 << 15
LOOP = f"""
        dli     t0, {KSEG0:#x}
1:      cache   1, 0(t0)
        cache   0, 0(t0)
        mfc0    t1, c0_count
        daddu   s1, s1, t1
        cache   3, 0(t0)
        b       2f
        cache   1, 0(t0)                # in a delay slot
2:      addiu   s0, s0, 1
        andi    t1, s0, 0xf
        bnez    t1, 1b
        nop
        mfc0    t1, c0_count
        addiu   t1, t1, 700
        mtc0    t1, c0_compare
        b       1b
        nop
"""
HANDLER = """
        mfc0    k0, c0_count
        daddu   s2, s2, k0
        mfc0    k1, c0_compare
        mtc0    k1, c0_compare
        addiu   s3, s3, 1
        eret
"""


class Followed(Bench):
    """A bench that counts how often its host is asked."""

    def __init__(self, short: bool, **options) -> None:
        super().__init__(**options)
        self.asked = 0
        self._exit, self.host.exit = self.host.exit, self._asked
        if not short:
            self.host._nothing_before = lambda cpu: 0

    def _asked(self, core: int) -> None:
        self.asked += 1
        self._exit(core)

    def outcome(self):
        for vcpu in self.vm.vcpus:
            if vcpu.core is not None:
                vcpu.count_answered()
        cores, vcpus = self.cluster.cores, self.vm.vcpus
        return [core.digest() for core in cores], [(vcpu.digest(), vcpu.stats) for vcpu in vcpus]


def ran(short: bool, seed: int, vcpus: int, cores: int, tier: str = "auto") -> Followed:
    """Guests that do CACHE all the time, with timers, lines, slices and registers that user space reads meanwhile."""
    chance = Random(seed)
    bench = Followed(short, cores=cores, tier=tier, slice_cycles=9_000)
    bench.write(GB + 0x180, HANDLER)
    for n in range(vcpus):
        bench.vcpu("" if n else LOOP, pc=P, status=STATUS | IE | IM2 | IM7)
    for _ in range(30):
        bench.run(chance.randrange(80, 6_000))
        n, now = chance.randrange(vcpus), max(core.cycles for core in bench.cluster.cores)
        what = chance.randrange(4)
        if what == 0:
            bench.host.line(n, now, 2, True)
            bench.host.line(n, now + chance.randrange(1, 3_000), 2, False)
        elif what == 1:
            bench.host.interrupt(bench.vm.vcpus[n])
        elif what == 2:
            bench.vm.age_hva(bench.base, 1 << 20)
        else:
            bench.vm.vcpus[n].interrupt(2)
            bench.vm.vcpus[n].interrupt(-2)
    bench.run(20_000)
    return bench


@pytest.mark.parametrize(("vcpus", "cores"), [(1, 1), (2, 1), (3, 2)])
def test_the_core_answers_as_the_host_would(vcpus, cores):
    for seed in range(4):
        short, long = ran(True, seed, vcpus, cores), ran(False, seed, vcpus, cores)
        assert short.outcome() == long.outcome(), seed
        assert sum(vcpu.stats["cache"] for vcpu in short.vm.vcpus) > 200
        if vcpus == cores:
            assert short.asked < long.asked / 2


def test_every_tier_answers():
    fast, slow = (ran(True, 5, 1, 1, tier) for tier in ("auto", "reference"))
    assert (fast.outcome(), fast.asked) == (slow.outcome(), slow.asked)


def test_who_follows_exits_sees_each():
    bench = Followed(True)
    bench.vcpu(LOOP)
    bench.run(5_000)
    events = []
    bench.kvm.tracer.listen(events.append, "kvm_exit")
    vcpu = bench.vm.vcpus[0]
    vcpu.count_answered()
    before = vcpu.stats["exits"]
    bench.run(20_000)
    exits = [event for event in events if event.values[1] != EXIT_CACHE]
    assert vcpu.stats["exits"] - before == len(exits) > 20


def test_a_cache_operation_that_kvm_does_not_know_is_the_hosts():
    bench = Followed(True)
    bench.vcpu(f"dli t0, {KSEG0:#x}\n cache 1, 0(t0)\n cache 5, 0(t0)")
    bench.run(20_000)
    assert "no emulation of CACHE operation 0x5" in bench.vm.messages[-1]
