"""KVM-level test vectors: number, what they say, source, and the check.

V.. and T.., of the irqchip and the stable timer, are in irqchip_vectors.py. In sources LS is the Loongson 4.19 tree,
L61 Linux 6.1, both arch/mips/kvm.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import NamedTuple

import pytest

from cpu.kvm import emulate, onereg
from cpu.kvm.errors import KvmError
from cpu.kvm.uapi import (
    ExitReason,
    MemoryRegion,
)
from cpu.kvm.vcpu import Vcpu
from cpu.vz import device_access, guestctl
from tests.kvm import te_guests
from tests.kvm.rig import CU1, DEVICE, FR, IE, KSEG0, KX, MIB, STATUS, UNCACHED, Bench, P, run

M64 = (1 << 64) - 1
END = "hypcall 1"
"""Ends KVM_RUN with INTERNAL_ERROR: the end of a guest program here."""
STORE_V0 = f"dli t9, {UNCACHED + 0x3000:#x}\n sd v0, 0(t9)\n {END}"


class Vector(NamedTuple):
    number: str
    says: str
    source: str
    check: Callable[[], None]


VECTORS: list[Vector] = []


def vector(number: str, says: str, source: str) -> Callable[[Callable[[], None]], Callable[[], None]]:
    def keep(check: Callable[[], None]) -> Callable[[], None]:
        VECTORS.append(Vector(number, says, source, check))
        return check

    return keep


def result(text: str, **options) -> int:
    """v0 of a guest that ends with STORE_V0."""
    bench, _ = run(f"{text}\n{STORE_V0}", **options)
    assert bench.exits == [ExitReason.INTERNAL_ERROR], bench.vm.messages
    return bench.word(0x3000)


def refused(number: int, call: Callable, *arguments) -> None:
    with pytest.raises(KvmError) as caught:
        call(*arguments)
    assert caught.value.errno == number


@vector("24", "MFC0 PRId: the software PRId, pc moves on", "L61: vz.c")
def _():
    assert result("mfc0 v0, c0_prid") == 0x14C000


@vector("33", "RDHWR of Count in user mode while the timer is soft", "L61: vz.c")
def _():
    bench = Bench()
    vcpu = bench.vcpu(f"rdhwr v0, $2\n {END}", hwrena=4)
    vcpu.set_one_reg(onereg.COUNT_HZ, 100_000_000)
    bench.run()
    assert vcpu.stats["vz_gpsi"] == 1
    assert 0 < vcpu.get_one_reg(onereg.gpr(2)) < 100_000


@vector("41", "CPUCFG 0", "L61: vz.c")
def _():
    bench, vcpu = run(f"move a0, $0\n cpucfg v0, a0\n {STORE_V0}")
    assert bench.word(0x3000) == 0x14C000
    assert vcpu.stats["vz_cpucfg"] == 1


@vector("56", "Status <- CU1, FR, IE without an FPU: CU1 and FR fall away", "L61: vz.c")
def _():
    bench, vcpu = run(f"li t0, 0x24000081\n mtc0 t0, c0_status\n mfc0 v0, c0_status\n {STORE_V0}", fpu=False, status=KX)
    assert bench.word(0x3000) == IE | KX
    assert vcpu.stats["vz_gsfc"] == 1


@vector("57", "a change of FR drops live FPU state", "L61: vz.c")
def _():
    text = f"""li t0, {CU1 | FR | KX:#x}
        mtc0 t0, c0_status
        add.d $f0, $f0, $f0
        li t0, {CU1 | KX:#x}
        mtc0 t0, c0_status
        {END}"""
    bench = Bench()
    vcpu = bench.vcpu(text)
    seen = []
    bench.kvm.tracer.listen(lambda event: seen.append(event.values[1:]), "kvm_aux")
    bench.run()
    assert seen[:2] == [(0, 1), (4, 1)], "restored, then discarded"
    assert vcpu.context.in_use == 0


@vector("58", "a field change by DMTC0 is an internal error at the instruction", "L61: vz.c")
def _():
    bench, vcpu = run(f"li t0, {CU1 | STATUS:#x}\n dmtc0 t0, c0_status\n {END}")
    assert bench.exits == [ExitReason.INTERNAL_ERROR]
    assert vcpu.pc == P + 8


@vector("60", "COP1 with root CU1 = 0: one exit, then the FPU is live", "L61: vz.c")
def _():
    text = f"li t0, {CU1 | STATUS:#x}\n mtc0 t0, c0_status\n" + "add.s $f0, $f0, $f0\n" * 50 + END
    _, vcpu = run(text)
    assert vcpu.stats["cop_unusable"] == 1


@vector("63", "MSA with root MSAEn = 0: one exit; aux_inuse 0 -> 3", "L61: vz.c, mips.c")
def _():
    text = f"""li t0, {CU1 | STATUS:#x}
        mtc0 t0, c0_status
        lui t0, 0x0800
        mfc0 t1, c0_config5
        or t0, t0, t1
        mtc0 t0, c0_config5
        cfcmsa t2, $1
        cfcmsa t2, $1
        {END}"""
    bench = Bench()
    vcpu = bench.vcpu(text)
    seen = []
    bench.kvm.tracer.listen(lambda event: seen.append(event.values[1:]), "kvm_aux")
    bench.run()
    assert vcpu.stats["msa_disabled"] == 1
    assert seen[0] == (0, 3), "both halves restored"


MSAEN, LASXEN, LASXMODE = 1 << 27, 1 << 19, 1 << 21
LASX_GUEST = f"""li t0, {CU1 | STATUS:#x}
        mtc0 t0, c0_status
        li t0, {1 | MSAEN:#x}
        mtc0 t0, c0_config5
        mfc0 t0, c0_config
        li t1, {LASXEN:#x}
        or t0, t0, t1
        mtc0 t0, c0_config
        """
"""A guest turns its FPU, MSA and LASX on."""


def units(text: str) -> tuple[Vcpu, list[tuple[int, int]]]:
    """A guest of the Loongson tree with LASX on, and its kvm_aux events."""
    bench = Bench(backend="ls3acomp", lasx=True)
    vcpu = bench.vcpu(f"{LASX_GUEST}\n{text}\n{END}")
    seen = []
    bench.kvm.tracer.listen(lambda event: seen.append(event.values[1:]), "kvm_aux")
    bench.run()
    assert bench.exits == [ExitReason.INTERNAL_ERROR] and "HYPCALL" in bench.vm.messages[-1], bench.vm.messages
    return vcpu, seen


@vector("65", "LASX with root LASXEN = 0: GSExc code 7 once; aux_inuse 0 -> 7", "LS: ls3acomp-vz.c, mips.c")
def _():
    vcpu, seen = units("xvseli.d $w1, $w2, 12\n" * 10)
    assert vcpu.stats["lasx_disabled"] == 1 and vcpu.exit.gscause >> 2 & 31 == 7
    assert seen == [(0, 7), (1, 7)], "all lanes restored, and saved at the end"


@vector("65 FPU", "LASX where the FPU is live: 1 -> 7, lanes 1 to 3 restored", "LS: mips.c, lasx.S")
def _():
    vcpu, seen = units("add.d $f0, $f0, $f0\nxvseli.d $w1, $w2, 12")
    assert (vcpu.stats["cop_unusable"], vcpu.stats["lasx_disabled"]) == (1, 1)
    assert seen == [(0, 1), (0, 4), (1, 7)]


@vector("65 MSA", "MSA of a guest with LASX on brings the upper lanes along: 0 -> 7, no exit for LASX", "LS: mips.c")
def _():
    vcpu, seen = units("addv.d $w0, $w0, $w0\nxvseli.d $w1, $w2, 12")
    assert (vcpu.stats["msa_disabled"], vcpu.stats["lasx_disabled"]) == (1, 0)
    assert seen == [(0, 3), (1, 7)]


@vector("66", "LASX under Linux 6.1: ExcCode 16 is INTERNAL_ERROR", "L61: mips.c")
def _():
    bench = Bench(lasx=True)
    core = bench.cluster.cores[0]
    core.vz.set_c0("config6", core.vz.c0("config6") | LASXMODE)
    vcpu = bench.vcpu("xvseli.d $w1, $w2, 12", config5=1 | MSAEN)
    vcpu.set_gc0("config", vcpu.gc0("config") | LASXEN)
    vcpu.set_gc0("config5", 1 | MSAEN)
    bench.run()
    assert (bench.exits, vcpu.pc) == ([ExitReason.INTERNAL_ERROR], P)
    assert "ExcCode 16" in bench.vm.messages[-1]


@vector("110", "ids of EBASE, COMPARE, MAAR0, FPR_64(2), VEC_128(1)", "L61: uapi/asm/kvm.h")
def _():
    ids = [onereg.cp0("ebase"), onereg.cp0("compare"), onereg.maar(0), onereg.fpr_64(2), onereg.vec_128(1)]
    assert ids == [0x7030000000010079, 0x7020000000010058, 0x7030000000010100, 0x7030000000030002, 0x7040000000030001]


@vector("110b", "worked ids", "L61: uapi/asm/kvm.h")
def _():
    names = ("status", "epc", "config3", "kscratch1", "xcontext", "gscause")
    assert [onereg.cp0(name) for name in names] == [
        0x7020000000010060, 0x7030000000010070, 0x7020000000010083, 0x70300000000100FA, 0x70300000000100A0,
        0x70300000000100B1,
    ]  # fmt: skip
    assert (onereg.PC, onereg.COUNT_HZ) == (0x7030000000000022, 0x7030000000020002)


@vector("111", "COUNT_HZ <- 0, 1000000001, 100000000", "L61: emulate.c")
def _():
    vcpu = Bench().vm.create_vcpu(0)
    refused(errno.EINVAL, vcpu.set_one_reg, onereg.COUNT_HZ, 0)
    refused(errno.EINVAL, vcpu.set_one_reg, onereg.COUNT_HZ, 1_000_000_001)
    vcpu.set_one_reg(onereg.COUNT_HZ, 100_000_000)
    assert vcpu.get_one_reg(onereg.COUNT_HZ) == 100_000_000


@vector("112", "num_regs without units, with FPU, with FPU and MSA", "L61: mips.c, vz.c")
def _():
    vcpu = Bench().vm.create_vcpu(0)
    counts = [vcpu.num_regs()]
    vcpu.enable_cap(111)
    counts.append(vcpu.num_regs())
    vcpu.enable_cap(112)
    counts.append(vcpu.num_regs())
    assert counts == [78, 144, 178], "this core's FIR has F64, so 125 cannot be"


@vector("113", "GET_REG_LIST with room for one too few", "L61: mips.c")
def _():
    vcpu = Bench().vm.create_vcpu(0)
    refused(errno.E2BIG, vcpu.get_reg_list, 77)
    assert len(vcpu.get_reg_list(78)) == 78


@vector("114", "a write of VEC_128(0) succeeds and changes nothing", "L61: mips.c")
def _():
    bench = Bench()
    vcpu = bench.vcpu()
    before = vcpu.get_one_reg(onereg.vec_128(0))
    vcpu.set_one_reg(onereg.vec_128(0), 1 << 100 | 5)
    assert vcpu.get_one_reg(onereg.vec_128(0)) == before


WAITS = f"b .\n nop\n {END}"


def pending_lines(backend: str, *numbers: int) -> tuple[int, int]:
    """GuestCtl2.VIP and the guest's SW bits in Cause after interrupts 1 to 6 and a stretch in the guest."""
    bench = Bench(backend=backend)
    vcpu = bench.vcpu("1: b 1b\n nop")
    for number in numbers:
        vcpu.interrupt(number)
    bench.run(20_000)
    core = bench.cluster.cores[0]
    return core.vz.c0("guestctl2") >> 8 & 0xFC, core.vz.gc0("cause") >> 8 & 3


@vector("115", "interrupts of Linux 6.1 on Loongson: 2, 3, 6; 4 is lost; 5 is EINVAL; -6", "L61: interrupt.h, mips.c")
def _():
    assert pending_lines("vz", 2) == (1 << 2, 0)
    assert pending_lines("vz", 3) == (1 << 3, 0)
    assert pending_lines("vz", 6) == (1 << 6, 0)
    assert pending_lines("vz", 4) == (0, 0)
    assert pending_lines("vz", 6, -6) == (0, 0)
    refused(errno.EINVAL, Bench().vm.create_vcpu(0).interrupt, 5)


@vector("116", "interrupts of the Loongson tree: 1, 6, 4", "LS: ls3acomp-vz.c")
def _():
    assert pending_lines("ls3acomp", 1) == (0, 1 << 1)
    assert pending_lines("ls3acomp", 6) == (1 << 6, 0)
    assert pending_lines("ls3acomp", 4) == (0, 0)


@vector("117", "reset state of vCPU 3", "L61: vz.c")
def _():
    vcpu = Bench().vm.create_vcpu(3)
    names = ("ebase", "status")
    assert [vcpu.get_one_reg(onereg.cp0(name)) for name in names] == [0xFFFFFFFF80000003, 0x00400004]
    assert vcpu.get_one_reg(onereg.PC) == 0xFFFFFFFFBFC00000


@vector("118", "CREATE_VM 0, 1, 2", "L61: mips.c")
def _():
    kvm = Bench().kvm
    kvm.create_vm(0)
    kvm.create_vm(1)
    refused(errno.EINVAL, kvm.create_vm, 2)


@vector("119", "GuestIDs: 0x101, 0x102; after 0x1ff comes 0x201 with a full flush", "L61: vz.c")
def _():
    bench = Bench()
    first, second = bench.vcpu("1: b 1b\n nop"), bench.vcpu(pc=P)
    bench.run(100_000)
    assert (first.guestids, second.guestids) == ({0: 0x101}, {0: 0x102})
    core = bench.cluster.cores[0]
    bench.kvm.callbacks._versions[0] = 0x1FF
    bench.vm.flush_remote_tlbs()
    bench.run(100_000)
    ids = [vcpu.guestids[0] for vcpu in (first, second)]
    assert ids[0] == 0x201, "0x200 has the low bits of root"
    assert 0x201 < ids[1] < 0x210
    assert root_tags(core) <= {n & 0xFF for n in (0x201, *range(0x202, ids[1] + 1))}, "nothing of the first version"


def root_tags(core) -> set[int]:
    """GuestIDs of the root TLB's entries."""
    saved, tags = core.vz.c0("guestctl1"), set()
    for index in range(64):
        core.vz.set_c0("index", index)
        core.vz.tlbr()
        tags.add(core.vz.c0("guestctl1") >> guestctl.RID_SHIFT & guestctl.ID)
    core.vz.set_c0("guestctl1", saved)
    return tags - {0}


@vector("120", "REQ_TLB_FLUSH: a new id at the next entry", "L61: vz.c")
def _():
    bench = Bench()
    vcpu = bench.vcpu("1: b 1b\n nop")
    bench.run(20_000)
    assert vcpu.guestids == {0: 0x101}
    bench.vm.flush_remote_tlbs()
    bench.run(20_000)
    assert vcpu.guestids == {0: 0x102}


@vector("121", "loads of 0x80, 0x8000, 0x80000000: sign or zero extended", "L61: emulate.c")
def _():
    device = KSEG0 + 0x20000000 + DEVICE
    for op, value, expected in (
        ("lb", 0x80, M64 - 0x7F), ("lbu", 0x80, 0x80), ("lh", 0x8000, M64 - 0x7FFF), ("lhu", 0x8000, 0x8000),
        ("lw", 0x80000000, M64 - 0x7FFFFFFF), ("lwu", 0x80000000, 0x80000000),
    ):  # fmt: skip
        bench = Bench()
        vcpu = bench.vcpu(f"dli t0, {device:#x}\n {op} v0, 0(t0)\n {END}")
        bench.device[DEVICE] = value
        bench.run()
        assert vcpu.get_one_reg(onereg.gpr(2)) == expected


def merged(op: int, address: int, old: int, data: int) -> int:
    """The register after the partial load `op` (major opcode)."""
    access = emulate.load(op << 26 | 2 << 16, address)
    return emulate.complete(access, emulate.signed(old), data) & M64


@vector("122", "LWL at address mod 4 = 0", "L61: emulate.c")
def _():
    assert merged(device_access.LWL, 0x1000, 0xFFFFFFFFAABBCCDD, 0x44332291) == 0xFFFFFFFF91BBCCDD


@vector("123", "LWR at address mod 4 = 1: bits 63:32 are zero", "L61: emulate.c")
def _():
    assert merged(device_access.LWR, 0x1001, 0xFFFFFFFFAABBCCDD, 0x44332211) == 0x00000000AA443322


@vector("124", "LDL mod 8 = 3, LDR mod 8 = 4", "L61: emulate.c")
def _():
    old, data = 0x1111111122222222, 0x8877665544332211
    assert merged(device_access.LDL, 0x1003, old, data) == 0x4433221122222222
    assert merged(device_access.LDR, 0x1004, old, data) == 0x1111111188776655


@vector("125", "a load in the delay slot of a taken branch: the pc stays at the branch until KVM_RUN", "L61: emulate.c")
def _():
    text = f"""dli t0, {UNCACHED + DEVICE:#x}
        .align 4
        beq $0, $0, 1f
        lw v0, 0(t0)
        {END}
1:      li v1, 1
        {END}"""
    bench = Bench()
    vcpu = bench.vcpu(text)
    at = []
    bench.on_exit = lambda vcpu: at.append(vcpu.pc)
    bench.device[DEVICE] = 7
    bench.run()
    branch = at[0]
    assert bench.word(branch & 0xFFFFFF, 4) >> 26 == 4, "the exit shows the branch"
    assert (vcpu.get_one_reg(onereg.gpr(2)), vcpu.get_one_reg(onereg.gpr(3))) == (7, 1)
    assert at[-1] == branch + 16


@vector("126", "a store: the pc is behind it when user space sees the exit", "L61: emulate.c")
def _():
    bench = Bench()
    bench.vcpu(f"lui t0, 0xb000\n sw t0, 0(t0)\n {END}")
    at = []
    bench.on_exit = lambda vcpu: at.append(vcpu.pc)
    bench.run()
    assert at[0] == P + 8
    assert bench.accesses == [emulate.Access(DEVICE, 4, True, 0xB0000000)]


@vector("127", "HYPCALL 0 of Linux 6.1: v0 = -1000, no user exit", "L61: hypcall.c")
def _():
    assert result("li v0, 5\n hypcall 0") == M64 - 999


@vector("128", "HYPCALL 0 of the Loongson tree: exit HYPERCALL, ret becomes v0", "LS: hypcall.c")
def _():
    bench = Bench(backend="ls3acomp")
    bench.vcpu(f"li v0, 42\n li a0, 9\n hypcall 0\n {STORE_V0}")
    seen = []

    def answer(vcpu):
        if vcpu.kvm_run.exit_reason is not ExitReason.HYPERCALL:
            return True
        seen.append((vcpu.kvm_run.hypercall.nr, vcpu.kvm_run.hypercall.args))
        vcpu.kvm_run.hypercall.ret = 77
        vcpu.kvm_run.exit_reason = ExitReason.INTR
        return False

    bench.on_exit = answer
    bench.run()
    assert seen == [(42, (9, 0, 0, 0, 42, 0))]
    assert bench.word(0x3000) == 77


@vector("129", "HYPCALL 1: INTERNAL_ERROR at the instruction, in both trees", "L61: vz.c; LS: ls3acomp-vz.c")
def _():
    for backend in ("vz", "ls3acomp"):
        bench, vcpu = run("hypcall 1", backend=backend)
        assert (bench.exits, vcpu.pc) == ([ExitReason.INTERNAL_ERROR], P)


@vector("130", "HYPCALL 5 of the Loongson tree: exit DEBUG at the instruction", "LS: ls3acomp-vz.c")
def _():
    bench, vcpu = run("hypcall 5", backend="ls3acomp")
    assert (bench.exits, vcpu.pc) == ([ExitReason.DEBUG], P)


@vector("131", "WAIT without a pending interrupt: the timer is soft, the vCPU sleeps; no user exit", "L61: vz.c")
def _():
    text = f"""mfc0 t0, c0_count
        addiu t0, t0, 4000
        mtc0 t0, c0_compare
        li t0, {1 << 15 | STATUS:#x}
        mtc0 t0, c0_status
        wait
        mfc0 v0, c0_cause
        {STORE_V0}"""
    bench = Bench()
    vcpu = bench.vcpu(text)
    bench.run(6_000)
    assert vcpu.stats["wait"] == 1 and vcpu.core is None
    bench.run(60_000)
    assert bench.word(0x3000) & 1 << 30, "woken by the timer"
    assert bench.exits == [ExitReason.INTERNAL_ERROR]


@vector("132", "WAIT with a pending exception does not block", "L61: vz.c")
def _():
    bench = Bench()
    vcpu = bench.vcpu(f"wait\n {END}")
    vcpu.pending.queue(12)
    bench.vm.callbacks.irq_deliver = lambda vcpu, priority: None
    bench.run(20_000)
    assert bench.exits == [ExitReason.INTERNAL_ERROR]


LEXT1, LSPW, LVZP = 1 << 0, 1 << 3, 1 << 15


@vector("133", "host CPUCFG 2 with LSPW and LVZP: the Linux 6.1 guest sees LSPW alone", "L61: vz.c")
def _():
    assert result("li a0, 2\n cpucfg v0, a0") == LEXT1 | LSPW


@vector("134", "CPUCFG 2 of the Loongson tree's guest: LVZP is visible", "LS: ls3acomp-vz.c")
def _():
    assert result("li a0, 2\n cpucfg v0, a0", backend="ls3acomp") & (LEXT1 | LSPW | LVZP) == LEXT1 | LSPW | LVZP


@vector("135", "MTC0 Diag with bit 12: the guest's TLB is empty", "L61: vz.c")
def _():
    text = f"""dli t0, 0x4000
        dmtc0 t0, c0_entryhi
        li t0, 0x1f
        dmtc0 t0, c0_entrylo0
        dmtc0 t0, c0_entrylo1
        mtc0 $0, c0_index
        tlbwi
        tlbp
        mfc0 v1, c0_index
        li t1, 0x1000
        mtc0 t1, $22
        tlbp
        mfc0 v0, c0_index
        {END}"""
    _, vcpu = run(text)
    assert vcpu.get_one_reg(onereg.gpr(3)) == 0
    assert vcpu.get_one_reg(onereg.gpr(2)) >> 31 & 1


TOUCH = f"""dli t0, {KSEG0 + 0x40000:#x}
1:      li t1, 8
        move t2, t0
2:      sd t1, 0(t2)
        daddiu t2, t2, 16384
        addiu t1, t1, -1
        bnez t1, 2b
        nop
        hypcall 0
        b 1b
        nop"""


@vector("138", "mkclean: a load does not fault, a store does once, and the page is logged", "L61: mmu.c")
def _():
    bench = Bench()
    vcpu = bench.vcpu(TOUCH)
    bench.run(40_000)
    pages = range(0x10, 0x18)
    bench.vm.set_user_memory_region(MemoryRegion(0, 0, 8 * MIB, 8 * MIB, flags=1))
    assert not any(bench.vm.gpa.pte(gfn) >> 10 & 1 for gfn in pages)
    before = vcpu.stats["tlbmod"]
    bench.run(40_000)
    assert vcpu.stats["tlbmod"] - before == 8
    bitmap = int.from_bytes(bench.vm.get_dirty_log(0), "little")
    assert [n for n in range(512) if bitmap >> n & 1] == list(pages)


@vector("139", "mkold and flush: a fault by the fast path, no new lookup", "L61: mmu.c")
def _():
    bench = Bench()
    vcpu = bench.vcpu(TOUCH)
    bench.run(40_000)
    slow, fast = vcpu.stats["map_slow"], vcpu.stats["map_fast"]
    assert bench.vm.age_hva(8 * MIB, 8 * MIB)
    bench.run(40_000)
    assert vcpu.stats["map_slow"] == slow
    assert vcpu.stats["map_fast"] - fast == 9, "eight pages of data and that of the code"


@vector("140", "a store to a READONLY slot is a device's", "L61: mmu.c, mips.c")
def _():
    bench = Bench()
    bench.vm.set_user_memory_region(MemoryRegion(1, 16 * MIB, MIB, 0, flags=2))
    bench.memory.write(0, b"\x2a")
    bench.vcpu(f"dli t0, {KSEG0 + 16 * MIB:#x}\n lbu v0, 0(t0)\n sb v0, 1(t0)\n {STORE_V0}")
    bench.run()
    assert bench.exits[0] is ExitReason.MMIO
    assert (bench.accesses[0].address, bench.accesses[0].value) == (16 * MIB + 1, 0x2A)
    assert bench.memory.read(1, 1) == b"\0"


ELSEWHERE = 0x4000_0000
"""A guest virtual address in xuseg."""


def fetches_from(va: int, gpa: int, backend: str) -> Bench:
    """A guest that maps `va` to a guest physical address without memory, and jumps there."""
    bench = Bench(backend=backend)
    bench.vcpu(
        f"""dli t0, {va:#x}
        dmtc0 t0, c0_entryhi
        dli t1, {gpa >> 12 << 6 | 3 << 3 | 7:#x}
        dmtc0 t1, c0_entrylo0
        dmtc0 t1, c0_entrylo1
        mtc0 $0, c0_index
        tlbwi
        jr t0
        nop""",
        status=STATUS,
    )
    bench.run()
    return bench


@vector("141", "a fetch from a GPA that no slot has: INTERNAL_ERROR where it is the pc too", "L61: vz.c; LS: mmu.c")
def _():
    """Root.BadVAddr holds the GPA and Root.EPC the GVA, so KVM knows a fetch by an identity mapping alone. Any other
    it takes for a load by whatever BadInstr holds, here nothing."""
    bench = fetches_from(DEVICE, DEVICE, "vz")
    assert bench.exits == [ExitReason.INTERNAL_ERROR]
    assert f"instruction fetch from guest physical {DEVICE:#x}" in bench.vm.messages[-1]
    for va, backend in ((ELSEWHERE, "vz"), (DEVICE, "ls3acomp"), (ELSEWHERE, "ls3acomp")):
        bench = fetches_from(va, DEVICE, backend)
        assert bench.exits == [ExitReason.INTERNAL_ERROR] and not bench.accesses
        assert "instruction fetch" not in bench.vm.messages[-1], "taken for a load"


@vector("142", "immediate_exit with a pending read: the read is completed first", "L61: mips.c")
def _():
    bench = Bench()
    vcpu = bench.vcpu(f"lui t0, 0xb000\n lw v0, 0(t0)\n {END}")
    bench.device[DEVICE] = 99

    def stop_after_the_read(vcpu):
        if bench.exits[-1] is ExitReason.MMIO:
            vcpu.kvm_run.immediate_exit = True
            return False
        return True

    bench.on_exit = stop_after_the_read
    bench.run()
    assert bench.exits == [ExitReason.MMIO, f"errno {errno.EINTR}"]
    assert (vcpu.get_one_reg(onereg.gpr(2)), vcpu.pc) == (99, P + 8)


@vector("143", "a signal at an exit that would resume: EINTR, exit reason INTR", "L61: mips.c")
def _():
    bench = Bench()
    vcpu = bench.vcpu("1: b 1b\n nop")
    bench.on_exit = lambda vcpu: True
    bench.run(20_000)
    bench.host.interrupt(vcpu)
    bench.run(20_000)
    assert bench.exits == [f"errno {errno.EINTR}"]
    assert vcpu.kvm_run.exit_reason is ExitReason.INTR
    assert vcpu.stats["signal"] == 1


@vector("144", "two vCPUs alternate on one core: a full restore each time", "L61: vz.c")
def _():
    bench = Bench(slice_cycles=8_000)
    text = "1: mfc0 t0, c0_epc\n addiu t0, t0, 1\n dmtc0 t0, c0_epc\n b 1b\n nop"
    a, b = bench.vcpu(text, epc=0), bench.vcpu(pc=P, epc=1 << 20)
    bench.run(400_000)
    assert a.stats["load"] > 10 and b.stats["load"] > 10
    for vcpu in (a, b):
        assert vcpu.stats["restore_all"] == vcpu.stats["load"]
    assert bench.get(a, "epc") < 1 << 20 < bench.get(b, "epc"), "neither sees the other's register"


@vector("145", "trap and emulate: MFC0 rt, Status is replaced by LW rt, 0x4300($zero)", "LS: dyntrans.c, commpage.h")
def _():
    bench, vcpu = te_guests.guest(f"mfc0 t1, c0_status\n {END}", status=0x400)
    assert bench.word(0x100000, 4) == te_guests.LW_T1_STATUS
    assert int(vcpu.gprs[13]) == 0x400


@vector("146", "trap and emulate: a load of 0x50000000 by the guest's user mode is its AdEL", "LS: emulate.c")
def _():
    _, vcpu = te_guests.user_program("lui t0, 0x5000\n lw t1, 0(t0)")
    assert int(vcpu.gprs[18]) >> 2 & 31 == 4
    assert vcpu.stats["tlbmiss_ld"] and not vcpu.shadow.user.table.pte(0x5000_0000 >> 14)


NOT_HERE = {
    "42": "root executes nothing under the model: tests/cpu/vz_vectors.py runs it on a bare VZ core",
    "136": "the inter-processor block is a device: I03, I05 in tests/devices/vectors.py; nodes: tests/soc/test_ls7a.py",
    "137": "I05 there",
}
"""Vectors that are not run here, because."""
