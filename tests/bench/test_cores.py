"""Busy cores: that they are busy, what is counted, and the least speed that many cores keep."""

from __future__ import annotations

import pytest

from soc.bench import cores, tables
from soc.bench.cores import Cores
from soc.bench.errors import BenchError
from soc.timing import Timing

WINDOW = Timing().core.ticks(Timing().core_window)


def test_every_core_does_its_share():
    for result in cores.by_count(2, 100_000, (1, 3, 5)):
        assert result.window_ps == Timing().core_window
        assert 100_000 <= result.instructions < 100_000 + (WINDOW + 2) * result.cores
        assert len(result.cpu_s) == 2 and all(spent > 0 for spent in result.cpu_s)
        assert result.mips > 0


def test_the_windows_are_those_asked_for():
    rows = cores.by_window(1, 50_000, ("25 ns", "10 us"))
    assert [(row.cores, row.window_ps) for row in rows] == [(1, Timing().core_window), (4, 25_000), (4, 10_000_000)]


def test_cores_that_are_not_busy_are_no_measurement(monkeypatch, tmp_path):
    guest = tmp_path / "lazy.S"
    guest.write_text("_start: b _start\nnop\n")
    monkeypatch.setattr(cores, "GUEST", guest)
    with pytest.raises(BenchError, match=r"of 3 busy cores these are not: \[1, 2\]"):
        cores.by_count(1, 1000, (3,))
    guest.write_text("_start: wait 0\n")
    with pytest.raises(BenchError, match=r"of 1 busy cores these are not: \[0\]"):
        cores.by_count(1, 1000, (1,))


def test_costs_are_by_round_and_per_instruction():
    one, four = Cores(1, 100_000, 800, [1.0, 3.0, 2.0]), Cores(4, 100_000, 1600, [4.0, 8.0, 6.0])
    assert four.costs(one) == pytest.approx([2.0, 8 / 6, 1.5])
    _, first, second = tables.cores([one, four])
    assert (first[0], first[-3:]) == ("1", ("1.00", "1.00", "1.00"))
    assert (second[0], second[-3:]) == ("4", ("1.50", "1.33", "2.00"))
    # 1600 instructions in windows of 80 cycles are 20 turns.
    assert four.turn_ns == pytest.approx(6.0 / 20 * 1e9)


@pytest.mark.slow  # host time: a loaded host could fail it
def test_an_instruction_of_four_busy_cores_costs_at_most_1_3_times_one_of_a_lone_core():
    # Rounds interleave the two; the fastest round of each is the one the host disturbed least.
    one, four = cores.by_count(9, 4_000_000, (1, 4))
    assert (min(four.cpu_s) / four.instructions) / (min(one.cpu_s) / one.instructions) <= 1.3
