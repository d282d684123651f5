"""A machine under KVM, saved at any moment and restored, goes on as if nothing had happened."""

from __future__ import annotations

from functools import cache

import pytest

from scenarios.library import guest
from soc import Machine, PoweredOff
from soc.time import seconds

GUESTS = {
    "first_light": ("first_light.S", {"rounds": 5}, {"cpus": 1}),
    "two on one": ("ipi_pingpong.S", {"cores": 2, "rounds": 6}, {"cpus": 1, "vcpus": 2}),
    "four on two": ("pages.S", {"cores": 4, "rounds": 20, "pages": 8, "work": 20}, {"cpus": 2, "vcpus": 4}),
}
SLICE = {"kvm_slice": "5 us"}


def machine(name: str, **more) -> Machine:
    source, words, options = GUESTS[name]
    made = Machine("virt", ram="32 MiB", hypervisor="kvm", timing=SLICE, **options, **more)
    made.load(guest(source, **words).to_elf())
    return made


def end(made: Machine):
    result = made.run(until=PoweredOff, max_virtual="1 s")
    assert result.ended == "poweroff", result.reason
    return made.console, made.now, result.trace_hash, result.details


@cache
def whole(name: str):
    return end(machine(name))


@pytest.mark.parametrize("name", GUESTS)
@pytest.mark.parametrize("part", [0.0, 0.31, 0.6, 0.97])
def test_it_goes_on_as_if_nothing_had_happened(name, part):
    time = whole(name)[1]
    source, saved = machine(name), []
    when = f"{part * seconds(time):.9f} s"
    source.run(until=PoweredOff, max_virtual="1 s", at=(when, lambda m: saved.append(m.save())))
    assert end(Machine.restore(saved[0])) == whole(name)


@pytest.mark.parametrize("backend", ["vz", "ls3acomp"])
def test_every_step_of_an_exit_can_be_saved(backend):
    """At each grid point of a stretch with devices of the kernel and of user space, sleep and preemption."""
    made = machine("two on one", kvm=backend)
    reference = end(machine("two on one", kvm=backend))
    points = set()
    for _ in range(40):
        made.run(max_virtual="777 ns")
        made = Machine.restore(made.save())
        points |= {vcpu.point.name for vcpu in made.hypervisor.vcpus}
    assert {"GUEST", "OUT"} <= points
    assert end(made) == reference


def test_another_tier_takes_it_up():
    made = machine("four on two")
    made.run(max_virtual="50 us")
    assert end(Machine.restore(made.save(), tier="reference"))[:3] == whole("four on two")[:3]


def test_a_stopped_guest_is_saved_stopped():
    made = machine("first_light")
    made.run(max_virtual="60 us")
    made.hypervisor.stop_guest()
    made.run()
    again = Machine.restore(made.save())
    for each in (made, again):
        each.hypervisor.resume_guest()
    assert end(made) == end(again)


@pytest.mark.slow
@pytest.mark.parametrize("name", GUESTS)
def test_at_any_time(name):
    last = whole(name)[1]
    made = machine(name)
    for step in range(1, 41):
        # A run ends with its window, which may be a step further on.
        if (left := last * step // 41 - made.now) > 0:
            made.run(max_virtual=left)
            made = Machine.restore(made.save())
    assert end(made) == whole(name)
