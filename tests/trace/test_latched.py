"""Causes of interrupts that wait in a controller: behind a mask, or behind a line that is up already."""

from soc.messages import CsrWrite, InterruptLevel, InterruptVector, MmioWrite
from soc.trace.path import COMPLETE, INSIDE
from tests.soc.fakes import machine
from tests.trace.test_machines import HT, IPI, PIC, ROUTER

MSI = 0x2FF0_0000
HOLD = 4000
"""Instructions between an interrupt and its unmask, 5 us."""


def causes(m, kind, origin):
    """Causes of the messages of a kind that left a port, in order."""
    return [r.message.cause for r in m.trace.records if type(r.message) is kind and r.link.origin[0] == origin]


def store(m, address, value):
    """The store of `value` at `address`."""
    found = (r.message for r in m.trace.records if type(r.message) is MmioWrite)
    return next(message for message in found if (message.address, message.value) == (address, value))


def test_an_action_behind_a_pin_that_is_up_has_a_path_of_its_own():
    def program(core):
        yield ("write", IPI + 4, 4, 0xFF)
        yield ("write", IPI + 8, 4, 1)
        yield ("wait",)

    def handler(core):
        yield ("write", IPI + 8, 4, 2)
        yield ("write", IPI + 8, 4, 2)
        yield ("write", IPI + 0xC, 4, 3)
        yield ("run", 10)
        yield ("unmodelled", "done")

    m = machine(program, handler, trace=True)
    m.run(max_virtual="1 ms")
    first, second = (store(m, IPI + 8, value).cause for value in (1, 2))
    assert causes(m, InterruptLevel, "ls3a_ipi.pin[0]") == [first, second, first], "pending twice is pending once"
    paths = m.trace.latency("ipi").paths
    assert [(path.cause, path.status) for path in paths] == [(first, COMPLETE), (second, INSIDE)]
    assert len({path.finish for path in paths}) == 1, "both end where the pin falls"
    assert paths[1].began == store(m, IPI + 8, 2).time - m.timing.mmio_request
    (stay,) = m.trace.activity.lines["ls3a_ipi.pin[0]"]
    assert (stay.cause, stay.fell) == (first, paths[0].finish)


def test_an_action_that_is_masked_keeps_the_cause_of_its_store():
    def program(core):
        yield ("write", IPI + 8, 4, 1)
        yield ("run", HOLD)
        yield ("write", IPI + 4, 4, 1)
        yield ("wait",)

    def handler(core):
        yield ("write", IPI + 0xC, 4, 1)
        yield ("run", 10)
        yield ("unmodelled", "done")

    m = machine(program, handler, trace=True)
    m.run(max_virtual="1 ms")
    sent = store(m, IPI + 8, 1)
    assert causes(m, InterruptLevel, "ls3a_ipi.pin[0]") == [sent.cause] * 2
    (path,) = m.trace.latency("ipi").complete
    assert path.began == sent.time - m.timing.mmio_request
    assert path.hops["cpu0.ip[6]"] - path.hops["ls3a_ipi"] > m.timing.core.time(HOLD), "the wait, in its own hop"


def test_an_action_for_another_node_has_the_cause_of_its_own_store():
    elsewhere = 4 << 16 | 1

    def program(core):
        yield ("write", IPI + 4, 4, 1)
        yield ("write", IPI + 8, 4, 1)
        yield ("write", IPI + 0x40, 4, elsewhere)
        yield ("unmodelled", "done")

    m = machine(program, platform="ls7a", trace=True)
    m.run(max_virtual="1 ms")
    assert m.devices["ls3a_ipi"].pin.levels == 1, "its own is still to be served"
    assert causes(m, CsrWrite, "ls3a_ipi.csr") == [store(m, IPI + 0x40, elsewhere).cause]


def test_vectors_that_are_unmasked_later_keep_their_own_causes():
    def program(core):
        yield ("write", ROUTER + 24, 1, 0x21)
        yield ("write", ROUTER + 0x28, 4, 1 << 24)
        yield ("write", MSI, 4, 5)
        yield ("write", MSI, 4, 6)
        yield ("run", HOLD)
        yield ("write", HT + 0xA0, 4, 1 << 6)
        yield ("write", HT + 0x80, 4, 1 << 6)
        yield ("write", HT + 0xA0, 4, 1 << 5)
        yield ("run", HOLD)
        yield ("unmodelled", "done")

    m = machine(program, platform="ls7a", trace=True)
    m.run(max_virtual="1 ms")
    five, six = (store(m, MSI, vector).cause for vector in (5, 6))
    assert causes(m, InterruptLevel, "ls3a_ht_irq.line[0]") == [six, six, five]
    assert [path.began for path in m.trace.latency("ls7a_msi", through="liointc").paths] == [
        store(m, MSI, vector).time - m.timing.mmio_request for vector in (5, 6)
    ]


def test_pins_that_are_unmasked_later_keep_their_own_causes():
    def program(core):
        yield ("write", PIC + 0x40, 8, 3 << 20)
        for pin in (20, 21):
            yield ("write", PIC + 0x200 + pin, 1, pin)
        yield ("run", HOLD)
        for pin in (20, 21):
            yield ("write", PIC + 0x20, 8, ((1 << 64) - 1) & ~(1 << pin))
        yield ("run", HOLD)
        yield ("write", PIC + 0x80, 8, 1 << 20)
        yield ("unmodelled", "done")

    m = machine(program, platform="ls7a", trace=True)
    m.devices["ls7a_irqfd"].assign(3, 20, True)
    m.devices["ls7a_irqfd"].assign(4, 21, True)
    m.signal(3, "1 us")
    m.signal(4, "1.5 us")
    m.run(max_virtual="1 ms")
    asked = [causes(m, InterruptLevel, f"ls7a_irqfd.pin[{pin}]")[0] for pin in (20, 21)]
    assert len(set(asked)) == 2
    assert causes(m, InterruptVector, "ls7a_irq.lo") == asked
    assert causes(m, InterruptVector, "ls7a_irq.cleared") == asked[:1], "pin 21 was asserted later"
