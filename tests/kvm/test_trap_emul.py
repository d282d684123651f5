"""Trap and emulate: guests whose kernel runs in root's user mode."""

from __future__ import annotations

import pytest

from cpu.isa.assembler import assemble
from cpu.kvm import exceptions, onereg, privileged
from cpu.kvm.shadow import Shadow
from cpu.kvm.uapi import MEM_LOG_DIRTY_PAGES, ExitReason, MemoryRegion
from soc import Machine, PoweredOff, migration
from soc.firmware.errors import LoadError
from tests.kvm.rig import DEVICE, GB, MIB, WINDOW, Bench
from tests.kvm.te_guests import (
    END,
    GO_USER,
    GPA_OF_USER_PAGE,
    KERNEL,
    LO,
    LW_T1_STATUS,
    MAP,
    MFC0_T1_STATUS,
    REPORT,
    UART,
    USER,
    USER_PAGE,
    VECTORS,
    guest,
    user_program,
)

TIERS = ("reference", "threaded", "stencil")


@pytest.mark.parametrize("tier", TIERS)
def test_it_prints_by_exits_and_ends(tier):
    text = "".join(f" li t0, {ord(letter)}\n sb t0, 0(t1)\n" for letter in "te!")
    bench, _ = guest(f"li t1, {UART:#x}\n {text} {END}", tier)
    assert [access.value for access in bench.accesses] == [*b"te!"]
    assert bench.exits == [ExitReason.MMIO] * 3 + [ExitReason.INTERNAL_ERROR], bench.vm.messages
    assert "coprocessor 0 operation" in bench.vm.messages[-1]


LOOP = f"""li s0, 1000
1:      mfc0 t1, c0_status
        addiu s0, s0, -1
        bnez s0, 1b
        addu s1, s1, t1
        {END}"""


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize(("dyntrans", "count"), [(True, 1), (False, 1000)])
def test_a_read_of_status_traps_once_or_every_time(tier, dyntrans, count):
    bench, vcpu = guest(LOOP, tier, dyntrans=dyntrans, status=0x400, cycles=1_500_000)
    assert vcpu.stats["cop_unusable"] == count + 1, "and the end"
    assert int(vcpu.gprs[17]) == 1000 * 0x400
    patched = bench.word(0x100004, 4)
    assert patched == (LW_T1_STATUS if dyntrans else MFC0_T1_STATUS)


@pytest.mark.parametrize("flushed", [True, False])
def test_a_replaced_instruction_counts_once_the_instruction_cache_is_flushed(monkeypatch, flushed):
    """What a block was made of before is as good as cached: it traps once more, and BadInstr has the new word."""
    bench = Bench(backend="te")
    memory = bench.memory

    def write_behind_the_cache(address, data):
        memory.image[address : address + len(data)] = list(data)

    bench.vm.callbacks.dyntrans = False
    vcpu = bench.vcpu(LOOP, pc=KERNEL, status=0)
    while vcpu.stats["cop_unusable"] < 500:
        bench.run(WINDOW)
    bench.vm.callbacks.dyntrans = True
    if not flushed:
        monkeypatch.setattr(memory, "write", write_behind_the_cache)
    bench.run(1_500_000)
    assert bench.word(0x100004, 4) == LW_T1_STATUS
    assert vcpu.stats["cop_unusable"] == 500 + 1 + 1
    assert bool(vcpu.gprs[16]) is not flushed, "the loop ends"
    assert (f"privileged instruction {LW_T1_STATUS:#x}" in bench.vm.messages[-1]) is not flushed


SYSCALLS = f"""li s0, 3
1:      syscall
        addiu s0, s0, -1
        bnez s0, 1b
        nop
        {END}"""
SYSCALL_HANDLER = """addiu s1, s1, 1
        mfc0 k0, c0_epc
        mfc0 k1, c0_cause
        addiu k0, k0, 4
        mtc0 k0, c0_epc
        eret"""


@pytest.mark.parametrize("tier", TIERS)
def test_system_calls(tier):
    _, vcpu = guest(SYSCALLS, tier, [(0x180, SYSCALL_HANDLER)])
    assert vcpu.stats["syscall"] == 3
    assert vcpu.stats["cop_unusable"] == 3 + 3 + 1, "an ERET each time, each move once"
    assert int(vcpu.gprs[17]) == 3
    assert int(vcpu.gprs[27]) & 0xFF == 8 << 2
    assert not vcpu.soft("status") & 2, "EXL"


