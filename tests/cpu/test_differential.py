"""The instruction table and the tiers of the core, compared with QEMU on random instruction sequences."""

from __future__ import annotations

import shutil
from dataclasses import replace
from itertools import count

import pytest

from cpu.engine.code_buffer import usable
from cpu.isa import TABLE
from cpu.isa.vectors import IntVector
from tests.oracles import layout as at
from tests.oracles import qemu
from tests.oracles.compare import describe, explained, shrink
from tests.oracles.fuzz import fuzz
from tests.oracles.interpreter import MachineError, run_case
from tests.oracles.layout import KERNEL, MAPPED, NARROW, OWN, USER
from tests.oracles.sequences import BRANCHES, JUMPS, LEFT_OUT, generate, rows
from tests.oracles.tiers import TierError, open_tier

SEED = 20260
FAST = ("stencil", "threaded") if usable() else ("threaded",)
TIERS = ("int", *FAST, "reference")

needs_user = pytest.mark.skipif(
    shutil.which(qemu.USER_PROGRAM) is None, reason=f"{qemu.USER_PROGRAM} is not installed (Debian: qemu-user)"
)
needs_system = pytest.mark.skipif(
    shutil.which(qemu.SYSTEM_PROGRAM) is None,
    reason=f"{qemu.SYSTEM_PROGRAM} is not installed (Debian: qemu-system-mips)",
)


def agree(tier: str, layout, sequences: int) -> None:
    report = fuzz(sequences, SEED, layout, open_tier(tier, layout), stop_after=3)
    assert not report.unexplained, "\n\n".join([report.summary(), *report.unexplained])
    assert set(report.instructions) == set(rows(layout)), "some rows never came up"


@needs_user
@pytest.mark.qemu
def test_the_int_backend_agrees_with_user_mode_qemu():
    agree("int", USER, 2000)


@needs_system
@pytest.mark.qemu
@pytest.mark.parametrize("tier", TIERS)
def test_a_tier_agrees_with_bare_metal_qemu(tier):
    agree(tier, KERNEL, 5000 if tier in FAST else 1500)


@needs_system
@pytest.mark.qemu
@pytest.mark.parametrize("tier", [*FAST, "reference"])
@pytest.mark.parametrize("layout", [MAPPED, NARROW], ids=lambda layout: layout.name)
def test_a_tier_agrees_with_qemu_in_user_mode_behind_the_tlb(tier, layout):
    agree(tier, layout, 2000 if tier == "threaded" else 900)


@needs_system
@pytest.mark.qemu
@pytest.mark.slow
@pytest.mark.parametrize(("tier", "sequences"), [*((tier, 100_000) for tier in FAST), ("reference", 10_000)])
@pytest.mark.parametrize("layout", [MAPPED, NARROW], ids=lambda layout: layout.name)
def test_a_tier_agrees_with_qemu_in_user_mode_behind_the_tlb_for_long(tier, sequences, layout):
    agree(tier, layout, sequences)


@needs_system
@pytest.mark.qemu
@pytest.mark.slow
@pytest.mark.parametrize(
    ("tier", "sequences"), [*((tier, 200_000) for tier in FAST), ("reference", 20_000), ("int", 50_000)]
)
def test_a_tier_agrees_with_bare_metal_qemu_for_long(tier, sequences):
    agree(tier, KERNEL, sequences)


@needs_user
@pytest.mark.qemu
@pytest.mark.slow
def test_the_int_backend_agrees_with_user_mode_qemu_for_long():
    agree("int", USER, 50_000)


@pytest.mark.parametrize("layout", [USER, KERNEL, MAPPED, NARROW], ids=lambda layout: layout.name)
def test_a_case_depends_on_its_seed_and_number_alone(layout):
    for number in range(50):
        case = generate(layout, SEED, number)
        assert case == generate(layout, SEED, number)
        assert case != generate(layout, SEED + 1, number)


@pytest.mark.parametrize("layout", [USER, KERNEL, MAPPED, NARROW], ids=lambda layout: layout.name)
def test_every_row_comes_up_once_in_a_round(layout):
    names = rows(layout)
    cases = [generate(layout, SEED, number) for number in range(len(names))]
    assert {step.name for case in cases for step in case.steps} == set(names)
    assert not set(names) & set(LEFT_OUT)


@pytest.mark.parametrize("layout", [USER, KERNEL, MAPPED, NARROW], ids=lambda layout: layout.name)
def test_cases_stay_within_what_the_manual_defines(layout):
    for number in range(1000):
        case = generate(layout, SEED, number)
        assert case.is_valid()
        assert case.start + 4 * len(case.words()) <= layout.code_slot(case.slot) + at.CODE_SLOT
        for step, after in zip(case.steps, [*case.steps[1:], None], strict=True):
            if step.row.flow in BRANCHES + JUMPS:
                assert after is not None and after.row.flow not in BRANCHES + JUMPS


