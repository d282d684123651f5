"""The IEEE arithmetic against Python's floats and exact rationals; the int backend against the IR backend."""

from __future__ import annotations

import ctypes
import math
import random
import struct
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpu.isa.ir import DECLARATIONS, Emitter, Ir, RoutineOperands, Routines
from cpu.isa.softfloat import (
    DIVIDE_BY_ZERO,
    DOWN,
    INEXACT,
    INVALID,
    NEAREST,
    OVERFLOW,
    TOWARD_ZERO,
    UNDERFLOW,
    UP,
    D,
    Format,
    S,
    square_root,
)
from cpu.isa.values import Int, IntOperands
from tests.cpu.fpu_rig import floating

FS = 1 << 24
OPERANDS = IntOperands(None, {})
doubles = st.floats(allow_nan=False)


def bits(x: float) -> int:
    return struct.unpack("<Q", struct.pack("<d", x))[0]


def value(n: int) -> float:
    return struct.unpack("<d", struct.pack("<Q", n))[0]


def run(function, *arguments: int) -> tuple[int, ...]:
    return tuple(result.n for result in OPERANDS.call(function, *arguments))


def result(function, *arguments: int) -> int:
    return run(function, *arguments)[0]


def same(ours: int, wanted: float) -> None:
    """Python's NaN stands for the default NaN."""
    assert ours == (D.default_nan if math.isnan(wanted) else bits(wanted)), (value(ours), wanted)


@given(doubles, doubles)
def test_addition_and_subtraction_round_like_the_host(x, y):
    same(result(D.add, bits(x), bits(y), 0, NEAREST), x + y)
    same(result(D.add, bits(x), bits(y), 1, NEAREST), x - y)


@given(doubles, doubles)
def test_multiplication_rounds_like_the_host(x, y):
    same(result(D.mul, bits(x), bits(y), NEAREST), x * y)


@given(doubles, doubles.filter(bool))
def test_division_rounds_like_the_host(x, y):
    same(result(D.div, bits(x), bits(y), NEAREST), x / y)


@given(st.floats(min_value=0.0, allow_infinity=False))
def test_square_root_rounds_like_the_host(x):
    same(result(D.sqrt, bits(x), NEAREST), math.sqrt(x))


@given(doubles, doubles)
def test_comparison_orders_like_the_host(x, y):
    relation = {(True, False): 4, (False, True): 2, (False, False): 0}[(x < y, x == y)]
    assert run(D.compare, bits(x), bits(y), 0) == (relation, 0)


@given(st.integers(-(1 << 63), (1 << 63) - 1))
def test_integers_convert_like_the_host(n):
    same(result(D.from_integer, n, NEAREST), float(n))


@given(st.floats(min_value=-(2.0**62), max_value=2.0**62))
def test_truncation_is_that_of_the_host(x):
    wanted = int(x)
    assert run(D.to_integer, bits(x), TOWARD_ZERO, 64) == (wanted % (1 << 64), INEXACT if wanted != x else 0)


@given(st.floats(width=32, allow_nan=False))
def test_a_single_survives_the_way_through_double(x):
    single = struct.unpack("<I", struct.pack("<f", x))[0]
    assert run(D.from_other, single, NEAREST) == (bits(x), 0)
    assert run(S.from_other, bits(x), NEAREST) == (single, 0)


def exact(fmt: Format, a: int) -> Fraction:
    power = (a >> fmt.fraction & fmt.top) or 1
    raw = a & (fmt.hidden - 1) | (fmt.hidden if a >> fmt.fraction & fmt.top else 0)
    return Fraction(raw) * Fraction(2) ** (power - fmt.bias - fmt.fraction) * (-1 if a & fmt.sign_bit else 1)


