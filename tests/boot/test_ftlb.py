"""Debian's unmodified kernel with an FTLB: it sizes it, sets its page size and works, bare and as a guest."""

from __future__ import annotations

import pytest

from soc.firmware.cmdline import FAST
from tests.boot.rig import answer, boot, fields
from tests.boot.test_boot import TROUBLE
from tests.boot.test_many_cores import SCRIPT

pytestmark = pytest.mark.slow

SIZES = {"bare": 64 + 2048, "kvm": 62 + 2048, "ls3acomp": 64 + 2048}
"""Linux 6.1 keeps two entries of its VTLB from its guests."""


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("bare", ("--cpus", "2")),
        ("kvm", ("--cpus", "2", "--hypervisor", "kvm")),
        ("ls3acomp", ("--cpus", "2", "--hypervisor", "kvm", "--kvm", "ls3acomp")),
    ],
)
def test_linux_finds_and_uses_it(material, tmp_path, kind, options):
    done = boot(tmp_path, FAST, SCRIPT, ("--ftlb", *options))
    assert done.result["ended"] == "poweroff", done.result["reason"]
    assert not [line for line in done.lines if TROUBLE.search(line)]
    found = fields(answer(done.console, "cat /proc/cpuinfo"))
    assert found["tlb_entries"] == str(SIZES[kind])
    assert {"tlb", "ftlb", "tlbinv"} <= set(found["Options implemented"].split())
    (sums,) = answer(done.console, SCRIPT[2]).split("\n")[:1]
    assert sums.split()[0] == "8", "eight equal checksums"


def test_it_needs_fewer_refills(material, tmp_path):
    with_it, without = (boot(tmp_path, FAST, SCRIPT, options).result for options in (("--ftlb",), ()))
    assert with_it["details"]["refill xtlb"] < without["details"]["refill xtlb"]
