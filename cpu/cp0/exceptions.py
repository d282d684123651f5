"""Taking an exception, returning from one, and the interrupt condition, in root and in guest context.

Sources: MIPS Architecture For Programmers, volume III (MD00091), chapter "Interrupts and Exceptions"; VZ module
(MD00848), "Exceptions in guest mode".
"""

from __future__ import annotations

from cpu import state
from cpu.cp0.fields import (
    CAUSE_BD,
    CAUSE_CE,
    CAUSE_EXCCODE,
    CAUSE_IP,
    CAUSE_IV,
    CAUSE_TI,
    EXCCODE_ADEL,
    EXCCODE_ADES,
    EXCCODE_GE,
    EXCCODE_INT,
    EXCCODE_RI,
    INTCTL_VS,
    ST_BEV,
    ST_ERL,
    ST_EXL,
    ST_IE,
    ST_KX,
    ST_SX,
    ST_UX,
)
from cpu.cp0.registers import (
    C0_BADINSTR,
    C0_BADINSTRP,
    C0_BADVADDR,
    C0_CAUSE,
    C0_CONTEXT,
    C0_EBASE,
    C0_ENTRYHI,
    C0_EPC,
    C0_ERROREPC,
    C0_GUESTCTL0,
    C0_GUESTCTL0EXT,
    C0_GUESTCTL2,
    C0_INTCTL,
    C0_NESTEDEPC,
    C0_NESTEDEXC,
    C0_STATUS,
    C0_XCONTEXT,
)
from cpu.engine.intrinsics import shr
from cpu.engine.jit import jit, jit_as
from cpu.engine.softmmu import update_context
from cpu.tlb.translate import DIRECTLY, REFILL, ROOT, SEGMASK, VPN2_MASK
from cpu.vz import choices, guestctl
from cpu.vz.refill import refill

CAUSE_KEEP = ~(CAUSE_EXCCODE | CAUSE_CE)
BEV_BASE = 0xBFC00200 - (1 << 32)
GPA_REGION = 3  # a guest physical address takes root's vector by KX
NO_REFILL = -1


@jit
def lines(S, bank):
    """Cause.IP of a context, in place (bits 15:8). To the guest's own bits come VIP, the lines passed through and its
    timer."""
    cause = S[bank + C0_CAUSE]
    if bank:
        cause |= S[C0_GUESTCTL2] & guestctl.VIP | S[C0_CAUSE] & S[C0_GUESTCTL0] & guestctl.PIP
        if cause & CAUSE_TI:
            cause |= 1 << (8 + ((S[bank + C0_INTCTL] >> 29) & 7))
    return cause & CAUSE_IP


@jit
def set_line(S, bit, level):
    """An interrupt input of the core changes; `bit`: its place in Cause.IP. GuestCtl2.HC lets its fall clear VIP."""
    if level:
        S[C0_CAUSE] |= bit
    else:
        S[C0_CAUSE] &= ~bit
        if S[C0_GUESTCTL2] & bit << guestctl.HC_SHIFT:
            S[C0_GUESTCTL2] &= ~bit


@jit
def enter_handler(S, bank, code, coprocessor, pc, delay_slot, refill_va_region):
    """Enters the handler of a context."""
    status = S[bank + C0_STATUS]
    cause = S[bank + C0_CAUSE] & CAUSE_KEEP
    vector = 0x180
    S[bank + C0_NESTEDEXC] = status & (ST_ERL | ST_EXL)
    S[bank + C0_NESTEDEPC] = pc - 4 if delay_slot else pc
    if not (status & ST_EXL):
        S[bank + C0_EPC] = pc - 4 if delay_slot else pc
        cause &= ~CAUSE_BD
        if delay_slot:
            cause |= CAUSE_BD
        if refill_va_region >= 0:
            wide = status & ST_KX
            if refill_va_region == 0:
                wide = status & ST_UX
            elif refill_va_region == 1:
                wide = status & ST_SX
            vector = 0x080 if wide else 0x000
            S[bank + state.EXCEPTIONS + state.TLB_REFILLS] += 1
        elif code == EXCCODE_INT and cause & CAUSE_IV:
            vector = 0x200
            if not (status & ST_BEV):
                n = 7
                pending = lines(S, bank) & status
                while n > 0 and not (pending >> (8 + n)) & 1:
                    n -= 1
                vector += n * (S[bank + C0_INTCTL] & INTCTL_VS)
        if S[state.NOTED] != 0 and not status & ST_ERL:
            S[bank + C0_BADINSTR] = S[state.NOTED_WORD]
            if S[state.NOTED] == 2:
                S[bank + C0_BADINSTRP] = S[state.NOTED_BRANCH]
    S[state.NOTED] = 0
    S[bank + C0_CAUSE] = cause | (code << 2) | (coprocessor << 28)
    S[bank + C0_STATUS] = status | ST_EXL
    S[bank + state.EXCEPTIONS + code] += 1
    S[state.CYCLES] += S[state.EXCEPTION_ENTRY]
    if status & ST_BEV:
        S[state.PC] = BEV_BASE + vector
    else:
        S[state.PC] = (S[bank + C0_EBASE] & ~0xFFF) + vector
    update_context(S)


