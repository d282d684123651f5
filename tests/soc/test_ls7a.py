"""The ls7a platform: each way an interrupt can take to a core, every controller a component, and who answers where."""

from itertools import pairwise

import pytest

from soc import Machine, platforms
from soc.messages import InterruptLevel, InterruptVector
from soc.platforms import eventfd
from soc.timing import Timing
from tests.soc.fakes import machine

PIC, HT, ROUTER, EXT, MSI = 0x1000_0000, 0xEFD_FB00_0080, 0x3FF0_1400, 0x1FE0_0000, 0x2FF0_0000
UART0, HT_HI = 0x1008_0000, 0xFFD_FB00_0080
T = Timing()
OFF = ("write", 0x100D_0014, 4, 0x3C00)


def run(*steps, **options):
    def program(core):
        yield from (step for step in (*steps, OFF))

    m = machine(program, platform="ls7a", trace=True, **options)
    result = m.run(max_virtual="10 ms")
    assert result.ended == "poweroff", result.reason
    return m


def seen(m):
    return [value for _, value in m.cpu[0].seen]


def hops(m, kinds=(InterruptLevel, InterruptVector)):
    return [(r.link.name, r.message) for r in m.trace if type(r.message) in kinds]


WAIT = ("run", 10_000)
ROUTE_TO_IP3 = tuple(("write", ROUTER + n, 1, 0x21) for n in range(24, 32))
ROUTER_ON = (*ROUTE_TO_IP3, ("write", ROUTER + 0x28, 4, 0xFF00_0000))
UART0_RAISES = (("write", UART0 + 1, 1, 2), WAIT)


def test_a_pin_becomes_a_vector_a_line_and_a_level_at_the_core():
    m = run(
        *ROUTER_ON,
        ("write", HT + 0x20, 4, 1 << 9),
        ("write", PIC + 0x208, 1, 9),
        ("write", PIC + 0x40, 4, 1 << 8),
        ("write", PIC + 0x20, 4, ~(1 << 8) & 0xFFFF_FFFF),
        *UART0_RAISES,
        ("read", HT, 4),
        ("read", ROUTER + 0x40, 4),
    )
    assert seen(m) == [1 << 9, 1 << 24]
    path = hops(m)
    assert [name for name, _ in path] == [
        "ls7a_uart0.irq -> ls7a_irq.input[8]",
        "ls7a_irq.lo -> ls3a_ht_irq.message",
        "ls3a_ht_irq.line[0] -> ls3a_router_irq.input[24]",
        "ls3a_router_irq.pin[1] -> cpu0.ip[3]",
    ]
    assert len({message.cause for _, message in path}) == 1, "one cause from the edge to the core"
    times = [message.time for _, message in path]
    assert [b - a for a, b in pairwise(times)] == [T.ht_vector, T.irq_line, T.core_pin]
    assert m.cpu[0].lines == 1 << 3


def test_with_extended_interrupts_the_same_message_goes_to_the_extended_controller():
    m = run(
        ("write", EXT + 0x420, 8, 1 << 48),
        ("write", EXT + 0x1600 + 8, 8, 1 << 6),
        ("write", EXT + 0x14C0 + 2, 1, 1 << 2),
        ("write", EXT + 0x1C00 + 70, 1, 1),
        ("write", MSI, 4, 70),
        WAIT,
        ("read", EXT + 0x1800 + 8, 8),
        ("read", HT + 8, 4),
        ("write", EXT + 0x1800 + 8, 8, 1 << 6),
        WAIT,
    )
    assert seen(m) == [1 << 6, 0]
    names = [name for name, _ in hops(m)]
    assert names == [
        "ls3a_ext_irq.ext_int_en -> ls3a_ht_irq.ext_int",
        "ls3a_ext_irq.ext_int_en -> ls3a_ht_irq_hi.ext_int",
        "ls7a_msi.lo -> ls3a_ht_irq.message",
        "ls3a_ht_irq.forward -> ls3a_ext_irq.message",
        "ls3a_ext_irq.pin[2] -> cpu0.ip[4]",
        "ls3a_ext_irq.pin[2] -> cpu0.ip[4]",
    ]
    assert m.cpu[0].lines == 0


