"""Long evidence of the boot: the default command line, the same boot again, and the kernel's own decompressor."""

import pytest

from soc.firmware.cmdline import FAST
from tests.boot.rig import boot, fields
from tests.boot.test_boot import MILESTONES, TROUBLE

pytestmark = pytest.mark.slow


def check(run) -> None:
    assert (run.status, run.result["ended"]) == (0, "poweroff")
    at = 0
    for text in MILESTONES:
        at = run.console.find(text, at)
        assert at >= 0, text
    assert [line for line in run.lines if TROUBLE.search(line)] == []
    assert fields(run.answer("cat /proc/cpuinfo"))["tlb_entries"] == "64"
    assert run.answer("uname -a").startswith("Linux (none) 6.1.0-")
    assert "timer" in run.answer("cat /proc/interrupts")
    assert run.answer('for i in 1 2 3; do echo "loop $i"; done') == "loop 1\nloop 2\nloop 3\n"


@pytest.mark.parametrize("append", ["", FAST], ids=["default", "fast"])
def test_the_same_boot_is_the_same_to_the_last_byte(material, tmp_path, append):
    first = boot(tmp_path, append)
    check(first)
    # A host slice cuts the run at other places and may change nothing (design law 5).
    for options in ((), ("--slice", "65537")):
        again = boot(tmp_path, append, options=options)
        assert again.console == first.console
        for name in ("trace_hash", "instructions", "virtual_s", "exits", "details"):
            assert again.result[name] == first.result[name], (options, name)


def test_the_default_boot_passes_the_kernels_own_self_tests(material, tmp_path):
    run = boot(tmp_path)
    check(run)
    assert any("self-tests for" in line and line.endswith("passed") for line in run.lines)


def test_the_kernels_own_decompressor_leads_to_the_same_kernel(material, tmp_path):
    direct, through = boot(tmp_path, FAST), boot(tmp_path, FAST, options=("--run-stub",))
    check(through)
    assert through.result["instructions"] > 2 * direct.result["instructions"]
    stable = ("cat /proc/cpuinfo", "uname -a")
    assert [through.answer(command) for command in stable] == [direct.answer(command) for command in stable]
