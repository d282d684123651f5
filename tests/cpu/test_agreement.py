"""A slice of the long random run (tests/oracles/agreement.py): both fast tiers, the array backend and the reference.

Also the array backend against the int backend, and what a batch of sequences is made of.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cpu.isa import TABLE
from tests.oracles import agreement, lockstep, programs
from tests.oracles.agreement import FAST, compare, run_round
from tests.oracles.arrays import Array, ArrayBool, ArrayMask, ArrayVector
from tests.oracles.interpreter import MachineError, run_case
from tests.oracles.layout import OWN
from tests.oracles.lockstep import Coverage, Lockstep, run_cases
from tests.oracles.programs import Program
from tests.oracles.record import never
from tests.oracles.sequences import generate, rows
from tests.oracles.tiers import TierError, open_tier
from tests.oracles.variants import BATCH, VARIANTS, Batch

SEED = 20261
BATCHES = 2  # every row comes up in them
EXCEPTIONS = {"AdEL", "AdES", "Bp", "CpU", "FPE", "MSADis", "MSAFPE", "Ov", "RI", "Sys", "TLBL", "TLBS", "Tr"}


@pytest.fixture(scope="module")
def tally():
    return run_round(SEED, every=201, numbers=range(BATCHES))


def test_batches_end_alike_on_the_tiers_the_array_backend_and_the_reference(tally):
    assert tally.differences == 0, "\n\n".join(tally.shown)
    assert (tally.sequences, tally.on_reference) == (BATCHES * BATCH, BATCHES * -(-BATCH // 201))


def test_they_carry_out_the_rows_and_raise_every_exception(tally):
    ran, held = set(tally.coverage.ran), set(rows(OWN))
    assert ran <= held and len(ran) > 0.99 * len(held)  # a row may come up only where it is passed by
    assert set(tally.exceptions()) == EXCEPTIONS
    assert "stencil" not in FAST or tally.translated > BATCHES * BATCH
    assert {name for names in never(tally.coverage).values() for name in names} == set(TABLE) - ran


def test_the_array_backend_agrees_with_the_int_backend():
    cases = [generate(OWN, SEED, number) for number in range(len(rows(OWN)))]
    expected = [run_case(case) for case in cases]
    assert [case.number for case, a, b in zip(cases, run_cases(cases), expected, strict=True) if a != b] == []


def test_a_case_of_a_batch_is_the_same_alone():
    batch = Batch(OWN, SEED, 1)
    chosen = range(0, BATCH, 37)
    alone = Program.of([batch.case(n) for n in chosen])
    for name in programs.ARRAYS:
        assert (getattr(alone, name) == getattr(batch.program, name)[chosen]).all(), name


def test_variants_are_other_sequences_of_the_same_rows():
    batch = Batch(OWN, SEED, 2)
    originals = Program.of(batch.originals)
    for name in programs.ARRAYS:
        assert (getattr(originals, name) == getattr(batch.program, name)[::VARIANTS]).all(), name
    assert (batch.program.rows[::VARIANTS] == batch.program.rows[VARIANTS - 1 :: VARIANTS]).all()
    assert all(batch.case(n).is_valid() for n in range(0, BATCH, 41))
    long = batch.program.words[batch.program.lengths > 3 + programs.TAIL]
    assert len(np.unique(long, axis=0)) > 0.99 * len(long)


def test_a_run_depends_on_its_seed_and_batches_alone(monkeypatch):
    monkeypatch.setattr(agreement, "ROUND", 1)
    monkeypatch.setattr(agreement, "run_round", lambda seed, every, numbers: agreement.Tally(sequences=numbers[0]))
    assert [tally.sequences for tally in compare(range(3, 6), SEED)] == [3, 7, 12]


def test_a_wrong_row_is_found_and_shrunk_to_it(monkeypatch):
    def one_more(i):
        i.rd = (i.rs + i.rt).word + 1

    number = programs.ROW_NUMBER["addu"]
    wrong = list(programs.ROWS)
    wrong[number] = replace(wrong[number], meaning=one_more)
    monkeypatch.setattr(lockstep, "ROWS", wrong)
    batch = Batch(OWN, SEED, 0)
    first = (batch.case(n) for n in np.flatnonzero(batch.program.rows[:, 0] == number))
    tier = open_tier("threaded", OWN)
    case = next(case for case in first if tier([case]) != run_cases([case]))
    text = agreement.minimised(case, "threaded")
    assert "addu" in text and "tier threaded" in text and text.count(": ours") == 1


def test_a_program_that_does_not_come_to_its_end_is_a_difference(monkeypatch):
    def fails(tier, program):
        raise TierError("no end")

    monkeypatch.setattr(agreement, "run_tier", fails)
    batch, tally = Batch(OWN, SEED, 0), agreement.Tally()
    for astray in (5, None):

        def side(cases, astray=astray):
            if cases[0].number == astray:
                raise TierError("astray")

        monkeypatch.setattr(agreement, "open_tier", lambda tier, layout, side=side: side)
        agreement.compare_tier(tally, batch, batch.program.blocks, "threaded")
    assert tally.differences == 2
    assert tally.shown[0].startswith("astray\ncase 5 (own)")
    assert tally.shown[1] == "tier threaded, cases 0 to 8191 together, none of them alone: no end"


@pytest.mark.slow
def test_many_batches_end_alike_however_many_processes_there_are():
    *_, alone = compare(range(2, 34), SEED)
    *_, together = compare(range(2, 34), SEED, jobs=2)
    assert alone.differences == 0, "\n\n".join(alone.shown)
    assert alone == together


OPERATIONS = [
    (kind, name)
    for kind in (Array, ArrayBool, ArrayVector, ArrayMask)
    for name, member in vars(kind).items()
    if callable(member) and name not in ("__init__", "__bool__", "other", "_beside", "of")
]


def flipped(result):
    """The result with another lowest bit, or the other truth."""
    if isinstance(result, Array):
        return Array(result.numbers ^ np.uint64(1))
    if isinstance(result, ArrayVector):
        return ArrayVector(result.lanes ^ result.lanes.dtype.type(1))
    if isinstance(result, ArrayBool):
        return ArrayBool(~result.truth)
    return ArrayMask(result.width, ~result.truths)


def shows(program, right) -> bool:
    """Whether the array backend ends the program otherwise than `right`, or not at all."""
    wrong = replace(program, blocks=program.blocks.copy())
    try:
        Lockstep(wrong, Coverage()).run()
    except (MachineError, FloatingPointError, IndexError):
        return True  # far from right: an address, a loop, a divisor or an element that cannot be
    return bool((wrong.blocks != right).any())


def spoiled(operation, called: set):
    def wrong(*operands):
        called.add(operation)
        return flipped(operation(*operands))

    return wrong


@pytest.mark.slow
def test_a_wrong_operation_of_the_value_language_shows(monkeypatch):
    program = Batch(OWN, SEED, 0).program
    right = replace(program, blocks=program.blocks.copy())
    Lockstep(right, Coverage()).run()
    monkeypatch.setattr(lockstep, "MOST_ROUNDS", 2000)
    unseen = []
    for kind, name in OPERATIONS:
        called = set()
        with monkeypatch.context() as patch:
            patch.setattr(kind, name, spoiled(getattr(kind, name), called))
            if not shows(program, right.blocks) and called:
                unseen.append(f"{kind.__name__}.{name}")
    assert unseen == []