@pytest.mark.parametrize(("vector", "line"), [(64, 26), (95, 26), (96, 27), (255, 31)])
def test_msi_vectors_lead_to_their_router_inputs(vector, line):
    word, bit = divmod(vector, 32)
    m = run(
        *ROUTER_ON,
        ("write", HT + 0x20 + 4 * word, 4, 1 << bit),
        ("write", MSI, 4, vector),
        WAIT,
        ("read", ROUTER + 0x40, 4),
    )
    assert seen(m) == [1 << line]


def test_a_pin_routed_to_the_upper_half_comes_by_its_own_controller():
    m = run(
        *ROUTER_ON,
        ("write", HT_HI + 0x20, 4, 1 << 9),
        ("write", PIC + 0x108, 1, 2),
        ("write", PIC + 0x208, 1, 9),
        ("write", PIC + 0x40, 4, 1 << 8),
        ("write", PIC + 0x20, 4, ~(1 << 8) & 0xFFFF_FFFF),
        *UART0_RAISES,
        ("read", HT, 4),
        ("read", HT_HI, 4),
        ("read", ROUTER + 0x40, 4),
    )
    assert seen(m) == [0, 1 << 9, 1 << 28]


def test_two_outputs_on_one_pin_are_ored():
    def program(core):
        yield ("write", UART0 + 1, 1, 2)
        yield WAIT
        for step in (("write", UART0 + 1, 1, 0), ("write", PIC + 0x80, 4, 1 << 8)):
            yield step
            yield WAIT
            yield ("read", PIC + 0x380, 4)
        yield OFF

    m = machine(program, platform="ls7a", trace=True)
    m.devices["ls7a_irqfd"].assign(7, 8, resample=True)
    eventfd.signal(m, 7, at="1 us")
    assert m.run(max_virtual="10 ms").ended == "poweroff"
    assert seen(m) == [1 << 8, 0], "the descriptor holds the pin after the device has let go"
    assert [descriptor for _, descriptor in m.devices["eventfd"].resampled] == [7]


def test_one_uart_answers_at_both_its_addresses():
    m = run(("write", 0x1FE0_0100 + 7, 1, 0x5A), ("read", 0x1FE0_01E0 + 7, 1), ("write", 0x1FE0_01E0, 1, 0x41), WAIT)
    assert seen(m) == [0x5A] and m.console == b"A"


@pytest.mark.parametrize(
    ("address", "size", "value"),
    [
        (0x1A00_0000, 4, 0x7A00_0014),
        (0xEFE_0000_0000, 4, 0x7A00_0014),
        (0xEFE_0000_4000, 4, 0xFFFF_FFFF),
        (0xEFE_1001_0000, 2, 0xFFFF),
        (0x1800_0060, 1, 0xFF),
        (0x4000_0000, 4, 0xFFFF_FFFF),
        (0x1001_041C, 4, 0x800),
        (0x1FE0_0008, 4, 0b11110),
        (0x1FE0_01D0, 4, 0),
        (0x1FE0_019C, 4, 0),
        (PIC, 8, 0x003F_0001_0700_0000),
        (0x1008_1000, 4, 0),
        (0x2000_0000, 4, 0),
        (0xE00_0000_0000, 8, 0),
        (0xE00_1000_0000, 8, 0x003F_0001_0700_0000),
        (0xFFD_FB00_0080, 4, 0),
        (0x3FF0_1004, 4, 0),
        (0x1FE0_1420, 4, 0),
        (0x1FE0_1600, 8, 0),
        (0x1FE0_1060, 8, 1 << 63),
    ],
)
def test_who_answers_where(address, size, value):
    assert seen(run(("read", address, size))) == [value]


def test_the_node_counter_answers_at_both_its_addresses():
    first, second = seen(run(("run", 100_000), ("read", 0x1FE0_0408, 8), ("read", 0x3FF0_0408, 8)))
    assert 0 < first < second < 2 * first


