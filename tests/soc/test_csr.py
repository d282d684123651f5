"""CSR instructions on the ls7a platform: a guest drives every device that has configuration registers by them alone."""

from __future__ import annotations

import pytest

from cpu import state
from cpu.isa.assembler import assemble
from soc import Machine, PoweredOff
from soc.errors import ConfigurationError
from soc.messages import MmioRead, MmioWrite, Space

BASE = 0xFFFF_FFFF_8001_0000
CYCLE_PS = 1250

GUEST = """
.equ FEATURES, 0x8
.equ VENDOR, 0x10
.equ NODE_COUNTER, 0x408
.equ OTHER_FUNC, 0x420
.equ STATUS, 0x1000
.equ ENABLE, 0x1004
.equ SET, 0x1008
.equ CLEAR, 0x100c
.equ MAILBOX, 0x1020
.equ IPI_SEND, 0x1040
.equ MAIL_SEND, 0x1048
.equ TIMER_CFG, 0x1060
.equ TIMER_TICKS, 0x1070
.equ ANY_SEND, 0x1158
.equ IP_MAP, 0x14c0
.equ EXT_ENABLE, 0x1600
.equ ISR, 0x1800
.equ ROUTE, 0x1c00
.equ UNCACHED, 0x9000000000000000
.equ MSI, UNCACHED + 0x2ff00000
.equ POWER, UNCACHED + 0x100d0014
.equ EXTIMER, 1 << 7

        .macro read csr
        li      $t0, \\csr
        drdcsr  $v0, $t0
        .endm
        .macro read32 csr
        li      $t0, \\csr
        rdcsr   $v0, $t0
        .endm
        .macro write csr, value
        li      $t0, \\csr
        dli     $t1, \\value
        dwrcsr  $t1, $t0
        .endm
        .macro write32 csr, value
        li      $t0, \\csr
        li      $t1, \\value
        wrcsr   $t1, $t0
        .endm
        .macro keep                     # the next number of the results
        sd      $v0, 0($s0)
        daddiu  $s0, $s0, 8
        .endm

_start: la      $s0, results
        la      $t0, vectors
        mtc0    $t0, $ebase
        li      $t0, 0x340040e1         # IP6, IE
        mtc0    $t0, $status
        read    FEATURES
        keep                            # 0
        read    VENDOR
        keep                            # 1

        write32 ENABLE, -1              # core 1, by mail: the high half of its pc first
        la      $t2, second
        dsrl32  $t1, $t2, 0
        dsll32  $t1, $t1, 0
        dli     $t3, 0x10004
        or      $t1, $t1, $t3
        li      $t0, MAIL_SEND
        dwrcsr  $t1, $t0
        dsll32  $t1, $t2, 0
        dli     $t3, 0x10000
        or      $t1, $t1, $t3
        dwrcsr  $t1, $t0
1:      la      $t0, here
        ld      $t1, 0($t0)
        beqz    $t1, 1b
        nop

        write32 IPI_SEND, 0x10003       # action 3 of core 1, which answers with action 5
1:      beqz    $s1, 1b
        nop
        move    $v0, $s1
        keep                            # 2: what the handler found

        di
        write   OTHER_FUNC, 1 << 48     # an MSI as an extended vector, 70, to core 0
        write   EXT_ENABLE + 8, 1 << 6
        write32 IP_MAP, 4 << 16
        write32 ROUTE + 68, 1 << 16
        dli     $t0, MSI
        li      $t1, 70
        sw      $t1, 0($t0)
1:      read    ISR + 8
        beqz    $v0, 1b
        nop
        keep                            # 3
        li      $t0, ISR + 8
        dwrcsr  $v0, $t0
        read    ISR + 8
        keep                            # 4
        write   ANY_SEND, 0x1234567800001600
        read32  EXT_ENABLE
        keep                            # 5

        mfc0    $t0, $16, 6             # the stable timer on IP7
        ori     $t0, $t0, EXTIMER
        mtc0    $t0, $16, 6
        write   TIMER_CFG, 1 << 61 | 1000
        read    TIMER_TICKS
        keep                            # 6
        li      $t0, 0x340080e0
        mtc0    $t0, $status
        wait
        read    TIMER_TICKS
        keep                            # 7

        drdtime $v0, $t2
        keep                            # 8
        move    $v0, $t2
        keep                            # 9
        read    NODE_COUNTER
        keep                            # 10
        drdtime $v0, $t2
        keep                            # 11
        li      $v0, -1
        read    0x1ff8                  # nobody's
        keep                            # 12
        write   0x1ff8, 1
        li      $t0, 2
        cpucfg  $v0, $t0
        keep                            # 13
        la      $t0, here
        ld      $v0, 0($t0)
        keep                            # 14: what core 1 saw
        dli     $t0, POWER
        li      $t1, 0x3c00
        sw      $t1, 0($t0)
1:      b       1b
        nop

second: li      $t0, 0x340000e0
        mtc0    $t0, $status
        write32 ENABLE, -1
        read    MAILBOX
        la      $t1, second
        dsubu   $v0, $v0, $t1
        sltiu   $v0, $v0, 1
        la      $t1, here
        sd      $v0, 0($t1)             # 1: its own mailbox has its own pc
1:      read32  STATUS
        beqz    $v0, 1b
        nop
        li      $t0, CLEAR
        wrcsr   $v0, $t0
        read32  STATUS
        la      $t1, here
        ld      $t2, 0($t1)
        dsll    $t2, $t2, 4
        or      $v0, $v0, $t2
        sd      $v0, 0($t1)
        write32 IPI_SEND, 5
2:      wait
        b       2b
        nop

        .balign 8
here:   .dword  0
results: .space 0x100
        .balign 0x1000
vectors: .space 0x180
        read32  STATUS                  # IP6 alone is on
        move    $s1, $v0
        li      $t0, CLEAR
        wrcsr   $v0, $t0
        eret
"""


