"""Instructions of a guest under trap and emulate that are replaced in its memory by ones that do not trap.

Source: Linux 5.10: arch/mips/kvm/dyntrans.c. What a register's image answers by itself becomes a load from or a store
to the commpage, a CACHE operation by address a SYNCI. `where` is the guest virtual address of the instruction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cpu.kvm import commpage
from cpu.kvm.inst import ERRCTL
from cpu.kvm.shadow import Fault

if TYPE_CHECKING:
    from cpu.kvm.vcpu import Vcpu

SPECIAL, REGIMM, LW, SW = 0x00, 0x01, 0x23, 0x2B
ADD, SYNCI, NOP = 0x20, 0x1F, 0
RS, RT, RD = 21, 16, 11


def cache_index(vcpu: Vcpu, where: int) -> None:
    """CACHE by index becomes a NOP."""
    _replace(vcpu, where, NOP)


def cache_address(vcpu: Vcpu, where: int, word: int) -> None:
    """CACHE by address becomes SYNCI offset(base)."""
    _replace(vcpu, where, REGIMM << 26 | (word >> RS & 31) << RS | SYNCI << RT | word & 0xFFFF)


def mfc0(vcpu: Vcpu, where: int, rt: int, register: tuple[int, int]) -> None:
    """MFC0 becomes LW rt, place($zero); of ErrCtl ADD rt, $zero, $zero."""
    if register == ERRCTL:
        _replace(vcpu, where, SPECIAL << 26 | rt << RD | ADD)
    else:
        _replace(vcpu, where, LW << 26 | rt << RT | commpage.address_of(*register))


def mtc0(vcpu: Vcpu, where: int, rt: int, register: tuple[int, int]) -> None:
    """MTC0 becomes SW rt, place($zero)."""
    _replace(vcpu, where, SW << 26 | rt << RT | commpage.address_of(*register))


def _replace(vcpu: Vcpu, where: int, word: int) -> None:
    """kvm_mips_trans_replace: through the guest's own mapping, which the store makes dirty; what cannot be written
    stays as it is. Instruction fetch sees it, as after a flush of the instruction cache."""
    if not vcpu.vm.callbacks.dyntrans:
        return
    if vcpu.shadow.fault_in(where, write=True) is not Fault.MAPPED:
        vcpu.vm.log(f"vCPU {vcpu.number}: the instruction at {where:#x} cannot be replaced")
        return
    vcpu.vm.host.cores[0].memory.write(vcpu.shadow.root_address(where), word.to_bytes(4, "little"))
