"""Trap and emulate: guests whose kernel runs in root's user mode."""

from __future__ import annotations

import pytest

from cpu.kvm.uapi import ExitReason
from tests.kvm.rig import DEVICE, Bench

KERNEL = 0x40100000
"""Where a guest's code begins: in its kseg0."""
VECTORS = 0x40200000
"""The guest's EBase."""
UART = 0x40000000 + DEVICE
END = "hypcall 1"
"""Ends KVM_RUN with INTERNAL_ERROR."""
TIERS = ("reference", "threaded", "stencil")


def guest(text, tier="auto", handlers=(), cycles=200_000, dyntrans=True, **options):
    """A guest of one vCPU with `text`, and (vector, code) of its handlers, run to its end."""
    bench = Bench(backend="te", tier=tier)
    bench.vm.callbacks.dyntrans = dyntrans
    options = {"pc": KERNEL, "status": 0, "ebase": VECTORS, **options}
    vcpu = bench.vcpu(text, **options)
    for vector, code in handlers:
        bench.write(VECTORS + vector, code)
    bench.run(cycles)
    return bench, vcpu


@pytest.mark.parametrize("tier", TIERS)
def test_it_prints_by_exits_and_ends(tier):
    text = "".join(f" li t0, {ord(letter)}\n sb t0, 0(t1)\n" for letter in "te!")
    bench, vcpu = guest(f"li t1, {UART:#x}\n {text} {END}", tier)
    assert [access.value for access in bench.accesses] == [*b"te!"]
    assert bench.exits == [ExitReason.MMIO] * 3 + [ExitReason.INTERNAL_ERROR], bench.vm.messages
    assert "coprocessor 0 operation" in bench.vm.messages[-1]