@pytest.mark.parametrize("fmt", [S, D], ids=["single", "double"])
@pytest.mark.parametrize("mode", [TOWARD_ZERO, UP, DOWN])
def test_directed_rounding_brackets_the_exact_result(fmt, mode):
    rng = random.Random(mode)
    checked = 0
    for _ in range(400):
        a, b = floating(rng, fmt.width), floating(rng, fmt.width)
        if max(a & ~fmt.sign_bit, b & ~fmt.sign_bit) >= fmt.infinity:
            continue
        for function, wanted in (
            ((fmt.add, a, b, 0, mode), exact(fmt, a) + exact(fmt, b)),
            ((fmt.mul, a, b, mode), exact(fmt, a) * exact(fmt, b)),
            ((fmt.div, a, b, mode), exact(fmt, a) / exact(fmt, b) if exact(fmt, b) else None),
        ):
            if wanted is None:
                continue
            rounded, flags = run(*function)
            if flags & OVERFLOW:
                assert abs(wanted) > exact(fmt, fmt.largest)
                continue
            got = exact(fmt, rounded)
            assert bool(flags & INEXACT) == (got != wanted)
            if got != wanted:
                assert got > wanted if mode == UP else got < wanted if mode == DOWN else abs(got) < abs(wanted)
                beyond = exact(fmt, rounded + (1 if abs(got) < abs(wanted) else -1))
                assert (abs(beyond) - abs(wanted)) * (abs(got) - abs(wanted)) < 0, "a nearer one lies on that side"
            checked += 1
    assert checked > 500


@pytest.mark.parametrize("fmt", [S, D], ids=["single", "double"])
class TestSpecialCases:
    def test_infinities_of_opposite_sign_cancel_into_the_default_nan(self, fmt):
        assert run(fmt.add, fmt.infinity, fmt.infinity, 1, 0) == (fmt.default_nan, INVALID)

    def test_zero_times_infinity_is_invalid(self, fmt):
        assert run(fmt.mul, 0, fmt.infinity, 0) == (fmt.default_nan, INVALID)

    def test_division_by_zero_is_its_own_flag(self, fmt):
        assert run(fmt.div, fmt.one | fmt.sign_bit, 0, 0) == (fmt.infinity | fmt.sign_bit, DIVIDE_BY_ZERO)
        assert run(fmt.div, 0, 0, 0) == (fmt.default_nan, INVALID)
        assert run(fmt.div, fmt.infinity, 0, 0) == (fmt.infinity, 0)

    def test_root_of_a_negative_number_is_invalid_but_of_minus_zero_is_not(self, fmt):
        assert run(fmt.sqrt, fmt.one | fmt.sign_bit, 0) == (fmt.default_nan, INVALID)
        assert run(fmt.sqrt, fmt.sign_bit, 0) == (fmt.sign_bit, 0)

    def test_a_nan_with_the_quiet_bit_set_signals(self, fmt):
        quiet, signalling = fmt.infinity | 1, fmt.infinity | fmt.quiet_bit
        assert run(fmt.add, quiet, fmt.one, 0, 0) == (fmt.default_nan, 0)
        assert run(fmt.add, signalling, fmt.one, 0, 0) == (fmt.default_nan, INVALID)
        assert run(fmt.compare, quiet, fmt.one, 0) == (1, 0)
        assert run(fmt.compare, quiet, fmt.one, 1) == (1, INVALID)
        assert run(fmt.compare, signalling, fmt.one, 0) == (1, INVALID)

    def test_exact_cancellation_is_minus_zero_only_when_rounding_down(self, fmt):
        assert [result(fmt.add, fmt.one, fmt.one, 1, mode) for mode in range(4)] == [0, 0, 0, fmt.sign_bit]

    @pytest.mark.parametrize("mode", range(4))
    def test_overflow_gives_infinity_or_the_largest_by_mode(self, fmt, mode):
        for sign in (0, fmt.sign_bit):
            to_infinity = mode == NEAREST or (mode == UP and not sign) or (mode == DOWN and bool(sign))
            wanted = (fmt.infinity if to_infinity else fmt.largest) | sign
            assert run(fmt.mul, fmt.largest, fmt.largest | sign, mode) == (wanted, OVERFLOW | INEXACT)

    def test_tininess_is_detected_after_rounding(self, fmt):
        """Just below the smallest normal: what rounds up to it with an unbounded exponent is not tiny."""
        ulp_above, ulp_below, half_ulp_below = fmt.hidden + 1, fmt.one - 2, fmt.one - 1
        assert run(fmt.mul, ulp_above, ulp_below, NEAREST) == (fmt.hidden, INEXACT)
        assert run(fmt.mul, fmt.hidden, half_ulp_below, NEAREST) == (fmt.hidden, UNDERFLOW | INEXACT)

    def test_exact_subnormals_do_not_underflow(self, fmt):
        half = fmt.one - fmt.hidden
        assert run(fmt.mul, fmt.hidden, half, 0) == (fmt.hidden >> 1, 0)

    def test_flush_gives_a_signed_zero(self, fmt):
        half = fmt.one - fmt.hidden
        assert run(fmt.mul, fmt.hidden | fmt.sign_bit, half, FS) == (fmt.sign_bit, 0)
        assert run(fmt.mul, fmt.hidden >> 1, fmt.one + fmt.hidden, FS) == (fmt.hidden, 0), "operands are not flushed"

    @pytest.mark.parametrize("width", [32, 64])
    def test_invalid_conversions_give_the_largest_integer(self, fmt, width):
        largest = (1 << (width - 1)) - 1
        two_to_the_width = fmt.one + (width << fmt.fraction)
        for a in (fmt.infinity, fmt.infinity | fmt.sign_bit, fmt.default_nan, two_to_the_width | fmt.sign_bit):
            assert run(fmt.to_integer, a, 0, width) == (largest, INVALID)
        least = (fmt.one + ((width - 1) << fmt.fraction)) | fmt.sign_bit
        assert run(fmt.to_integer, least, 0, width) == (-(largest + 1) % (1 << 64), 0)