def test_the_same_loop_makes_no_exit_with_vz(monkeypatch):
    """Nor is the privilege check ever asked there, or a CP0 instruction emulated as here."""
    asked = []
    monkeypatch.setattr(exceptions, "refuse", lambda vcpu: asked.append(vcpu) or False)
    monkeypatch.setattr(privileged, "instruction", lambda vcpu: asked.append(vcpu))
    bench = Bench()
    vcpu = bench.vcpu(f"mfc0 t1, c0_status\n {SYSCALLS}")
    bench.write(GB + 0x180, SYSCALL_HANDLER)
    bench.run()
    assert bench.exits == [ExitReason.INTERNAL_ERROR] and int(vcpu.gprs[17]) == 3
    assert {name: vcpu.stats[name] for name in ("cop_unusable", "syscall", "vz_gpsi", "vz_gsfc", "vz_hc")} == {
        "cop_unusable": 0, "syscall": 0, "vz_gpsi": 0, "vz_gsfc": 0, "vz_hc": 1,
    }  # fmt: skip
    assert not asked


# Memory.


@pytest.mark.parametrize("tier", TIERS)
def test_a_user_page_is_refilled_by_the_guest(tier):
    """A fetch misses, the guest's refill handler writes an entry, a second page of the pair is not valid."""
    refill = MAP.format(lo=LO, write="tlbwr") + "addiu s1, s1, 1\n eret"
    general = f"mfc0 s2, c0_cause\n mfc0 s3, c0_badvaddr\n mfc0 s4, c0_epc\n {END}"
    bench = Bench(backend="te", tier=tier)
    vcpu = bench.vcpu(GO_USER, pc=KERNEL, status=0, ebase=VECTORS)
    bench.write(VECTORS, refill)
    bench.write(VECTORS + 0x180, general)
    bench.write(GPA_OF_USER_PAGE, f"li t0, {USER_PAGE + 0x4000:#x}\n lw t1, 8(t0)")
    bench.run(200_000)
    assert bench.exits == [ExitReason.INTERNAL_ERROR], bench.vm.messages
    assert int(vcpu.gprs[17]) == 1
    assert int(vcpu.gprs[18]) & 0xFF == 2 << 2, "TLBL"
    assert int(vcpu.gprs[19]) == USER_PAGE + 0x4008
    assert int(vcpu.gprs[20]) == USER_PAGE + 8
    assert vcpu.soft("entryhi") == USER_PAGE + 0x4000
    assert "0x42000828" in bench.vm.messages[-1]


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize(
    ("code", "excode", "bad"),
    [
        ("lui t0, 0x5000\n lw t1, 0(t0)", 4, 0x5000_0000),
        ("lui t0, 0x5000\n sw t1, 0(t0)", 5, 0x5000_0000),
        ("lui t0, 0x6000\n lw t1, 0(t0)", 4, 0x6000_0000),
        ("lui t0, 0xb000\n lw t1, 0(t0)", 4, 0xB000_0000),
        ("lui t0, 0x1\n ll t1, 2(t0)", 4, 0x1_0002),
        ("mfc0 t1, c0_status", 11, None),
        ("syscall", 8, None),
        ("break", 9, None),
        ("teq zero, zero", 13, None),
        ("lui t0, 0x7fff\n ori t0, t0, 0xffff\n addi t0, t0, 1", 12, None),
    ],
)
def test_what_user_mode_may_not_do_is_the_guests_exception(tier, code, excode, bad):
    bench, vcpu = user_program(code, tier=tier)
    assert bench.exits == [ExitReason.INTERNAL_ERROR], bench.vm.messages
    assert "0x42000828" in bench.vm.messages[-1], "the end of the guest's handler"
    assert int(vcpu.gprs[18]) >> 2 & 31 == excode
    assert int(vcpu.gprs[20]) == USER_PAGE + 4 * code.count("\n")
    assert int(vcpu.gprs[21]) & 0x1F == USER | 2
    if bad is not None:
        assert int(vcpu.gprs[19]) & 0xFFFFFFFF == bad
    tables = vcpu.shadow.user.table
    assert not tables.pte(0x5000_0000 >> 14) and not tables.pte(0x6000_0000 >> 14), "nothing is mapped for it"


