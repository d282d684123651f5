"""Links: latency, counters per source, timers."""

import pytest

from soc.errors import ConfigurationError
from soc.kernel import Kernel
from soc.link import Link, Source, Timers
from soc.messages import ConsoleBytes, InterruptLevel, MmioReply, TimerTick
from soc.trace import Trace


class Bench:
    def __init__(self, **options):
        self.kernel, self.trace, self.seen = Kernel(), Trace(records=True), []
        self.source = Source("dev", 7)
        self.options = options

    def link(self, channel, latency):
        origin, target = (f"dev.out[{channel}]", channel), (f"sink.in[{channel}]", 100 + channel)
        return Link(self.kernel, self.trace, channel, self.source, origin, target, latency, self.arrive, **self.options)

    def arrive(self, message):
        self.seen.append((self.kernel.now, message))


@pytest.mark.parametrize("wire", [False, True])
def test_a_message_takes_effect_one_latency_later(wire):
    bench = Bench(wire=wire)
    bench.link(1, 250).send(InterruptLevel, 1000, 42, 1)
    bench.kernel.loop()
    assert bench.seen == [(1250, InterruptLevel(1250, 1, 101, 1, 42, 1))]
    assert [record.message for record in bench.trace.records] == [bench.seen[0][1]]
    assert "dev.out[1] -> sink.in[1]  InterruptLevel(level=1)  cause 0x2a" in str(bench.trace.records[0])


@pytest.mark.parametrize("latency", [0, -1, 1.5, True and None])
def test_a_link_without_positive_latency_is_refused(latency):
    with pytest.raises(ConfigurationError, match="at least 1 ps"):
        Bench().link(1, latency)


def test_same_time_goes_by_phase_then_channel_then_sequence():
    bench = Bench()
    links = {channel: bench.link(channel, 10) for channel in (3, 1, 2)}
    links[3].send(MmioReply, 0, 0, 1, 0)
    links[2].send(ConsoleBytes, 0, 0, b"x")
    links[2].send(InterruptLevel, 0, 0, 1)
    links[1].send(ConsoleBytes, 0, 0, b"y")
    links[2].send(InterruptLevel, 0, 0, 0)
    bench.kernel.loop()
    got = [(type(m).__name__, m.source, m.sequence) for _, m in bench.seen]
    assert got == [
        ("InterruptLevel", 2, 3),
        ("InterruptLevel", 2, 5),
        ("ConsoleBytes", 1, 4),
        ("ConsoleBytes", 2, 2),
        ("MmioReply", 3, 1),
    ]


def test_causes_and_sequences_are_counted_per_source_and_survive_a_snapshot():
    a, b = Source("a", 1), Source("b", 2)
    assert (a.new_cause(), a.new_cause(), b.new_cause()) == ((1 << 40) + 1, (1 << 40) + 2, (2 << 40) + 1)
    c = Source("a", 1)
    c.restore(a.save())
    assert c.new_cause() == a.new_cause()


def test_timers_rearm_and_cancel():
    bench, ticks = Bench(), []
    timers = Timers(bench.kernel, bench.trace, 9, bench.source, 5, lambda m: ticks.append((bench.kernel.now, m.token)))
    timers.after(10, "a", TimerTick)
    timers.after(20, "b", TimerTick)
    timers.after(30, "a", TimerTick)
    timers.after(40, "c", TimerTick)
    timers.cancel("c")
    timers.cancel("never armed")
    assert timers.deadlines() == {"a": 30, "b": 20}
    bench.kernel.loop()
    assert ticks == [(20, "b"), (30, "a")]
    assert timers.deadlines() == {}