@jit
def leave_guest(S, reason, pc, delay_slot):
    """A guest exit: GE in root, with `reason` in GExcCode."""
    set_reason(S, reason)
    enter_handler(S, 0, EXCCODE_GE, 0, pc, delay_slot, NO_REFILL)


@jit
def set_reason(S, reason):
    S[C0_GUESTCTL0] = S[C0_GUESTCTL0] & ~guestctl.GEXCCODE | reason << 2


@jit
def mode_changed(S):
    """The guest's Status.EXL was set or cleared by hardware: root may want to know."""
    if S[C0_GUESTCTL0] & guestctl.MC and not S[C0_GUESTCTL0EXT] & guestctl.FCD:
        leave_guest(S, guestctl.GHFC, S[state.PC], 0)


@jit_as("void(int64[::1], int64, int64, int64, int64, int64, int64)")
def take_exception(S, bank, code, coprocessor, pc, delay_slot, refill_va_region):
    """An exception that a context takes (0: root). `pc` is the instruction's own address; `refill_va_region` is -1, or
    bits 63:62 of the address whose translation is missing."""
    if bank and code == EXCCODE_RI and S[C0_GUESTCTL0] & guestctl.RI:
        leave_guest(S, guestctl.GRR, pc, delay_slot)
        return
    before = S[bank + C0_STATUS]
    enter_handler(S, bank, code, coprocessor, pc, delay_slot, refill_va_region)
    if bank and not before & ST_EXL:
        mode_changed(S)


@jit
def take_address_exception(S, status, va, pc, delay_slot):
    """The exception of a failed translation (`status` from translate) of address `va`, which is a guest physical one
    where it is root that refused it, unless the model reports guest virtual ones. A root refill that the core carries
    out itself costs its time, and the instruction, with the branch before it, is executed again."""
    code = status & 0xFF
    bank = S[state.BANK]
    region = shr(va, 62)
    if status & REFILL and (status & ROOT or S[state.HYPERVISOR] == state.KERNEL_MODE) and refill(S, va):
        S[state.CYCLES] += S[state.REFILL_COST]
        S[state.PC] = pc - 4 if delay_slot else pc
        S[state.NOTED] = 0
        return
    if status & ROOT:
        bank = 0
        region = GPA_REGION
        set_reason(S, guestctl.GVA if S[state.VZ_CHOICES] & choices.GVA else guestctl.GPA)
    elif status & DIRECTLY:
        set_reason(S, guestctl.GVA)
    S[bank + C0_BADVADDR] = va
    if code == EXCCODE_ADEL or code == EXCCODE_ADES:
        region = NO_REFILL
    else:
        S[bank + C0_CONTEXT] = (S[bank + C0_CONTEXT] & ~0x7FFFFF) | ((va >> 9) & 0x7FFFF0)
        keep = ~((1 << 41) - 1)
        S[bank + C0_XCONTEXT] = (S[bank + C0_XCONTEXT] & keep) | (shr(va, 62) << 39) | (((va & SEGMASK) >> 13) << 4)
        S[bank + C0_ENTRYHI] = (S[bank + C0_ENTRYHI] & 0x7FF) | (va & VPN2_MASK)
        if not status & REFILL:
            region = NO_REFILL
    take_exception(S, bank, code, 0, pc, delay_slot, region)


@jit
def return_from_exception(S):
    """ERET of the current context."""
    bank = S[state.BANK]
    status = S[bank + C0_STATUS]
    if status & ST_ERL:
        S[state.PC] = S[bank + C0_ERROREPC]
        S[bank + C0_STATUS] = status & ~ST_ERL
    else:
        S[state.PC] = S[bank + C0_EPC]
        S[bank + C0_STATUS] = status & ~ST_EXL
    S[state.LLBIT] = 0
    update_context(S)
    if bank and not status & ST_ERL and status & ST_EXL:
        mode_changed(S)


@jit
def interrupts(S, bank):
    """IP bits of a context that are pending and enabled, bits 7:0; 0 when it may not take them."""
    status = S[bank + C0_STATUS]
    if (status & (ST_IE | ST_EXL | ST_ERL)) != ST_IE:
        return 0
    return ((lines(S, bank) & status) >> 8) & 0xFF


@jit
def any_interrupt(S):
    """Whether an interrupt can be taken now: root's, or in guest mode the guest's."""
    if interrupts(S, 0):
        return True
    return S[state.BANK] != 0 and interrupts(S, state.GUEST) != 0