def test_without_the_privilege_check_user_mode_reads_the_kernels_memory():
    """What the check is for."""
    bench = Bench(backend="te")
    bench.vm.callbacks.checks_privilege = False
    text = f"{MAP.format(lo=LO, write='tlbwi')} {GO_USER}"
    vcpu = bench.vcpu(text, pc=KERNEL, status=0, ebase=VECTORS)
    secret = KERNEL + 0x1000
    bench.memory.write(bench.base + 0x101000, (0x5EC12E7).to_bytes(4, "little"))
    bench.write(GPA_OF_USER_PAGE, f"li t0, {secret:#x}\n lw t1, 0(t0)\n {END}")
    bench.run(200_000)
    assert int(vcpu.gprs[13]) == 0x5EC12E7


@pytest.mark.parametrize(("forgets", "second"), [(True, 0x222), (False, 0x111)])
def test_an_entry_that_is_written_over_is_no_longer_in_the_shadow(monkeypatch, forgets, second):
    """Another page under the same address; a KVM that forgets nothing shows the old one."""
    if not forgets:
        monkeypatch.setattr(Shadow, "_forget", lambda self, entry: None)
    other = LO + (0x8000 >> 6)
    text = f"""{MAP.format(lo=LO, write="tlbwi")}
        li t0, {USER_PAGE:#x}
        lw s1, 0(t0)
        li k0, {other:#x}
        mtc0 k0, c0_entrylo0
        tlbwi
        lw s2, 0(t0)
        {END}"""
    bench = Bench(backend="te")
    vcpu = bench.vcpu(text, pc=KERNEL, status=0)
    for page, value in ((0, 0x111), (0x8000, 0x222)):
        bench.memory.write(bench.base + GPA_OF_USER_PAGE + page, value.to_bytes(4, "little"))
    bench.run()
    assert [int(vcpu.gprs[n]) for n in (17, 18)] == [0x111, second], bench.vm.messages


def test_another_asid_is_another_address_space():
    text = f"""{MAP.format(lo=LO, write="tlbwi")}
        li k0, 1
        mtc0 k0, c0_index
        li k0, {USER_PAGE + 7:#x}
        mtc0 k0, c0_entryhi
        li k0, {LO + (0x8000 >> 6):#x}
        mtc0 k0, c0_entrylo0
        tlbwi
        li t0, {USER_PAGE:#x}
        lw s2, 0(t0)
        li k0, {USER_PAGE:#x}
        mtc0 k0, c0_entryhi
        lw s1, 0(t0)
        tlbp
        mfc0 s3, c0_index
        {END}"""
    events = []
    bench = Bench(backend="te")
    bench.kvm.tracer.listen(lambda event: events.append(event.values[1:]), "kvm_asid_change")
    vcpu = bench.vcpu(text, pc=KERNEL, status=0)
    for page, value in ((0, 0x111), (0x8000, 0x222)):
        bench.memory.write(bench.base + GPA_OF_USER_PAGE + page, value.to_bytes(4, "little"))
    bench.run()
    assert [int(vcpu.gprs[n]) for n in (17, 18, 19)] == [0x111, 0x222, 0], bench.vm.messages
    assert events == [(0, 7), (7, 0)]


@pytest.mark.parametrize("cores", [1, 2])
def test_the_hosts_asids_run_out(cores):
    """More changes of the guest's ASID than the host has ASIDs: none of the pages is ever the other's."""
    text = f"""{MAP.format(lo=LO, write="tlbwi")}
        li k0, 1
        mtc0 k0, c0_index
        li k1, {USER_PAGE + 7:#x}
        mtc0 k1, c0_entryhi
        li k0, {LO + (0x8000 >> 6):#x}
        mtc0 k0, c0_entrylo0
        tlbwi
        li t0, {USER_PAGE:#x}
        li s0, 150
1:      lw t1, 0(t0)
        addu s2, s2, t1
        mtc0 t0, c0_entryhi
        lw t1, 0(t0)
        addu s1, s1, t1
        mtc0 k1, c0_entryhi
        addiu s0, s0, -1
        bnez s0, 1b
        nop
        {END}"""
    bench = Bench(backend="te", cores=cores, slice_cycles=20_000)
    vcpus = [bench.vcpu(text if not n else "", pc=KERNEL, status=0) for n in range(cores + 1)]
    for page, value in ((0, 1), (0x8000, 1000)):
        bench.memory.write(bench.base + GPA_OF_USER_PAGE + page, value.to_bytes(4, "little"))
    bench.run(4_000_000)
    for vcpu in vcpus:
        assert [int(vcpu.gprs[n]) for n in (16, 17, 18)] == [0, 150, 150_000], bench.vm.messages
    assert max(bench.vm.callbacks._asids.last.values()) > 0x200, "a second version"


