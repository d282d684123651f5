"""A guest exit that the core answers itself: what the hypervisor's handler would come to, without leaving the compiled
loop.

That is CACHE by index, which on this machine leads to nothing but the time it takes and the next instruction. The
hypervisor says up to which cycle it has nothing else to do at an exit (CACHE_UNTIL), and what one takes (CACHE_COST).
"""

from __future__ import annotations

from cpu import state
from cpu.cp0.exceptions import return_from_exception
from cpu.cp0.fields import CAUSE_BD, CAUSE_EXCCODE, EXCCODE_GE, IP6, IP7
from cpu.cp0.registers import C0_BADINSTR, C0_CAUSE, C0_EPC, C0_GUESTCTL0
from cpu.engine.jit import jit
from cpu.vz.guestctl import GEXCCODE, GPSI, GT

CACHE = 0x2F
PRIMARY = 2
"""CACHE operations on primary caches have a cache number below this."""
INDEX_INVALIDATE_I, INDEX_WRITEBACK_INV_D = 0x00, 0x01


@jit
def cache_comes_to_nothing(word):
    """Whether KVM carries out a CACHE operation that made an exit: the two by index that Linux uses, and any of a
    secondary cache. There are no caches here, so that is all of it."""
    operation = word >> 16 & 31
    return operation & 3 >= PRIMARY or operation == INDEX_INVALIDATE_I or operation == INDEX_WRITEBACK_INV_D


@jit
def answer(S):
    """Goes on behind the instruction of the exit the core has come to. False where that is the hypervisor's to do."""
    after = S[state.CYCLES] + S[state.CACHE_COST]
    if after >= S[state.CACHE_UNTIL] or S[C0_GUESTCTL0] & (GEXCCODE | GT) != GPSI << 2 | GT:
        return False
    if S[C0_CAUSE] & (CAUSE_BD | IP6 | IP7 | CAUSE_EXCCODE) != EXCCODE_GE << 2:
        return False
    word = S[C0_BADINSTR]
    if word >> 26 != CACHE or not cache_comes_to_nothing(word):
        return False
    S[C0_EPC] += 4
    S[state.CYCLES] = after
    S[state.CACHE_EXITS] += 1
    S[state.FAULT_COUNT] = 0
    S[state.SAMPLE] = 1
    return_from_exception(S)
    return True
