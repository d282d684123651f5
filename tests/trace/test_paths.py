"""The path of an interrupt, from messages alone: exact hops, one interrupt each, none lost."""

import pytest

from soc.errors import SocError
from soc.messages import CsrWrite
from soc.trace.latency import Spread, bins
from soc.trace.path import END, INSIDE, ON_ITS_WAY
from tests.trace.log import EXT, HT, IPI, NS, PIC, ROUTER, Log, uart_interrupt

US = 1000 * NS


def hops(latency):
    """Hop to its one value."""
    assert all(hop.min == hop.max for hop in latency.hops)
    return {hop.name: hop.min for hop in latency.hops}


def to_the_core(log, line, left, cause, core=0, ip=3):
    """From an HT controller's line through the router to a core's pin."""
    there = log.line(f"{HT}.line[{line}]", f"{ROUTER}.input[{24 + line}]", left, cause)
    return log.line(f"{ROUTER}.pin[{4 * core + ip - 2}]", f"cpu{core}.ip[{ip}]", there, cause)


def fall(log, line, left, cause, core=0, ip=3):
    there = log.line(f"{HT}.line[{line}]", f"{ROUTER}.input[{24 + line}]", left, cause, 0)
    log.line(f"{ROUTER}.pin[{4 * core + ip - 2}]", f"cpu{core}.ip[{ip}]", there, cause, 0)


def test_a_device_line_from_its_edge_to_the_end_of_interrupt():
    log = Log()
    end = uart_interrupt(log, 1 * US, 1)
    latency = log.done().latency("uart")
    assert hops(latency) == {
        "uart.irq edge to ls3a_router_irq.input[0]": 10 * NS,
        "ls3a_router_irq.input[0] to cpu0.ip[2]": 10 * NS,
        "cpu0.ip[2] to cpu0 handler": 5 * NS,
        "cpu0 handler to end of interrupt": 150 * NS,
    }
    assert latency.totals == [end - 1 * US] and latency.complete[0].core == "cpu0"
    assert (latency.inside, latency.unfinished, latency.note()) == (0, 0, "")


def test_a_bridge_pin_through_vector_ht_controller_and_router():
    log = Log()
    there = log.line("ls7a_uart0.irq", f"{PIC}.input[8]", 0, 7)
    at_ht = log.vector(f"{PIC}.lo", f"{HT}.message", there, 7, 8)
    pin = to_the_core(log, 0, at_ht, 7)
    log.taken(0, pin + 2 * NS, 3)
    # The controller is acknowledged first; the interrupt ends where the device's line falls.
    fall(log, 0, log.store(0, HT, pin + 100 * NS, 8), 7)
    end = log.store(0, "ls7a_uart0", pin + 500 * NS, 9)
    log.line("ls7a_uart0.irq", f"{PIC}.input[8]", end, 7, 0)
    path = log.done().latency("ls7a_uart0").complete[0]
    assert list(path.hops.items()) == [
        ("ls7a_uart0.irq edge", 0),
        (f"{PIC}.input[8]", 10 * NS),
        (f"{HT}.message", 110 * NS),
        (f"{ROUTER}.input[24]", 120 * NS),
        ("cpu0.ip[3]", 130 * NS),
        ("cpu0 handler", 132 * NS),
        (END, end),
    ]
    assert log.trace.latency("ls7a_uart0", through="htvec").totals == [end]
    with pytest.raises(SocError, match="none of 1 interrupts passed 'eiointc'; they passed: cpu0, ls3a_ht_irq"):
        log.trace.latency("ls7a_uart0", through="eiointc")


def msi(log, start, cause, vector, handler_after=None, line=0):
    """A function's message as far as a core's handler, through the HT controller; returns when the handler begins."""
    doorbell = log.message("virtio_blk", vector, start, cause)
    pin = to_the_core(log, line, log.vector("memory.msi", f"{HT}.message", doorbell, cause, vector), cause)
    if handler_after is not None:
        log.taken(0, pin + handler_after, 3)
    return pin + (handler_after or 0)


def test_a_message_from_the_write_that_leaves_the_function():
    log = Log()
    kick = log.store(0, "virtio_blk", 0, 5)
    start = msi(log, kick + 3 * US, 5, 0x21, 4 * NS)
    fall(log, 0, log.store(0, HT, start + 300 * NS, 6), 5)
    latency = log.done().latency("virtio_blk")
    assert hops(latency) == {
        "virtio_blk.dma write leaves to memory.msi doorbell": 150 * NS,
        "memory.msi doorbell to ls3a_ht_irq.message": 100 * NS,
        "ls3a_ht_irq.message to ls3a_router_irq.input[24]": 10 * NS,
        "ls3a_router_irq.input[24] to cpu0.ip[3]": 10 * NS,
        "cpu0.ip[3] to cpu0 handler": 4 * NS,
        "cpu0 handler to end of interrupt": 400 * NS,
    }
    assert latency.complete[0].began == kick + 3 * US
    assert log.trace.latency("msi").totals == latency.totals


