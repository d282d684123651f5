"""Taking an exception, returning from one, and the interrupt condition.

Source: MIPS Architecture For Programmers, volume III (MD00091), chapter "Interrupts and Exceptions".
"""

from __future__ import annotations

from cpu import state
from cpu.cp0.registers import (
    C0_BADVADDR,
    C0_CAUSE,
    C0_CONTEXT,
    C0_EBASE,
    C0_ENTRYHI,
    C0_EPC,
    C0_ERROREPC,
    C0_INTCTL,
    C0_STATUS,
    C0_XCONTEXT,
)
from cpu.engine.intrinsics import shr
from cpu.engine.jit import jit, jit_as
from cpu.engine.softmmu import update_context
from cpu.tlb.translate import REFILL, SEGMASK, ST_ERL, ST_EXL, ST_KX, ST_SX, ST_UX, VPN2_MASK

ST_IE, ST_BEV = 1, 1 << 22
INTCTL_VS = 0x1F << 5  # in place, it is the spacing of vectors in bytes
CAUSE_BD, CAUSE_TI, CAUSE_DC, CAUSE_IV = 1 << 31, 1 << 30, 1 << 27, 1 << 23
CAUSE_KEEP = ~((0x1F << 2) | (3 << 28))
BEV_BASE = 0xBFC00200 - (1 << 32)


@jit_as("void(int64[::1], int64, int64, int64, int64, int64)")
def take_exception(S, code, coprocessor, pc, delay_slot, refill_va_region):
    """Enters the handler, EXCEPTION_ENTRY cycles after CYCLES. `pc` is the instruction's own address;
    `refill_va_region` is -1, or bits 63:62 of the address whose translation is missing."""
    status = S[C0_STATUS]
    cause = S[C0_CAUSE] & CAUSE_KEEP
    vector = 0x180
    if not (status & ST_EXL):
        S[C0_EPC] = pc - 4 if delay_slot else pc
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
            S[state.EXCEPTIONS + state.TLB_REFILLS] += 1
        elif code == 0 and cause & CAUSE_IV:
            vector = 0x200
            if not (status & ST_BEV):
                n = 7
                while n > 0 and not ((cause & status) >> (8 + n)) & 1:
                    n -= 1
                vector += n * (S[C0_INTCTL] & INTCTL_VS)
    S[C0_CAUSE] = cause | (code << 2) | (coprocessor << 28)
    S[C0_STATUS] = status | ST_EXL
    S[state.EXCEPTIONS + code] += 1
    S[state.CYCLES] += S[state.EXCEPTION_ENTRY]
    if status & ST_BEV:
        S[state.PC] = BEV_BASE + vector
    else:
        S[state.PC] = (S[C0_EBASE] & ~0xFFF) + vector
    update_context(S)


@jit
def take_address_exception(S, status, va, pc, delay_slot):
    """Enters the handler of a failed translation (`status` from translate) of address `va`."""
    code = status & 0xFF
    S[C0_BADVADDR] = va
    region = -1
    if code != 4 and code != 5:
        S[C0_CONTEXT] = (S[C0_CONTEXT] & ~0x7FFFFF) | ((va >> 9) & 0x7FFFF0)
        keep = ~((1 << 41) - 1)
        S[C0_XCONTEXT] = (S[C0_XCONTEXT] & keep) | (shr(va, 62) << 39) | (((va & SEGMASK) >> 13) << 4)
        S[C0_ENTRYHI] = (S[C0_ENTRYHI] & 0x7FF) | (va & VPN2_MASK)
        if status & REFILL:
            region = shr(va, 62)
    take_exception(S, code, 0, pc, delay_slot, region)


@jit
def return_from_exception(S):
    """ERET."""
    status = S[C0_STATUS]
    if status & ST_ERL:
        S[state.PC] = S[C0_ERROREPC]
        S[C0_STATUS] = status & ~ST_ERL
    else:
        S[state.PC] = S[C0_EPC]
        S[C0_STATUS] = status & ~ST_EXL
    S[state.LLBIT] = 0
    update_context(S)


@jit
def interrupts(S):
    """IP bits that are pending and enabled, bits 7:0; 0 when the core may not take them."""
    status = S[C0_STATUS]
    if (status & (ST_IE | ST_EXL | ST_ERL)) != ST_IE:
        return 0
    return ((S[C0_CAUSE] & status) >> 8) & 0xFF
