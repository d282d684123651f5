"""Debian's unmodified kernel on several CPUs: all of them online, interrupted and at work, and the same run every time.

QEMU's wall times are printed beside ours (`pytest -s`), with what it does on several CPUs within a limit of time.
"""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from soc.bench import qemu
from soc.bench.errors import BenchError
from soc.firmware.cmdline import DEFAULT_WORDS, FAST
from tests.boot.rig import Boot, boot
from tests.boot.test_boot import TROUBLE
from tests.oracles import qemu10

LOAD = "for i in 1 2 3 4 5 6 7 8; do (sha256sum /bin/busybox > /tmp/$i) & done; wait"
SCRIPT = (
    "cat /proc/cpuinfo",
    LOAD,
    "cat /tmp/1 /tmp/2 /tmp/3 /tmp/4 /tmp/5 /tmp/6 /tmp/7 /tmp/8 | uniq -c",
    "cat /proc/interrupts",
    "poweroff -f",
)
COUNTED = re.compile(r"^ *(\S+): +((?:\d+ +)+)(.*)$")
QEMU_LIMIT_S = 120


def interrupts(table: str, cpus: int) -> dict[str, list[int]]:
    """Counts by CPU of each action in /proc/interrupts."""
    found = {}
    for line in table.splitlines():
        match = COUNTED.match(line)
        if match and len(counts := [int(word) for word in match[2].split()]) == cpus:
            found[match[3].split()[-1] if match[3] else match[1]] = counts
    return found


def check(run: Boot, cpus: int) -> None:
    """Everything that a boot on `cpus` CPUs must show."""
    assert (run.status, run.result["ended"]) == (0, "poweroff"), run.console[-500:]
    assert f"CPU{'s' if cpus > 1 else ''}" in next(line for line in run.lines if line.startswith("smp: Brought up"))
    assert [line for line in run.lines if TROUBLE.search(line)] == []
    info = run.answer("cat /proc/cpuinfo")
    assert re.findall(r"^processor\s*: (\d+)$", info, re.M) == [str(n) for n in range(cpus)]
    sums = run.answer(SCRIPT[2]).split()
    assert sums[0] == "8" and re.fullmatch("[0-9a-f]{64}", sums[1]) and len(sums) == 3, "eight equal sums"
    counts = interrupts(run.answer("cat /proc/interrupts"), cpus)
    assert all(count > 0 for count in counts["timer"]), counts
    assert len(counts["timer"]) == cpus
    if cpus > 1:
        assert all(count > 0 for count in counts["SMP_IPI"]), counts
    else:
        assert counts["SMP_IPI"] == [0]
    assert sum(counts["ttyS0"]) > 0


def same(one: Boot, other: Boot) -> None:
    assert other.console == one.console
    for name in ("trace_hash", "instructions", "virtual_s", "exits", "details"):
        assert other.result[name] == one.result[name], name


def test_two_cpus(material, tmp_path):
    run = boot(tmp_path, FAST, SCRIPT, ("--cpus", "2"))
    check(run, 2)
    assert "smp: Brought up 1 node, 2 CPUs" in run.console


@pytest.mark.slow
@pytest.mark.parametrize(("platform", "cpus"), [("virt", n) for n in (1, 2, 4, 16)] + [("ls7a", n) for n in (1, 2, 4)])
def test_all_cpus_work_and_the_same_boot_is_the_same_run(material, tmp_path, platform, cpus):
    options = ("--platform", platform, "--cpus", str(cpus))
    run = boot(tmp_path, FAST, SCRIPT, options)
    check(run, cpus)
    same(run, boot(tmp_path, FAST, SCRIPT, options))
    same(run, boot(tmp_path, FAST, SCRIPT, (*options, "--slice", "65537")))


@pytest.mark.slow
def test_four_cpus_to_power_off_within_ten_seconds_and_qemu_beside_it(material, tmp_path, capsys):
    boot(tmp_path, "", SCRIPT, ("--cpus", "4"))
    began = time.monotonic()
    run = boot(tmp_path, "", SCRIPT, ("--cpus", "4"))
    ours = time.monotonic() - began
    check(run, 4)
    elf = tmp_path / "vmlinux"
    elf.write_bytes(qemu.kernel_elf(material.kernel))
    rows = [("soc, 4 CPUs", f"power-off after {ours:.1f} s")]
    for found in (qemu.find() or f"no {qemu.PROGRAM} here", qemu10.find()):
        if isinstance(found, str):
            rows.append(("QEMU", found))
            continue
        for cpus in (1, 2):
            rows.append((f"{found.name}, -smp {cpus}", qemu_says(found, cpus, elf, material.initrd)))
    with capsys.disabled():
        print("\nDebian to a shell, a parallel load, power-off; default command line; wall time of the whole process")
        for name, text in rows:
            print(f"  {name:<40} {text}")
    assert ours < 10


def qemu_says(other: qemu.Qemu, cpus: int, kernel: Path, initrd: Path) -> str:
    """How far QEMU gets within the limit, in words."""
    words = " ".join(DEFAULT_WORDS)
    try:
        outcome = other.boot(kernel, initrd, words, SCRIPT, cpus=cpus, limit_s=QEMU_LIMIT_S)
    except BenchError as error:
        return " ".join(str(error).removeprefix(f"`{other.command[0]}` ").split())
    brought = re.search(r"smp: Brought up (.*)", outcome.output)
    return f"power-off after {outcome.wall_s:.1f} s; {brought[1] if brought else 'no CPU count'}"