def test_ties_of_conversions_go_to_even():
    wanted = {0.5: 0, 1.5: 2, 2.5: 2, -0.5: 0, -1.5: -2}
    assert {x: Int(result(D.to_integer, bits(x), NEAREST, 64)).sext(64).n for x in wanted} == {
        x: n % (1 << 64) for x, n in wanted.items()
    }


@given(st.integers(0, (1 << 56) - 1))
def test_the_digit_recurrence_is_the_integer_square_root(n):
    root = math.isqrt(n)
    assert run(square_root, n) == (root, n - root * root)


# name, routine, how many operands, what follows them
COMPILED = [
    (f"{name}_{fmt.name}", fmt, getattr(fmt, name), operands, rest)
    for fmt in (S, D)
    for name, operands, rest in (
        ("add", 2, ("bit", "fcsr")),
        ("mul", 2, ("fcsr",)),
        ("div", 2, ("fcsr",)),
        ("sqrt", 1, ("fcsr",)),
        ("compare", 2, ("bit",)),
        ("to_integer", 1, ("mode", "width")),
        ("from_integer", 1, ("fcsr",)),
        ("from_other", 1, ("fcsr",)),
    )
]
REST = {
    "bit": lambda rng: rng.getrandbits(1),
    "mode": lambda rng: rng.randrange(4),
    "width": lambda rng: rng.choice((32, 64)),
    "fcsr": lambda rng: rng.randrange(4) | rng.choice((0, 0, 0, FS)),
}


@pytest.fixture(scope="module")
def compiled():
    """The routines in machine code: name -> f(arguments, results), arrays of 64-bit integers."""
    llvm = pytest.importorskip("llvmlite.binding")
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    routines, wrappers = Routines(), []
    for name, _, function, operands, rest in COMPILED:
        out = Emitter()
        arguments = [
            Ir(out, out.load(out.op(f"getelementptr i64, ptr %in, i64 {k}"))) for k in range(operands + len(rest))
        ]
        for k, answer in enumerate(RoutineOperands(out, routines).call(function, *arguments)):
            out.do(f"store i64 {answer.ssa}, ptr {out.op(f'getelementptr i64, ptr %out, i64 {k}')}")
        body = "\n".join(out.lines)
        wrappers.append(f"define void @{name}(ptr %S, ptr %in, ptr %out) {{\n{body}\n  ret void\n}}")
    module = llvm.parse_assembly("\n".join([DECLARATIONS, routines.text, *wrappers]))
    module.verify()
    machine = llvm.Target.from_default_triple().create_target_machine(opt=2)
    engine = llvm.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    kind = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
    functions = {name: kind(engine.get_function_address(name)) for name, *_ in COMPILED}
    yield functions
    del engine


@pytest.mark.parametrize("name,fmt,function,operands,rest", COMPILED, ids=[entry[0] for entry in COMPILED])
def test_both_backends_agree(compiled, name, fmt, function, operands, rest):
    rng = random.Random(name)
    width = {"from_other": 96 - fmt.width, "from_integer": 64}.get(name[:-2], fmt.width)
    arguments, results = (ctypes.c_uint64 * 4)(), (ctypes.c_uint64 * 2)()
    for _ in range(300):
        first = floating(rng, width)
        given_ = [first, floating(rng, width, first >> (23 if width == 32 else 52) & fmt.top)][:operands]
        given_ += [REST[kind](rng) for kind in rest]
        arguments[: len(given_)] = given_
        compiled[name](None, arguments, results)
        assert tuple(results) == run(function, *given_), given_
