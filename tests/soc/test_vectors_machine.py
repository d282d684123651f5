"""Behavioural vectors of the register reference, section 12, that need a core or a platform: guest code in a machine.

What one device or the board of controllers can show is in tests/devices/vectors.py. Test names end with the row's.
"""

import re

import pytest

from cpu.isa.assembler import assemble
from soc.machine import Machine
from soc.testing import make_machine
from tests.devices.vectors import ON_MACHINE

CODE, RESULTS = 0x10000, 0x20000
KSEG0, UNCACHED = 0xFFFF_FFFF_8000_0000, 0x9000_0000_0000_0000
STATUS = 0x0400_00E0
"""Kernel mode with 64-bit addresses; no interrupt is taken, Cause shows what would be."""
S0, S1, S2 = 16, 17, 18
LOAD, STORE = {1: "lbu", 4: "lwu", 8: "ld"}, {1: "sb", 4: "sw", 8: "sd"}
RTC, ROUTER, UART, PCI = 0x1008_1000, 0x3FF0_1400, 0x1FE0_01E0, 0x1A00_0000
IP2, IP3 = 1 << 10, 1 << 11
RTC_SOURCE = 1 << 1
WITHIN = 50
"""Count ticks that Linux gives Cause.TI to change."""


def assembled(text):
    return assemble(text + "\nend: wait 0\nb end\nnop\n", base=KSEG0 + CODE)


def guest(platform, *steps):
    """What a guest on `platform` reads. A step is (address, size) to read, (address, size, value) to write, or text."""
    lines, reads = [f"dli $s7, {KSEG0 + RESULTS:#x}"], 0
    for step in steps:
        if isinstance(step, str):
            lines.append(step)
            continue
        address, size, *value = step
        lines.append(f"dli $t0, {UNCACHED + address:#x}")
        if value:
            lines += [f"dli $t1, {value[0]:#x}", f"{STORE[size]} $t1, 0($t0)"]
        else:
            lines += [f"{LOAD[size]} $t1, 0($t0)", f"sd $t1, {8 * reads}($s7)"]
            reads += 1
    program = assembled("\n".join(lines))
    m = Machine(platform, ram="16 MiB")
    m.memory.write(CODE, bytes(program.data))
    m.cpu[0].set_state({"pc": KSEG0 + CODE, "cp0": {"status": STATUS}})
    m.run(max_virtual="100 us")
    end = program.symbol("end") & 0xFFFF_FFFF_FFFF_FFFF
    assert end <= m.cpu[0].pc <= end + 8, f"the guest did not come to its end, but to {m.cpu[0].pc:#x}"
    return [int.from_bytes(m.memory.read(RESULTS + 8 * n, 8), "little") for n in range(reads)], m.cpu[0].cp0("cause")


PROBE = """
        mfc0    $t0, $16, 6             # Config6: INNTIMER set, EXTIMER clear
        ori     $t0, $t0, 0xc0
        xori    $t0, $t0, 0x80
        mtc0    $t0, $16, 6
        ehb
        mfc0    $t0, $count             # an expiry from before the probe
        addiu   $t0, $t0, 16
        mtc0    $t0, $compare
        li      $t1, 100
1:      bnez    $t1, 1b
        addiu   $t1, $t1, -1
        mfc0    $t9, $cause
        dext    $s3, $t9, 30, 1
        mfc0    $t0, $count             # acknowledge it
        mtc0    $t0, $compare
2:      mfc0    $t9, $cause
        dext    $t9, $t9, 30, 1
        mfc0    $t1, $count
        bnez    $t9, 2b
        subu    $s0, $t1, $t0
        li      $t2, 0x10               # the shortest distance that is still ahead once it is written
3:      mfc0    $t0, $count
        addu    $s4, $t0, $t2
        mtc0    $s4, $compare
        mfc0    $t0, $count
        subu    $t1, $s4, $t0
        blez    $t1, 3b
        sll     $t2, $t2, 1
4:      mfc0    $t0, $count             # until Count has passed it
        subu    $t1, $t0, $s4
        blez    $t1, 4b
        nop
5:      mfc0    $t9, $cause
        dext    $t9, $t9, 30, 1
        mfc0    $t1, $count
        beqz    $t9, 5b
        subu    $s1, $t1, $s4
        mfc0    $t0, $count
        mtc0    $t0, $compare
6:      mfc0    $t9, $cause
        dext    $t9, $t9, 30, 1
        mfc0    $t1, $count
        bnez    $t9, 6b
        subu    $s2, $t1, $t0
"""