def test_a_state_block_carries_a_result_unchanged():
    case = generate(KERNEL, SEED, 1)
    block = at.unpack_block(at.pack_block(case, next_block=0))
    assert block == at.result(case.gpr, case.hi, case.lo, case.fcsr, case.msacsr, case.vectors, case.scratch)


@pytest.mark.parametrize("layout", [KERNEL, OWN], ids=lambda layout: layout.name)
def test_the_tiers_agree_with_the_int_backend_and_count_alike(layout):
    cases = [generate(layout, SEED, number) for number in range(2 * len(rows(layout)))]
    expected = right(cases)
    counts = []
    for tier in ("threaded", "reference"):
        side = open_tier(tier, layout)
        assert [describe(c, r, e) for c, r, e in zip(cases, side(cases), expected, strict=True) if r != e] == []
        counts.append(side.core.instructions)
    assert counts[0] == counts[1] > len(cases)


class Faulty:
    """An operand object whose every effect is a little wrong."""

    def __init__(self, i):
        object.__setattr__(self, "i", i)
        object.__setattr__(self, "bits", count())

    def __getattr__(self, name):
        return getattr(self.i, name)

    def __setattr__(self, name, value):
        # Another bit for each write: a meaning that writes FCSR twice must not undo its own fault.
        setattr(self.i, name, self.wrong(value, 1 << next(self.bits)))

    def wrong(self, value, bit):
        return (value if isinstance(value, IntVector) else self.i.const(0) ^ value) ^ bit

    def store(self, address, size, value, **access):
        self.i.store(address, size, self.wrong(value, 1), **access)

    def modify(self, address, size, function, **access):
        self.i.modify(address, size, lambda old: function(old) ^ 1, **access)

    def trap(self, code, when=None):
        if code == "Tr":
            when = ~when
        self.i.trap({"Sys": "Bp", "Bp": "Sys"}.get(code, code), when)


def faulty(row):
    def meaning(i):
        result = row.meaning(Faulty(i))
        return result if result is None else ~result

    return replace(row, meaning=meaning)


WITHOUT_EFFECT = {"sync", "pref", "prefx", "j", "jal", "jr", "jalr"}


def test_a_wrong_meaning_of_any_row_shows(monkeypatch):
    cases = [generate(KERNEL, SEED, number) for number in range(4 * len(rows(KERNEL)))]
    right = [run_case(case) for case in cases]
    unseen = []
    for name in sorted(set(rows(KERNEL)) - WITHOUT_EFFECT):
        with monkeypatch.context() as patch:
            patch.setitem(TABLE, name, faulty(TABLE[name]))
            holders = [n for n, case in enumerate(cases) if any(step.name == name for step in case.steps)]
            if not any(differs(cases[n], right[n]) for n in holders):
                unseen.append(name)
    assert not unseen


def differs(case, expected) -> bool:
    try:
        return run_case(case) != expected
    except MachineError:
        return True


def wrong_daddu(cases):
    """A side on which DADDU flips bit 0 of its result."""
    row = TABLE["daddu"]
    TABLE["daddu"] = faulty(row)
    try:
        return right(cases)
    finally:
        TABLE["daddu"] = row


def right(cases):
    return [run_case(case) for case in cases]


def test_a_difference_is_shrunk_to_the_instruction_that_causes_it():
    case = next(
        case
        for number in range(5000)
        if len((case := generate(USER, SEED, number)).steps) > 5
        and not case.targets
        and run_case(case).vector is None
        and wrong_daddu([case]) != right([case])
    )
    small, ours, theirs = shrink(case, wrong_daddu, right)
    assert [step.name for step in small.steps] == ["daddu"]
    assert explained(small, ours, theirs) is None
    text = describe(small, ours, theirs)
    assert "daddu" in text and f"gpr[{small.steps[0].get('rd')}]" in text


def test_a_batch_of_the_wrong_layout_is_refused():
    with pytest.raises(qemu.OracleError, match="made for the user layout"):
        qemu.run_system([generate(USER, SEED, 0)])
    with pytest.raises(TierError, match="kernel layout"):
        open_tier("threaded", USER)
    with pytest.raises(TierError, match="no TLB"):
        open_tier("int", MAPPED)


def test_an_empty_batch_is_refused():
    with pytest.raises(qemu.OracleError, match="at least one case"):
        qemu.run_user([])
