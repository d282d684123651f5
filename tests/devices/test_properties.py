"""Properties of single devices, for any use of them. Those that every device has: tests/kit/test_properties.py."""

from hypothesis import example, given, settings
from hypothesis import strategies as st

from devices.ls3a_router_irq import Ls3aRouterIrq
from soc.kit import check_device
from tests.devices.revive import EXAMPLES, powered

SOURCES = (0, 1, 7, 31)
words = st.sets(st.sampled_from(SOURCES)).map(lambda sources: sum(1 << source for source in sources))
"""Few sources, so that the steps of one example meet."""
bits = st.integers(0, 1)


def liointc_formula(entry, enable, edge, latch, raw):
    """The router by its definition, source by source: (INTISR, per core, pins)."""
    pending, per_core, pins = 0, [0] * 4, set()
    for source in range(32):
        bit = 1 << source
        cause = latch if edge & bit else raw
        if not (enable & bit and cause & bit):
            continue
        pending |= bit
        for core in range(4):
            if entry[source] & 1 << core:
                per_core[core] |= bit
                pins |= {(core, pin) for pin in range(4) if entry[source] & 0x10 << pin}
    return pending, per_core, pins


ROUTER_STEPS = st.one_of(
    st.tuples(st.just("entry"), st.sampled_from(SOURCES), st.integers(0, 255)),
    st.tuples(st.sampled_from(("set", "clear", "edge")), words),
    st.tuples(st.just("line"), st.sampled_from(SOURCES), bits),
)


@given(steps=st.lists(ROUTER_STEPS, max_size=60))
@example(steps=[("edge", 1), ("line", 0, 1), ("clear", 1), ("set", 1), ("entry", 0, 0x11)])
@settings(deadline=None, max_examples=EXAMPLES)
def test_the_router_equals_its_formula_after_every_step(steps):
    device = powered(Ls3aRouterIrq)
    entry, enable, edge, latch, raw = [0] * 32, 0, 0, 0, 0
    for what, *arguments in steps:
        if what == "entry":
            source, value = arguments
            entry[source] = value
            device.write(source, 1, value)
        elif what == "set":
            enable |= arguments[0]
            device.write(0x28, 4, arguments[0])
        elif what == "clear":
            enable &= ~arguments[0]
            latch &= ~arguments[0]
            device.write(0x2C, 4, arguments[0])
        elif what == "edge":
            edge = arguments[0]
            device.write(0x34, 4, edge)
        else:
            source, level = arguments
            bit = 1 << source
            if level and not raw & bit and edge & bit:
                latch |= bit
            raw = raw | bit if level else raw & ~bit
            device.line_in(f"input[{source}]", level)
        pending, per_core, pins = liointc_formula(entry, enable, edge, latch, raw)
        assert device.read(0x20, 4) == pending
        assert [device.read(0x40 + 8 * core, 4) for core in range(4)] == per_core
        assert {port for port, level in device.outside.levels.items() if level} == {
            f"pin[{4 * core + pin}]" for core, pin in pins
        }


def test_an_ipi_pin_is_status_and_enable_of_its_core():
    def pins(device):
        for core in range(4):
            status, enable = device.read(0x100 * core, 4), device.read(0x100 * core + 4, 4)
            assert device.outside.levels[f"pin[{core}]"] == (status & enable != 0)

    check_device("ls3a_ipi", only=("guest",), invariant=pins)


def test_the_uart_interrupts_exactly_when_iir_says_so():
    def holds(uart):
        assert uart.outside.levels["irq"] == (uart.iir & 1 == 0)
        assert uart.ier or not uart.outside.levels["irq"], "no interrupt without an enable bit"
        assert len(uart.rx) <= (16 if uart.fcr & 1 else 1)
        assert bool(uart.rx) == bool(uart.lsr & 1)
        assert uart.lsr & 0x60 == 0x60, "immediate transmission is never busy"

    check_device("uart16550", only=("guest",), invariant=holds)
