"""Emulation of guest instructions that KVM must carry out itself: where the guest goes on, and loads and stores of
devices.

Source: Linux 6.1: arch/mips/kvm/emulate.c. The instruction word comes from BadInstr and the branch before it from
BadInstrP; guest memory is never read for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from errno import EINVAL
from typing import NamedTuple

from cpu.cp0.fields import CAUSE_BD
from cpu.kvm.errors import KvmError
from cpu.vz.device_access import GS_LOAD, LOADS, PART_LOADS, SDL, SDR, STORES, SWL, SWR, completed
from cpu.words import M64, signed

# Major opcodes.
SPECIAL, REGIMM, J, JAL, BEQ, BNE, BLEZ, BGTZ = range(8)
BEQL, BNEL, BLEZL, BGTZL = range(0x14, 0x18)
LDC2, SDC2 = 0x36, 0x3E
JR, JALR = 0x08, 0x09


class Access(NamedTuple):
    """A load or store of a device: `address` is guest physical; a load goes to `register` by `needed`."""

    address: int
    size: int
    is_store: bool
    value: int = 0
    register: int = 0
    needed: int = 0


def after(pc: int, cause: int, branch: int, gprs: Sequence[int]) -> tuple[int, tuple[int, int] | None]:
    """Where the guest goes on behind the instruction an exit reports: (pc, (register, value) that the branch links).

    `pc` is the exit's EPC, `branch` is BadInstrP, `gprs` are the guest's registers, signed. KvmError (EINVAL) where KVM
    does not know the branch.
    """
    if not cause & CAUSE_BD:
        return pc + 4 & M64, None
    return _target(pc, branch, gprs)


def _target(pc: int, word: int, gprs: Sequence[int]) -> tuple[int, tuple[int, int] | None]:
    """kvm_compute_return_epc"""
    if pc & 3:
        raise KvmError(EINVAL, f"a branch at the unaligned pc {pc:#x}")
    op, rs, rt, rd = word >> 26, word >> 21 & 31, word >> 16 & 31, word >> 11 & 31
    a, b = int(gprs[rs]), int(gprs[rt])
    behind, there = pc + 8 & M64, pc + 4 + (signed(word, 16) << 2) & M64
    link = None
    if op == SPECIAL and word & 63 in (JR, JALR):
        link = (rd, behind) if word & 63 == JALR else None
        return a & M64, link
    if op == REGIMM and not rt & 0xC:
        # BLTZ, BGEZ, their likely forms, and with bit 4 those that link.
        link = (31, behind) if rt & 0x10 else None
        taken = (a < 0) != bool(rt & 1)
    elif op in (J, JAL):
        link = (31, behind) if op == JAL else None
        return (pc + 4) & ~0xFFFFFFF | (word & 0x3FFFFFF) << 2, link
    elif op in (BEQ, BEQL):
        taken = a == b
    elif op in (BNE, BNEL):
        taken = a != b
    elif op in (BLEZ, BLEZL) and rt == 0:
        taken = a <= 0
    elif op in (BGTZ, BGTZL) and rt == 0:
        taken = a > 0
    else:
        raise KvmError(EINVAL, f"no branch KVM computes: {word:#010x} at {pc:#x}")
    return there if taken else behind, link


def load(word: int, address: int) -> Access:
    """The load `word` of a device at guest physical `address` (kvm_mips_emulate_load). KvmError for another opcode."""
    op, rt = word >> 26, word >> 16 & 31
    if op in LOADS:
        size, needed = LOADS[op]
        return Access(address, size, False, register=rt, needed=needed)
    if op in PART_LOADS:
        size, first = PART_LOADS[op]
        return Access(address & -size, size, False, register=rt, needed=first + address % size)
    if op == LDC2 and word & 7 <= 3:
        return Access(address, 1 << (word & 7), False, register=rt, needed=GS_LOAD + (word & 7))
    raise KvmError(EINVAL, f"a load KVM does not emulate: {word:#010x}")


def store(word: int, address: int, gprs: Sequence[int], stale: int = 0) -> Access:
    """The store `word` (kvm_mips_emulate_store). `stale` is what run->mmio.data still holds: the partial stores put
    their bytes into it, without reading the device. KvmError for another opcode."""
    op, value = word >> 26, int(gprs[word >> 16 & 31])
    if op in STORES:
        size = STORES[op]
    elif op == SDC2 and word & 7 <= 3:
        size = 1 << (word & 7)
    elif op in (SWL, SDL):
        size = 4 if op == SWL else 8
        upper = 8 * (size - 1 - address % size)
        whole = (1 << 8 * size) - 1
        merged = stale & whole & ~(whole >> upper) | (value & whole) >> upper
        return Access(address & -size, size, True, merged)
    elif op in (SWR, SDR):
        size = 4 if op == SWR else 8
        lower = 8 * (address % size)
        whole = (1 << 8 * size) - 1
        merged = stale & ((1 << lower) - 1) | (value << lower) & whole
        return Access(address & -size, size, True, merged)
    else:
        raise KvmError(EINVAL, f"a store KVM does not emulate: {word:#010x}")
    return Access(address, size, True, value & (1 << 8 * size) - 1)


def complete(access: Access, old: int, data: int) -> int:
    """The register's new value, signed, when a device answers a load with `data` (kvm_mips_complete_mmio_load).

    `old` is its value. A partial LWR leaves bits 63:32 zero, as the source has it and a core would not.
    """
    return completed(access.needed, access.size, old, signed(data))
