"""MSA: element permutes.

Source: MIPS Architecture For Programmers, volume IV-j (MD00868), "Element Permute".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from cpu.isa.msa import DF, DF_N, WIDTHS, accumulating, msa_insn, three_registers
from cpu.isa.vectors import BITS


# Even, odd, left (upper) and right (lower) elements; those of wt come first.
def _pack(first: int) -> Callable:
    """Every second element of both, from number `first` on."""
    return lambda a, b: b.take(range(first, 2 * BITS // b.width, 2), a)


def _interleave(chosen: Callable[[int], Iterable[int]]) -> Callable:
    """Of n elements the `chosen(n)` of both, in turn."""

    def compute(a, b):
        n = BITS // b.width
        return b.take([k + second for k in chosen(n) for second in (0, n)], a)

    return compute


three_registers("pckev", "010", "010100", _pack(0))
three_registers("pckod", "011", "010100", _pack(1))
three_registers("ilvl", "100", "010100", _interleave(lambda n: range(n // 2, n)))
three_registers("ilvr", "101", "010100", _interleave(lambda n: range(n // 2)))
three_registers("ilvev", "110", "010100", _interleave(lambda n: range(0, n, 2)))
three_registers("ilvod", "111", "010100", _interleave(lambda n: range(1, n, 2)))


def vshf(d, a, b):
    """Each element of wd numbers one of wt, then ws; with bit 6 or 7 set it becomes 0."""
    return ((d & 0xC0) != 0).choose(0, b.gather(d, a))


accumulating("vshf", "000", "010101", vshf)


def slide(i, width: int, n):
    """Slides ws after wd, seen as squares of 128 / width columns, n columns (below that number) to the left."""
    columns = BITS // width
    place = i.vector(8, [k % columns for k in range(16)]) + n
    base = i.vector(8, [k - k % columns for k in range(16)])
    numbers = base + place.ult(columns).choose(place, place + (16 - columns))
    return i.ws.of(8).gather(numbers, i.wd.of(8))


for _df, _width in WIDTHS.items():

    @msa_insn(f"sld.{_df} wd, ws[rt]", f"011110 000 {DF[_df]} rt:5 ws:5 wd:5 010100")
    def _sld(i, width=_width):
        i.wd = slide(i, width, i.rt & (BITS // width - 1))

    @msa_insn(f"sldi.{_df} wd, ws[n]", f"011110 0000 {DF_N[_df]} ws:5 wd:5 011001")
    def _sldi(i, width=_width):
        i.wd = slide(i, width, i.n)

    @msa_insn(f"splat.{_df} wd, ws[rt]", f"011110 001 {DF[_df]} rt:5 ws:5 wd:5 010100")
    def _splat(i, width=_width):
        i.wd = i.splat(width, i.ws.of(width).lane(i.rt & (BITS // width - 1)))

    @msa_insn(f"splati.{_df} wd, ws[n]", f"011110 0001 {DF_N[_df]} ws:5 wd:5 011001")
    def _splati(i, width=_width):
        i.wd = i.splat(width, i.ws.of(width).lane(i.n))


# Within groups of four elements, by the four pairs of bits of an immediate.
for _df, _width in (("b", 8), ("h", 16)):

    @msa_insn(f"shf.{_df} wd, ws, i8", f"011110 {DF[_df]} i8:8 ws:5 wd:5 000010")
    def _shf(i, width=_width):
        groups, mask = i.ws.of(4 * width), (1 << width) - 1
        chosen = [((groups >> (i.i8.bits(2 * k, 2) * width)) & mask) << (k * width) for k in range(4)]
        i.wd = chosen[0] | chosen[1] | chosen[2] | chosen[3]


@msa_insn("shf.w wd, ws, i8", "011110 10 i8:8 ws:5 wd:5 000010")
def shf_w(i):
    i.wd = i.vector(32, [i.ws.of(32).lane(i.i8.bits(2 * k, 2)) for k in range(4)])
