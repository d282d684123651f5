"""Boots: what is kept of a run, what two runs must agree on, and how far a kernel came; with outcomes made up here."""

from __future__ import annotations

import pytest

from soc.bench import boots, tables
from soc.bench.boots import Boot
from soc.bench.errors import BenchError
from soc.bench.runs import Outcome

UP = "[ 0.1] smp: Brought up 1 node, 4 CPUs\n"


def outcome(trace_hash: str = "a", wall_s: float = 3.0) -> Outcome:
    details = {"messages": 500, "kvm exits": 40}
    result = {"trace_hash": trace_hash, "instructions": 2_000_000, "exits": 200, "details": details, "wall_s": 2.0}
    return Outcome(wall_s, UP, result, peak_mib=300.0)


def test_rates_are_of_the_run_and_a_warm_up_is_not_kept():
    boot = Boot("KVM guest", "quiet", 1, 4)
    boot.enter(outcome(wall_s=9.0), False)
    boot.enter(outcome(), True)
    assert (boot.online, boot.wall_s, boot.engine_s, boot.peak_mib) == (4, [3.0], [2.0], [300.0])
    assert (boot.rate("messages"), boot.rate("KVM exits"), boot.per_million("KVM exits")) == (250, 20, 20)
    with pytest.raises(BenchError, match="two equal boots have the trace hashes a, b"):
        boot.enter(outcome("b"), True)


def test_the_table_of_machines_has_what_each_side_knows():
    guest, stopped = Boot("KVM guest", "", 1, 4), Boot("QEMU 99", "", 4, online=2, wall_s=[120.0], finished=False)
    guest.enter(outcome(), True)
    head, *cells = tables.machines([guest, stopped])
    ours, theirs = (dict(zip(head, row, strict=True)) for row in cells)
    wanted = {"": "KVM guest, 1 core", "CPUs": "4", "KVM exits/s": "20", "per M": "20", "peak, MiB": "300"}
    assert wanted.items() <= ours.items()
    assert (theirs["wall, s"], theirs["CPUs"], theirs["instructions"]) == ("over 120", "2 of 4", "")


@pytest.mark.parametrize(
    ("console", "cpus"),
    [("", 1), ("CPU0 revision is: 1\n", 1), ("CPU0 revision is: 1\nCPU1 revision is: 1\n", 2), (UP, 4)],
)
def test_the_cpus_that_a_kernel_has_brought_up_are_read_from_its_console(console, cpus):
    assert boots.online(console) == cpus


def test_answers_are_what_follows_each_prompt():
    console = "boot\nsoc# \x1b[6nuname -a\nLinux\nsoc# \x1b[6npoweroff -f\nbye\n"
    assert boots.answers(console) == ["uname -a\nLinux", "poweroff -f\nbye"]
