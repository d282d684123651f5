"""Integer picoseconds and exact clocks (design law 1)."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soc.errors import ConfigurationError, TimeError
from soc.time import PS_PER_SECOND, Clock, duration, in_ns
from soc.timing import Timing


@pytest.mark.parametrize(
    ("text", "ps"),
    [
        ("200 ms", 200 * 10**9),
        ("120s", 120 * 10**12),
        ("1 us", 10**6),
        ("1.5ns", 1500),
        ("2 min", 120 * 10**12),
        (17, 17),
        ("1_000 ps", 1000),
    ],
)
def test_durations(text, ps):
    assert duration(text) == ps


@pytest.mark.parametrize("text", ["5", "5 parsec", "-1 ns", "", "1.5 ps", True, -1, None, "1e3 ns", "99999999999 s"])
def test_unreadable_durations_are_refused(text):
    with pytest.raises(TimeError):
        duration(text)


def test_nanoseconds_keep_every_picosecond():
    assert [in_ns(ps) for ps in (0, 1, 1250, 1_000_000, -1500)] == ["0.000", "0.001", "1.250", "1000.000", "-1.500"]


clocks = st.fractions(min_value=Fraction(1, 1000), max_value=10**10, max_denominator=10**6)


@given(clocks, st.integers(0, 10**15))
def test_tick_k_is_at_the_floor_of_k_over_f(hz, tick):
    assert Clock(hz).time(tick) == (tick * PS_PER_SECOND / hz).__floor__()


@given(clocks.filter(lambda hz: hz <= PS_PER_SECOND), st.integers(0, 10**18))
def test_ticks_and_times_agree(hz, time):
    clock = Clock(hz)
    first = clock.tick_at_or_after(time)
    assert clock.time(first) >= time and (first == 0 or clock.time(first - 1) < time)
    done = clock.ticks(time)
    assert clock.time(done) <= time < clock.time(done + 1)


def test_the_period_is_known_only_where_it_is_whole():
    assert Clock(800_000_000).period == 1250
    assert Clock(33_000_000).period is None
    with pytest.raises(TimeError):
        Clock(0)


def test_timing_replaces_by_name_and_refuses_the_rest():
    assert Timing(irq_line="20 ns").irq_line == 20_000
    assert Timing().core.period == 1250
    with pytest.raises(ConfigurationError, match="allowed: core_clock"):
        Timing(irq_lin="20 ns")
    with pytest.raises(TimeError, match="positive"):
        Timing(core_pin=0)
    with pytest.raises(TimeError, match="mmio_reply"):
        Timing(mmio_reply=1 << 64)
    with pytest.raises(TimeError):
        Timing(count_divider="2 ns")
    assert Timing(exception_entry=0, cycles_load=1_000_000).cycles_load == 1_000_000
    with pytest.raises(TimeError, match="cycles_load = 0 cycle: a whole number from 1 to 1,000,000"):
        Timing(cycles_load=0)
    with pytest.raises(TimeError, match="exception_entry = 1000001 cycle: a whole number from 0"):
        Timing(exception_entry=1_000_001)


def test_every_constant_names_its_unit_and_source():
    for name, value, unit, source in Timing().rows():
        assert (value > 0 or name == "exception_entry") and unit and len(source) > 10, name
