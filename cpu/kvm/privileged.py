"""Privileged instructions of a guest under trap and emulate, carried out on the image of its CP0.

Each comes as "coprocessor 0 unusable", and RDHWR as a reserved instruction. Source: Linux 5.10:
arch/mips/kvm/emulate.c, kvm_mips_emulate_{inst,CP0,cache} and kvm_mips_handle_ri. What KVM does not emulate raises
KvmError, with the guest's pc where it was.
"""

from __future__ import annotations

from errno import EINVAL
from typing import TYPE_CHECKING

from cpu.cp0.fields import (
    CAUSE_BD,
    CAUSE_DC,
    CAUSE_IV,
    CONFIG3_ULRI,
    CONFIG5_MSAEN,
    EXCCODE_RI,
    EXCCODE_TLBL,
    HWR_CC,
    HWR_CCRES,
    HWR_CPUNUM,
    HWR_SYNCI_STEP,
    HWR_ULR,
    ST_CU1,
    ST_ERL,
    ST_EXL,
    ST_FR,
    ST_IE,
    ST_NMI,
)
from cpu.kvm import dyntrans, exceptions, fpu, hypcall, inst, trace
from cpu.kvm.callback import Resume
from cpu.kvm.errors import KvmError
from cpu.kvm.shadow import GUEST_TLB_SIZE, Fault, in_kernel_mode
from cpu.vz.short_exit import CACHE, INDEX_INVALIDATE_I, INDEX_WRITEBACK_INV_D
from cpu.words import M32, M64, signed

if TYPE_CHECKING:
    from cpu.kvm.vcpu import Vcpu

CAUSE_WRITABLE = CAUSE_DC | CAUSE_IV | 3 << 8
EBASE_WRITABLE = 0x1FFFF000
SYNCI_STEP, CCRES = 16, 2
_READS = {
    HWR_CPUNUM: lambda vcpu: vcpu.number,
    HWR_SYNCI_STEP: lambda vcpu: SYNCI_STEP,
    HWR_CC: lambda vcpu: signed(vcpu.timer.read(), 32),
    HWR_CCRES: lambda vcpu: CCRES,
    HWR_ULR: lambda vcpu: signed(vcpu.soft("userlocal")),
}
MI_EI = 1 << 5
HIT_INVALIDATE_I, HIT_INVALIDATE_D, HIT_WRITEBACK_INVALIDATE_D = 0x10, 0x11, 0x15


def instruction(vcpu: Vcpu) -> Resume:
    """kvm_mips_emulate_inst: the instruction of an exit with "coprocessor unusable" other than 1."""
    word, before = vcpu.exit.badinstr, vcpu.pc
    where = before + 4 if vcpu.exit.cause & CAUSE_BD else before
    try:
        if word >> 26 == CACHE:
            return _cache(vcpu, word, where)
        if word >> 26 != inst.COP0:
            raise _no("the privileged instruction", word)
        return _operation(vcpu, word) if word >> 25 & 1 else _move(vcpu, word, where)
    except KvmError:
        vcpu.pc = before
        raise


def read_hardware(vcpu: Vcpu) -> Resume:
    """kvm_mips_handle_ri: RDHWR, as far as there is such a register and the guest's HWREna lets its user mode read it.
    Any other reserved instruction is the guest's."""
    word, before = vcpu.exit.badinstr, vcpu.pc
    vcpu.advance()
    rt, number = word >> 16 & 31, word >> 11 & 31
    is_rdhwr = word >> 26 == inst.SPECIAL3 and word & 0x3F == inst.RDHWR and not word & (31 << 21 | 3 << 9)
    if not is_rdhwr or number not in _READS or not (in_kernel_mode(vcpu) or vcpu.soft("hwrena") >> number & 1):
        vcpu.pc = before
        exceptions.inject(vcpu, EXCCODE_RI)
        return Resume.GUEST
    value = _READS[number](vcpu)
    vcpu.emit("kvm_hwr", trace.HWR_RDHWR, 0x100 | number << 3 | word >> 6 & 7, value)
    _set(vcpu, rt, value)
    return Resume.GUEST


def _no(what: str, word: int) -> KvmError:
    return KvmError(EINVAL, f"no emulation of {what} {word:#010x}")


def _set(vcpu: Vcpu, rt: int, value: int) -> None:
    if rt:
        vcpu.gprs[rt] = value


