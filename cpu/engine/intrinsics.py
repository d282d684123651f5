"""numba intrinsics over int64: raw memory, logical shifts, unsigned compares, sign extension, calls of code."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

I64 = ir.IntType(64)


def _load(bits: int, signed: bool):
    @intrinsic
    def load(typing, address):
        def generate(context, builder, signature, args):
            pointer = builder.inttoptr(args[0], ir.IntType(bits).as_pointer())
            value = builder.load(pointer)
            value.align = 1
            if bits == 64:
                return value
            return builder.sext(value, I64) if signed else builder.zext(value, I64)

        return types.int64(types.int64), generate

    return load


def _store(bits: int):
    @intrinsic
    def store(typing, address, value):
        def generate(context, builder, signature, args):
            kind = ir.IntType(bits)
            pointer = builder.inttoptr(args[0], kind.as_pointer())
            narrow = args[1] if bits == 64 else builder.trunc(args[1], kind)
            builder.store(narrow, pointer).align = 1
            return context.get_dummy_value()

        return types.void(types.int64, types.int64), generate

    return store


ld8, ld32, ld64 = _load(8, False), _load(32, False), _load(64, False)
st8, st32, st64 = _store(8), _store(32), _store(64)


@intrinsic
def shr(typing, value, count):
    """Logical right shift; counts 0..63."""

    def generate(context, builder, signature, args):
        return builder.lshr(args[0], args[1])

    return types.int64(types.int64, types.int64), generate


@intrinsic
def ult(typing, a, b):
    """Unsigned a < b."""

    def generate(context, builder, signature, args):
        return builder.icmp_unsigned("<", args[0], args[1])

    return types.boolean(types.int64, types.int64), generate


@intrinsic
def sign32(typing, value):
    """The low 32 bits, sign-extended."""

    def generate(context, builder, signature, args):
        return builder.sext(builder.trunc(args[0], ir.IntType(32)), I64)

    return types.int64(types.int64), generate


@intrinsic
def call_code(typing, address, a, b, c, d, e):
    """Calls compiled code at `address` with five int64 arguments."""

    def generate(context, builder, signature, args):
        kind = ir.FunctionType(I64, [I64] * 5).as_pointer()
        return builder.call(builder.inttoptr(args[0], kind), list(args[1:]))

    return types.int64(*[types.int64] * 6), generate
