"""`assert_latency` on a trace written by hand: limits in all and per hop, and failures that show where time went."""

import re

import pytest

from soc.errors import ConfigurationError
from soc.kit import assert_latency
from tests.trace.log import NS, Log, uart_interrupt

US = 1000 * NS
PIN = "ls3a_router_irq.pin[0]"


@pytest.fixture
def latency():
    """Ten interrupts of the UART; the handler of the last begins 2 us late."""
    log = Log()
    for n in range(10):
        uart_interrupt(log, (10 * n + 1) * US, n + 1, delay=2 * US if n == 9 else 5 * NS)
    return log.done().latency("uart")


def test_limits_that_hold(latency):
    total = latency.total
    assert_latency(latency, below=total.max + 1, count=10)
    assert_latency(latency, below=total.p50 + 1, of="p50")
    assert_latency(latency, hops={"uart.irq edge": "11 ns", "end of interrupt": "1 us"})


def test_a_limit_itself_is_too_much(latency):
    with pytest.raises(AssertionError, match=r"uart: total: max .*; allowed is less than"):
        assert_latency(latency, below=latency.total.max)
    with pytest.raises(AssertionError, match="total: min"):
        assert_latency(latency, below=latency.total.min, of="min")


def test_the_failure_marks_what_is_late_and_tells_the_longest(latency):
    with pytest.raises(AssertionError) as failed:
        assert_latency(latency, below="2 us", hops={"cpu0 handler to": "10 us", "cpu0.ip[2] to": "100 ns"})
    text = str(failed.value)
    marked = [line for line in text.splitlines() if line.startswith("> ")]
    assert [re.split(r"  +", line[2:])[0] for line in marked] == ["cpu0.ip[2] to cpu0 handler", "total"]
    assert "cpu0.ip[2] to cpu0 handler: max 2000.000 ns; allowed is less than 100.000 ns" in text
    assert "the longest:" in text and "+ 2000.000 ns  cpu0 handler" in text


def test_the_number_of_interrupts(latency):
    with pytest.raises(AssertionError, match="10 interrupts came to their end; 9 were to"):
        assert_latency(latency, count=9)


def test_nothing_that_ended_is_a_failure():
    log = Log()
    log.line("uart.irq", "ls3a_router_irq.input[0]", 1 * US, 1)
    with pytest.raises(AssertionError, match="uart: none of 1 interrupts came to its end"):
        assert_latency(log.done().latency("uart"), below="1 s")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({}, "without a limit: give below="),
        ({"below": "1 us", "of": "p98"}, "unknown figure 'p98'; allowed: min, p50, p99, max"),
        ({"hops": {"pin to pin": "1 us"}}, "no hop named 'pin to pin'; the hops are: uart.irq edge to"),
        ({"hops": {"to": "1 us"}}, "several hops named 'to'"),
    ],
)
def test_what_cannot_be_asked(latency, arguments, says):
    with pytest.raises(ConfigurationError, match=says):
        assert_latency(latency, **arguments)
