"""Words of 32 and 64 bits as Python integers: masks, and two's complement."""

from __future__ import annotations

M32 = 0xFFFFFFFF
M64 = (1 << 64) - 1


def signed(value: int, bits: int = 64) -> int:
    """The low `bits` of `value` as a two's complement number: with 64, as a slot of the state array holds it."""
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def fits(value: object, bits: int) -> bool:
    """Whether `value` is a number of so many bits, signed or unsigned, or one of 64 bits that its sign has extended."""
    return type(value) is int and -(1 << 63) <= value <= M64 and -(1 << bits - 1) <= signed(value) < 1 << bits
