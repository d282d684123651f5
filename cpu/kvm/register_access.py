"""The registers of a vCPU by id, as KVM_GET_ONE_REG, KVM_SET_ONE_REG and KVM_GET_REG_LIST give them.

Source: Linux 6.1: arch/mips/kvm/mips.c; the ids are in cpu/kvm/onereg.py, those of CP0 in the back-ends.
"""

from __future__ import annotations

from errno import E2BIG, EINVAL
from typing import TYPE_CHECKING

import numpy as np

from cpu import state
from cpu.cp0.fields import ST_FR
from cpu.isa.fpu import FIR
from cpu.isa.msa_move import MSAIR
from cpu.kvm import fpu, onereg
from cpu.kvm.errors import KvmError
from cpu.words import M32, M64, signed

if TYPE_CHECKING:
    from cpu.kvm.vcpu import Vcpu


def count(vcpu: Vcpu) -> int:
    """The number KVM_GET_REG_LIST reports. With LASX it is 32 too many, as in the source: the list has the 256-bit
    registers in place of the others, the number has both."""
    total = len(onereg.BASE) + vcpu.vm.callbacks.num_regs(vcpu)
    if vcpu.fpu_enabled:
        total += len(onereg.FPU_CONTROL) + 48 + (16 if FIR >> 22 & 1 else 0)
    if vcpu.msa_enabled:
        total += len(onereg.MSA_CONTROL) + 32
    if vcpu.has_lasx:
        total += 32
    return total


def ids(vcpu: Vcpu, room: int | None = None) -> list[int]:
    """KVM_GET_REG_LIST: all ids. E2BIG where the caller has `room` for fewer than `num_regs`."""
    if room is not None and room < count(vcpu):
        raise KvmError(E2BIG, f"room for {room} of {count(vcpu)} registers")
    found = list(onereg.BASE)
    if vcpu.fpu_enabled:
        found += onereg.FPU_CONTROL
        for n in range(32):
            found.append(onereg.fpr_32(n))
            if FIR >> 22 & 1 or not n & 1:
                found.append(onereg.fpr_64(n))
    if vcpu.msa_enabled:
        found += [*onereg.MSA_CONTROL, *vcpu.vm.callbacks.vector_ids(vcpu)]
    return found + vcpu.vm.callbacks.copy_reg_indices(vcpu)


def get(vcpu: Vcpu, number: int) -> int:
    """KVM_GET_ONE_REG, unsigned. EINVAL for an id that this vCPU has not."""
    index, group = number & 0xFFFF, number >> 16 & 0xFF
    if number in onereg.BASE:
        if index < 32:
            return int(vcpu.gprs[index]) & M64
        return {onereg.HI: vcpu.hi, onereg.LO: vcpu.lo, onereg.PC: vcpu.pc}[number] & M64
    if group == onereg.FPU and number >> 60 == 7:
        return _get_fpu(vcpu, number, index)
    return vcpu.vm.callbacks.get_one_reg(vcpu, number)


def put(vcpu: Vcpu, number: int, value: int) -> None:
    """KVM_SET_ONE_REG. Vector registers take their value and drop it, as the kernel's do."""
    index, group = number & 0xFFFF, number >> 16 & 0xFF
    if number & onereg.SIZE_MASK in (onereg.U128, onereg.U256):
        return
    if number in onereg.BASE:
        if 0 < index < 32:
            vcpu.gprs[index] = signed(value)
        elif number == onereg.HI:
            vcpu.hi = signed(value)
        elif number == onereg.LO:
            vcpu.lo = signed(value)
        elif number == onereg.PC:
            vcpu.pc = value & M64
    elif group == onereg.FPU and number >> 60 == 7:
        _set_fpu(vcpu, number, index, value)
    else:
        vcpu.vm.callbacks.set_one_reg(vcpu, number, value)


def lane_of(vcpu: Vcpu, n: int, lane: int) -> tuple[np.ndarray, int]:
    """Where 64 bits of a vector register are now: the core's file while live, else the save area."""
    if vcpu.context.in_use and vcpu.core is not None:
        return vcpu.core.S, state.FPR + state.FPR_STRIDE * n + lane
    return vcpu.context.registers.reshape(-1), fpu.LANES * n + lane


def _double(vcpu: Vcpu, number: int, index: int) -> tuple[np.ndarray, int, int]:
    """Where an FPR_32 or FPR_64 is: (array, place, shift); with FR=0 odd singles are upper halves."""
    wide = number & onereg.SIZE_MASK == onereg.U64
    if not vcpu.gc0("status") & ST_FR:
        if wide and index & 1:
            raise KvmError(EINVAL, f"FPR_64({index}) with Status.FR = 0")
        return *lane_of(vcpu, index & ~1, 0), 32 * (index & 1)
    return *lane_of(vcpu, index, 0), 0


def _need(there: bool, number: int, unit: str) -> None:
    if not there:
        raise KvmError(EINVAL, f"register {number:#x}: the guest has no {unit}")


def _get_fpu(vcpu: Vcpu, number: int, index: int) -> int:
    if number in onereg.MSA_CONTROL or number & onereg.SIZE_MASK in (onereg.U128, onereg.U256):
        _need(vcpu.has_msa, number, "MSA")
        if number == onereg.MSA_IR:
            return MSAIR
        if number == onereg.MSA_CSR:
            return vcpu.context.msacsr
        if number & onereg.SIZE_MASK == onereg.U256:
            _need(vcpu.has_lasx, number, "LASX")
        if not vcpu.gc0("status") & ST_FR or index > 31:
            raise KvmError(EINVAL, f"register {number:#x} with Status.FR = 0")
        places = [lane_of(vcpu, index, lane) for lane in range(onereg.size(number) // 8)]
        return sum((int(array[at]) & M64) << 64 * k for k, (array, at) in enumerate(places))
    _need(vcpu.has_fpu, number, "FPU")
    if number == onereg.FCR_IR:
        return FIR
    if number == onereg.FCR_CSR:
        return vcpu.context.fcr31
    if index > 31:
        raise KvmError(EINVAL, f"no register {number:#x}")
    array, at, shift = _double(vcpu, number, index)
    return int(array[at]) >> shift & (1 << 8 * onereg.size(number)) - 1


def _set_fpu(vcpu: Vcpu, number: int, index: int, value: int) -> None:
    if number in onereg.MSA_CONTROL:
        _need(vcpu.has_msa, number, "MSA")
        if number == onereg.MSA_CSR:
            vcpu.context.msacsr = value & M32
        return
    _need(vcpu.has_fpu, number, "FPU")
    if number == onereg.FCR_CSR:
        vcpu.context.fcr31 = value & M32
    elif number != onereg.FCR_IR:
        if index > 31:
            raise KvmError(EINVAL, f"no register {number:#x}")
        array, at, shift = _double(vcpu, number, index)
        kept = int(array[at]) & ~((1 << 8 * onereg.size(number)) - 1 << shift)
        array[at] = signed(kept | (value & (1 << 8 * onereg.size(number)) - 1) << shift)
