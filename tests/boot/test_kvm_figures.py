"""What Debian costs as a KVM guest: wall time beside the bare boot in one run, exits by reason and per instructions."""

from __future__ import annotations

from pathlib import Path

import pytest

from cpu.kvm.stats import REASONS
from soc.firmware.cmdline import FAST
from tests.boot.rig import Boot, boot, fields
from tests.boot.test_many_cores import SCRIPT, check

PRID = "0014c000"
VZ = ("vz", "guestid")
MOST_TIMES_BARE = 4
"""A boot as guest takes less than this many times the bare boot's wall time, in one run on one machine."""


def hosted(folder: Path, vcpus: int, cpus: int, *more: str) -> Boot:
    return boot(folder, FAST, SCRIPT, ("--hypervisor", "kvm", "--vcpus", str(vcpus), "--cpus", str(cpus), *more))


def exits(run: Boot) -> dict[str, int]:
    """By reason, most first; their sum is the number of exits."""
    details = run.result["details"]
    found = {name: details[f"exit {name}"] for name in REASONS if details.get(f"exit {name}")}
    assert sum(found.values()) == details["kvm exits"]
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def sees_a_guest(run: Boot, vcpus: int) -> None:
    """The kernel's view: a 3A4000 without VZ, all vCPUs at work, and power-off."""
    check(run, vcpus)
    assert f"CPU0 revision is: {PRID}" in run.console
    features = fields(run.answer("cat /proc/cpuinfo"))["ASEs implemented"].split()
    assert not set(features) & set(VZ), features
    assert "msa" in features, "the guest has the units that the VMM enabled"


def table(rows: list[tuple[str, Boot]]) -> str:
    lines = [f"{'':<14}{'wall':>8}{'Minsn':>8}{'MIPS':>7}{'exits':>9}{'per Minsn':>11}{'root refills':>14}"]
    for name, run in rows:
        result, details = run.result, run.result["details"]
        million = result["instructions"] / 1e6
        count = details.get("kvm exits", 0)
        lines.append(
            f"{name:<14}{result['wall_s']:>7.2f}s{million:>8.0f}{result['mips']:>7.0f}{count:>9}"
            f"{count / million:>11.1f}{details.get('refill root', 0):>14}"
        )
        if count:
            lines.append("    " + ", ".join(f"{reason} {n / million:.1f}" for reason, n in exits(run).items()))
    return "\n".join([*lines, "    exits by reason are per million instructions of the guest"])


@pytest.mark.slow
def test_wall_time_and_exits_beside_the_bare_boot(material, tmp_path, capsys):
    rows = [(f"bare, {cpus}", boot(tmp_path, FAST, SCRIPT, ("--cpus", str(cpus)))) for cpus in (1, 4)]
    rows += [(f"{vcpus} on {cpus}", hosted(tmp_path, vcpus, cpus)) for vcpus, cpus in ((1, 1), (4, 1), (4, 2), (4, 4))]
    with capsys.disabled():
        print("\nDebian to a shell, a parallel load, power-off: bare on n cores, and n vCPUs on m cores")
        print(table(rows))
    for name, run in rows:
        if name.startswith("bare"):
            check(run, int(name.split()[-1]))
        else:
            sees_a_guest(run, int(name.split()[0]))
            details = run.result["details"]
            faults = details["kvm map_fast"] + details["kvm map_slow"]
            assert details["refill root"] > 10 * faults, "a refill of a page that is mapped does not exit"
    walls = {name: run.result["wall_s"] for name, run in rows}
    assert walls["1 on 1"] < MOST_TIMES_BARE * walls["bare, 1"]