def test_an_entry_is_read_as_it_was_written():
    text = f"""li k0, 9
        mtc0 k0, c0_index
        {MAP.format(lo=LO, write="tlbwi")}
        mtc0 zero, c0_entryhi
        mtc0 zero, c0_entrylo0
        mtc0 zero, c0_pagemask
        tlbr
        mfc0 s1, c0_entryhi
        mfc0 s2, c0_entrylo0
        mfc0 s3, c0_pagemask
        {END}"""
    _, vcpu = guest(text)
    assert [int(vcpu.gprs[n]) for n in (17, 18, 19)] == [USER_PAGE, LO, 0x6000]


def test_a_page_of_another_size_is_refused_by_name():
    text = f"{MAP.format(lo=LO, write='mtc0 zero, c0_pagemask')} tlbwi\n li t0, {USER_PAGE:#x}\n lw t1, 0(t0)"
    bench, _ = guest(text)
    assert bench.exits == [ExitReason.INTERNAL_ERROR]
    assert "a guest page by PageMask 0x0" in bench.vm.messages[-1]


def test_a_fetch_from_where_no_memory_is():
    bench, _ = guest("lui t0, 0x5800\n jr t0\n nop")
    assert bench.exits == [ExitReason.INTERNAL_ERROR] and not bench.accesses
    assert "instruction fetch from 0x58000000" in bench.vm.messages[-1]


@pytest.mark.parametrize("base", [0x4000_0000, 0xFFFF_FFFF_8000_0000, 0xFFFF_FFFF_A000_0000])
def test_a_device_is_reached_by_three_names(base):
    bench = Bench(backend="te")
    vcpu = bench.vcpu(
        f"dli t0, {base + DEVICE:#x}\n lw t1, 8(t0)\n b 1f\n sw t1, 4(t0)\n 1: {END}", pc=KERNEL, status=0
    )
    bench.device[DEVICE + 8] = 0x77
    bench.run()
    assert [(access.address, access.is_store) for access in bench.accesses] == [(DEVICE + 8, False), (DEVICE + 4, True)]
    assert int(vcpu.gprs[13]) == bench.device[DEVICE + 4] == 0x77


def test_a_store_to_a_page_the_guest_has_not_made_dirty():
    text = f"""{MAP.format(lo=LO & ~4, write="tlbwi")}
        li t0, {USER_PAGE:#x}
        lw t1, 0(t0)
        sw t0, 16(t0)
        {END}"""
    bench, vcpu = guest(text, handlers=[(0x180, REPORT)])
    assert int(vcpu.gprs[18]) >> 2 & 31 == 1, "TLB modified"
    assert int(vcpu.gprs[19]) == USER_PAGE + 16
    assert bench.word(GPA_OF_USER_PAGE + 16) == 0


def test_a_page_of_kseg0_brings_its_neighbour():
    """Both pages of the pair, where the VM knows them already: here by another vCPU."""
    text = f"li t0, {KERNEL:#x}\n lw t1, 0x4000(t0)\n {END}"
    bench = Bench(backend="te")
    first, second = bench.vcpu(text, pc=KERNEL, status=0), bench.vcpu(pc=KERNEL, status=0)
    bench.run()
    assert first.stats["tlbmiss_ld"] == 2, "each page for itself"
    assert second.stats["tlbmiss_ld"] == 1


# Time, interrupts, units.

IM2, IM7 = 1 << 10, 1 << 15
TICKS = 20_000
TIMER = f"""mfc0 t0, c0_count
        addiu t0, t0, {TICKS}
        mtc0 t0, c0_compare
        li t1, {IM7 | 1:#x}
        mtc0 t1, c0_status
        {{idle}}
1:      beqz s1, 1b
        nop
        {END}"""
