"""The commpage of trap and emulate: a page in which the kernel of a guest finds the image of its CP0.

It is mapped in the guest's kernel mode alone, where a 16-bit offset from $zero reaches it, so that a load or store can
stand for a move from or to CP0 (cpu/kvm/dyntrans.py). Source: Linux 5.10: arch/mips/kvm/commpage.[ch],
arch/mips/include/asm/kvm_host.h.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cpu.kvm.uapi import PAGE_SIZE

if TYPE_CHECKING:
    from cpu.memory import Memory

ADDRESS = 0x8000 - PAGE_SIZE
"""Guest virtual address of the page."""
REGISTERS = 256


def is_in(gva: int) -> bool:
    """Whether an address is in the page."""
    return gva & -PAGE_SIZE == ADDRESS


def address_of(register: int, select: int) -> int:
    """Guest virtual address of the 64-bit word of a CP0 register; its low half is the first."""
    return ADDRESS + 8 * (8 * register + select)


def image(memory: Memory, address: int) -> np.ndarray:
    """The words of the commpage at root physical `address`, 8 * register + select, all zero: what is written to them is
    in the guest's memory, and the other way round."""
    memory.write(address, bytes(PAGE_SIZE))
    first = memory.offset(address)
    return memory.image[first : first + 8 * REGISTERS].view(np.int64)
