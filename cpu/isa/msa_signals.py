"""MSA floating point: what an operation on elements does to MSACSR, and how it traps.

Every element is computed for itself. Its exceptions go into Cause; when one of them is enabled the instruction traps,
or, with NX (non-trapping) set, the element becomes a signalling NaN with its exceptions in the lowest six bits, and
Cause hears nothing of them. Without a trap Flags collect Cause. FS replaces subnormal operands and tiny results by
zero.

Source: MIPS Architecture For Programmers, volume IV-j (MD00868), "Floating-Point Exceptions"; where the manual leaves
it open as qemu-mips64el does it (target/mips/tcg/msa_helper.c: update_msacsr).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cpu.isa.fpu import CAUSE, ENABLES, FLAGS
from cpu.isa.softfloat import INEXACT, UNDERFLOW
from cpu.isa.softfloat2008 import FLUSHED, Format2008
from cpu.isa.values import routine

# MSACSR has its fields where FCSR has them.
MSACSR_WRITABLE = 0x0107FFFF  # FS, NX, Cause, Enables, Flags, RM
FS, NX = 1 << 24, 1 << 18

# How an operation departs from the usual.
SUBNORMAL_OPERANDS_ARE_EXACT = 1  # as comparisons see them
EXACT_UNDERFLOW = 2  # with Underflow enabled an exact subnormal result raises it

_settlers: dict[Format2008, Callable] = {}


def settler(fmt: Format2008) -> Callable:
    """The routine (result, flags, squashed, actions, msacsr) -> (element, its part of Cause) of a result format.

    `squashed` is SUBNORMAL_OPERANDS_ARE_EXACT when FS made an operand zero, else 0."""
    if fmt not in _settlers:

        @routine
        def settle(i, result, flags, squashed, actions, msacsr):
            enables = msacsr >> ENABLES
            flags = ((flags & FLUSHED) != 0).choose(UNDERFLOW | INEXACT, flags)
            exact = (squashed & actions) != 0
            flags = (squashed != 0).choose(exact.choose(flags & ~INEXACT, flags | INEXACT), flags)
            tiny = fmt.is_subnormal(fmt.low(result)) & ((actions & EXACT_UNDERFLOW) != 0)
            flags = flags | (tiny.value & enables.bits(1, 1)) << 1
            enabled = (flags & enables) != 0
            silent = enabled & ((msacsr & NX) != 0)
            return enabled.choose(flags | fmt.infinity, result), silent.choose(0, flags)

        settle.__name__ = f"settle_{fmt.name}"
        _settlers[fmt] = settle
    return _settlers[fmt]


@dataclass(frozen=True)
class Element:
    """What a routine of `element` is made from. Its operands are all as wide as `source`. While MSACSR enables no
    exception and has FS clear, result and flags are those of `compute`."""

    source: Format2008
    compute: Callable


def element(
    name: str,
    source: Format2008,
    to: Format2008,
    compute: Callable,
    actions: int = EXACT_UNDERFLOW,
    floating: int | None = None,
) -> Callable:
    """The routine (operands..., msacsr) -> (element, its part of Cause) for compute(i, operands..., msacsr).

    The first `floating` operands (all when None) have format `source`; `compute` sees what FS leaves of them and gives
    (result, flags).

    The routine's attribute `element` lets a tier do without it: `compute` takes vectors as well."""

    @routine
    def operation(i, *operands):
        *operands, msacsr = operands
        squashed, flush = i.const(0), (msacsr & FS) != 0
        for k, a in enumerate(operands[:floating]):
            tiny = flush & source.is_subnormal(source.low(a))
            squashed = squashed | tiny.choose(SUBNORMAL_OPERANDS_ARE_EXACT, 0)
            operands[k] = tiny.choose(a & source.sign_bit, a)
        result, flags = compute(i, *operands, msacsr)
        return i.call(settler(to), result, flags, squashed, actions, msacsr)

    operation.__name__ = f"{name}_{source.name}"
    operation.element = Element(source, compute)
    return operation


def deliver(i, width: int, operation: Callable, columns: Sequence[Sequence], *values) -> None:
    """Ends an instruction whose wd has elements of `width` bits: what a routine of `element` gives for those in
    `columns`, a list for each operand, with `values` and MSACSR behind them."""
    results, cause = i.each(operation, columns, *values, i.msacsr)
    msacsr = i.msacsr.insert(CAUSE, 6, cause)
    enabled = (cause & (msacsr >> ENABLES)) != 0
    i.msacsr = enabled.choose(msacsr, msacsr | (cause << FLAGS))
    i.trap("MSAFPE", when=enabled)
    i.wd = i.vector(width, results)