def test_the_host_sees_the_same_addresses():
    m = run()
    assert m.bus.read(0x1FE0_0008, 4) == 0b11110
    assert m.bus.read(0x1A00_0000, 4) == 0x7A00_0014
    assert m.bus.read(0x1FE0_1420, 4) == 0
    m.bus.write(0x1FE0_1028, 8, 7)
    assert m.bus.read(0x3FF0_1028, 8) == 7


@pytest.mark.parametrize(("slot", "pin"), [(8, 16), (7, 58), (5, 51), (4, 49), (3, 12), (6, 29)])
def test_inta_of_a_function_in_every_slot_reaches_a_core_through_the_pin_of_its_slot(monkeypatch, slot, pin):
    """Device numbers and pins: Linux 6.1 arch/mips/boot/dts/loongson/ls7a-pch.dtsi, interrupt-map of each bridge."""
    monkeypatch.setitem(platforms.FUNCTIONS, "asker", "tests.soc.dma_device:Asker")
    order = (8, 7, 5, 4, 3, 6)
    config, bar, vector = 0x1A00_0000 | slot << 11, 0x4000_0000, 40
    m = run(
        *ROUTER_ON,
        ("write", HT + 0x20 + 4 * (vector // 32), 4, 1 << vector % 32),
        ("write", PIC + 0x200 + pin, 1, vector),
        ("write", PIC + 0x40, 8, 1 << pin),
        ("write", PIC + 0x20, 8, ~(1 << pin) & (1 << 64) - 1),
        ("write", config + 0x10, 4, bar),
        ("write", config + 0x04, 2, 6),
        ("write", bar + 0x08, 8, 0x8000_1000),
        ("write", bar, 8, 0x8000_0000),
        ("write", bar + 0x10, 4, 16),
        ("write", bar + 0x14, 4, 1),
        WAIT,
        ("write", bar + 0x20, 4, 1),
        WAIT,
        devices={f"asker_{n}": {} for n in range(1 + order.index(slot))},
    )
    name = f"asker_{order.index(slot)}"
    assert [hop for hop, message in hops(m) if message.cause == hops(m)[0][1].cause] == [
        f"{name}.irq -> ls7a_irq.input[{pin}]",
        "ls7a_irq.lo -> ls3a_ht_irq.message",
        "ls3a_ht_irq.line[1] -> ls3a_router_irq.input[25]",
        "ls3a_router_irq.pin[1] -> cpu0.ip[3]",
        f"{name}.irq -> ls7a_irq.input[{pin}]",
    ]
    assert [message.level for hop, message in hops(m) if hop.startswith(name)] == [1, 0]


def test_a_function_with_intx_disabled_asks_nobody(monkeypatch):
    monkeypatch.setitem(platforms.FUNCTIONS, "asker", "tests.soc.dma_device:Asker")
    config, bar = 0x1A00_4000, 0x4000_0000
    m = run(
        ("write", config + 0x10, 4, bar),
        ("write", config + 0x04, 2, 0x406),
        ("write", bar + 0x08, 8, 0x8000_1000),
        ("write", bar, 8, 0x8000_0000),
        ("write", bar + 0x10, 4, 16),
        ("write", bar + 0x14, 4, 1),
        WAIT,
        ("read", config + 0x06, 2),
        devices={"asker": {}},
    )
    assert hops(m) == []
    assert seen(m) == [0x18], "capabilities, and the interrupt status all the same"


def test_every_node_has_a_router_for_its_own_cores():
    m = Machine("ls7a", cpus=8, ram="16 MiB")
    m.bus.write(1 << 44 | ROUTER + 3, 1, 0x24)
    assert m.bus.read(1 << 44 | 0x1FE0_1403, 1) == 0x24, "both windows are one controller"
    assert m.bus.read(ROUTER + 3, 1) == 0, "and not node 0's"
    m.bus.write(1 << 44 | ROUTER + 0x28, 4, 1 << 3)
    m.components["ls3a_router_irq_1"].access(m.devices["ls3a_router_irq_1"].line_in, "input[3]", 1)
    m.run(max_virtual="1 us")
    assert [core.cp0("cause") >> 8 & 0x3C for core in m.cpu] == [0, 0, 0, 0, 0, 0, 1 << 3, 0], "IP3 of its core 2"
