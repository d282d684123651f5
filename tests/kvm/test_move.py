"""A guest that is stopped, saved and restored in a new process ends as if it had stayed."""

from __future__ import annotations

import pytest

from scenarios import live_move
from scenarios.library import guest
from soc.time import duration

OPTIONS = {"hypervisor": "kvm", "ram": live_move.RAM, "timing": {"kvm_slice": "20 us"}}


def moved_and_whole(name: str, at: str, words: dict[str, int], **options):
    program = guest(name, **words)
    given = {**OPTIONS, **options}
    machine = live_move.new_machine(given)
    machine.load(program.to_elf())
    whole = live_move.outcome(machine, machine.run(max_virtual="10 s"))
    before, saved = live_move.leave(program, given, duration(at))
    assert before.ended == "until", "every vCPU has left KVM_RUN"
    after = live_move.arrive(given, saved)
    assert (whole.ended, after.ended) == ("poweroff", "poweroff")
    assert before.console + after.console == whole.console
    assert after.digest == whole.digest
    assert before.refills + after.refills > whole.refills, "its translations were refilled"


PAGES = {"cores": 4, "rounds": 150, "pages": live_move.PAGES, "work": 20, "every": 30}


@pytest.mark.parametrize("cpus", [1, 4])
def test_four_vcpus(cpus):
    moved_and_whole("pages.S", "55 us", PAGES, cpus=cpus, vcpus=4)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["vz", "ls3acomp"])
@pytest.mark.parametrize("irqchip", ["kernel", "user"])
@pytest.mark.parametrize("at", ["1 us", "40 us", "77 us", "130 us"])
def test_at_any_time_with_any_controllers(at, irqchip, backend):
    moved_and_whole("pages.S", at, PAGES, cpus=2, vcpus=4, irqchip=irqchip, kvm=backend)
    moved_and_whole("first_light.S", at, {}, cpus=1, irqchip=irqchip, kvm=backend)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["llsc.S", "memory.S", "self_modifying.S", "timer.S", "traps.S"])
def test_every_guest(name):
    moved_and_whole(name, "25 us", {}, cpus=1)
