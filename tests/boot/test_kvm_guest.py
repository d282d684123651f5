"""Debian's unmodified kernel as a guest of the KVM model: on fewer cores than vCPUs and on as many, at work, and told
apart from a bare core only by what KVM hides."""

from __future__ import annotations

import pytest

from soc.firmware.cmdline import FAST
from tests.boot.rig import answer, boot, fields
from tests.boot.test_boot import TROUBLE
from tests.boot.test_many_cores import SCRIPT, check, interrupts

pytestmark = pytest.mark.slow


def guest(tmp_path, vcpus: int, cpus: int, *options: str):
    given = ["--hypervisor", "kvm", "--vcpus", str(vcpus), "--cpus", str(cpus), *options]
    return boot(tmp_path, FAST, SCRIPT, given)


@pytest.mark.parametrize("backend", ["vz", "ls3acomp"])
@pytest.mark.parametrize(("vcpus", "cpus"), [(1, 1), (1, 2), (1, 4), (4, 1), (4, 2), (4, 4)])
def test_a_guest_boots_works_and_switches_off(material, tmp_path, vcpus, cpus, backend):
    done = guest(tmp_path, vcpus, cpus, "--kvm", backend)
    assert done.result["ended"] == "poweroff", done.result["reason"]
    shown = answer(done.console, "cat /proc/cpuinfo")
    assert shown.count("processor\t") == vcpus
    assert "vz" not in fields(shown)["ASEs implemented"].split()
    assert any("CPU0 revision is: 0014c000" in line for line in done.lines)
    assert not [line for line in done.lines if TROUBLE.search(line)]
    (sums,) = answer(done.console, SCRIPT[2]).split("\n")[:1]
    assert sums.split()[0] == "8", "eight equal checksums"
    timers = interrupts(answer(done.console, "cat /proc/interrupts"), vcpus)["timer"]
    assert min(timers) > 0
    details = done.result["details"]
    assert details["refill root"] > 10_000
    assert sum(n for name, n in details.items() if name.startswith("exit ")) == details["kvm exits"]


@pytest.mark.parametrize("backend", ["vz", "ls3acomp"])
def test_a_guest_whose_controllers_user_space_serves(material, tmp_path, backend):
    check(guest(tmp_path, 2, 2, "--kvm", backend, "--irqchip", "user"), 2)


@pytest.mark.parametrize(("append", "controller"), [(" pci=nomsi", "PCH PIC"), ("", "PCH PCI MSI")])
def test_a_function_interrupts_through_the_irqchip_of_the_loongson_tree(material, tmp_path, append, controller):
    options = ("--platform", "ls7a", "--hypervisor", "kvm", "--kvm", "ls3acomp", "--vcpus", "2", "--cpus", "2")
    script = ("cat /proc/interrupts", "poweroff -f")
    done = boot(tmp_path, FAST + append, script, (*options, "--device", "virtio_rng"))
    assert done.result["ended"] == "poweroff", done.result["reason"]
    lines = [line for line in answer(done.console, script[0]).splitlines() if "virtio0" in line]
    assert all(controller in line for line in lines)
    assert sum(int(count) for line in lines for count in line.split()[1:3]) > 0
    assert done.result["details"]["kvm mmio_kernel"] > 0


@pytest.mark.parametrize("backend", ["vz", "ls3acomp"])
def test_a_second_run_has_the_same_hash(material, tmp_path, backend):
    runs = (guest(tmp_path, 4, 2, "--kvm", backend, *options) for options in ((), ("--slice", "100000")))
    first, second = (run.result for run in runs)
    assert first["trace_hash"] == second["trace_hash"]
