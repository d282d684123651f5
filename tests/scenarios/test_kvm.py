"""Guests in a VM: they compute what they compute bare, whoever runs when; the dirty log names what they wrote."""

from __future__ import annotations

import numpy as np
import pytest

from scenarios import irqfd_or_ioctl
from scenarios.dirty_logging import polls, prepare
from scenarios.exit_cost import OPERATIONS
from scenarios.kvm import FIELD, PAGE_SHIFT, field, in_vm, kvm_counter, reasons
from scenarios.library import guest, guests, loaded
from soc import Machine, PoweredOff

TIMES = {
    "first_light.S": ("timer_least", "timer_most", "timer_sum"),
    "tlb.S": ("saved", "seen"),
}
"""Words of guests that hold times, or what TLBWR chose by them; `stack` is what the last calls left behind."""
STACK = 4096


def memory_of(name: str, **options) -> tuple[bytes, np.ndarray]:
    """Console and RAM of a guest for one core when it has powered off, the words of TIMES and the stack left out."""
    program = guest(name)
    machine = Machine("virt", ram="256 MiB" if name == "tlb.S" else "16 MiB", **options)
    machine.load(program.to_elf())
    assert machine.run(until=PoweredOff, max_insns=20_000_000).ended == "poweroff"
    ram = np.frombuffer(machine.memory.read(0, machine.ram), np.uint8).copy()
    for symbol in TIMES.get(name, ()):
        at = program.symbol(symbol) & 0x1FFF_FFFF
        ram[at : at + 24] = 0
    top = program.symbol("stack_top") & 0x1FFF_FFFF
    ram[top - STACK : top] = 0
    return machine.console, ram


@pytest.mark.parametrize("name", guests())
def test_a_guest_leaves_the_memory_that_it_leaves_bare(name):
    bare, hosted = memory_of(name), memory_of(name, hypervisor="kvm")
    assert hosted[0] == bare[0]
    assert np.flatnonzero(hosted[1] != bare[1]).tolist() == []


@pytest.mark.parametrize(("vcpus", "cpus"), [(1, 1), (4, 4), (4, 2), (3, 1)])
def test_vcpus_leave_the_pages_that_cores_leave(vcpus, cpus):
    words = {"rounds": 60, "pages": 16, "every": 20}
    bare = loaded("pages.S", "virt", vcpus, {"trace": False}, **words)
    timing = {"kvm_slice": "20 us"}
    hosted = in_vm("pages.S", cpus, vcpus, {"trace": False, "timing": timing}, **words)
    for found in (bare, hosted):
        assert found.run().ended == "poweroff"
        assert [found.counters(core)[0] for core in range(vcpus)] == [60] * vcpus
    assert field(hosted, 16) == field(bare, 16) != bytes(16 << PAGE_SHIFT)


@pytest.mark.parametrize("name", ["eiointc_pins.S", "ipi_pingpong.S", "ipi_storm.S", "routes.S", "timer_jitter.S"])
def test_a_guest_for_several_cores_counts_what_it_counts_bare(name):
    platform = "virt" if name.startswith("ipi") else "ls7a"
    counted = []
    for options in ({}, {"hypervisor": "kvm", "vcpus": 2}, {"hypervisor": "kvm", "vcpus": 2, "irqchip": "user"}):
        found = loaded(name, platform, 2, {"trace": False, **options}, rounds=3)
        assert found.run(max_virtual="50 ms").ended == "poweroff"
        counted.append((found.machine.console, found.counters(0), found.counters(1)))
    assert counted[0] == counted[1] == counted[2]


SMALL = {
    "pages.S": lambda tier: in_vm("pages.S", 2, 3, {"tier": tier, "timing": {"kvm_slice": "30 us"}}, rounds=40),
    "exit_cost.S": lambda tier: in_vm("exit_cost.S", 1, 1, {"tier": tier}, rounds=4, kind=11),
    "inject.S": lambda tier: irqfd_or_ioctl.prepare("irqfd", 3, 9_000_000, True, tier=tier),
}


@pytest.mark.parametrize("name", SMALL)
def test_neither_tier_nor_slice_shows(name):
    whole = SMALL[name]("auto").run().trace_hash
    assert SMALL[name]("reference").run().trace_hash == whole
    assert SMALL[name]("auto").run(slice=777).trace_hash == whole


@pytest.mark.parametrize("kind", range(len(OPERATIONS)), ids=[name for name, _ in OPERATIONS])
def test_every_exit_has_its_reason(kind):
    found = in_vm("exit_cost.S", 1, 1, {"trace": False}, rounds=3, kind=kind)
    assert found.run().ended == "poweroff"
    assert reasons(found.machine).total() == kvm_counter(found.machine, "exits") > 0


# The dirty log.


@pytest.mark.parametrize(("cpus", "interval"), [(4, "20 us"), (2, "33 us"), (1, "100 us")])
def test_the_log_names_the_pages_that_four_vcpus_have_written(cpus, interval):
    found = prepare(4, cpus, 80, 64, 10, "30 us")
    looks = list(polls(found, interval))
    assert looks[-1].result.ended == "poweroff" and len(looks) >= 3
    for look in looks:
        assert look.changed <= look.logged <= look.changed | look.under_way
    logged, changed = (set().union(*pages) for pages in zip(*((x.logged, x.changed) for x in looks), strict=True))
    assert logged == changed
    pages = set(range(FIELD >> PAGE_SHIFT, (FIELD >> PAGE_SHIFT) + 64))
    assert changed & pages == {
        (FIELD >> PAGE_SHIFT) + page
        for page in range(64)
        if any(field(found, 64)[page << PAGE_SHIFT : page + 1 << PAGE_SHIFT])
    }


def test_what_is_only_read_is_not_logged():
    found = prepare(4, 2, 0, 64, 0, "30 us")
    looks = list(polls(found, "50 us"))
    first = FIELD >> PAGE_SHIFT
    assert not any(page >= first for look in looks for page in look.logged)
