"""Parameters, expectations and artefacts of scenarios."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass

import pytest

import scenarios
from scenarios.registry import Run, Scenario, scenario
from soc.errors import ConfigurationError


@scenario(rounds=3, name="x")
def example(run, rounds, name):
    """An example."""
    run.show(f"{rounds} {name}")
    run.expect(rounds, below=10, above=0, what="rounds")


def test_parameters_have_defaults_and_can_be_given(capsys):
    assert example().shown == ["3 x"]
    assert example(rounds=5).shown == ["5 x"]
    assert capsys.readouterr().out == "3 x\n5 x\n"
    assert example.scenario_defaults == {"rounds": 3, "name": "x"}
    assert example.__doc__ == "An example."


def test_unknown_and_wrong_parameters_are_refused():
    with pytest.raises(ConfigurationError, match="unknown parameter 'round'; allowed: rounds, name, out"):
        example(round=1)
    with pytest.raises(ConfigurationError, match="rounds = 'many' is of type str; allowed: int, such as 3"):
        example(rounds="many")


def test_expectations_decide_whether_a_run_is_ok():
    assert example(rounds=5).ok
    bad = example(rounds=11)
    assert not bad.ok and bad.failures == ["rounds is 11; expected: below 10"]
    assert not bad


def test_a_time_in_ps_is_compared_with_text():
    run = Run("x", {})
    run.expect(999_999, below="1 us")
    assert run.ok
    run.expect(1_000_000, below="1 us", what="p99")
    assert run.failures == ["p99 is 1000000; expected: below '1 us'"]


@dataclass
class FakeResult:
    virtual_s: float = 0.001
    wall_s: float = 0.5
    mips: float = 12.5
    exits: int = 7
    ended: str = "poweroff"
    trace_hash: str = "0123456789abcdef"

    def as_dict(self):
        return asdict(self)


def test_artefacts_are_kept_in_the_folder(tmp_path):
    run = Run("x", {"rounds": 4}, tmp_path / "out")
    run.result(FakeResult())
    assert run.shown[0].startswith("x  4 rounds  virtual 1.000 ms  wall 0.50 s  12.5 MIPS  7 exits  ended poweroff")
    assert json.loads((tmp_path / "out" / "result.json").read_text())["exits"] == 7
    example(out=tmp_path / "other")
    assert (tmp_path / "other" / "shown.txt").read_text() == "3 x\n"


@pytest.mark.parametrize("end", [KeyboardInterrupt, ConfigurationError("no such thing")])
def test_what_was_shown_is_kept_however_the_run_ends(end, tmp_path):
    @scenario()
    def cut_off(run):
        run.show("first", "second")
        raise end

    with pytest.raises(end if isinstance(end, type) else type(end)):
        cut_off(out=tmp_path)
    assert (tmp_path / "shown.txt").read_text() == "first\nsecond\n"


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match=r"cannot keep anything in .*file/out: Not a directory"):
        example(out=tmp_path / "file" / "out")


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_an_artefact_in_whose_place_something_else_is_is_told(make, tmp_path):
    make(tmp_path / "shown.txt")
    with pytest.raises(ConfigurationError, match=r"cannot keep anything in .*: shown\.txt is no regular file"):
        example(out=tmp_path)


def test_listing_and_loading():
    assert "first_light" in scenarios.list_scenarios()
    assert isinstance(scenarios.load("first_light"), Scenario)
    with pytest.raises(ConfigurationError, match=r"unknown scenario 'nothing'; allowed: .*first_light"):
        scenarios.load("nothing")
