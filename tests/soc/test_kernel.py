"""Design law 2: (time, phase, channel, sequence), whatever the order in which things were scheduled."""

import pytest
import simpy
from hypothesis import given
from hypothesis import strategies as st

from soc.errors import SocError
from soc.kernel import Kernel
from soc.messages import Phase
from soc.time import NEVER

keys = st.tuples(st.integers(0, 3), st.integers(1, 5), st.integers(1, 3), st.integers(1, 4))


@given(st.lists(keys, unique=True, max_size=40), st.booleans())
def test_order_is_the_key_and_nothing_else(posted, stepping):
    kernel, seen = Kernel(), []
    for key in posted:
        kernel.post(*key, lambda value: seen.append((kernel.key, value)), key)
    if stepping:
        while kernel.next_event_time() != NEVER:
            kernel.step()
    else:
        kernel.loop()
    assert seen == [(key, key) for key in sorted(posted)]


@given(st.lists(keys, unique=True, min_size=1, max_size=20), st.data())
def test_a_cancelled_event_leaves_no_trace(posted, data):
    kernel, seen = Kernel(), []
    events = {key: kernel.post(*key, seen.append, key) for key in posted}
    gone = data.draw(st.sets(st.sampled_from(posted)))
    for key in gone:
        kernel.cancel(events[key])
    left = sorted(set(posted) - gone)
    assert kernel.next_event_time() == (left[0][0] if left else NEVER)
    kernel.loop()
    assert seen == left
    assert kernel.now == (left[-1][0] if left else 0)


def test_simpy_processes_and_timeouts_live_on_the_same_queue():
    kernel, seen = Kernel(), []

    def process():
        seen.append("started")
        yield kernel.timeout(10)
        seen.append("timeout")
        yield kernel.timeout(0)
        seen.append("again")

    kernel.process(process())
    kernel.post(10, Phase.REPLY, 1, 1, lambda _: seen.append("reply"))
    kernel.post(10, Phase.GRID, 1, 1, lambda _: seen.append("grid"))
    kernel.post(0, Phase.LINE, 1, 1, lambda _: seen.append("line"))
    kernel.run()
    assert seen == ["started", "line", "grid", "reply", "timeout", "again"]


def test_simpy_can_run_until_a_time_and_go_on():
    kernel, seen = Kernel(), []
    for time in (5, 10, 15):
        kernel.post(time, Phase.LINE, 1, time, seen.append, time)
    kernel.run(until=10)
    assert (seen, kernel.now, kernel.peek()) == ([5], 10, 10)
    kernel.run()
    assert seen == [5, 10, 15]


def test_a_failed_event_is_raised():
    for drive in ("loop", "run"):
        kernel = Kernel()
        kernel.event().fail(KeyError("lost"))
        with pytest.raises(KeyError, match="lost"):
            getattr(kernel, drive)()


def test_halt_stops_after_the_event_and_the_rest_stays():
    kernel, seen = Kernel(), []
    for time in (1, 2, 3):
        kernel.post(time, Phase.LINE, 1, time, lambda value: (seen.append(value), kernel.halt()), time)
    kernel.loop()
    assert seen == [1] and kernel.next_event_time() == 2


def test_the_past_and_fractions_are_refused():
    kernel = Kernel()
    kernel.post(5, Phase.LINE, 1, 1, lambda _: None)
    kernel.loop()
    with pytest.raises(SocError, match="positive latency"):
        kernel.post(4, Phase.LINE, 1, 2, lambda _: None)
    with pytest.raises(SocError, match="integer"):
        kernel.timeout(0.5)
    with pytest.raises(simpy.core.EmptySchedule):
        kernel.step()