TIMER_HANDLER = """mfc0 s2, c0_count
        mfc0 s3, c0_cause
        mtc0 zero, c0_compare
        mfc0 s4, c0_cause
        addiu s1, s1, 1
        eret"""


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("idle", ["", "wait"])
def test_the_soft_timer_interrupts(tier, idle):
    bench, vcpu = guest(TIMER.format(idle=idle), tier, [(0x180, TIMER_HANDLER)], cycles=2_000_000, compare=0)
    assert bench.exits[-1] is ExitReason.INTERNAL_ERROR, bench.vm.messages
    assert int(vcpu.gprs[17]) == 1
    assert TICKS <= int(vcpu.gprs[18]) < TICKS + 5_000, "Count at the handler"
    assert int(vcpu.gprs[19]) & (1 << 30 | IM7 | 0x7C) == 1 << 30 | IM7, "TI, its line, interrupt"
    assert not int(vcpu.gprs[20]) & (1 << 30 | IM7), "the write of Compare takes them back"
    assert bench.exits.count(ExitReason.IRQ_WINDOW_OPEN) == (1 if idle else 0)
    assert vcpu.stats["wait"] == (1 if idle else 0)


@pytest.mark.parametrize("cause_iv", [0, 1 << 23])
def test_a_line_interrupts_at_the_vector_that_iv_says(cause_iv):
    text = f"li t1, {IM2 | 1:#x}\n mtc0 t1, c0_status\n 1: b 1b\n nop"
    handler = f"mfc0 s2, c0_cause\n mfc0 s4, c0_epc\n {END}"
    bench = Bench(backend="te")
    vcpu = bench.vcpu(text, pc=KERNEL, status=0, ebase=VECTORS, cause=cause_iv)
    bench.write(VECTORS + (0x200 if cause_iv else 0x180), handler)
    bench.run(10_000)
    assert not bench.exits
    bench.host.line(0, bench.cluster.cores[0].cycles + 100, 2, True)
    bench.run(100_000)
    assert int(vcpu.gprs[18]) & (IM2 | 0x7C) == IM2
    assert int(vcpu.gprs[20]) in (KERNEL + 8, KERNEL + 12), "in the loop"
    vcpu.interrupt(-2)
    assert not vcpu.soft("cause") & IM2


def test_an_interrupt_that_may_not_be_taken_waits():
    """One is delivered at an entry; the other stays for the handler's ERET."""
    text = f"li t1, {IM2 | 1 << 11 | 1:#x}\n mtc0 t1, c0_status\n 1: slti t0, s1, 2\n bnez t0, 1b\n nop\n {END}"
    bench = Bench(backend="te")
    vcpu = bench.vcpu(text, pc=KERNEL, status=0, ebase=VECTORS)
    bench.write(VECTORS + 0x180, "addiu s1, s1, 1\n eret")
    vcpu.interrupt(2)
    vcpu.interrupt(3)
    bench.run(100_000)
    assert int(vcpu.gprs[17]) == 2, bench.vm.messages
    assert not vcpu.pending.set


CU1 = 1 << 29


def test_the_fpu_is_loaded_when_it_is_first_used():
    text = f"""add.s $f0, $f2, $f2
        li t0, {CU1:#x}
        mtc0 t0, c0_status
        li t1, 0x40000000
        mtc1 t1, $f2
        add.s $f0, $f2, $f2
        add.s $f0, $f0, $f2
        mfc1 s2, $f0
        {END}"""
    handler = "mfc0 s1, c0_cause\n mfc0 k0, c0_epc\n addiu k0, k0, 4\n mtc0 k0, c0_epc\n eret"
    _, vcpu = guest(text, handlers=[(0x180, handler)], dyntrans=False)
    assert int(vcpu.gprs[17]) & (3 << 28 | 0x7C) == 1 << 28 | 11 << 2, "CpU 1 is the guest's where its CU1 is clear"
    assert int(vcpu.gprs[18]) == 0x40C0_0000, "6.0"
    moves = 1 + 4
    assert vcpu.stats["cop_unusable"] == 1 + moves + 1 + 1, "one for the registers, and the end"


def test_rdhwr():
    text = f"""rdhwr s1, $0
        rdhwr s2, $29
        rdhwr s3, $1
        rdhwr s4, $3
        {END}"""
    _, vcpu = guest(text, userlocal=0x1234)
    assert [int(vcpu.gprs[n]) for n in (17, 18, 19, 20)] == [0, 0x1234, 16, 2]
    assert vcpu.stats["resvd_inst"] == 4
    _, vcpu = user_program("rdhwr t1, $29")
    assert int(vcpu.gprs[18]) >> 2 & 31 == 10, "the guest's HWREna does not let user mode read it"