def test_messages_of_one_request_are_interrupts_of_their_own():
    log = Log()
    for start in (10 * US, 20 * US):
        handler = msi(log, start, 5, 0x21, 4 * NS)
        fall(log, 0, log.store(0, HT, handler + 300 * NS, start), 5)
    assert [path.began for path in log.done().latency("virtio_blk").complete] == [10 * US, 20 * US]


def test_the_extended_controller_is_a_hop_and_its_acknowledge_the_end():
    log = Log(cores=2)
    at_ht = log.vector("memory.msi", f"{HT}.message", log.message("virtio_blk", 3, 0, 5), 5, 3)
    at_ext = log.vector(f"{HT}.forward", f"{EXT}.message", at_ht, 5, 3, ns=10)
    pin = log.line(f"{EXT}.pin[4]", "cpu1.ip[2]", at_ext, 5)
    log.taken(1, pin + 3 * NS, 2)
    log.line(f"{EXT}.pin[4]", "cpu1.ip[2]", log.store(1, EXT, pin + 20 * NS, 9), 5, 0)
    latency = log.done().latency("virtio_blk", through="eiointc")
    assert list(latency.complete[0].hops)[2:] == [f"{HT}.message", f"{EXT}.message", "cpu1.ip[2]", "cpu1 handler", END]
    assert latency.totals == [(150 + 100 + 10 + 10 + 20 + 100) * NS]


def test_an_inter_processor_interrupt_begins_at_the_store_of_its_sender():
    log = Log(cores=2)
    for sender, receiver, start in ((0, 1, 0), (1, 0, 5 * US), (0, 1, 9 * US)):
        sent = log.store(sender, IPI, start, start + 1)
        pin = log.line(f"{IPI}.pin[{receiver}]", f"cpu{receiver}.ip[6]", sent, start + 1)
        log.taken(receiver, pin + 2 * NS, 6)
        cleared = log.store(receiver, IPI, pin + 102 * NS, start + 2)
        log.line(f"{IPI}.pin[{receiver}]", f"cpu{receiver}.ip[6]", cleared, start + 1, 0)
    latency = log.done().latency("ipi")
    assert hops(latency) == {
        "store leaves cpu* to ls3a_ipi": 100 * NS,
        "ls3a_ipi to cpu*.ip[6]": 10 * NS,
        "cpu*.ip[6] to cpu* handler": 2 * NS,
        "cpu* handler to end of interrupt": 200 * NS,
    }
    assert {core: part.total.count for core, part in latency.per_core.items()} == {"cpu0": 1, "cpu1": 2}
    assert [path.sender for path in latency.complete] == ["cpu0", "cpu1", "cpu0"]
    assert "total at cpu1" in latency.table(per_core=True)
    # Seen alone, a core's path names it.
    assert latency.per_core["cpu0"].hops[0].name.startswith("store leaves cpu")


def test_a_device_edge_that_a_store_brings_about_begins_at_the_device():
    log = Log()
    sent = log.store(0, "uart", 0, 5)
    log.line("uart.irq", f"{ROUTER}.input[0]", sent, 5)
    path = log.done().activity.paths[0]
    assert next(iter(path.hops)) == "uart.irq edge" and path.began == sent and path.sender is None


def test_a_timer_from_its_deadline_to_its_handler_once():
    log = Log(cores=2)
    log.taken(0, 1250, 7, deadline=0)
    # The handler enabled interrupts before it wrote Compare.
    log.taken(0, 9 * 1250, 7, deadline=0)
    log.taken(1, 20 * 1250, 6, 7, deadline=17 * 1250)
    log.taken(1, 30 * 1250, 6, deadline=None)
    latency = log.done().latency("timer")
    assert latency.totals == [1250, 3 * 1250] and latency.unfinished == 0
    assert log.trace.latency("cpu1.timer").totals == log.trace.latency("cpu1").totals == [3 * 1250]


def test_what_a_running_handler_serves_is_counted_as_such():
    log = Log()
    first = uart_interrupt(log, 0, 1)
    # A second edge: the line rises again while the handler runs, and a store of the same handler makes it fall.
    log.line("uart.irq", f"{ROUTER}.input[0]", first + 20 * NS, 50)
    end = log.store(0, "uart", first + 200 * NS, 60)
    log.line("uart.irq", f"{ROUTER}.input[0]", end, 50, 0)
    latency = log.done().latency("uart")
    assert (len(latency.paths), len(latency.complete), latency.inside, latency.unfinished) == (2, 1, 1, 0)
    inside = latency.paths[1]
    assert inside.status == INSIDE and inside.hops[END] == end and "cpu0 handler" not in inside.hops
    assert "of 2 interrupts, 1 served inside a running handler" in latency.table()


