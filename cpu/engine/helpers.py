"""Instructions that the engine carries out itself: CP0 moves, TLB and cache operations, ERET, WAIT, RDHWR, CPUCFG,
configuration registers, and in guest mode the question whether the guest may.

`run_helper` serves every tier and the reference. Sources: MIPS Architecture For Programmers, volumes II and III
(MD00087, MD00091); CPUCFG words: QEMU 10.0 target/mips/cpu-defs.c.inc (Loongson-3A4000).
"""

from __future__ import annotations

import numpy as np

from cpu import state
from cpu.cp0 import stable, timer
from cpu.cp0.access import read_cp0, read_hardware, write_cp0
from cpu.cp0.exceptions import leave_guest, return_from_exception, take_address_exception, take_exception
from cpu.cp0.fields import (
    CONFIG3_VZ,
    CONFIG6_EXTIMER,
    EBASE_CPUNUM,
    EXCCODE_ADEL,
    EXCCODE_CPU,
    EXCCODE_DBE,
    EXCCODE_MCHECK,
    EXCCODE_RI,
    ST_CU0,
    ST_IE,
)
from cpu.cp0.registers import (
    ABSENT,
    C0_CONFIG3,
    C0_CONFIG6,
    C0_EBASE,
    C0_GUESTCTL0,
    C0_GUESTCTL1,
    C0_STATUS,
    GUEST_MASK,
    IN_GUEST,
    KIND,
    MASK,
    ROOT_MASK,
    UNMODELLED,
    WITH_VZ,
    register,
)
from cpu.engine import shared as m
from cpu.engine.blocks import note_instruction
from cpu.engine.decode import cp0_number
from cpu.engine.intrinsics import ld64, sign32
from cpu.engine.jit import jit
from cpu.engine.micro import HELPER_ID
from cpu.engine.softmmu import host_offset, update_context
from cpu.tlb.operations import invalidate, probe, read_entry, write_indexed, write_random
from cpu.tlb.translate import KERNEL, LOAD, ROOT, mode_of, reaches_guest, translate
from cpu.vz import walker
from cpu.vz.choices import HYPCALL_RI
from cpu.vz.guestctl import GT, ID, RID_SHIFT
from cpu.vz.traps import NONE, instruction_exit, move_exit

# What a helper asks of the loop.
NEXT, JUMP, WAIT, STOP, RAISED, READ_CSR, WRITE_CSR, SOONER = range(8)

PERFCTL, PERFCTL_ENABLES = 25 * 8, 0xF
CPUCFG = np.zeros(8, np.int64)
CPUCFG[0] = register("prid").reset
CPUCFG[1] = 0x6F8F0025
# LEXT1 alone; a machine may add LCSRP (CSR instructions), LSPW (LDDIR and LDPTE) and LVZP by its CPUCFG2, and to word 1
# LASX by its CPUCFG1.
CPUCFG[2] = 0x00000001
LCSRP, LSPW, LVZP = 1 << 27, 1 << 3, 1 << 15 | 1 << 16

MFC0, DMFC0, MTC0, DMTC0 = (HELPER_ID[n] for n in ("mfc0", "dmfc0", "mtc0", "dmtc0"))
MFGC0, DMFGC0, MTGC0, DMTGC0 = (HELPER_ID[n] for n in ("mfgc0", "dmfgc0", "mtgc0", "dmtgc0"))
DI, EI, RDPGPR, WRPGPR = (HELPER_ID[n] for n in ("di", "ei", "rdpgpr", "wrpgpr"))
TLBR, TLBWI, TLBWR, TLBP = (HELPER_ID[n] for n in ("tlbr", "tlbwi", "tlbwr", "tlbp"))
TLBGR, TLBGWI, TLBGWR, TLBGP = (HELPER_ID[n] for n in ("tlbgr", "tlbgwi", "tlbgwr", "tlbgp"))
TLBINV, TLBINVF = HELPER_ID["tlbinv"], HELPER_ID["tlbinvf"]
ERET, WAIT_ID, CACHE, SYNCI = (HELPER_ID[n] for n in ("eret", "wait", "cache", "synci"))
RDHWR, CPUCFG_ID = HELPER_ID["rdhwr"], HELPER_ID["cpucfg"]
LDDIR, LDPTE = HELPER_ID["lddir"], HELPER_ID["ldpte"]
CSR_BYTES, CSR_WRITES, CSR_OF_GUEST = (np.zeros(len(HELPER_ID) + 1, np.int64) for _ in range(3))
for _name in ("rdcsr", "wrcsr", "drdcsr", "dwrcsr", "rdgcsr", "wrgcsr", "drdgcsr", "dwrgcsr"):
    _k = HELPER_ID[_name]
    CSR_BYTES[_k], CSR_WRITES[_k], CSR_OF_GUEST[_k] = 8 if _name[0] == "d" else 4, "wr" in _name, "g" in _name