SYNCI, NOP = 0x05BF_0000, 0
"""synci 0(t1)"""


@pytest.mark.parametrize("dyntrans", [True, False])
def test_cache_operations_are_done_once(dyntrans):
    text = f"""li s0, 100
        li t1, {KERNEL:#x}
1:      cache 0x10, 0(t1)
        cache 0x15, 0(t1)
        cache 0x01, 0(t1)
        addiu s0, s0, -1
        bnez s0, 1b
        nop
        {END}"""
    bench, vcpu = guest(text, dyntrans=dyntrans, cycles=1_000_000)
    assert "coprocessor 0 operation" in bench.vm.messages[-1]
    assert vcpu.stats["cache"] == (3 if dyntrans else 300)
    words = [bench.word(0x100008 + 4 * n, 4) for n in range(3)]
    assert (words == [SYNCI, SYNCI, NOP]) is dyntrans


def test_a_cache_operation_on_a_page_that_the_guest_has_to_map():
    text = f"li t1, {USER_PAGE:#x}\n cache 0x15, 8(t1)\n {END}"
    _, vcpu = guest(text, handlers=[(0, REPORT)])
    assert int(vcpu.gprs[18]) >> 2 & 31 == 2
    assert int(vcpu.gprs[19]) == USER_PAGE + 8
    assert int(vcpu.gprs[20]) == KERNEL + 4


# What the VM does to memory, to vCPUs.

STORES = f"li t0, {KERNEL + 0x100000:#x}\n 1: addiu t1, t1, 1\n sw t1, 0(t0)\n b 1b\n nop"


def test_pages_written_are_pages_logged():
    bench = Bench(backend="te")
    bench.vcpu(STORES, pc=KERNEL, status=0)
    bench.vm.set_user_memory_region(MemoryRegion(0, 0, 8 * MIB, bench.base, MEM_LOG_DIRTY_PAGES))
    page = 0x200000 >> 14
    for _ in range(3):
        bench.run(20_000)
        bitmap = bench.vm.get_dirty_log(0)
        assert bitmap[page >> 3] == 1 << (page & 7)
        assert sum(byte.bit_count() for byte in bitmap) == 1


def test_a_page_that_goes_away_is_no_longer_reached():
    bench = Bench(backend="te")
    bench.vcpu(STORES, pc=KERNEL, status=0)
    bench.run(20_000)
    before = bench.word(0x200000)
    bench.vm.set_user_memory_region(MemoryRegion(0, 0, 0, 0))
    bench.run(20_000)
    assert before and bench.word(0x200000) == before
    assert bench.exits, "its own code is gone"


COUNTS = f"""li t0, {KERNEL:#x}
1:      addiu s1, s1, 1
        mfc0 t1, c0_compare
        bne t1, a0, 2f
        nop
        b 1b
        nop
2:      {END}"""


@pytest.mark.parametrize("cores", [1, 2])
def test_the_images_of_several_vcpus_never_mix(cores):
    """The same patched code, each with the commpage of its own."""
    bench = Bench(cores=cores, backend="te", slice_cycles=6_000)
    vcpus = [bench.vcpu(COUNTS if not n else "", pc=KERNEL, status=0) for n in range(3)]
    for n, vcpu in enumerate(vcpus):
        vcpu.set_one_reg(onereg.cp0("compare"), 0x1000 + n)
        vcpu.set_one_reg(onereg.gpr(4), 0x1000 + n)
    bench.run(300_000)
    assert not bench.exits, bench.vm.messages
    for vcpu in vcpus:
        assert vcpu.stats["put"] > 2
        assert vcpu.get_one_reg(onereg.gpr(17)) > 1_000


# On a machine.

HELLO = f"""
        li      t0, 0x5fe001e0          # the UART
        li      t1, {ord("k")}
        sb      t1, 0(t0)
        mfc0    s1, c0_prid
        li      t0, 0x50080010          # power off
        li      t1, 0xff
        sb      t1, 0(t0)
1:      b       1b
        nop
"""