# Coprocessor 0 operations.


def _operation(vcpu: Vcpu, word: int) -> Resume:
    function = word & 0x3F
    shadow = vcpu.shadow
    if function == inst.ERET:
        _eret(vcpu)
        return Resume.GUEST
    vcpu.advance()
    if function == inst.TLBR:
        shadow.read_entry(vcpu.soft("index") % GUEST_TLB_SIZE)
    elif function == inst.TLBWI:
        shadow.write_entry(vcpu.soft("index") % GUEST_TLB_SIZE)
    elif function == inst.TLBWR:
        shadow.write_entry(shadow.next_random())
    elif function == inst.TLBP:
        vcpu.set_soft("index", shadow.lookup(vcpu.soft("entryhi")) & M32)
    elif function == inst.WAIT:
        return _wait(vcpu)
    elif function == inst.HYPCALL and not word >> 11 & 0x3FF:
        return hypcall.refuse(vcpu)
    else:
        raise _no("the coprocessor 0 operation", word)
    return Resume.GUEST


def _eret(vcpu: Vcpu) -> None:
    status = vcpu.soft("status")
    if not status & (ST_ERL | ST_EXL):
        raise KvmError(EINVAL, "ERET of a guest with neither Status.EXL nor ERL set")
    level, register = (ST_ERL, "errorepc") if status & ST_ERL else (ST_EXL, "epc")
    vcpu.set_soft("status", status & ~level)
    vcpu.pc = vcpu.soft(register)


def _wait(vcpu: Vcpu) -> Resume:
    """Without a pending interrupt the thread sleeps (kvm_mips_emul_wait)."""
    vcpu.stats["wait"] += 1
    vcpu.emit("kvm_exit", vcpu.pc, trace.EXIT_WAIT)
    return Resume.GUEST if vcpu.pending.set else Resume.BLOCK


# Moves.


def _move(vcpu: Vcpu, word: int, where: int) -> Resume:
    rs, rt, register = word >> 21 & 31, word >> 16 & 31, (word >> 11 & 31, word & 7)
    place = 8 * register[0] + register[1]
    vcpu.advance()
    if rs == inst.MFC0:
        value = vcpu.timer.read() if register == inst.COUNT else int(vcpu.image[place])
        value = 0 if register == inst.ERRCTL else signed(value, 32)
        _set(vcpu, rt, value)
        vcpu.emit("kvm_hwr", trace.HWR_MFC0, place, value)
        if register != inst.COUNT:
            dyntrans.mfc0(vcpu, where, rt, register)
    elif rs == inst.DMFC0:
        _set(vcpu, rt, int(vcpu.image[place]))
        vcpu.emit("kvm_hwr", trace.HWR_DMFC0, place, int(vcpu.image[place]))
    elif rs == inst.MTC0:
        value = int(vcpu.gprs[rt])
        vcpu.emit("kvm_hwr", trace.HWR_MTC0, place, value)
        _write(vcpu, register, value)
        if register not in _WRITES or (register == inst.STATUS and not vcpu.has_fpu):
            dyntrans.mtc0(vcpu, where, rt, register)
    elif rs == inst.MFMC0:
        status = vcpu.soft("status")
        _set(vcpu, rt, signed(status, 32))
        vcpu.set_soft("status", status | ST_IE if word & MI_EI else status & ~ST_IE)
    elif rs == inst.WRPGPR and not vcpu.image[8 * inst.SRSCTL[0] + inst.SRSCTL[1]] & (0xF << 6 | 0xF):
        _set(vcpu, register[0], int(vcpu.gprs[rt]))
    else:
        raise _no("the coprocessor 0 move", word)
    return Resume.GUEST


def _write(vcpu: Vcpu, register: tuple[int, int], value: int) -> None:
    """MTC0: into the image, unless more is to be done."""
    if register == inst.INDEX and not 0 <= value < GUEST_TLB_SIZE:
        raise KvmError(EINVAL, f"Index {value:#x}; the guest's TLB has entries 0 to {GUEST_TLB_SIZE - 1}")
    if register in _WRITES:
        _WRITES[register](vcpu, value)
    else:
        vcpu.image[8 * register[0] + register[1]] = value


