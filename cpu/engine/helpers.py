"""Instructions that the engine carries out itself: CP0 moves, TLB and cache operations, ERET, WAIT, RDHWR, CPUCFG.

`run_helper` serves every tier and the reference. Sources: MIPS Architecture For Programmers, volumes II and III
(MD00087, MD00091); CPUCFG words: QEMU 10.0 target/mips/cpu-defs.c.inc (Loongson-3A4000).
"""

from __future__ import annotations

import numpy as np

from cpu import state
from cpu.cp0 import timer
from cpu.cp0.exceptions import return_from_exception, take_exception
from cpu.cp0.registers import (
    ABSENT,
    C0_CAUSE,
    C0_COMPARE,
    C0_COUNT,
    C0_EBASE,
    C0_ENTRYHI,
    C0_ENTRYLO0,
    C0_ENTRYLO1,
    C0_HWRENA,
    C0_INDEX,
    C0_PAGEGRAIN,
    C0_PAGEMASK,
    C0_RANDOM,
    C0_STATUS,
    C0_USERLOCAL,
    C0_WIRED,
    KIND,
    MASK,
    UNMODELLED,
    WIDE,
)
from cpu.engine.blocks import note_instruction
from cpu.engine.jit import jit
from cpu.engine.micro import HELPER_ID
from cpu.engine.softmmu import flush_all, update_context
from cpu.tlb.operations import invalidate, probe, random_index, read_entry, write_entry
from cpu.tlb.translate import KERNEL, mode_of

# What a helper asks of the loop.
NEXT, JUMP, WAIT, STOP, RAISED = range(5)

RI, CPU = 10, 11
CU0 = 1 << 28
EBASE_WG = 1 << 11
PERFCTL, PERFCTL_ENABLES = 25 * 8, 0xF
CPUCFG = np.zeros(8, np.int64)
CPUCFG[0] = 0x0014C000
CPUCFG[1] = 0x6F8F0025
# LEXT1 alone: no CSR instructions (LCSRP), no LDDIR/LDPTE (LSPW), no LVZ.
CPUCFG[2] = 0x00000001

MFC0, DMFC0, MTC0, DMTC0 = (HELPER_ID[n] for n in ("mfc0", "dmfc0", "mtc0", "dmtc0"))
DI, EI, RDPGPR, WRPGPR = (HELPER_ID[n] for n in ("di", "ei", "rdpgpr", "wrpgpr"))
TLBR, TLBWI, TLBWR, TLBP = (HELPER_ID[n] for n in ("tlbr", "tlbwi", "tlbwr", "tlbp"))
TLBINV, TLBINVF = HELPER_ID["tlbinv"], HELPER_ID["tlbinvf"]
ERET, WAIT_ID, CACHE, SYNCI = (HELPER_ID[n] for n in ("eret", "wait", "cache", "synci"))
RDHWR, CPUCFG_ID, NOT_MODELLED = (HELPER_ID[n] for n in ("rdhwr", "cpucfg", "not_modelled"))
UNPRIVILEGED = np.zeros(len(HELPER_ID) + 1, np.int64)
for _name in ("rdhwr", "cpucfg", "synci", "not_modelled"):
    UNPRIVILEGED[HELPER_ID[_name]] = 1


@jit
def sign32(value):
    return ((value & 0xFFFFFFFF) ^ 0x80000000) - 0x80000000


@jit
def read_cp0(S, number, wide, cycle):
    """The value MFC0 or DMFC0 gives for register number * 8 + select."""
    at = state.CP0 + number
    if at == C0_COUNT:
        return sign32(timer.count(S, cycle))
    if at == C0_CAUSE:
        timer.catch_up(S, cycle)
    value = S[at]
    if wide and WIDE[number]:
        return value
    if not wide and (at == C0_ENTRYLO0 or at == C0_ENTRYLO1):
        value = (value & 0x3FFFFFFF) | ((value >> 32) & 0xC0000000)
    return sign32(value)


