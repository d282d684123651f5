"""MSA: integer comparisons and the branches that test a vector.

Source: MIPS Architecture For Programmers, volume IV-j (MD00868), "Branch and Compare".
"""

from __future__ import annotations

from collections.abc import Callable

from cpu.isa.msa import DF, WIDTHS, immediate, three_registers
from cpu.isa.table import branch


def _compare(name: str, suffix: str, operation: str, field: str, compute: Callable) -> None:
    """All ones where the comparison holds; with a register and with an immediate."""
    three_registers(name + suffix, operation, "001111", lambda a, b: compute(a, b).lanes)
    immediate(f"{name}i{suffix}", operation, "000111", field, lambda a, n: compute(a, n).lanes)


_compare("ceq", "", "000", "s5", lambda a, b: a == b)
_compare("clt", "_s", "010", "s5", lambda a, b: a.slt(b))
_compare("clt", "_u", "011", "u5", lambda a, b: a.ult(b))
_compare("cle", "_s", "100", "s5", lambda a, b: a.sle(b))
_compare("cle", "_u", "101", "u5", lambda a, b: a.ule(b))


@branch("bz.v wt, offset", "010001 01011 wt:5 offset:s16", unit="msa")
def bz_v(i):
    return i.wt.is_zero


@branch("bnz.v wt, offset", "010001 01111 wt:5 offset:s16", unit="msa")
def bnz_v(i):
    return ~i.wt.is_zero


for _df, _width in WIDTHS.items():

    @branch(f"bz.{_df} wt, offset", f"010001 110 {DF[_df]} wt:5 offset:s16", unit="msa")
    def _some_element_is_zero(i, width=_width):
        return (i.wt.of(width) == 0).any

    @branch(f"bnz.{_df} wt, offset", f"010001 111 {DF[_df]} wt:5 offset:s16", unit="msa")
    def _no_element_is_zero(i, width=_width):
        return ~(i.wt.of(width) == 0).any
