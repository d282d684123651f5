"""The FPU's rows: exceptions, FCSR, register halves, and what is named but not modelled."""

from __future__ import annotations

import itertools

import pytest

from cpu.isa import TABLE
from tests.cpu.fpu_rig import Case, Machine, Stub, execute

ONE, ZERO, TINY = 0x3FF0000000000000, 0, 1
ENABLE_DIVIDE_BY_ZERO, FLAG_INEXACT = 1 << 10, 1 << 2
CAUSE_DIVIDE_BY_ZERO, FLAG_DIVIDE_BY_ZERO = 1 << 15, 1 << 5
FD = 0x1122334455667788


def machine(fcsr: int = 0, fs: int = 0, ft: int = 0, rt: int = 0, rs: int = 0) -> Machine:
    return Machine(Case(0, fcsr, FD, fs, ft, 0, rt, (0, 0), rs, 0))


def step(name: str, on: Machine, exception: str = "FPE", **fields: int) -> int:
    return execute(Stub(TABLE[name], fields), on, exception)


def test_a_disabled_exception_sets_cause_and_flag_and_writes_the_result():
    m = machine(FLAG_INEXACT, ONE, ZERO)
    assert step("div.d", m) == 0
    assert m.slots["fcsr"] == FLAG_INEXACT | CAUSE_DIVIDE_BY_ZERO | FLAG_DIVIDE_BY_ZERO
    assert m.fpr[8] == 0x7FF0000000000000


def test_an_enabled_exception_sets_cause_only_and_leaves_the_destination():
    m = machine(ENABLE_DIVIDE_BY_ZERO | FLAG_INEXACT, ONE, ZERO)
    assert step("div.d", m) == 1
    assert m.slots["fcsr"] == ENABLE_DIVIDE_BY_ZERO | FLAG_INEXACT | CAUSE_DIVIDE_BY_ZERO
    assert m.fpr[8] == FD


def test_the_next_operation_clears_cause_but_not_flags():
    m = machine(CAUSE_DIVIDE_BY_ZERO | FLAG_DIVIDE_BY_ZERO, ONE, ONE)
    step("add.d", m)
    assert m.slots["fcsr"] == FLAG_DIVIDE_BY_ZERO


def test_a_comparison_that_raises_leaves_its_condition_code():
    m = machine(1 << 23 | 1 << 11, fs=0x7FF0000000000001, ft=ONE)
    assert step("c.lt.d", m, cc=0) == 1
    assert m.slots["fcsr"] == 1 << 23 | 1 << 11 | 1 << 16


@pytest.mark.parametrize("cc,position", [(0, 23), (1, 25), (7, 31)])
def test_a_comparison_writes_its_own_condition_code(cc, position):
    m = machine(fs=TINY, ft=ONE)
    step("c.olt.d", m, cc=cc)
    assert m.slots["fcsr"] == 1 << position
    step("c.eq.d", m, cc=cc)
    assert m.slots["fcsr"] == 0


def test_a_single_result_leaves_the_upper_half():
    m = machine(fs=0x40000000, ft=0xDEADBEEF40400000)
    step("mul.s", m)
    assert m.fpr[8] == FD & 0xFFFFFFFF00000000 | 0x40C00000


def test_the_madd_family_rounds_the_product_first():
    """(1 + 2^-52)^2 - (1 + 2^-51) is 2^-104 when fused, 0 when the product is rounded."""
    m = machine(fs=ONE + 1, ft=ONE + 1)
    m.fpr[6] = ONE + 2
    step("msub.d", m)
    assert m.fpr[8] == 0
    assert m.slots["fcsr"] == 1 << 12 | FLAG_INEXACT


def test_ctc1_writes_what_is_writable_and_raises_what_it_enables():
    m = machine(rt=0xFFFFFFFF)
    assert step("ctc1", m, fcr=31) == 1
    assert m.slots["fcsr"] == 0xFF83FFFF
    m = machine(rt=0x1F << 7 | 0x1F << 2)
    assert step("ctc1", m, fcr=31) == 0


def test_msacsr_raises_its_own_exception():
    m = machine(rs=1 << 7 | 1 << 12)
    assert step("ctcmsa", m, exception="MSAFPE", cd=1) == 1
    assert m.slots["msacsr"] == 1 << 7 | 1 << 12


def test_rows_do_not_overlap_but_for_the_catch_alls():
    catch_alls = ("gslwc2", "gsswc2", "lasx")
    rows = [row for row in TABLE.values() if row.name not in catch_alls]
    fpu = [row for row in rows if row.unit]
    overlapping = [
        (a.name, b.name)
        for a, b in itertools.product(fpu, rows)
        if a is not b and (a.match ^ b.match) & a.mask & b.mask == 0
    ]
    assert not overlapping


def test_both_halves_of_a_pair_signal_together():
    m = machine(ENABLE_DIVIDE_BY_ZERO, fs=0x7F800000_3F800000, ft=0xFF800000_3F800001)
    assert step("add.ps", m) == 0
    assert m.fpr[8] == 0x7FBFFFFF_40000000
    assert m.slots["fcsr"] == ENABLE_DIVIDE_BY_ZERO | 1 << 16 | 1 << 12 | 1 << 6 | FLAG_INEXACT
    m = machine(1 << 11, fs=0x7F800000_3F800000, ft=0xFF800000_3F800001)
    assert step("add.ps", m) == 1
    assert m.fpr[8] == FD


def test_a_comparison_of_pairs_writes_two_condition_codes():
    m = machine(1 << 31, fs=0x3F800000_40000000, ft=0x40000000_3F800000)
    step("c.olt.ps", m, cc=2)
    assert m.slots["fcsr"] == 1 << 31 | 1 << 27
    step("c.olt.ps", m, cc=6)
    assert m.slots["fcsr"] == 1 << 31 | 1 << 27


def test_left_and_right_parts_make_an_unaligned_access():
    m = machine(ft=FD)
    m.memory[:] = bytes(range(16))
    step("gsldlc1", m, off8=10)
    step("gsldrc1", m, off8=3)
    assert m.fpr[4] == int.from_bytes(range(3, 11), "little")
    m.fpr[4] = FD
    step("gslwlc1", m, off8=8)
    step("gslwrc1", m, off8=5)
    assert m.fpr[4] == FD >> 32 << 32 | int.from_bytes(range(5, 9), "little")


def test_every_instruction_of_fpu_and_msa_is_modelled():
    assert [row.name for row in TABLE.values() if row.unit in ("fpu", "msa") and not row.meaning] == []
