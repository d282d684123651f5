"""The first scenario: the counts are right, every hop is there, and the same run gives the same hash."""

from __future__ import annotations

import json
import re

import pytest

from scenarios import load
from soc.errors import ConfigurationError

HOPS = ("uart.irq edge to ls3a_router_irq", "to cpu0", "handler to end of interrupt", "total")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folders = [tmp_path_factory.mktemp("first_light") for _ in range(2)]
    return [(load("first_light")(rounds=20, out=folder), folder) for folder in folders]


def test_every_round_had_its_interrupts(runs):
    run, _ = runs[0]
    assert run.ok, run.failures
    assert "timer interrupts 20, UART transmit interrupts 20, characters received" in run.shown[0]


def test_the_table_has_every_hop_of_every_interrupt(runs):
    _, folder = runs[0]
    table = (folder / "latency.txt").read_text()
    for hop in HOPS:
        assert hop in table
    (total,) = re.findall(r"^total +(\d+)", table, re.MULTILINE)
    assert int(total) >= 20


def test_typed_characters_were_received(runs):
    run, _ = runs[0]
    (received,) = re.findall(r"characters received (\d+)", run.shown[0])
    assert int(received) > 0


def test_the_same_run_gives_the_same_hash(runs):
    hashes = {json.loads((folder / "result.json").read_text())["trace_hash"] for _, folder in runs}
    assert len(hashes) == 1


def test_rounds_out_of_range_are_refused():
    with pytest.raises(ConfigurationError, match="rounds = 0; allowed: 1 to 10000000"):
        load("first_light")(rounds=0)
