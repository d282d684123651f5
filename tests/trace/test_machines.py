"""Latency of whole machines: real devices around a fake core, and the real core with a guest."""

import pytest

from scenarios.library import guest, loaded
from soc import Machine, PoweredOff
from soc.timing import Timing
from soc.trace import Trace
from soc.trace.path import END
from tests.soc.fakes import machine

CYCLE = 1250
THERE, BACK = Timing().mmio_request, Timing().mmio_reply
ACCESS = (THERE + BACK) // CYCLE + 1
"""Cycles of one access: there, back, and the instruction."""
CHIP, IPI, HT, PIC, UART0 = 0x1FE0_0000, 0x3FF0_1000, 0xEFD_FB00_0000, 0x1000_0000, 0x1008_0000
ROUTER, RNG_PM = CHIP + 0x1400, 0x100D_0000
PIN, VECTOR = 8, 8
EXT_INT_EN = 1 << 48


def bridge_uart_on(*controller):
    """Opens the bridge's UART pin to vector 8, sets up the controllers behind it, lets the UART want to transmit."""

    def program(core):
        yield ("write", PIC + 0x040, 8, 1 << PIN)
        yield ("write", PIC + 0x200 + PIN, 1, VECTOR)
        yield ("write", PIC + 0x020, 8, ((1 << 64) - 1) & ~(1 << PIN))
        yield from controller
        yield ("write", UART0 + 1, 1, 2)
        yield ("wait",)

    return program


THROUGH_ROUTER = (
    ("write", HT + 0xA0, 4, 1 << VECTOR),
    ("write", ROUTER + 24, 1, 0x21),
    ("write", ROUTER + 0x28, 4, 1 << 24),
)
THROUGH_EXT = (
    ("write", CHIP + 0x420, 8, EXT_INT_EN),
    ("write", CHIP + 0x14C0, 1, 1),
    ("write", CHIP + 0x1600, 8, 1 << VECTOR),
    ("write", CHIP + 0x1C00 + VECTOR, 1, 1),
)


def serve(*acknowledge):
    """Handler: 20 instructions, the acknowledge, then IIR, which takes the UART's interrupt back."""

    def handler(core):
        yield ("run", 20)
        yield from acknowledge
        yield ("read", UART0 + 2, 1)
        yield ("run", 1000)
        yield ("unmodelled", "done")

    return handler


def run(controller, acknowledge):
    m = machine(bridge_uart_on(*controller), serve(*acknowledge), platform="ls7a", trace=True)
    assert "done" in m.run(max_virtual="1 ms").reason
    return m


def test_a_bridge_pin_to_the_core_through_ht_controller_and_router():
    m = run(THROUGH_ROUTER, (("write", HT + 0x80, 4, 1 << VECTOR),))
    latency = m.trace.latency("ls7a_uart0", through="htvec")
    names = ["ls7a_irq.input[8]", "ls3a_ht_irq.message", "ls3a_router_irq.input[24]", "cpu0.ip[3]", "cpu0 handler", END]
    assert latency.places[1:] == names
    *way, pin, handler = (hop.min for hop in latency.hops)
    t = m.timing
    assert way == [t.irq_line, t.ht_vector, t.irq_line, t.core_pin]
    # The store that lets the UART ask completes first.
    assert 0 <= pin - max(0, BACK - sum(way)) < 2 * CYCLE
    # The second access reads IIR, and the line falls when it arrives.
    assert handler == (20 + ACCESS) * CYCLE + t.mmio_request
    assert latency.total.count == 1 and len(latency.paths) == 1


def test_a_bridge_pin_to_the_core_through_the_extended_controller():
    m = run(THROUGH_EXT, (("write", CHIP + 0x1800, 8, 1 << VECTOR),))
    latency = m.trace.latency("ls7a_uart0", through="eiointc")
    names = ["ls7a_irq.input[8]", "ls3a_ht_irq.message", "ls3a_ext_irq.message", "cpu0.ip[2]", "cpu0 handler", END]
    assert latency.places[1:] == names
    t = m.timing
    assert [hop.min for hop in latency.hops][:4] == [t.irq_line, t.ht_vector, t.irq_line, t.core_pin]


@pytest.fixture(scope="module")
def first_light():
    def run(slice=None):
        m = Machine("virt", ram="16 MiB", trace=True)
        m.load(guest("first_light.S", rounds=20).to_elf())
        m.replay([(50_000_000, b"typed at the guest"), (400_000_000, b"!")])
        assert m.run(until=PoweredOff, max_virtual="1 s", slice=slice).ended == "poweroff"
        return m

    return run


def told(trace):
    return [(path.origin, path.status, list(path.hops.items())) for path in trace.activity.paths]


def test_the_real_core_gives_the_same_latencies_whatever_the_slice(first_light):
    plain = told(first_light().trace)
    assert sum(status == "complete" for _, status, _ in plain) >= 40
    for slice in (100, 1000, 10_000, 1_000_000):
        assert told(first_light(slice).trace) == plain


def test_the_timer_from_deadline_to_handler_on_the_real_core(first_light):
    trace = first_light().trace
    latency = trace.latency("timer")
    assert latency.total.count == 20
    for path in latency.paths:
        # Count ticks every second cycle.
        assert path.began % (2 * CYCLE) == 0 and 0 <= path.total and path.total % CYCLE == 0


def test_a_file_gives_what_the_real_core_gave(first_light, tmp_path):
    m = first_light()
    m.trace.save(tmp_path / "trace.soc")
    assert told(Trace.load(tmp_path / "trace.soc")) == told(m.trace)


def test_no_interrupt_the_core_took_is_lost(first_light):
    """Every exception for a pin is some path's first, or a later one while the same line was up."""
    activity = first_light().trace.activity
    handlers = {path.hops.get("cpu0 handler") for path in activity.paths}
    taken = [entry for entry in activity.taken["cpu0"] if entry.mask & ~(1 << 7)]
    assert taken and all(entry.time in handlers for entry in taken)


def test_core_to_core_latency_is_the_same_whatever_the_slice():
    def run(slice):
        game = loaded("ipi_pingpong.S", "virt", 2, rounds=20, partner=1)
        assert game.run(slice=slice).ended == "poweroff"
        return game.machine.trace

    trace = run(None)
    latency = trace.latency("ipi")
    assert set(latency.per_core) == {"cpu0", "cpu1"} and latency.total.count >= 38
    first, second, *_ = latency.hops
    assert (first.name, first.min, first.max) == ("store leaves cpu* to ls3a_ipi", THERE, THERE)
    assert (second.name, second.min, second.max) == ("ls3a_ipi to cpu*.ip[6]", 10_000, 10_000)
    for slice in (100, 1000, 10_000, 1_000_000):
        assert told(run(slice)) == told(trace)