def machine(text: str = GUEST, cpus: int = 2, platform: str = "ls7a", **options):
    program = assemble(text, BASE)
    m = Machine(platform, cpus=cpus, ram="16 MiB", **options)
    m.memory.write(BASE & 0x1FFF_FFFF, program.data)
    m.cpu[0].set_state({"pc": program.symbol("_start")})
    return m, program


def run(**how):
    slice = how.pop("slice", None)
    m, program = machine(**how)
    result = m.run(until=PoweredOff, max_virtual="10 ms", slice=slice)
    assert result.ended == "poweroff", result.reason
    at = program.symbol("results") & 0x1FFF_FFFF
    results = [int.from_bytes(m.memory.read(at + 8 * k, 8), "little") for k in range(15)]
    return m, result, results


@pytest.fixture(scope="module")
def plain():
    return run()


def test_every_device_answers(plain):
    m, result, found = plain
    features, vendor, action, isr, isr_after, enable, ticks, parked = found[:8]
    assert features == 1 << 1 | 1 << 2 | 1 << 3 | 1 << 4
    assert vendor.to_bytes(8, "little") == b"Loongson"
    assert action == 1 << 5
    assert (isr, isr_after, enable) == (1 << 6, 0, 0x1234_5678)
    assert parked == (1 << 48) - 1, "one-shot, expired"
    # From the write's arrival to the read's an answer and a request have passed, in ticks of 10 ns.
    passed = (m.timing.mmio_reply + m.timing.mmio_request) // 10_000
    assert 990 - passed < ticks <= 1000 - passed
    assert found[14] == 1 << 4, "core 1 found its pc in its mailbox, and its status cleared"
    assert m.open_bus.unclaimed_csrs == {0x1FF8: 2} and result.unmapped == 2
    assert found[12] == 0


def test_the_counters_are_those_of_one_clock(plain):
    before, number, counter, after = plain[2][8:12]
    assert before < counter < after and number == 0
    assert after - before < 60, "two readings by the core, an access in between"