DRDTIME = HELPER_ID["drdtime"]
UNPRIVILEGED = np.zeros(len(HELPER_ID) + 1, np.int64)
for _name in ("rdhwr", "cpucfg", "drdtime", "synci", "not_modelled"):
    UNPRIVILEGED[HELPER_ID[_name]] = 1
ROOT_ONLY = np.zeros(len(HELPER_ID) + 1, np.int64)  # of VZ: a reserved instruction elsewhere
for _name in ("mfgc0", "dmfgc0", "mtgc0", "dmtgc0", "tlbgp", "tlbgr", "tlbgwi", "tlbgwr", "tlbginv", "tlbginvf"):
    ROOT_ONLY[HELPER_ID[_name]] = 1
HYPCALL = HELPER_ID["hypcall"]


@jit
def has_vz(S):
    return S[C0_CONFIG3] & CONFIG3_VZ != 0


@jit
def raise_in(S, M, bank, code, coprocessor, pc, delay_slot):
    """An exception that the instruction at `pc` raises in a context."""
    note_instruction(S, M, pc, delay_slot)
    take_exception(S, bank, code, coprocessor, pc, delay_slot, -1)
    return RAISED


@jit
def move(S, helper, register, number, cycle):
    """MFC0, MTC0 and their doubleword forms in either mode."""
    bank = S[state.BANK]
    wide = helper == DMFC0 or helper == DMTC0
    kind = KIND[number]
    if kind == WITH_VZ and not has_vz(S):
        kind = UNMODELLED
    is_read = helper == MFC0 or helper == DMFC0
    if bank:
        if is_read:
            S[register] = read_cp0(S, bank, number, wide, cycle) if IN_GUEST[number] else 0
        elif IN_GUEST[number]:
            write_cp0(S, bank, number, S[register], GUEST_MASK[number], wide, cycle)
        return NEXT
    if kind == UNMODELLED:
        return STOP
    if is_read:
        S[register] = 0 if kind == ABSENT else read_cp0(S, bank, number, wide, cycle)
    elif number & ~6 == PERFCTL and S[register] & PERFCTL_ENABLES:
        return STOP
    elif kind != ABSENT:
        write_cp0(S, bank, number, S[register], MASK[number], wide, cycle)
    return NEXT


@jit
def move_guest(S, helper, register, number, cycle):
    """MFGC0, MTGC0 and their doubleword forms."""
    wide = helper == DMFGC0 or helper == DMTGC0
    if helper == MFGC0 or helper == DMFGC0:
        S[register] = read_cp0(S, state.GUEST, number, wide, cycle) if IN_GUEST[number] else 0
    elif IN_GUEST[number]:
        write_cp0(S, state.GUEST, number, S[register], ROOT_MASK[number], wide, cycle)


@jit
def operate_tlb(S, bank, helper, guest_id):
    """TLB instructions on a context's TLB; `helper`: the one that works on the own TLB. False for a machine check."""
    if helper == TLBWR:
        write_random(S, bank, guest_id)
    elif helper == TLBWI:
        return write_indexed(S, bank, guest_id)
    elif helper == TLBP:
        probe(S, bank, guest_id)
    elif helper == TLBR:
        read_entry(S, bank, S[state.BANK] != 0)
        update_context(S)
    else:
        invalidate(S, bank, helper == TLBINVF, guest_id)
    if reaches_guest(S):
        update_context(S)
    return True