@pytest.mark.parametrize("tier", ["threaded", "reference"])
def test_the_boot_probe_of_count_and_compare_T11(tier):
    """Source: Linux 6.1, arch/mips/kernel/cevt-r4k.c."""
    program = assembled(PROBE)
    m = make_machine(ram_mb=16, tier=tier)
    m.mem_write(CODE, bytes(program.data))
    m.set_state(0, {"pc": KSEG0 + CODE, "cp0": {"status": STATUS}})
    end = program.symbol("end") & 0xFFFF_FFFF_FFFF_FFFF
    m.run(max_insns=10_000, stop_pcs=(end,))
    state = m.get_state(0)
    assert state["pc"] == end
    assert state["gpr"][19] == 1, "TI was pending before the probe"
    gone, here, gone_again = (state["gpr"][register] for register in (S0, S1, S2))
    assert 0 <= gone <= WITHIN and 0 < here <= WITHIN and 0 <= gone_again <= WITHIN, (gone, here, gone_again)


def test_count_goes_at_400_mhz_T12():
    """Mode qemu; source: QEMU 10.0, the timer of a processor of 800 MHz."""
    text = """
        mfc0    $t0, $count
        dli     $t1, 400000
        addu    $t0, $t0, $t1
        mtc0    $t0, $compare
1:      mfc0    $t0, $cause
        dext    $t0, $t0, 30, 1
        beqz    $t0, 1b
        nop
    """
    program = assembled(text)
    m = Machine("virt", ram="16 MiB")
    m.memory.write(CODE, bytes(program.data))
    m.cpu[0].set_state({"pc": KSEG0 + CODE, "cp0": {"status": STATUS}})
    end = program.symbol("end") & 0xFFFF_FFFF_FFFF_FFFF
    m.run(max_virtual="999 us")
    assert m.cpu[0].pc < end, "not before its time"
    m.run(max_virtual="2 us")
    assert m.cpu[0].pc >= end


def test_an_alarm_in_the_past_G02():
    """Mode qemu; source: QEMU 10.0, hw/rtc/goldfish_rtc.c."""
    seen, _ = guest(
        "virt",
        (ROUTER + 0x28, 4, RTC_SOURCE),
        (RTC + 0x00, 4, 0x1000_0000),
        (RTC + 0x10, 4, 1),
        (RTC + 0x0C, 4, 0),
        (RTC + 0x08, 4, 1),
        (ROUTER + 0x20, 4),
        (RTC + 0x18, 4),
        (RTC + 0x1C, 4, 1),
        (ROUTER + 0x20, 4),
    )
    assert seen == [RTC_SOURCE, 0, 0]


def test_the_low_word_arms_G03():
    """Mode qemu; source: QEMU 10.0, hw/rtc/goldfish_rtc.c."""
    seen, _ = guest("virt", (RTC + 0x0C, 4, 0x7FFF_FFFF), (RTC + 0x18, 4), (RTC + 0x08, 4, 0), (RTC + 0x18, 4))
    assert seen == [0, 1]


def test_the_uart_comes_to_ip2_G04():
    """Mode qemu; source: Linux 6.1: loongson64v_4core_virtio.dts, with its map: source 0 to IP2, all others to IP3."""
    seen, cause = guest(
        "virt",
        (ROUTER, 1, 0x11),
        *((ROUTER + n, 1, 0x21) for n in range(1, 32)),
        (ROUTER + 0x28, 4, 0xFFFF_FFFF),
        (UART + 1, 1, 2),
        (ROUTER + 0x40, 4),
    )
    assert seen == [1]
    assert cause & (IP2 | IP3) == IP2


@pytest.mark.parametrize(("platform", "tree"), [("ls7a", "ls7a"), ("virt", "virtual")])
def test_the_bridge_that_selects_the_device_tree_G07(platform, tree):
    """Source: Linux 6.1, arch/mips/loongson64/env.c: the vendor at the start of PCI configuration space."""
    (word,), _ = guest(platform, (PCI, 4))
    trees = {0x0014: "ls7a", 0x1002: "rs780", 0x1022: "rs780"}
    assert trees.get(word & 0xFFFF, "virtual") == tree


def test_every_row_that_points_here_is_here():
    here = {found[1] for name in globals() if (found := re.fullmatch(r"test_.*_([A-Z]\d\d)", name))}
    assert here == set(ON_MACHINE)
