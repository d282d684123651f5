"""Exceptions of a guest under trap and emulate, put into the image of its CP0, and the privilege check before exits.

Source: Linux 5.10: arch/mips/kvm/emulate.c, kvm_mips_emulate_* and kvm_mips_check_privilege.
"""

from __future__ import annotations

from errno import EINVAL
from typing import TYPE_CHECKING

from cpu.cp0.fields import (
    CAUSE_BD,
    CAUSE_CE,
    EXCCODE_ADEL,
    EXCCODE_ADES,
    EXCCODE_CPU,
    EXCCODE_TLBL,
    EXCCODE_TLBS,
    ST_BEV,
    ST_EXL,
)
from cpu.isa.values import EXC_CODES
from cpu.kvm import commpage
from cpu.kvm.errors import KvmError
from cpu.kvm.shadow import ASID, KSEG0, VPN2, in_kernel_mode

if TYPE_CHECKING:
    from cpu.kvm.vcpu import Vcpu

PASSED = frozenset(EXC_CODES[name] for name in ("Int", "Mod", "Sys", "Bp", "RI", "Tr", "MSAFPE", "FPE", "MSADis"))
"""What the guest's user mode may cause."""
CAUSE_CODE = 0xFF
REFILL, GENERAL, INTERRUPT = 0x000, 0x180, 0x200
RESET_VECTORS = KSEG0 | 0x1FC00200
EBASE_BASE = 0xFFFFF000


def base(vcpu: Vcpu) -> int:
    """Where the guest's exception vectors are (kvm_mips_guest_exception_base)."""
    return RESET_VECTORS if vcpu.soft("status") & ST_BEV else vcpu.soft("ebase") & EBASE_BASE


def enter_handler(vcpu: Vcpu, code: int, vector: int, changed: int = CAUSE_CODE) -> None:
    """The guest goes on in its handler. EPC, Status.EXL and Cause.BD are set where EXL is not. `changed`: the bits of
    Cause that give way to the ExcCode."""
    status = vcpu.soft("status")
    cause = vcpu.soft("cause")
    if not status & ST_EXL:
        vcpu.set_soft("epc", vcpu.pc)
        vcpu.set_soft("status", status | ST_EXL)
        cause = cause & ~CAUSE_BD | vcpu.exit.cause & CAUSE_BD
    vcpu.set_soft("cause", cause & ~changed | code << 2)
    vcpu.pc = base(vcpu) + vector


def inject(vcpu: Vcpu, code: int) -> None:
    """An exception at the instruction of the exit, of which there is nothing but its code to tell. KvmError with
    Status.EXL set: KVM does not nest them."""
    if vcpu.soft("status") & ST_EXL:
        raise KvmError(EINVAL, f"ExcCode {code} for a guest whose Status.EXL is set")
    enter_handler(vcpu, code, GENERAL)


def inject_address(vcpu: Vcpu, code: int) -> None:
    """`inject`, and BadVAddr."""
    inject(vcpu, code)
    vcpu.set_soft("badvaddr", vcpu.exit.badvaddr)


def inject_fpu_unusable(vcpu: Vcpu) -> None:
    """Coprocessor 1 unusable, which as in the source may come with Status.EXL set."""
    enter_handler(vcpu, EXCCODE_CPU, GENERAL, CAUSE_CODE | CAUSE_CE)
    vcpu.set_soft("cause", vcpu.soft("cause") | 1 << 28)


def inject_tlb(vcpu: Vcpu, code: int, vector: int = GENERAL) -> None:
    """A TLB exception, with BadVAddr and EntryHi; Context is left to the guest, as in the source. A refill takes its
    own vector where Status.EXL is clear."""
    if vcpu.soft("status") & ST_EXL:
        vector = GENERAL
    high = vcpu.exit.badvaddr & VPN2 | vcpu.soft("entryhi") & ASID
    enter_handler(vcpu, code, vector)
    vcpu.set_soft("badvaddr", vcpu.exit.badvaddr)
    vcpu.set_soft("entryhi", high)


def refuse(vcpu: Vcpu) -> bool:
    """kvm_mips_check_privilege: whether the exit is one that the guest's user mode may not cause. Then the guest has an
    exception of it."""
    if in_kernel_mode(vcpu):
        return False
    code = vcpu.exit.exccode
    bad = vcpu.exit.badvaddr
    if code in PASSED or (code == EXCCODE_CPU and vcpu.exit.cause & CAUSE_CE):
        return False
    if code in (EXCCODE_TLBL, EXCCODE_TLBS):
        if bad < KSEG0:
            return False
        code += EXCCODE_ADEL - EXCCODE_TLBL
    elif code in (EXCCODE_ADEL, EXCCODE_ADES) and commpage.is_in(bad):
        code -= EXCCODE_ADEL - EXCCODE_TLBL
    inject_address(vcpu, code)
    return True