def test_a_vector_that_meets_a_line_already_up_is_served_with_it():
    log = Log()
    handler = msi(log, 0, 5, 0x21, 4 * NS)
    joined = log.message("virtio_blk", 0x22, handler, 90)
    log.vector("memory.msi", f"{HT}.message", joined, 90, 0x22)
    end = log.store(0, HT, handler + 900 * NS, 6)
    fall(log, 0, end, 5)
    latency = log.done().latency("virtio_blk")
    assert (len(latency.complete), latency.inside) == (1, 1)
    assert latency.paths[1].joined == f"{HT}.line[0]" and latency.paths[1].hops[END] == end


def test_what_is_held_back_is_on_its_way():
    log = Log()
    log.line("uart.irq", f"{ROUTER}.input[0]", 0, 1)
    latency = log.done().latency("uart")
    assert latency.unfinished == 1 and latency.paths[0].status == ON_ITS_WAY
    assert "1 on their way or held back" in latency.table()
    with pytest.raises(SocError, match="uart: none of 1 interrupts reached its end"):
        _ = latency.total
    with pytest.raises(SocError, match="none of 1"):
        latency.histogram()
    assert latency.outliers(3) == [] and latency.places == []


def test_an_edge_whose_own_line_falls_by_itself_ends_at_the_latch():
    log = Log()
    there = log.line("rtc.irq", f"{ROUTER}.input[1]", 0, 3)
    log.line("rtc.irq", f"{ROUTER}.input[1]", 1, 3, 0)
    pin = log.line(f"{ROUTER}.pin[0]", "cpu0.ip[2]", there, 3)
    log.taken(0, pin, 2)
    end = log.store(0, ROUTER, pin + 40 * NS, 4)
    log.line(f"{ROUTER}.pin[0]", "cpu0.ip[2]", end, 3, 0)
    path = log.done().latency("rtc").complete[0]
    assert path.hops[END] == end and path.total == 160 * NS


def test_a_mask_in_the_handler_is_not_the_end():
    log = Log()
    there = log.line("uart.irq", f"{ROUTER}.input[0]", 0, 1)
    pin = log.line(f"{ROUTER}.pin[0]", "cpu0.ip[2]", there, 1)
    log.taken(0, pin, 2)
    log.line(f"{ROUTER}.pin[0]", "cpu0.ip[2]", log.store(0, ROUTER, pin, 10), 1, 0)
    end = log.store(0, "uart", pin + 300 * NS, 11)
    log.line("uart.irq", f"{ROUTER}.input[0]", end, 1, 0)
    assert log.done().latency("uart").complete[0].hops[END] == end


def test_a_line_that_leads_to_two_cores_is_told_for_the_one_that_takes_it():
    log = Log(cores=2)
    there = log.line("uart.irq", f"{ROUTER}.input[0]", 0, 1)
    for core in (0, 1):
        pin = log.line(f"{ROUTER}.pin[{4 * core}]", f"cpu{core}.ip[2]", there, 1)
    log.taken(1, pin + 7 * NS, 2)
    log.line("uart.irq", f"{ROUTER}.input[0]", log.store(1, "uart", pin + 9 * NS, 2), 1, 0)
    path = log.done().latency("uart").complete[0]
    assert path.core == "cpu1" and "cpu0.ip[2]" not in path.hops and path.hops["cpu1 handler"] == pin + 7 * NS


def test_an_exception_is_for_what_is_at_the_pin_at_its_time():
    """A core's notes come in bunches, later than the lines have moved on."""
    log = Log()
    first = uart_interrupt(log, 0, 1)
    uart_interrupt(log, first + 1 * US, 2, delay=800 * NS)
    handlers = [path.hops["cpu0 handler"] for path in log.done().latency("uart").complete]
    assert handlers == [25 * NS, first + 1 * US + 820 * NS]


def test_a_line_that_falls_before_the_exception_took_none():
    log = Log(cores=2)
    there = log.line("uart.irq", f"{ROUTER}.input[0]", 0, 1)
    pin = log.line(f"{ROUTER}.pin[0]", "cpu0.ip[2]", there, 1)
    end = log.store(1, "uart", pin, 2)
    fell = log.line("uart.irq", f"{ROUTER}.input[0]", end, 1, 0)
    log.taken(0, end + 1, 2)
    log.line(f"{ROUTER}.pin[0]", "cpu0.ip[2]", fell, 1, 0)
    path = log.done().latency("uart").paths[0]
    assert path.status == INSIDE and path.core is None


