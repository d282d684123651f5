"""docs/differential-testing.md shows the figures of its record file; the runs it records are what it says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.oracles import agreement, record

DOCS = Path(__file__).resolve().parents[2] / "docs"
RECORDS = json.loads((DOCS / "differential-testing.json").read_text())


def test_the_tables_are_those_of_the_record_file():
    assert record.page(RECORDS) in (DOCS / "differential-testing.md").read_text()


def test_ten_million_sequences_without_a_difference():
    assert sum(run["sequences"] for run in RECORDS) >= 10_000_000
    assert [run["differences"] for run in RECORDS] == [0] * len(RECORDS)
    assert all(set(run["tiers"]) == {"threaded", "stencil"} and run["on reference"] for run in RECORDS)
    assert "no case came up" not in RECORDS[0]["never"]


def test_the_command_says_what_differs_and_leaves_a_record(monkeypatch, tmp_path, capsys):
    tally = agreement.Tally(sequences=agreement.BATCH, on_reference=5, differences=1, shown=["this differs"])
    tally.coverage.note("daddu", 7)
    tally.coverage.note_exception("daddu", "RI", 2)
    monkeypatch.setattr(agreement, "run_round", lambda seed, every, numbers: tally)
    path = tmp_path / "record.json"
    assert agreement.main(["--sequences", "1", "--seed", "9", "--rows", "--record", str(path)]) == 1
    told = capsys.readouterr().out
    assert "this differs" in told and "RI 2" in told
    (run,) = json.loads(path.read_text())
    assert (run["seed"], run["sequences"], run["differences"]) == (9, agreement.BATCH, 1)
    assert run["groups"]["integer"] == {"rows": 1, "ran": 7, "rarest": ["daddu", 7], "raised": 2}
    assert "| 9 | 8,192 | 5 | 7 | 1 | 1 | 0 |" in record.page([run])


@pytest.mark.parametrize("option", ["--sequences", "--every", "--jobs"])
def test_the_command_refuses_what_is_nothing_to_run(option, capsys):
    with pytest.raises(SystemExit):
        agreement.main([option, "0"])
    assert f"{option} is 0; it must be at least 1" in capsys.readouterr().err
