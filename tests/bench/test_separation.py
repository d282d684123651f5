"""The cost of devices in other processes: what is counted, and that both sides did the same."""

from __future__ import annotations

import pytest

from soc.bench import separation, tables
from soc.bench.errors import BenchError
from soc.bench.separation import Separation


def test_an_access_is_two_messages_and_idle_devices_send_none(monkeypatch):
    monkeypatch.setattr(separation, "ACCESSES", 100)
    monkeypatch.setattr(separation, "IDLE_INSTRUCTIONS", 100_000)
    polled, idle = separation.separation(1)
    # 300 instructions are 100 reads; the first and the last may be cut by the limits.
    assert 98 <= polled.told <= 101 and abs(polled.answered - polled.told) <= 1
    assert (idle.told, idle.answered, idle.added_us, idle.turn_us) == (0, 0, 0.0, 0.0)
    assert all(len(result.here_s) == len(result.there_s) == 1 for result in (polled, idle))


def test_the_figures_are_medians_of_rounds():
    result = Separation("x", 100, 100, [1.0, 2.0, 3.0], [1.1, 2.4, 3.2], [0.01, 0.03, 0.02])
    assert result.overhead == pytest.approx(0.1) and result.turn_us == pytest.approx(200)
    assert result.added_us == pytest.approx(0.2 / 200 * 1e6)
    assert list(tables.separation([result]))[1][-1] == "1000.0"


def test_runs_that_differ_are_no_measurement(monkeypatch):
    def make(place):
        return separation._bare("poll.S" if place == separation.HERE else "busy.S", place)

    with pytest.raises(BenchError, match="the trace hashes differ"):
        separation._round(Separation("x"), make, {"max_insns": 1000})