@jit
def write_cp0(S, number, value, wide, cycle):
    """MTC0 or DMTC0."""
    at = state.CP0 + number
    if not wide:
        value = sign32(value)
    mask = MASK[number]
    timer.catch_up(S, cycle)
    if at == C0_COUNT:
        timer.set_count(S, cycle, value & 0xFFFFFFFF)
    elif at == C0_COMPARE:
        timer.set_compare(S, cycle, value & 0xFFFFFFFF)
    elif at == C0_CAUSE:
        timer.set_disabled(S, cycle, (S[at] & ~mask) | (value & mask))
    elif at == C0_ENTRYLO0 or at == C0_ENTRYLO1:
        inhibit = S[C0_PAGEGRAIN] & 0xC0000000  # RIE and XIE, where RI and XI sit in the high word
        high = value & (inhibit << 32) if wide else (value & inhibit) << 32
        S[at] = (value & mask & (-1 if wide else 0x3FFFFFFF)) | high
    elif at == C0_PAGEMASK:
        pages = (value & mask) >> 13
        whole = pages + 1
        if pages & whole == 0 and whole & 0x15555555 != 0:
            S[at] = pages << 13
        else:
            S[at] = 0
    elif at == C0_WIRED:
        S[at] = value & mask
        S[C0_RANDOM] = state.TLB_ENTRIES - 1
    elif at == C0_EBASE:
        if value & EBASE_WG:
            S[at] = (value & ~0xFFF) | EBASE_WG | (S[at] & 0x3FF)
        else:
            S[at] = (S[at] & ~(mask | EBASE_WG)) | (value & mask)
    elif at == C0_ENTRYHI:
        S[at] = (S[at] & ~mask) | (value & mask)
        update_context(S)
    else:
        S[at] = (S[at] & ~mask) | (value & mask)
        if not WIDE[number]:
            S[at] &= 0xFFFFFFFF
        if at == C0_STATUS:
            update_context(S)
        elif at == C0_PAGEGRAIN:
            flush_all(S)


@jit
def read_hardware(S, number, cycle):
    """(value, 1), or (0, 0) when RDHWR may not read that register here."""
    status = S[C0_STATUS]
    allowed = mode_of(status) == KERNEL or status & CU0 or (S[C0_HWRENA] >> number) & 1
    if not allowed:
        return 0, 0
    if number == 0:
        return S[C0_EBASE] & 0x3FF, 1
    if number == 1:
        return 16, 1  # SYNCI_Step: bytes, as QEMU's model of this core says
    if number == 2:
        return sign32(timer.count(S, cycle)), 1
    if number == 3:
        return S[state.COUNT_DIVIDER], 1
    if number == 29:
        return S[C0_USERLOCAL], 1
    return 0, 0


@jit
def run_helper(S, M, helper, uop, word, pc, delay_slot, cycle):
    """Carries out one instruction at `pc`. `uop` holds its register slots, `word` is the instruction. Returns what the
    loop is to do: NEXT, JUMP (PC is set), WAIT, STOP (not modelled) or RAISED (an exception was taken)."""
    if not UNPRIVILEGED[helper] and mode_of(S[C0_STATUS]) != KERNEL and not (S[C0_STATUS] & CU0):
        note_instruction(S, M, pc, delay_slot)
        take_exception(S, CPU, 0, pc, delay_slot, -1)
        return RAISED
    a = (uop >> 16) & 0xFF
    b = (uop >> 24) & 0xFF
    if MFC0 == helper or DMFC0 == helper or MTC0 == helper or DMTC0 == helper:
        number = ((word >> 11) & 31) * 8 + (word & 7)
        if KIND[number] == UNMODELLED:
            return STOP
        wide = helper == DMFC0 or helper == DMTC0
        if helper == MFC0 or helper == DMFC0:
            S[a] = 0 if KIND[number] == ABSENT else read_cp0(S, number, wide, cycle)
        elif number & ~6 == PERFCTL and S[a] & PERFCTL_ENABLES:
            return STOP
        elif KIND[number] != ABSENT:
            write_cp0(S, number, S[a], wide, cycle)
        return NEXT
    if helper == TLBWR:
        e = random_index(S)
        S[C0_RANDOM] = e
        write_entry(S, e, False)
    elif helper == TLBWI:
        write_entry(S, S[C0_INDEX] & (state.TLB_ENTRIES - 1), True)
    elif helper == TLBP:
        probe(S)
    elif helper == TLBR:
        read_entry(S)
        update_context(S)
    elif helper == TLBINVF or helper == TLBINV:
        invalidate(S, helper == TLBINVF)
    elif helper == ERET:
        return_from_exception(S)
        return JUMP
    elif helper == DI or helper == EI:
        S[a] = sign32(S[C0_STATUS])
        S[C0_STATUS] = (S[C0_STATUS] & ~1) | (1 if helper == EI else 0)
    elif helper == RDHWR:
        value, allowed = read_hardware(S, (word >> 11) & 31, cycle)
        if not allowed:
            note_instruction(S, M, pc, delay_slot)
            take_exception(S, RI, 0, pc, delay_slot, -1)
            return RAISED
        S[a] = value
    elif helper == CPUCFG_ID:
        n = S[b] & 0xFFFFFFFF
        S[a] = CPUCFG[n] if n < 8 else 0
    elif helper == RDPGPR or helper == WRPGPR:
        S[a] = S[b]  # one shadow set: the previous set is this one
    elif helper == WAIT_ID:
        return WAIT
    elif helper == CACHE or helper == SYNCI:
        return NEXT  # stores reach instruction fetch by themselves
    else:
        return STOP
    return NEXT
