"""What is counted and what is compared before it is counted, with contestants made up here."""

from __future__ import annotations

from dataclasses import replace

import pytest

from soc.bench import tables
from soc.bench.contest import Contestant, contest, geometric_mean, pair
from soc.bench.errors import BenchError
from soc.bench.runs import Outcome


def make(count: int) -> bytes:
    return str(count).encode()


@pytest.fixture
def asked() -> list[tuple[str, int]]:
    """Who ran how many iterations, in order."""
    return []


@pytest.fixture
def contestants(asked):
    """Called with name to iterations: they take 1 s to start, 20 ms for an iteration (QEMU: 0.5 s, 10 ms, no count)."""

    def contestant(name: str, iterations: int, output: str = "sum {}\n") -> Contestant:
        start, each, counts = (0.5, 0.01, False) if name == "QEMU" else (1.0, 0.02, True)

        def run(path) -> Outcome:
            count = int(path.read_bytes())
            asked.append((name, count))
            result = {"instructions": len(name) + 1000 * count} if counts else {}
            # The host does something else half of the time.
            return Outcome(2 * (start + count * each), output.format(count), result, start + count * each)

        return Contestant(name, run, make, iterations)

    return contestant


def test_start_up_cancels_out_and_contestants_take_turns(contestants, asked):
    both = [contestants("threaded", 101), contestants("QEMU", 101)]
    threaded, other = contest(both, 2)
    one_round = [("threaded", 1), ("threaded", 101), ("QEMU", 1), ("QEMU", 101)]
    assert asked == [("threaded", 1), ("QEMU", 1), *one_round, *one_round]
    assert threaded.instructions == other.instructions == 100_000
    assert threaded.engine_s == [pytest.approx(2.0)] * 2
    assert threaded.mips == pytest.approx(0.05)
    assert threaded.whole_mips == pytest.approx(0.1 / 6.04)
    assert threaded.each_ns == pytest.approx(20e6)


def test_who_counts_no_instructions_does_those_of_the_same_length(contestants, asked):
    threaded, other = contest([contestants("threaded", 101), contestants("QEMU", 51)], 1)
    assert (threaded.instructions, other.instructions) == (100_000, 50_000)
    assert asked.count(("threaded", 51)) == 1, "not measured, only counted"


def test_starts_may_differ_in_instructions_but_the_work_may_not(contestants):
    results = contest([contestants("stencil", 11), contestants("guest", 11)], 1)
    assert {result.instructions for result in results} == {10_000}
    odd = contestants("odd", 11)
    run = odd.run
    more = replace(odd, run=lambda path: replace(run(path), result={"instructions": int(path.read_bytes()) * 7}))
    with pytest.raises(BenchError, match="11 iterations: 10000 instructions on guest, 70 instructions on odd"):
        contest([contestants("guest", 11), more], 1)


def test_nothing_is_compared_when_the_outputs_differ(contestants):
    with pytest.raises(BenchError, match=r"1 iterations: threaded prints 'sum 1\\n', QEMU prints 'other 1\\n'"):
        contest([contestants("threaded", 5), contestants("QEMU", 5, "other {}\n")], 1)


def test_ratios_are_per_round_and_per_instruction(contestants):
    found = pair("double", contestants("threaded", 101), contestants("QEMU", 51), 2)
    assert (found.name, found.ratios) == ("double", [pytest.approx(0.5)] * 2)
    assert geometric_mean([found, found]) == pytest.approx(0.5)
    *_, last = tables.compute([found])
    assert last[0] == "geometric mean" and last[-3] == "0.50"


def test_without_qemu_there_is_no_ratio(contestants):
    found = pair("calls", contestants("threaded", 5), None, 1)
    assert found.ratios == []
    assert [row[0] for row in tables.compute([found])] == ["program", "calls"]


def test_a_host_too_busy_to_measure_is_named(contestants):
    with pytest.raises(BenchError, match="calls: a start took longer"):
        pair("calls", contestants("threaded", 1), None, 1)