def _write_status(vcpu: Vcpu, value: int) -> None:
    """CU1 and FR are the guest's only with an FPU. What they change of one that is live is done at once."""
    value &= M32 & ~ST_NMI
    if not vcpu.has_fpu:
        value &= ~(ST_CU1 | ST_FR)
    change = value ^ vcpu.soft("status")
    if change & ST_FR:
        fpu.drop_fpu(vcpu)
    if change & ST_CU1 and not value & ST_FR and vcpu.context.in_use & fpu.MSA:
        fpu.lose_fpu(vcpu)
    if change & ST_CU1 and vcpu.context.in_use & fpu.FPU:
        vz = vcpu.core.vz
        vz.set_c0("status", vz.c0("status") & ~ST_CU1 | value & ST_CU1)
    vcpu.set_soft("status", value)


def _write_cause(vcpu: Vcpu, value: int) -> None:
    old = vcpu.soft("cause")
    change = (old ^ value) & CAUSE_WRITABLE
    vcpu.set_soft("cause", old ^ change)
    if change & CAUSE_DC:
        if value & CAUSE_DC:
            vcpu.timer.disable_cause()
        else:
            vcpu.timer.enable_cause()


def _write_config5(vcpu: Vcpu, value: int) -> None:
    old = vcpu.soft("config5")
    change = (old ^ value) & vcpu.vm.callbacks.user_mask(vcpu, "config5")
    if change & CONFIG5_MSAEN and vcpu.context.in_use & fpu.MSA:
        vz = vcpu.core.vz
        vz.set_c0("config5", vz.c0("config5") ^ CONFIG5_MSAEN)
    vcpu.set_soft("config5", old ^ change)


def _write_hwrena(vcpu: Vcpu, value: int) -> None:
    allowed = 1 << HWR_CPUNUM | 1 << HWR_SYNCI_STEP | 1 << HWR_CC | 1 << HWR_CCRES
    if vcpu.soft("config3") & CONFIG3_ULRI:
        allowed |= 1 << HWR_ULR
    vcpu.set_soft("hwrena", value & allowed)


def write_ebase(vcpu: Vcpu, value: int, writable: int = EBASE_WRITABLE) -> None:
    """EBase stays in the guest's kseg0, and its CPU number what it is."""
    vcpu.set_soft("ebase", vcpu.soft("ebase") & ~writable | value & writable)


_WRITES = {
    inst.EBASE: write_ebase,
    inst.ENTRYHI: lambda vcpu, value: vcpu.shadow.change_entryhi(value),
    inst.COUNT: lambda vcpu, value: vcpu.timer.write(value & M32),
    inst.COMPARE: lambda vcpu, value: vcpu.timer.write_compare(value & M32, True),
    inst.STATUS: _write_status,
    inst.CONFIG5: _write_config5,
    inst.CAUSE: _write_cause,
    inst.HWRENA: _write_hwrena,
}
"""Registers of which a write does more than change the image; none of these writes is replaced, but that of Status for
a guest without FPU."""


# CACHE.


def _cache(vcpu: Vcpu, word: int, where: int) -> Resume:
    """This machine has no caches: an operation that KVM knows is done once its address is accessible, and is then
    replaced."""
    before = vcpu.pc
    vcpu.stats["cache"] += 1
    vcpu.emit("kvm_exit", before, trace.EXIT_CACHE)
    operation = word >> 16 & 31
    address = int(vcpu.gprs[word >> 21 & 31]) + signed(word, 16) & M64
    vcpu.advance()
    if operation in (INDEX_INVALIDATE_I, INDEX_WRITEBACK_INV_D):
        dyntrans.cache_index(vcpu, where)
    elif operation in (HIT_INVALIDATE_I, HIT_INVALIDATE_D, HIT_WRITEBACK_INVALIDATE_D):
        fault = vcpu.shadow.fault_in(address, write=False)
        if fault is Fault.MAPPED:
            dyntrans.cache_address(vcpu, where, word)
        elif fault in (Fault.TLB, Fault.TLBINV):
            vcpu.pc, vcpu.exit.badvaddr = before, address
            vector = exceptions.REFILL if fault is Fault.TLB else exceptions.GENERAL
            exceptions.inject_tlb(vcpu, EXCCODE_TLBL, vector)
        else:
            raise KvmError(EINVAL, f"CACHE operation {operation:#x} at {address:#x}, which is no memory of the guest's")
    else:
        raise KvmError(EINVAL, f"no emulation of CACHE operation {operation:#x}")
    return Resume.GUEST
