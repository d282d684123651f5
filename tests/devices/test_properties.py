"""Properties that hold for any use of the devices: a save point changes nothing, and no output without a reason."""

from functools import cache

import msgpack
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from devices import CLASSES, device_class
from devices.fake import FakeOutside
from devices.lines import LineIn
from devices.ports import EventIn, VectorIn
from devices.stable_timer import StableTimer
from tests.devices.revive import EXAMPLES

SOURCES = (0, 1, 7, 31)
words = st.sets(st.sampled_from(SOURCES)).map(lambda sources: sum(1 << source for source in sources))
"""Few sources, so that the steps of one example meet."""
bits = st.integers(0, 1)
cores = st.integers(0, 5)
MODULES = sorted(CLASSES)


def ports(cls):
    return sorted(name.removeprefix("on_receive_") for name in dir(cls) if name.startswith("on_receive_"))


def uses(module, count=25):
    """A list of steps for a device: accesses at its registers, line changes, messages, bytes, time."""
    return st.lists(step_of(module), max_size=count)


@cache
def step_of(module):
    cls = device_class(module)
    registers = cls.register_map()
    decoders = registers.decoders.values()
    decoded = sorted({key for decoder in decoders for key in (*decoder.reads, *decoder.writes)})
    place = st.tuples(st.integers(0, cls.size), st.sampled_from((1, 2, 4, 8)))
    place = st.one_of(st.sampled_from(decoded), place) if decoded else place
    inputs = cls.input_lines()
    vectors = cls.declarations(VectorIn)
    events = sorted(cls.declarations(EventIn))
    value = st.one_of(st.integers(0, 2**64 - 1), st.sampled_from((0, 1, 3, 2**64 - 1)), st.integers(0, 255))
    choices = [
        st.builds(lambda place, value: ("write", *place, value), place, value),
        st.builds(lambda place: ("read", *place), place),
        st.tuples(st.just("advance"), st.integers(0, 10**10)),
    ]
    csr = [offset + lane for offset, length in cls.ranges("csr") for lane in range(length)]
    if csr:
        own = st.tuples(st.sampled_from(csr), st.sampled_from((1, 2, 4, 8)))
        choices.append(st.builds(lambda at, value, core: ("write", *at, value, core, "csr"), own, value, cores))
        choices.append(st.builds(lambda at, core: ("read", *at, core, "csr"), own, cores))
    for port in sorted(vectors):
        which = st.integers(0, vectors[port].vectors - 1)
        choices.append(st.builds(lambda port, vector: ("vector_in", port, vector), st.just(port), which))
    if events:
        choices.append(st.tuples(st.just("event_in"), st.sampled_from(events), st.integers(0, 3), st.integers(1, 2)))
    if inputs:
        choices.append(st.tuples(st.just("line_in"), st.sampled_from(inputs), bits))
    if ports(cls):
        choices.append(st.tuples(st.just("receive"), st.sampled_from(ports(cls)), st.binary(max_size=20)))
    return st.one_of(choices)


def use(device, steps):
    """What a device answers to the steps, and its state after each."""
    seen = []
    for what, *arguments in steps:
        target = device.outside if what == "advance" else device
        if what == "advance" and isinstance(device, StableTimer):
            # A periodic timer of few ticks expires very often.
            arguments = [arguments[0] % 10**6]
        seen.append((getattr(target, what)(*arguments), device.save()))
    return seen


def attached(module):
    device = device_class(module)()
    FakeOutside(device)
    device.reset()
    return device


@pytest.mark.parametrize("module", MODULES)
@given(data=st.data())
@settings(deadline=None, max_examples=EXAMPLES)
def test_a_restored_device_has_the_same_future(module, data):
    past, future = data.draw(uses(module)), data.draw(uses(module))
    original = attached(module)
    use(original, past)
    saved = msgpack.unpackb(msgpack.packb(original.save()))

    restored = attached(module)
    restored.outside.now = original.outside.now
    restored.outside.levels = dict(original.outside.levels)
    restored.restore(saved)
    restored.outside.events, original.outside.events = [], []
    assert use(restored, future) == use(original, future)
    assert restored.outside.events == original.outside.events


@pytest.mark.parametrize("module", MODULES)
@given(data=st.data())
@settings(deadline=None, max_examples=EXAMPLES)
def test_reset_leads_back_to_the_same_state_and_settling_twice_changes_nothing(module, data):
    device = attached(module)
    use(device, data.draw(uses(module)))
    before = device.save()
    device.settle()
    assert device.save() == before

    device.reset()
    fresh = attached(module)
    for name, line in device.line_declarations().items():
        if isinstance(line, LineIn):
            for index, port in enumerate(line.ports):
                fresh.line_in(port, getattr(device, name).levels >> index & 1)
    fresh.reset()
    kept = [name for name, internal in device.register_map().internals.items() if internal.kept]
    states = [device.save(), fresh.save()]
    for state in states:
        for name in kept:
            del state["internals"][name]
    assert states[0] == states[1]


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
    device = attached("ls3a_router_irq")
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


@given(steps=uses("ls3a_ipi"))
@settings(deadline=None, max_examples=EXAMPLES)
def test_an_ipi_pin_is_status_and_enable_of_its_core(steps):
    device = attached("ls3a_ipi")
    for step in steps:
        use(device, [step])
        for core in range(4):
            status, enable = device.read(0x100 * core, 4), device.read(0x100 * core + 4, 4)
            assert device.outside.levels[f"pin[{core}]"] == (status & enable != 0)


@given(steps=uses("uart16550", count=60))
@settings(deadline=None, max_examples=EXAMPLES)
def test_the_uart_interrupts_exactly_when_iir_says_so(steps):
    device = attached("uart16550")
    for step in steps:
        use(device, [step])
        assert device.outside.levels["irq"] == (device.iir & 1 == 0)
        assert device.ier or not device.outside.levels["irq"], "no interrupt without an enable bit"
        assert len(device.rx) <= (16 if device.fcr & 1 else 1)
        assert bool(device.rx) == bool(device.lsr & 1)
        assert device.lsr & 0x60 == 0x60, "immediate transmission is never busy"
