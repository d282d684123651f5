"""Where the cases of a differential run live in the guest's memory, and the state block of one case.

A case owns a code slot and a state block. The runner loads the registers from the block, jumps to the code, and the
code's tail jumps back to `done`, where the runner stores the registers into the same block.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

SLOTS = 8192
CODE_SLOT = 256
BLOCK = 2048

# Offsets in a state block; every item is 8 bytes.
GPR = 0x000
HI = 0x100
LO = 0x108
FCSR = 0x110
VECTOR = 0x118  # offset of the exception vector taken, plus 1; 0: none
CAUSE = 0x120
EPC = 0x128
BADVADDR = 0x130
STATUS = 0x138
CODE = 0x140
NEXT = 0x148
LINK = 0x150
SAVED = 0x158  # two registers of the refill handler
MSACSR = 0x168
CONFIG5 = 0x170
VECTORS = 0x200  # the MSA registers, 16 bytes each; the FPRs are their lower halves
SCRATCH = 0x400
SCRATCH_BYTES = 256
STATE_BYTES = SCRATCH + SCRATCH_BYTES  # what is used of a block

MSAEN = 1 << 27  # of Config5

# The runner keeps its place in k1 and uses k0: the cases leave both alone.
RESERVED = (26, 27)


@dataclass(frozen=True)
class Layout:
    """Virtual addresses of the parts; all in one 256 MB region, so that J reaches them."""

    name: str
    runner: int
    done: int
    code: int
    blocks: int
    kernel: bool  # on a bare machine: traps are seen, and the runner's own addresses are in kseg0
    window: int | None = None  # user mode: virtual address at which the TLB shows physical address 0
    quirks: bool = True  # the cases avoid what QEMU does in its own way

    def code_slot(self, slot: int) -> int:
        # Half a slot off, so that a case crosses an address that is a multiple of 256: a block boundary of the core.
        return self.code + CODE_SLOT // 2 + slot * CODE_SLOT

    def block(self, slot: int) -> int:
        # Likewise, so that every second scratch area crosses a page.
        return self.blocks + 0x380 + slot * BLOCK

    def physical(self, address: int) -> int:
        """Physical address of a virtual one, of a bare machine."""
        return address & 0x1FFFFFFF if self.window is None or address >> 63 else address - self.window

    def runner_address(self, address: int) -> int:
        """The address at which the runner reaches what a case has at `address`."""
        return address if self.window is None else KSEG0 + self.physical(address)

    def scratch(self, slot: int) -> int:
        return self.block(slot) + SCRATCH


USER = Layout("user", 0x10000000, 0x10002000, 0x10100000, 0x11000000, kernel=False)
KSEG0 = 0xFFFFFFFF80000000
KERNEL = Layout("kernel", KSEG0 + 0x1000, KSEG0 + 0x2000, KSEG0 + 0x100000, KSEG0 + 0x800000, kernel=True)
# For comparing our own sides alone.
OWN = Layout("own", KERNEL.runner, KERNEL.done, KERNEL.code, KERNEL.blocks, kernel=True, quirks=False)
WINDOW = 0x1230000000
WINDOW_BITS = 25
MAPPED = Layout("mapped", KSEG0 + 0x1000, KSEG0 + 0x2000, WINDOW + 0x100000, WINDOW + 0x800000, True, WINDOW)
# In user mode without 64-bit addresses (Status.UX = 0).
NARROW_WINDOW = 0x40000000
NARROW = Layout(
    "narrow", KSEG0 + 0x1000, KSEG0 + 0x2000, NARROW_WINDOW + 0x100000, NARROW_WINDOW + 0x800000, True, NARROW_WINDOW
)


@dataclass(frozen=True)
class Result:
    """The state a case ends with. `vector`: offset of the exception vector taken, None: the case came to its end."""

    gpr: tuple[int, ...]
    hi: int
    lo: int
    fcsr: int
    msacsr: int
    vectors: tuple[int, ...]
    scratch: bytes
    vector: int | None = None
    cause: int | None = None
    epc: int | None = None
    badvaddr: int | None = None


# Cause: BD, CE (for CpU only) and ExcCode. BadVAddr is set by address errors and TLB exceptions alone.
BD, CE, EXCCODE = 1 << 31, 3 << 28, 31 << 2
SETS_BADVADDR = (1, 2, 3, 4, 5, 19, 20)
COPROCESSOR_UNUSABLE = 11


def result(gpr, hi, lo, fcsr, msacsr, vectors, scratch, vector=None, cause=0, epc=0, badvaddr=0) -> Result:
    """A Result in which what the architecture leaves undefined is masked."""
    gpr = tuple(0 if n in RESERVED else v for n, v in enumerate(gpr))
    state = (gpr, hi, lo, fcsr & 0xFFFFFFFF, msacsr & 0xFFFFFFFF, tuple(vectors), bytes(scratch))
    if vector is None:
        return Result(*state)
    code = cause >> 2 & 31
    cause &= BD | EXCCODE | (CE if code == COPROCESSOR_UNUSABLE else 0)
    return Result(*state, vector, cause, epc, badvaddr if code in SETS_BADVADDR else None)


def pack_block(case, next_block: int) -> bytes:
    """The state block that the runner loads for `case`."""
    block = bytearray(BLOCK)
    struct.pack_into("<32Q", block, GPR, *case.gpr)
    struct.pack_into("<3Q", block, HI, case.hi, case.lo, case.fcsr)
    struct.pack_into("<3Q", block, STATUS, case.status, case.start, next_block)
    struct.pack_into("<2Q", block, MSACSR, case.msacsr, case.config5)
    for n, value in enumerate(case.vectors):
        block[VECTORS + 16 * n : VECTORS + 16 * n + 16] = value.to_bytes(16, "little")
    block[SCRATCH : SCRATCH + SCRATCH_BYTES] = case.scratch
    return bytes(block)


def unpack_block(block: bytes) -> Result:
    """The result that the runner left in a state block."""
    vector, cause, epc, badvaddr = struct.unpack_from("<4Q", block, VECTOR)
    return result(
        struct.unpack_from("<32Q", block, GPR),
        *struct.unpack_from("<3Q", block, HI),
        *struct.unpack_from("<Q", block, MSACSR),
        [int.from_bytes(block[at : at + 16], "little") for at in range(VECTORS, VECTORS + 16 * 32, 16)],
        block[SCRATCH : SCRATCH + SCRATCH_BYTES],
        vector - 1 if vector else None,
        cause,
        epc,
        badvaddr,
    )