OWN_TLB = np.zeros(len(HELPER_ID) + 1, np.int64)  # per TLB instruction, the one of the own TLB that does the same
GUEST_TLB = np.zeros(len(HELPER_ID) + 1, np.int64)
for _name in ("tlbp", "tlbr", "tlbwi", "tlbwr", "tlbinv", "tlbinvf"):
    OWN_TLB[HELPER_ID[_name]] = HELPER_ID[_name]
    GUEST_TLB[HELPER_ID["tlbg" + _name[3:]]] = HELPER_ID[_name]


@jit
def walk(S, M, helper, a, b, word, pc, delay_slot):
    """LDDIR and LDPTE."""
    bank = S[state.BANK]
    step = (word >> 11) & 31
    if helper == LDDIR:
        if walker.is_huge(S, bank, S[b]):
            S[a] = S[b]
            return NEXT
        va = walker.directory_entry(S, bank, S[b], step)
    else:
        if walker.is_huge(S, bank, S[a]):
            walker.load_huge(S, bank, S[a], step & 1)
            return NEXT
        va = walker.table_entry(S, bank, S[a], step & 1)
    pa, status = translate(S, va, LOAD)
    if status != 0 or va & 7:
        note_instruction(S, M, pc, delay_slot)
        take_address_exception(S, status if status != 0 else EXCCODE_ADEL, pa if status & ROOT else va, pc, delay_slot)
        return RAISED
    offset = host_offset(M, pa)
    if offset < 0:
        return raise_in(S, M, 0, EXCCODE_DBE, 0, pc, delay_slot)
    value = ld64(M[m.RAM] + offset)
    if helper == LDDIR:
        S[a] = value
    else:
        walker.load_entry(S, bank, value, step & 1)
    return NEXT


@jit
def csr_number(S, helper, a, b):
    """Which configuration register an instruction of that group names."""
    return S[a if CSR_WRITES[helper] else b] & 0xFFFFFFFF


@jit
def reaches_copy(S, helper, a, b):
    """Whether a guest's access to a configuration register is one of its own stable timer, which root has lent it."""
    if CSR_BYTES[helper] != 8 or CSR_OF_GUEST[helper]:
        return False
    is_lent = S[C0_GUESTCTL0] & GT != 0 and S[C0_CONFIG6] & CONFIG6_EXTIMER != 0
    return is_lent and stable.has_copy(csr_number(S, helper, a, b))


@jit
def access_copy(S, helper, a, b, cycle):
    """A read or write of the guest context's copy of a configuration register. TIMER_TICKS cannot be written."""
    number = csr_number(S, helper, a, b)
    if not stable.has_copy(number):
        return STOP
    timer.catch_up(S, cycle)
    if CSR_WRITES[helper]:
        if number == stable.TIMER_CFG:
            upper = S[state.GUEST_STABLE_CFG] & ~0xFFFFFFFF
            timer.set_guest_stable(S, cycle, S[b] if CSR_BYTES[helper] == 8 else upper | S[b] & 0xFFFFFFFF)
        return SOONER
    value = S[state.GUEST_STABLE_CFG] if number == stable.TIMER_CFG else stable.ticks_left(S, cycle)
    S[a] = value if CSR_BYTES[helper] == 8 else sign32(value)
    return NEXT


@jit
def finish_csr(S, uop):
    """RDCSR or DRDCSR, once the value has arrived."""
    value = S[state.BOUNCE]
    S[(uop >> 16) & 0xFF] = value if S[state.ACCESS_SIZE] == 8 else sign32(value)