@pytest.mark.parametrize("irqchip", ["kernel", "user"])
def test_a_program_linked_to_the_window_runs_on_a_machine(irqchip):
    machine = Machine("virt", hypervisor="kvm", kvm="te", irqchip=irqchip, ram="16 MiB")
    machine.load(assemble(HELLO, KERNEL).to_elf())
    result = machine.run(until=PoweredOff, max_virtual="10 ms")
    assert result.ended == "poweroff", result.reason
    assert machine.console == b"k"
    assert result.details["exit cop_unusable"] == 1
    assert machine.hypervisor.vcpus[0].get_state()["gpr"][17] == 0x19300


def test_a_program_for_another_place_is_refused():
    machine = Machine("virt", hypervisor="kvm", kvm="te", ram="16 MiB")
    with pytest.raises(LoadError, match="0x40000000 to 0x5fffffff"):
        machine.load(assemble("nop").to_elf())
    with pytest.raises(LoadError, match="kseg0, kseg1 or xkphys"):
        Machine("virt", hypervisor="kvm", ram="16 MiB").load(assemble("nop", KERNEL).to_elf())


CLOCK = f"""
        b       start
        nop
        .org    0x180
        mfc0    k0, c0_compare
        addiu   k0, k0, 5000
        mtc0    k0, c0_compare
        addiu   s1, s1, 1
        eret
start:  li      k0, {KERNEL:#x}
        mtc0    k0, c0_ebase
        {MAP.format(lo=LO, write="tlbwi")}
        mfc0    k0, c0_count
        addiu   k0, k0, 5000
        mtc0    k0, c0_compare
        li      k0, {IM7 | 1:#x}
        mtc0    k0, c0_status
        li      s2, 0x5fe001e0          # the UART
        li      s3, {USER_PAGE:#x}
1:      wait
        lw      t0, 0(s3)
        addiu   t0, t0, 1
        sw      t0, 0(s3)
        addiu   t0, t0, {ord("0")}
        sb      t0, 0(s2)
        slti    t0, s1, 8
        bnez    t0, 1b
        nop
        li      t0, 0x50080010          # power off
        li      t1, 0xff
        sb      t1, 0(t0)
2:      b       2b
        nop
"""


def clock(**options):
    machine = Machine("virt", hypervisor="kvm", kvm="te", ram="16 MiB", **options)
    machine.load(assemble(CLOCK, KERNEL).to_elf())
    return machine


def outcome(machine):
    result = machine.run(until=PoweredOff, max_virtual="10 ms")
    assert result.ended == "poweroff", result.reason
    return machine.console, machine.now, result.trace_hash, result.details


def test_the_hash_depends_on_neither_tier_nor_slice():
    expected = outcome(clock())
    assert expected[0] == b"12345678"
    for options in ({"tier": "reference"}, {"tier": "threaded"}, {"tier": "stencil"}):
        assert outcome(clock(**options)) == expected, options
    made = clock()
    result = made.run(until=PoweredOff, max_virtual="10 ms", slice=500)
    assert (made.console, result.trace_hash) == (expected[0], expected[2])


def test_it_is_saved_at_any_moment():
    expected, made, points = outcome(clock()), clock(), set()
    for _ in range(40):
        made.run(max_virtual="3 us")
        made = Machine.restore(made.save())
        points |= {vcpu.point.name for vcpu in made.hypervisor.vcpus}
    assert {"GUEST", "ASLEEP"} <= points
    assert outcome(made) == expected


def test_it_moves_to_another_machine():
    """Its TLB, which no id reaches, goes beside them: this guest refills nothing."""
    source, target = clock(), Machine("virt", hypervisor="kvm", kvm="te", ram="16 MiB")
    source.run(max_virtual="200 us")
    source.hypervisor.stop_guest()
    source.run()
    source.run(max_virtual="1 us")
    saved = migration.leave(source)
    assert migration.beyond(saved)[0].keys() == {"guest_tlb"}
    migration.arrive(target, saved)
    target.run(until=PoweredOff, max_virtual="10 ms")
    assert source.console and source.console + target.console == b"12345678"


def test_user_space_shows_the_guest_kscratch1_to_6():
    """Linux 5.10: arch/mips/kvm/emulate.c, kvm_mips_config4_wrmask: M, and of KScrExist bits 2 to 7."""
    bench = Bench(backend="te")
    vcpu = bench.vcpu(END, pc=KERNEL)
    config4 = onereg.cp0("config4")
    vcpu.set_one_reg(config4, 0)
    vcpu.set_one_reg(config4, 0xFFFFFFFF)
    assert vcpu.get_one_reg(config4) == 1 << 31 | 0xFC << 16
