"""Our boot next to that of QEMU 10 with its Loongson-3A4000: the same kernel, initrd and command line.

Every line of the two consoles is equal or in the table of explained differences, with the reason.
"""

from __future__ import annotations

import re
from collections import Counter

import pytest

from soc.bench.qemu import kernel_elf
from soc.firmware.cmdline import DEFAULT_WORDS, FAST
from tests.boot.rig import SCRIPT, answer, boot, fields, lines

pytestmark = pytest.mark.qemu

COMPARED = (
    "CP0_Config3",
    "CP0_PageGrain",
    "CPU0 revision is",
    "FPU revision is",
    "MSA revision is",
    "Primary instruction cache",
    "Primary data cache",
    "Unified victim cache",
    "Unified secondary cache",
)
# Options that one side has and the other has not.
OURS_ONLY = {"ebase_wg": "the 3A4000 has the write gate of EBase and KVM needs it; QEMU's model has none"}
THEIRS_ONLY: dict[str, str] = {}
CPUINFO = {
    "BogoMIPS": "QEMU executes as many instructions per virtual second as the host can",
    "hardware watchpoint": "ours has one watch register pair that no condition can enable; QEMU stores what is written "
    "to eight pairs but never watches",
    "kscratch registers": "six, as /proc/cpuinfo of a 3A4000 says; QEMU's model has three",
    "Options implemented": "compared option by option, see OURS_ONLY and THEIRS_ONLY",
}
# Lines of the console, without time stamps, that may differ.
CONSOLE = {
    r"Calibrating delay loop\.\.\. [\d.]+ BogoMIPS \(lpj=\d+\)": CPUINFO["BogoMIPS"],
    r"(BogoMIPS|hardware watchpoint|kscratch registers|Options implemented)\t*: .*": "checked field by field",
    r"audit: type=2000 audit\(\d+\.\d+:1\): state=initialized audit_enabled=0 res=1": "the text holds the time",
    r"pci 0000:00:00\.0: .*": "QEMU has a PCIe host bridge on the bus; ours has no PCI function yet",
    r" *\d+: +\d+ .*(ttyS0|timer)": "interrupt counts follow the pace of the host in QEMU",
    r"ERR: +\d+": "QEMU may show a spurious interrupt; ours are checked to be 0 (test_boot.py)",
    r"random: .*": "the kernel gathers entropy from timing",
}


def console_of(oracle, material, folder, append: str) -> str:
    """The console of QEMU."""
    kernel = folder / "vmlinux"
    kernel.write_bytes(kernel_elf(material.kernel))
    return oracle.boot(kernel, material.initrd, " ".join((*DEFAULT_WORDS, append)).strip(), SCRIPT).output


@pytest.fixture(scope="module")
def theirs(oracle, material, tmp_path_factory) -> str:
    return console_of(oracle, material, tmp_path_factory.mktemp("qemu10"), FAST)


@pytest.mark.parametrize("start", COMPARED)
def test_what_the_kernel_finds_in_the_processor(fast, theirs, start):
    expected = [line for line in lines(theirs) if line.startswith(start)]
    assert len(expected) == 1
    assert [line for line in fast.lines if line.startswith(start)] == expected


def test_cpuinfo(fast, theirs):
    ours, expected = (fields(answer(console, "cat /proc/cpuinfo")) for console in (fast.console, theirs))
    assert list(ours) == list(expected)
    differing = {name for name in ours if ours[name] != expected[name]}
    assert differing <= set(CPUINFO)
    options, wanted = (set(info["Options implemented"].split()) for info in (ours, expected))
    assert (options - wanted, wanted - options) == (set(OURS_ONLY), set(THEIRS_ONLY))


def unexplained(ours: list[str], expected: list[str]) -> list[str]:
    """Lines that only one console has and the table does not explain. Their order follows the speed of the host."""
    left, right = Counter(ours), Counter(expected)
    differing = [*(left - right), *(right - left)]
    return [line for line in differing if not any(re.fullmatch(form, line) for form in CONSOLE)]


def test_the_whole_console(fast, theirs):
    assert unexplained(fast.lines, lines(theirs)) == []


@pytest.mark.slow
def test_the_whole_console_of_the_default_command_line(oracle, material, tmp_path):
    theirs = console_of(oracle, material, tmp_path, "")
    assert unexplained(boot(tmp_path).lines, lines(theirs)) == []
