"""Golden traces without a pytest run: how traces are written down, and how a difference reads."""

import pytest

from soc.errors import ConfigurationError
from soc.kit.golden import Golden, difference, lines_of
from tests.trace.log import Log, uart_interrupt

US = 1_000_000


def trace(delay):
    log = Log()
    uart_interrupt(log, 1 * US, 1, delay=delay)
    uart_interrupt(log, 5 * US, 7, delay=delay)
    return log.done()


def test_a_machines_messages_without_what_changes_with_everything_before():
    lines = lines_of(trace(5000), only=("uart",))
    assert lines[:3] == [
        "        1010.000 ns  uart.irq -> ls3a_router_irq.input[0]  InterruptLevel(level=1)",
        "        1175.000 ns  cpu0.mmio -> uart.mmio  MmioWrite(core=0, space=0, address=0x1000, size=4, value=1)",
        "        1185.000 ns  uart.irq -> ls3a_router_irq.input[0]  InterruptLevel(level=0)",
    ]
    assert not any("cpu0.ip" in line for line in lines)
    assert len(lines_of(trace(5000))) == 2 * 6 > len(lines)


def test_times_alone_are_told_as_such(tmp_path):
    old, new = lines_of(trace(5000)), lines_of(trace(7000))
    text = difference(old, new, tmp_path)
    assert "they part at line 3 (golden 12 lines, now 12)" in text
    assert "the same things happen in the same order; 8 at other times, all by 2.000 ns" in text


def test_a_long_difference_is_cut(tmp_path):
    text = difference([f"{n}" for n in range(9000)], [f"{n + 1}" for n in range(9000)][:-1] + ["x"] * 900, tmp_path)
    assert "they part at line 1 (golden 9000 lines, now 9899)" in text
    assert len(text.splitlines()) < 60


def test_what_was_lost_and_what_is_new_stand_beside_each_other(tmp_path):
    text = difference(["a", "b", "c"], ["a", "x", "c", "d"], tmp_path)
    assert text.splitlines()[3:] == [" a", "-b", "+x", " c", "+d", "", "--update-golden takes what is now"]


def test_a_file_is_written_only_when_it_changes(tmp_path):
    for written in (1, 0):
        golden = Golden(tmp_path / "test_x.py", "test_y[a/b 1]", update=True)
        golden("one\ntwo")
        golden("more", "second")
        assert len(golden.written) == 2 * written
    assert (tmp_path / "golden" / "test_x" / "test_y_a_b_1.txt").read_text() == "one\ntwo\n"
    golden = Golden(tmp_path / "test_x.py", "test_y[a/b 1]", update=False)
    golden(["one", "two"])
    with pytest.raises(ConfigurationError, match="compared twice in one test: give each trace a name"):
        golden("again")
    with pytest.raises(AssertionError, match="not the golden trace"):
        golden("less", "second")


def test_only_is_for_machines(rig):
    rig.device("power")
    with pytest.raises(ConfigurationError, match=r"only=\.\.\.\) is for a machine's trace"):
        lines_of(rig, ("power",))
