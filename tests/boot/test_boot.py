"""Debian's unmodified kernel to a shell, a script typed, power off: once in every run of the tests.

What holds for every package version is checked always; figures of one version only when that version was fetched. The
trace hash is compared between boots and not kept here: every intended change of timing changes it.
"""

import re

import pytest

from soc.firmware.cmdline import FAST
from soc.timing import Timing
from tests.boot.rig import fields, interrupts

MILESTONES = (
    "Linux version 6.1.0-",
    "The bridge chip is VIRTUAL",
    "CPU0 revision is: 0014c000 (ICT Loongson-3)",
    "FPU revision is: 00770501",
    "MSA revision is: 00000140",
    "MIPS: machine is loongson,loongson64v-4core-virtio",
    "Primary instruction cache 64kB, VIPT, 4-way, linesize 64 bytes.",
    "Kernel command line: rd_start=",
    "Calibrating delay loop...",
    "smp: Brought up 1 node, 1 CPU",
    "clocksource: Switched to clocksource MIPS",
    "Trying to unpack rootfs image as initramfs...",
    "ttyS0 at MMIO 0x1fe001e0 (irq = 1, base_baud = ",
    "Freeing unused kernel image (initmem) memory",
    "Run /init as init process",
    "INIT-UP",
    "reboot: Power down",
)
TROUBLE = re.compile(
    r"Oops|BUG|WARNING|[Pp]anic|Call Trace|nobody cared|unaligned|self-tests.*failed|rcu: INFO|lockup|SIG[A-Z]{3}|"
    r"initramfs unpacking failed|Reserved instruction|Machine Check"
)
# By package and version, as measured on QEMU 7.2; accesses to nothing: those of the SMBIOS scan.
FIGURES = {
    ("linux-image-6.1.0-50-loongson-3", "6.1.176-1"): {
        "lines": (
            "507904K available (11342K kernel code, 1782K rwdata, 3164K rodata, 2688K init, 545K bss,",
            "ftrace: allocating 32332 entries in 32 pages",
            "percpu: Embedded 13 pages/cpu s174384 r8192 d30416 u212992",
            "Dentry cache hash table entries: 65536 (order: 5, 524288 bytes, linear)",
            "clocksource: MIPS: mask: 0xffffffff max_cycles: 0xffffffff, max_idle_ns: 4778151116 ns",
        ),
        "unmapped": range(28_600, 28_900),
    }
}


def test_it_powers_off_and_the_status_is_0(fast):
    assert (fast.status, fast.result["ended"]) == (0, "poweroff")


def test_the_console_passes_every_milestone_in_order(fast):
    at = 0
    for text in MILESTONES:
        found = fast.console.find(text, at)
        assert found >= 0, f"{text!r} does not follow what came before it: {fast.console[at : at + 300]!r}"
        at = found


def test_the_kernel_complains_of_nothing(fast):
    assert [line for line in fast.lines if TROUBLE.search(line)] == []


def test_the_command_line_is_the_default_one_and_what_was_added(fast):
    line = next(line for line in fast.lines if line.startswith("Kernel command line: "))
    assert line.endswith(f" console=ttyS0,115200 rdinit=/init {FAST}")


def test_uname_names_the_package(fast, material):
    kernel = material.manifest["kernel"]
    answer = fast.answer("uname -a")
    assert kernel["package"].removeprefix("linux-image-") in answer
    assert f"Debian {kernel['version']} " in answer
    assert answer.rstrip().endswith("mips64 GNU/Linux")


def test_cpuinfo_shows_a_3a4000(fast):
    info = fields(fast.answer("cat /proc/cpuinfo"))
    assert info["cpu model"].startswith("ICT Loongson-3 ")
    assert info["tlb_entries"] == "64"
    assert info["wait instruction"] == "yes"
    assert info["ASEs implemented"].split() == ["msa", "loongson-ext"]
    assert "mips64r2" in info["isa"].split() and "mips64r6" not in info["isa"].split()
    options = set(info["Options implemented"].split())
    assert {"tlb", "fpu", "llsc", "rixi", "tlbinv", "lpa", "userlocal", "nan_legacy", "mac2008_only"} <= options


def test_the_delay_loop_is_calibrated_to_the_clock_of_the_core(fast):
    # BogoMIPS of a loop of two instructions, one per cycle: the clock in MHz, less what the timer interrupts take.
    bogomips = float(fields(fast.answer("cat /proc/cpuinfo"))["BogoMIPS"])
    clock = Timing().core_clock / 1e6
    assert 0.95 * clock <= bogomips <= clock


def test_interrupts_are_counted_and_none_is_spurious(fast):
    counts = interrupts(fast.answer("cat /proc/interrupts"))
    assert counts["ttyS0"] > 0
    assert counts["timer"] > 10
    assert counts["SMP_IPI"] == 0
    assert counts["ERR"] == 0


def test_the_shell_runs_a_loop(fast):
    assert fast.answer('for i in 1 2 3; do echo "loop $i"; done') == "loop 1\nloop 2\nloop 3\n"


def test_the_result_is_plausible(fast):
    result, details = fast.result, fast.result["details"]
    assert result["instructions"] <= result["virtual_s"] * Timing().core_clock, "an instruction takes a cycle"
    assert result["exits"] > result["unmapped"] > 0
    assert details["messages"] >= 2 * result["exits"], "a request and a reply each"
    assert details["exception Int"] > 0 and details["exception Sys"] > 0 and details["refill xtlb"] > 0
    assert not details.get("exception RI"), "this processor has every instruction that Debian uses"
    assert re.fullmatch("[0-9a-f]{32,}", result["trace_hash"])


def test_figures_of_a_known_version(fast, material):
    kernel = material.manifest["kernel"]
    figures = FIGURES.get((kernel["package"], kernel["version"]))
    if figures is None:
        pytest.skip(f"no figures are known of {kernel['package']} {kernel['version']}")
    for text in figures["lines"]:
        assert text in fast.console
    assert fast.result["unmapped"] in figures["unmapped"]