@jit
def run_helper(S, M, helper, uop, word, pc, delay_slot, cycle):
    """Carries out one instruction at `pc`. `uop` holds its register slots, `word` is the instruction. Returns what the
    loop is to do: NEXT, SOONER (and something may be due sooner now), JUMP (PC is set), WAIT, STOP (not modelled),
    RAISED (an exception was taken), READ_CSR or WRITE_CSR (the access that ACCESS_PA, ACCESS_SIZE and BOUNCE describe
    leaves the core)."""
    bank = S[state.BANK]
    if not UNPRIVILEGED[helper] and mode_of(S[bank + C0_STATUS]) != KERNEL and not (S[bank + C0_STATUS] & ST_CU0):
        reserved = helper == HYPCALL and S[state.VZ_CHOICES] & HYPCALL_RI
        return raise_in(S, M, bank, EXCCODE_RI if reserved else EXCCODE_CPU, 0, pc, delay_slot)
    if (ROOT_ONLY[helper] and (bank or not has_vz(S))) or (helper == HYPCALL and not bank):
        return raise_in(S, M, bank, EXCCODE_RI, 0, pc, delay_slot)
    a = (uop >> 16) & 0xFF
    b = (uop >> 24) & 0xFF
    number = cp0_number(word)
    is_move = MFC0 == helper or DMFC0 == helper or MTC0 == helper or DMTC0 == helper
    value = 0
    if helper == RDHWR:
        value, allowed = read_hardware(S, number >> 3, cycle)
        if not allowed:
            return raise_in(S, M, bank, EXCCODE_RI, 0, pc, delay_slot)
    if bank:
        if is_move:
            reason = move_exit(S, number, 1 if helper == MTC0 or helper == DMTC0 else 0, S[a])
        elif reaches_copy(S, helper, a, b):
            return access_copy(S, helper, a, b, cycle)
        else:
            reason = instruction_exit(S, helper, word)
        if reason != NONE:
            note_instruction(S, M, pc, delay_slot)
            leave_guest(S, reason, pc, delay_slot)
            return RAISED
    if is_move:
        return move(S, helper, a, number, cycle)
    if OWN_TLB[helper] or GUEST_TLB[helper]:
        whose, own = (bank, OWN_TLB[helper]) if OWN_TLB[helper] else (state.GUEST, GUEST_TLB[helper])
        if not operate_tlb(S, whose, own, S[C0_GUESTCTL1] & ID if bank else (S[C0_GUESTCTL1] >> RID_SHIFT) & ID):
            return raise_in(S, M, bank, EXCCODE_MCHECK, 0, pc, delay_slot)
    elif MFGC0 == helper or DMFGC0 == helper or MTGC0 == helper or DMTGC0 == helper:
        move_guest(S, helper, a, number, cycle)
    elif helper == ERET:
        return_from_exception(S)
        return JUMP
    elif helper == DI or helper == EI:
        S[a] = sign32(S[bank + C0_STATUS])
        S[bank + C0_STATUS] = (S[bank + C0_STATUS] & ~ST_IE) | (ST_IE if helper == EI else 0)
    elif helper == RDHWR:
        S[a] = value
    elif helper == CPUCFG_ID:
        n = S[b] & 0xFFFFFFFF
        S[a] = CPUCFG[n] if n < 8 else 0
        if n == 1:
            S[a] |= S[state.CPUCFG1]
        elif n == 2:
            S[a] |= S[state.CPUCFG2]
    elif (helper == LDDIR or helper == LDPTE) and has_vz(S):
        return walk(S, M, helper, a, b, word, pc, delay_slot)
    elif CSR_OF_GUEST[helper]:
        return access_copy(S, helper, a, b, cycle) if has_vz(S) else STOP
    elif CSR_BYTES[helper] != 0:
        S[state.ACCESS_PA], S[state.ACCESS_SIZE] = csr_number(S, helper, a, b), CSR_BYTES[helper]
        if not CSR_WRITES[helper]:
            return READ_CSR
        S[state.BOUNCE] = S[b]
        return WRITE_CSR
    elif helper == DRDTIME:
        S[b] = S[C0_EBASE] & EBASE_CPUNUM  # the counter's ID: that of the core
        S[a] = stable.counter(S, cycle)
    elif helper == RDPGPR or helper == WRPGPR:
        S[a] = S[b]  # one shadow set: the previous set is this one
    elif helper == WAIT_ID:
        return WAIT
    elif helper == CACHE or helper == SYNCI:
        return NEXT  # stores reach instruction fetch by themselves
    else:
        return STOP
    return NEXT
