"""Loads, stores, LL/SC, the left/right forms, prefetch and SYNC.

Source: MIPS Architecture For Programmers, volume II (MD00087). Ordinary accesses may be unaligned on this core; LL/SC
may not. Little endian. A load to r0 is a prefetch on this core, and Linux uses it as one.
"""

from __future__ import annotations

from collections.abc import Callable

from cpu.isa.table import Flow, insn, row


def address(i):
    return i.base + i.offset


def _plain_load(name: str, opcode: str, size: int, signed: bool, op64: bool = False) -> None:
    @insn(f"{name} rt, offset(base)", f"{opcode} base:5 rt:5 offset:s16", prefetch="rt", op64=op64)
    def load(i):
        i.rt = i.load(address(i), size, signed)


def _plain_store(name: str, opcode: str, size: int) -> None:
    @insn(f"{name} rt, offset(base)", f"{opcode} base:5 rt:5 offset:s16", op64=size == 8)
    def store(i):
        i.store(address(i), size, i.rt)


_plain_load("lb", "100000", 1, True)
_plain_load("lh", "100001", 2, True)
_plain_load("lw", "100011", 4, True)
_plain_load("lbu", "100100", 1, False)
_plain_load("lhu", "100101", 2, False)
_plain_load("lwu", "100111", 4, False, op64=True)
_plain_load("ld", "110111", 8, True, op64=True)
_plain_store("sb", "101000", 1)
_plain_store("sh", "101001", 2)
_plain_store("sw", "101011", 4)
_plain_store("sd", "111111", 8)


# Left and right parts: the access is to the aligned unit of `size` bytes, the fault reports the address itself.
def load_left(i, where, old, size: int):
    """The lower part of the unit, up to `where`, as the upper part of `old`."""
    shift = (~where & (size - 1)) << 3
    memory = i.load(where & -size, size, bad=where)
    return (memory << shift) | (old & ((i.const(1) << shift) - 1))


def load_right(i, where, old, size: int):
    """The upper part of the unit, from `where` on, as the lower part of `old`."""
    shift = (where & (size - 1)) << 3
    memory = i.load(where & -size, size, signed=False, bad=where)
    return (memory >> shift) | (old & ~(i.const((1 << 8 * size) - 1) >> shift))


def store_left(i, where, value, size: int) -> None:
    shift = (~where & (size - 1)) << 3
    taken = i.const((1 << 8 * size) - 1) >> shift
    value = value.zext(32) if size == 4 else value
    i.modify(where & -size, size, lambda old: (old & ~taken) | (value >> shift), bad=where)


def store_right(i, where, value, size: int) -> None:
    shift = (where & (size - 1)) << 3
    i.modify(where & -size, size, lambda old: (old & ((i.const(1) << shift) - 1)) | (value << shift), bad=where)


def _load_part(name: str, opcode: str, size: int, part: Callable) -> None:
    @insn(f"{name} rt, offset(base)", f"{opcode} base:5 rt:5 offset:s16", prefetch="rt", op64=size == 8)
    def load(i):
        merged = part(i, address(i), i.rt, size)
        i.rt = merged.word if size == 4 else merged


def _store_part(name: str, opcode: str, size: int, part: Callable) -> None:
    @insn(f"{name} rt, offset(base)", f"{opcode} base:5 rt:5 offset:s16", op64=size == 8)
    def store(i):
        part(i, address(i), i.rt, size)


_load_part("lwl", "100010", 4, load_left)
_load_part("lwr", "100110", 4, load_right)
_load_part("ldl", "011010", 8, load_left)
_load_part("ldr", "011011", 8, load_right)
_store_part("swl", "101010", 4, store_left)
_store_part("swr", "101110", 4, store_right)
_store_part("sdl", "101100", 8, store_left)
_store_part("sdr", "101101", 8, store_right)


# Load linked, store conditional: the store succeeds while the link bit stands, the address is the same and memory holds
# what was read. Exceptions return by ERET, which clears the bit.
def _linked(name: str, opcode: str, size: int) -> None:
    @insn(f"{name} rt, offset(base)", f"{opcode} base:5 rt:5 offset:s16", prefetch="rt", op64=size == 8)
    def load_linked(i):
        where = address(i)
        value = i.load(where, size, aligned=True)
        i.llbit = i.const(1)
        i.lladdr = where
        i.llval = value
        i.rt = value


def _conditional(name: str, opcode: str, size: int) -> None:
    @insn(f"{name} rt, offset(base)", f"{opcode} base:5 rt:5 offset:s16", op64=size == 8)
    def store_conditional(i):
        where, new = address(i), i.rt
        linked, expected, holds = i.llbit, i.llval, (i.lladdr == where)
        success = []

        def exchange(old):
            success.append((linked != 0) & holds & (old.sext(8 * size) == expected))
            return success[0].choose(new, old)

        i.modify(where, size, exchange, aligned=True)
        i.llbit = i.const(0)
        i.rt = success[0].value


_linked("ll", "110000", 4)
_linked("lld", "110100", 8)
_conditional("sc", "111000", 4)
_conditional("scd", "111100", 8)


@insn("sync stype", "000000 00000 00000 00000 stype:5 001111", timing="sync")
def sync(i):
    """Memory is sequentially consistent here: nothing to wait for."""


@insn("pref hint, offset(base)", "110011 base:5 hint:5 offset:s16")
def pref(i):
    """A hint; also hint 30 (prepare for store) leaves memory alone."""


@insn("prefx hint, index(base)", "010011 base:5 index:5 hint:5 00000 001111", unit="fpu", timing="alu")
def prefx(i):
    """A hint."""


row("synci offset(base)", "000001 base:5 11111 offset:s16", flow=Flow.BOUNDARY, helper="synci", timing="cache")
row("cache op, offset(base)", "101111 base:5 op:5 offset:s16", flow=Flow.BOUNDARY, helper="cache", timing="cache")