def test_outliers_tell_what_the_core_was_doing():
    log = Log()
    end = uart_interrupt(log, 0, 1)
    start = end + 1 * US
    for number, at in enumerate((100, 500, 900)):
        log.store(0, "rtc", start + at * NS, 100 + number, instructions=1000 + 40 * number)
    log.taken(0, start + 60 * NS, 7, deadline=start)
    uart_interrupt(log, start, 2, delay=1480 * NS)
    worst, other = log.done().latency("uart").outliers(2)
    assert worst.total == 1650 * NS and other.total == 175 * NS
    place, time, meanwhile = worst.steps[3]
    assert (place, time) == ("cpu0 handler", start + 1500 * NS)
    assert (meanwhile.accesses, meanwhile.targets, meanwhile.parked) == (3, {"rtc": 3}, 600 * NS)
    assert meanwhile.instructions == (1000, 1080) and meanwhile.interrupts == [(start + 60 * NS, 1 << 7)]
    story = str(worst)
    assert "uart.irq at cpu0, cause 0x2: 1650.000 ns (median 175.000 ns)" in story
    assert "+ 1480.000 ns  cpu0 handler" in story
    assert "took IP7 at 1235.000 ns; 3 accesses (rtc 3), 600.000 ns of waiting, 80 instructions" in story
    assert "interrupts off or masked, the last being IP2 " in story
    with pytest.raises(SocError, match="ask for 1 or more"):
        log.trace.latency("uart").outliers(0)


def test_names():
    log = Log()
    uart_interrupt(log, 0, 1)
    trace = log.done()
    assert trace.latency().totals == trace.latency("uart.irq").totals == trace.latency("uart").totals
    with pytest.raises(SocError, match=r"no interrupt began at 'rtc'; interrupts began at: uart\.irq"):
        trace.latency("rtc")
    with pytest.raises(SocError, match="began at: nowhere"):
        Log().done().latency("uart")


def test_percentiles_are_measured_values():
    assert Spread.of("x", range(1, 101)) == ("x", 100, 1, 50, 99, 100)
    assert Spread.of("x", [5]) == ("x", 1, 5, 5, 5, 5)
    assert Spread.of("x", [3, 1, 2]) == ("x", 3, 1, 2, 3, 3)


@pytest.mark.parametrize("count", [1, 2, 7, 48])
@pytest.mark.parametrize("samples", [[5], [0, 1], list(range(100)), [10] * 300 + [11, 1_000_000], [0] * 99 + [7]])
def test_ranges_hold_every_sample_once(samples, count):
    rows = bins(samples, count)
    assert len(rows) == min(count, max(samples) - min(samples) + 1) and sum(n for _, _, n in rows) == len(samples)
    for low, high, n in rows:
        assert n == sum(low <= value < high for value in samples)


def test_outliers_do_not_squeeze_a_histogram():
    rows = bins([*range(1000)] * 2 + [10**9], 10)
    assert rows[-1][1] == 10**9 + 1 and rows[-1][2] < 300 and rows[0][1] - rows[0][0] < 200


def test_a_store_that_another_node_passes_on_begins_at_its_core():
    log = Log(cores=5)
    sent = log.store(0, IPI, 0, 1)
    there = log.send(CsrWrite, f"{IPI}.csr", f"{IPI}_1.csr", 50, sent, 1, 4, 0x1008, 4, 1)
    pin = log.line(f"{IPI}_1.pin[0]", "cpu4.ip[6]", there, 1)
    log.taken(4, pin, 6)
    log.line(f"{IPI}_1.pin[0]", "cpu4.ip[6]", log.store(4, f"{IPI}_1", pin, 2), 1, 0)
    latency = log.done().latency("ipi")
    assert latency.complete[0].sender == "cpu0" and latency.totals == [(100 + 50 + 10 + 100) * NS]


def test_a_stable_timer_on_ip7_is_not_taken_for_count():
    log = Log()
    pin = log.line("stable_timer.pin[0]", "cpu0.ip[7]", 1000 * NS, 1)
    # The core sees it at its next cycle, and notes that as the time its timer came due.
    cycle = -(-pin // 1250) * 1250
    log.taken(0, cycle + 1250, 7, deadline=cycle)
    log.line("stable_timer.pin[0]", "cpu0.ip[7]", log.store(0, "stable_timer", cycle + 5000, 2), 1, 0)
    log.taken(0, 9000 * NS, 7, deadline=8000 * NS)
    trace = log.done()
    assert [path.origin for path in trace.activity.paths] == ["stable_timer.pin[0]", "cpu0.timer"]
    assert trace.latency("stable_timer").complete[0].hops["cpu0 handler"] == cycle + 1250
    assert trace.latency("timer").totals == [1000 * NS]
