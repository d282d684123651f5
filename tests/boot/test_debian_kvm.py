"""Debian's own KVM on cores with VZ runs a second, unmodified Debian: it boots, works, and switches off.

Nothing of our own hypervisor takes part. What both kernels say must be what a kernel says on a bare core, and KVM's own
counters what the KVM model counts.
"""

from __future__ import annotations

import hashlib
import re

import pytest

from cpu.kvm.stats import REASONS
from scenarios import debian_kvm
from scenarios.guests import build
from soc import Machine
from soc.bench.runs import text
from soc.errors import ConfigurationError
from soc.fetch.initramfs import READY
from soc.firmware.cmdline import FAST
from tests.boot.rig import answer, boot, fields, lines
from tests.boot.test_boot import TROUBLE
from tests.boot.test_many_cores import SCRIPT, interrupts

pytestmark = pytest.mark.slow
SUMS = "awk 'BEGIN{for(;i<9999;)s+=1/++i;print s}'; vector"
QUIET = "dmesg -n 1"
"""Two kernels have one console; neither is to write into a line of the other's shell."""
MEANWHILE = f"for i in $(seq 10); do ({SUMS}) | md5sum; done > /sums &"
MOST_VIRTUAL = "60 s"


@pytest.fixture(scope="module")
def archives(material):
    """The initramfs with a guest of so many virtual CPUs, and a program for MSA."""
    try:
        programs = {"bin/vector": build.vector("saxpy", 3, "linux")}
        return {vcpus: debian_kvm.initrd(vcpus, programs) for vcpus in (1, 2, 5)}
    except ConfigurationError as error:
        pytest.skip(str(error).splitlines()[0])


def finished(machine: Machine, **limits) -> tuple[str, str]:
    """The console, and the trace hash at power-off."""
    result = machine.run(max_virtual=MOST_VIRTUAL, **limits)
    assert result.ended == "poweroff", (result.reason, text(machine.console)[-1000:])
    return text(machine.console), result.trace_hash


@pytest.mark.parametrize(
    ("cpus", "vcpus", "options"),
    [
        (1, 1, {}),
        (1, 2, {}),
        (2, 2, {}),
        (5, 5, {}),
        (2, 1, {"ftlb": True}),
        (1, 1, {"vz": {"rad": True}}),
        (2, 2, {"platform": "ls7a"}),
    ],
    ids=str,
)
def test_a_second_debian_boots_works_and_switches_off(material, archives, cpus, vcpus, options):
    """Meanwhile the first one uses FPU and MSA too: KVM must give each its own registers."""
    script = (QUIET, MEANWHILE, debian_kvm.START, QUIET, SUMS, *SCRIPT, "sort -u /sums", "poweroff -f")
    console, _ = finished(debian_kvm.host(archives[vcpus], cpus, script, **options))
    assert [line for line in lines(console) if TROUBLE.search(line)] == []
    banners = [line for line in lines(console) if line.startswith("Linux version ")]
    release = material.manifest["kernel"]["package"].removeprefix("linux-image-")
    assert len(banners) == 2 and banners[0] == banners[1]
    assert release in banners[0]
    assert lines(console).count(READY) == 2
    guest = console.rsplit(READY, 1)[1]
    info = answer(guest, "cat /proc/cpuinfo")
    assert re.findall(r"^processor\s*: (\d+)$", info, re.M) == [str(n) for n in range(vcpus)]
    assert "msa" in fields(info)["ASEs implemented"].split() and "vz" not in fields(info)["ASEs implemented"].split()
    (sums,) = answer(guest, SCRIPT[2]).splitlines()
    assert sums.split()[0] == "8", "eight equal checksums"
    expected = hashlib.md5(answer(guest, SUMS).encode()).hexdigest()
    assert answer(guest, "sort -u /sums") == f"{expected}  -\n"
    counts = interrupts(answer(guest, "cat /proc/interrupts"), vcpus)
    assert min(counts["timer"]) > 0 and sum(counts["ttyS0"]) > 0
    assert min(counts["SMP_IPI"]) > 0 or vcpus == 1
    assert "\nstatus 0\n" in guest


def test_three_guests_at_a_time(archives):
    feed = "(sleep 4; echo; echo 'echo CPUs $(nproc)'; sleep 1; echo poweroff -f)"
    start = f"for i in 1 2 3; do {feed} | vmm guest.img > /$i & done; wait"
    report = "grep -h -e ^INIT -e ^CPUs -e 'reboot: P' -e Oops -e BUG /1 /2 /3"
    console, _ = finished(debian_kvm.host(archives[1], 2, (start, report, "poweroff -f")))
    assert lines(answer(console, report).rstrip()) == [READY, "CPUs 1", "reboot: Power down"] * 3


@pytest.fixture(scope="module")
def whole(archives):
    """Console and trace hash of two cores with a guest of two vCPUs."""
    return finished(debian_kvm.host(archives[2], 2))


@pytest.mark.parametrize(
    ("options", "limits"), [({"tier": "threaded"}, {"slice": 100_000}), ({"placement": "process"}, {})]
)
def test_tier_slice_and_placement_change_nothing(archives, whole, options, limits):
    assert finished(debian_kvm.host(archives[2], 2, **options), **limits) == whole


def test_a_checkpoint_in_the_boot_of_the_guest_changes_nothing(archives, whole, tmp_path):
    machine = debian_kvm.host(archives[2], 2)
    for _ in range(2):
        assert machine.run(until="smp: Brought up 1 node, 2 CPUs", max_virtual=MOST_VIRTUAL).ended == "until"
    assert finished(Machine.restore(machine.save(tmp_path / "boot.ckpt"))) == whole


def test_kvm_counts_the_exits_that_the_model_counts(archives):
    """The same kernel and initramfs with the same script: only how often a guest polls, waits and is put depends on the
    time that passes outside it."""
    console, _ = finished(debian_kvm.host(debian_kvm.initrd()))
    counted, modelled = debian_kvm.counters(console), debian_kvm.modelled(1, 1)
    for name in ("tlbmod", "msa_disabled"):
        assert counted[name] == modelled[name] > 0, name
    for name in ("vz_gpsi", "vz_gsfc", "tlbmiss_ld", "tlbmiss_st"):
        assert counted[name] == pytest.approx(modelled[name], rel=0.005), name
    assert {name for name in REASONS if counted[name]} - {name for name in REASONS if modelled[name]} == {"int"}


def test_what_the_scenario_leaves_boots_for_a_person(archives, tmp_path):
    run = debian_kvm.debian_kvm(out=tmp_path, compare=False)
    assert run.ok, run.failures
    options = ("--machine", str(tmp_path / "machine.toml"), "--initrd", str(tmp_path / "initrd.cpio"))
    done = boot(tmp_path, FAST, ("vmm guest.img", "poweroff -f", "poweroff -f"), options)
    assert (done.status, done.result["ended"], done.lines.count(READY)) == (0, "poweroff", 2)