def test_an_access_is_a_message_of_its_space():
    m, _, _ = run(trace=True)
    seen = [(r.message, r.link.name) for r in m.trace if type(r.message) in (MmioRead, MmioWrite)]
    csrs = [(message.address, name) for message, name in seen if message.space == Space.CSR]
    assert csrs[0] == (0x8, "cpu0.mmio -> ls3a_config.iocsr")
    assert {name.split(" -> ")[1] for _, name in csrs} == {
        "ls3a_config.iocsr", "ls3a_ipi.iocsr", "ls3a_ext_irq.iocsr", "stable_timer.iocsr", "open_bus.mmio"
    }  # fmt: skip
    first = next(message for message, _ in seen if message.space == Space.CSR)
    assert first.size == 8 and first.core == 0


@pytest.mark.parametrize("how", [{"tier": "reference"}, {"slice": 1}, {"slice": 1000}, {"wire": True}], ids=str)
def test_how_the_host_runs_it_changes_nothing(plain, how):
    m, result, found = run(**how)
    assert (result.trace_hash, found, result.instructions) == (plain[1].trace_hash, plain[2], plain[1].instructions)
    assert [core.cycles for core in m.cpu] == [core.cycles for core in plain[0].cpu]


def test_a_core_of_another_node_meets_its_own_block():
    """Core 4 is the first of node 1: what it sets in its own status is in node 1's block, and nowhere else."""
    text = """
_start: li      $t0, 0x340000e0
        mtc0    $t0, $status
        dli     $t0, 0x9000000000000000 + 0x100d0014
        dli     $t1, 0x9000100000000000 + 0x3ff01000
        la      $t2, other
        sd      $t2, 0x20($t1)
1:      la      $t2, done
        ld      $t3, 0($t2)
        beqz    $t3, 1b
        li      $t1, 0x3c00
        sw      $t1, 0($t0)
        b       .
        nop
other:  li      $t0, 0x1008
        li      $t1, 0x40
        wrcsr   $t1, $t0
        li      $t0, 0x1000
        rdcsr   $t2, $t0
        la      $t0, done
        sd      $t2, 0($t0)
        b       .
        nop
        .balign 8
done:   .dword  0
"""
    m, program = machine(text, cpus=5)
    result = m.run(until=PoweredOff, max_virtual="1 ms")
    assert result.ended == "poweroff", result.reason
    assert m.memory.read(program.symbol("done") & 0x1FFF_FFFF, 8)[0] == 0x40
    assert list(m.devices["ls3a_ipi_1"].status) == [0x40, 0, 0, 0]
    assert list(m.devices["ls3a_ipi"].status) == [0, 0, 0, 0]


def test_a_machine_says_so_only_where_it_is_asked_to():
    LCSRP = 1 << 27
    words = [run(csr=csr)[2][13] for csr in (False, True)]
    assert words[0] & LCSRP == 0 and words[1] == words[0] | LCSRP
    with pytest.raises(ConfigurationError, match="platform virt has no configuration registers"):
        Machine("virt", csr=True)
    with pytest.raises(ConfigurationError, match="csr = 1; allowed: true, false"):
        Machine("ls7a", csr=1)


def test_on_a_platform_without_them_they_read_zero_and_drop():
    text = "_start: li $t0, 8\nli $v0, -1\nrdcsr $v0, $t0\nwrcsr $t0, $t0\nwait"
    m, _ = machine(text, cpus=1, platform="virt")
    result = m.run()
    assert result.ended == "deadlock" and m.cpu[0].regs[2] == 0
    assert result.unmapped == 2


def test_strict_names_the_register():
    m, _ = machine("_start: li $t0, 0x1ff8\nrdcsr $v0, $t0\nb .\nnop", cpus=1, strict=True)
    result = m.run(max_virtual="1 ms")
    assert result.ended == "error" and "configuration register 0x1ff8" in result.reason


def test_the_core_and_the_wire_number_the_spaces_alike():
    assert (state.MEMORY_SPACE, state.CSR_SPACE) == (Space.MEMORY, Space.CSR)
