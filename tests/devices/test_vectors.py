"""Every behavioural vector of the register reference is run, or says why not."""

import logging

import pytest

from tests.devices.vector_bench import Bench
from tests.devices.vectors import CORRECTED, NOT_REPRODUCED, ON_MACHINE, VECTORS

COUNTS = {"P": 28, "H": 8, "R": 10, "X": 2, "E": 15, "I": 16, "T": 12, "V": 13, "G": 7}
"""Rows per chapter of section 12 of the reference."""
DROPS_ON_PURPOSE = {("P03", "kvm"), ("H08", "kvm")}


@pytest.mark.parametrize("vector", [pytest.param(vector, id=f"{vector.name}-{vector.mode}") for vector in VECTORS])
def test_vector(vector):
    bench = Bench(vector.mode)
    bench.run(vector)
    undecoded = {name: dict(device.undecoded) for name, device in bench.board.devices.items() if device.undecoded}
    assert bool(undecoded) == ((vector.name, vector.mode) in DROPS_ON_PURPOSE), undecoded


def test_every_vector_is_run_or_says_why_not():
    expected = {f"{chapter}{n:02}" for chapter, count in COUNTS.items() for n in range(1, count + 1)}
    run = {vector.name for vector in VECTORS} | set(ON_MACHINE)
    assert run | NOT_REPRODUCED.keys() == expected
    assert not run & NOT_REPRODUCED.keys()
    assert run >= CORRECTED.keys()


def test_a_row_that_does_not_hold_is_reported_with_its_source():
    wrong = next(vector for vector in VECTORS if vector.name == "P01")._replace(steps="R8 0=1")
    with pytest.raises(AssertionError, match=r"P01: R8 0=1 .7A1000 manual.*0x3f000107000000"):
        Bench("hw").run(wrong)


def test_e06_warns_once(caplog):
    bench = Bench("hw")
    with caplog.at_level(logging.WARNING):
        bench.run(next(vector for vector in VECTORS if vector.name == "E06"))
        bench.board.vector("ext.message", 4)
    assert [record.getMessage() for record in caplog.records] == [
        "Ls3aExtIrq: IPMAP[0] is 0: pending vectors of that group reach no pin"
    ]
