"""Loads and stores of devices that KVM carries out for a guest: which there are, and what becomes of a register.

Source: Linux 6.1: arch/mips/kvm/emulate.c (kvm_mips_emulate_load, kvm_mips_emulate_store, kvm_mips_complete_mmio_load).
"""

from __future__ import annotations

import numpy as np

from cpu.engine.intrinsics import shr
from cpu.engine.jit import jit

# Major opcodes.
LDL, LDR = 0x1A, 0x1B
LB, LH, LWL, LW, LBU, LHU, LWR, LWU = range(0x20, 0x28)
SB, SH, SWL, SW, SDL, SDR, SWR = range(0x28, 0x2F)
LD, SD = 0x37, 0x3F

# mmio_needed: how the value of a load enters the register.
ZERO_EXTEND, SIGN_EXTEND, LWL_0, LWR_0, LDL_0, LDR_0, GS_LOAD = 1, 2, 3, 7, 11, 19, 27

LOADS = {
    LD: (8, SIGN_EXTEND), LWU: (4, ZERO_EXTEND), LW: (4, SIGN_EXTEND), LHU: (2, ZERO_EXTEND), LH: (2, SIGN_EXTEND),
    LBU: (1, ZERO_EXTEND), LB: (1, SIGN_EXTEND),
}  # fmt: skip
PART_LOADS = {LWL: (4, LWL_0), LWR: (4, LWR_0), LDL: (8, LDL_0), LDR: (8, LDR_0)}
STORES = {SD: 8, SW: 4, SH: 2, SB: 1}
"""Size by opcode, of loads with what is needed; of a load of a part, for its first byte."""
WORD = 0xFFFFFFFF

LOAD_SIZE, LOAD_NEEDED, PART, STORE_SIZE = (np.zeros(64, np.int64) for _ in range(4))
"""The same by opcode, 0 where there is none. PART: 1 for a load of a part."""
for _opcode, (_size, _needed) in (LOADS | PART_LOADS).items():
    LOAD_SIZE[_opcode], LOAD_NEEDED[_opcode], PART[_opcode] = _size, _needed, _opcode in PART_LOADS
for _opcode, _size in STORES.items():
    STORE_SIZE[_opcode] = _size


@jit
def completed(needed, size, old, data):
    """The register `old` after a load of `size` bytes that gave `data`, both signed (cpu/kvm/emulate.py: complete)."""
    if needed == ZERO_EXTEND:
        return data if size == 8 else data & (1 << 8 * size) - 1
    if needed == SIGN_EXTEND or needed >= GS_LOAD:
        return extended(data, 8 * size)
    if needed >= LDR_0:
        shift = 8 * (needed - LDR_0)
        return old & ~shr(-1, shift) | shr(data, shift)
    if needed >= LDL_0:
        shift = 8 * (7 - (needed - LDL_0))
        return old & (1 << shift) - 1 | data << shift
    if needed >= LWR_0:
        shift = 8 * (needed - LWR_0)
        if shift == 0:
            return extended(data, 32)
        return old & WORD & ~(WORD >> shift) | (data & WORD) >> shift
    shift = 8 * (3 - (needed - LWL_0))
    return extended(data << shift, 32) | old & (1 << shift) - 1


@jit
def extended(value, bits):
    """`signed` in 64 bits."""
    return value << 64 - bits >> 64 - bits
