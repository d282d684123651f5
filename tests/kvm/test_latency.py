"""The way of an interrupt to a guest: its hops on the machine, KVM's hand in it, and the vCPU that takes it."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import pytest

from scenarios.library import guest
from soc import Machine, PoweredOff, Trace

ROUNDS = 20


@cache
def traced(name: str, cpus: int, vcpus: int) -> Machine:
    machine = Machine("virt", hypervisor="kvm", cpus=cpus, vcpus=vcpus, trace=True, timing={"kvm_slice": "5 us"})
    words = {"first_light.S": {"rounds": ROUNDS}, "ipi_pingpong.S": {"rounds": ROUNDS, "cores": vcpus}}
    machine.load(guest(name, **words.get(name, {})).to_elf())
    assert machine.run(until=PoweredOff, max_virtual="1 s").ended == "poweroff"
    return machine


def test_a_device_interrupts_a_guest():
    machine = traced("first_light.S", 1, 1)
    latency = machine.trace.latency("uart")
    assert len(latency.complete) == ROUNDS
    assert latency.places == [
        "uart.irq edge", "ls3a_router_irq.input[0]", "cpu0.ip[2]", "cpu0 KVM", "cpu0 handler", "end of interrupt",
    ]  # fmt: skip
    entry = machine.clock.time(machine.timing.kvm_entry)
    for path in latency.complete:
        times = list(path.hops.values())
        assert all(a <= b for a, b in pairwise(times))
        injected, taken = times[3:5]
        assert taken - injected >= entry, "the guest takes it once it is entered"


@pytest.mark.parametrize("cpus", [1, 2])
def test_vcpus_interrupt_each_other(cpus):
    latency = traced("ipi_pingpong.S", cpus, 2).trace.latency("ipi")
    assert set(latency.per_core) == {"cpu0", "cpu1"}, "the cores of a trace are the guest's"
    assert all(f"{path.core} KVM" in path.hops for path in latency.complete)


def test_the_lent_timer_needs_no_kvm_and_the_soft_one_does():
    lent = traced("first_light.S", 1, 1).trace.latency("timer")
    assert len(lent.complete) == ROUNDS and lent.places == ["cpu0 timer deadline", "cpu0 handler"]
    soft = traced("timer.S", 1, 1).trace.latency("timer")
    assert "cpu0 KVM" in soft.places, "this guest sleeps"
    assert all(0 < path.total for path in soft.complete)


def test_a_file_tells_the_same(tmp_path):
    machine = traced("first_light.S", 1, 1)
    machine.trace.record_to(tmp_path / "trace.soc")
    machine.trace.close()
    assert Trace.load(tmp_path / "trace.soc").latency("uart").table() == machine.trace.latency("uart").table()
