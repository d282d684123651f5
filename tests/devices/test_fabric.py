"""Controllers together: whole paths under a guest that follows Linux's flow, two nodes, distribution, boards."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devices import CLASSES, device_class
from devices.board import Board
from devices.device import Device
from devices.errors import DeviceError
from devices.ls3a_ext_irq import Ls3aExtIrq
from devices.ls3a_ht_irq import Ls3aHtIrq
from devices.ls3a_ipi import Ls3aIpi
from devices.ls7a_irq import Ls7aIrq
from devices.registers import markdown
from devices.stable_timer import StableTimer
from soc.bits import bits
from tests.devices.revive import EXAMPLES, left, powered
from tests.devices.vector_bench import Bench, hw_board
from tests.devices.vectors import Vector

EDGES, LEVELS, MESSAGES = (3, 40), (8, 63), (70, 255)


class Guest:
    """Linux 6.1's drivers over PCH-PIC, HTVEC and LIOINTC, or a 4.19 guest's over the EIOINTC: their accesses.

    Devices drive edge pins, level pins and message vectors; `handled` counts what reached their handlers.
    """

    def __init__(self, extended):
        bench = Bench("hw")
        setup = "ext419" if extended else "htv61; lio61"
        bench.run(Vector("setup", "hw", "pic", f"init61; {setup}", ""))
        self.board, self.extended = bench.board, extended
        self.pins = bench.pins
        self.waiting = set()
        self.handled = []
        self.board.write("pic", 0x60, 8, sum(1 << pin for pin in EDGES))
        for pin in EDGES + LEVELS:
            self.mask_pic(pin, False)
        for vector in EDGES + LEVELS + MESSAGES:
            self.mask_htv(vector, False)
        self.board.write("lio", 0x28, 4, 0xFF000000)

    def mask_pic(self, pin, masked):
        place, bit = 0x20 + pin // 32 * 4, 1 << pin % 32
        old = self.board.read("pic", place, 4)
        self.board.write("pic", place, 4, old | bit if masked else old & ~bit)

    def mask_htv(self, vector, masked):
        if self.extended:
            return
        place, bit = 0xA0 + vector // 32 * 4, 1 << vector % 32
        old = self.board.read("htv", place, 4)
        self.board.write("htv", place, 4, old & ~bit if masked else old | bit)

    def acknowledge(self, vector):
        if not self.extended:
            self.board.write("htv", 0x80 + vector // 32 * 4, 4, 1 << vector % 32)

    def clear(self, pin):
        self.board.write("pic", 0x80 + pin // 32 * 4, 4, 1 << pin % 32)

    def fire(self, source):
        self.waiting.add(source)
        if source in MESSAGES:
            self.board.write("msi", 0, 4, source)
        else:
            self.board.line(f"pic.input[{source}]", 1)
            if source in EDGES:
                self.board.line(f"pic.input[{source}]", 0)

    def dispatch(self, between):
        """One interrupt of the core, if a pin asks for it. `between` may fire devices in the middle of a handler."""
        if not self.pins():
            return False
        found = []
        for word in range(4 if self.extended else 8):
            if self.extended:
                pending = self.board.read("ext", 0x1800 + 8 * word, 8, space="csr")
                self.board.write("ext", 0x1800 + 8 * word, 8, pending, space="csr")
                found += [64 * word + bit for bit in bits(pending)]
            else:
                pending = self.board.read("htv", 0x80 + 4 * word, 4)
                found += [32 * word + bit for bit in bits(pending)]
        for vector in found:
            assert vector in EDGES + LEVELS + MESSAGES, "a vector nobody sent"
            self.handle(vector, between)
        return True

    def handle(self, vector, between):
        if vector in LEVELS:
            self.mask_pic(vector, True)
            self.mask_htv(vector, True)
        if vector in EDGES:
            self.clear(vector)
        self.acknowledge(vector)
        between()
        self.waiting.discard(vector)
        self.handled.append(vector)
        if vector in LEVELS:
            self.board.line(f"pic.input[{vector}]", 0)
        between()
        if vector in LEVELS:
            self.clear(vector)
            self.mask_htv(vector, False)
            self.mask_pic(vector, False)


sources = st.sampled_from(EDGES + LEVELS + MESSAGES)


@pytest.mark.parametrize("extended", [False, True], ids=["htvec", "eiointc"])
@given(data=st.data())
@settings(deadline=None, max_examples=max(5, EXAMPLES // 3))
def test_nothing_is_lost_and_nothing_spurious_under_linux(extended, data):
    guest = Guest(extended)

    def between():
        for source in data.draw(st.lists(sources, max_size=2)):
            guest.fire(source)

    for _ in range(data.draw(st.integers(1, 12))):
        between()
        if data.draw(st.booleans()):
            guest.dispatch(between)
    for _ in range(50):
        if not guest.dispatch(lambda: None):
            break
    assert not guest.pins()
    assert guest.waiting == set()
    assert all(not device.undecoded for device in guest.board.devices.values())


def test_with_extended_interrupts_on_messages_pass_the_ht_controller_without_trace():
    board = hw_board()
    board.write("ext", 0x420, 8, 1 << 48)
    board.write("ext", 0x1600, 8, 1 << 40)
    board.write("ext", 0x14C1, 1, 2)
    board.write("msi", 0, 4, 40)
    assert board.read("htv", 0x84, 4) == 0
    assert board.read("ext", 0x1800, 8, core=0, space="csr") == 1 << 40
    assert board.level("ext.pin[1]") == 1
    board.write("ext", 0x420, 8, 0)
    board.write("msi", 0, 4, 41)
    assert board.read("htv", 0x84, 4) == 1 << 9


def two_nodes():
    board = Board()
    for node in (0, 1):
        board.add(f"ext{node}", Ls3aExtIrq, node=node)
        board.write(f"ext{node}", 0x420, 8, 1 << 48)
        board.write(f"ext{node}", 0x1600, 8, (1 << 64) - 1)
        board.write(f"ext{node}", 0x14C0, 1, 1)
        board.add(f"ipi{node}", Ls3aIpi, node=node)
    board.wire("ext0.to_node[1]", "ext1.from_node")
    board.wire("ext1.to_node[0]", "ext0.from_node")
    board.wire("ipi0.csr", "ipi1")
    board.wire("ipi1.csr", "ipi0")
    return board


def test_a_vector_for_another_node_is_pending_there_only():
    board = two_nodes()
    board.write("ext0", 0x14A2, 2, 0b10)
    board.write("ext0", 0x1C09, 1, 0x14)
    board.vector("ext0.message", 9)
    assert board.read("ext0", 0x1700, 8) == 0
    assert board.read("ext1", 0x1700, 8) == 1 << 9
    assert board.read("ext1", 0x1800, 8, core=6, space="csr") == 1 << 9
    assert board.level("ext1.pin[8]") == 1
    board.write("ext1", 0x1A00, 8, 1 << 9)
    assert (board.read("ext1", 0x1700, 8), board.level("ext1.pin[8]")) == (0, 0)


def test_taking_turns_over_nodes_and_cores_is_node_major():
    """The manual's example with nodes 0, 1 and 4 and cores 0 to 2, on the nodes there are."""
    device = powered(Ls3aExtIrq)
    device.write(0x420, 8, 1 << 48)
    device.write(0x1600, 8, 1)
    device.write(0x1680, 8, 1)
    device.write(0x14A4, 2, 0x0013)
    device.write(0x1C00, 1, 0x27)
    went = []
    for _ in range(10):
        device.vector_in("message", 0)
        sent = left(device, "vector")
        if sent:
            went.append((int(sent[0][0][8:-1]), sent[0][1] >> 8))
        else:
            core = next(core for core in range(4) if device.core_isr[4 * core] & 1)
            went.append((0, core))
            device.write(0x1800 + 0x100 * core, 8, 1)
    assert went == [(n, c) for n in (0, 1, 4) for c in range(3)] + [(0, 0)]


def test_ipis_and_mail_to_another_node_arrive_there():
    board = two_nodes()
    board.write("ipi1", 0x204, 4, 0xFFFFFFFF)
    board.write("ipi0", 0x1040, 4, 6 << 16 | 3, core=2, space="csr")
    assert board.read("ipi1", 0x200, 4) == 8
    assert board.level("ipi1.pin[2]") == 1
    board.write("ipi1", 0x1048, 8, 0x5555_0000_0001_0004, core=4, space="csr")
    assert board.read("ipi0", 0x1020, 8, core=1, space="csr") == 0x5555_0000_0000_0000


@pytest.mark.parametrize(
    "auto, outputs",
    [
        ((0, 0), "lo lo lo lo lo lo"),
        ((1, 0), "lo lo hi lo lo lo"),
        ((0, 1), "hi hi hi hi hi hi"),
        ((1, 1), "lo lo lo lo lo lo"),
    ],
    ids=["fixed", "rotate", "idle", "busy"],
)
def test_distribution_between_the_two_outputs(auto, outputs):
    """Pin 0 is held in service at output 0 by its route; pin 1 comes three times, then three others once each."""
    device = powered(Ls7aIrq)
    device.write(0x20, 8, 0)
    device.write(0x40, 8, (1 << 64) - 1)
    device.write(0xC0, 8, auto[0] * 0b11110)
    device.write(0xE0, 8, auto[1] * 0b11110)
    device.write(0x60, 8, (1 << 64) - 1)
    device.write(0x100, 8, 0x0303030301)
    device.line_in("input[0]", 1)
    left(device, "vector")
    went = []

    def edge(pin):
        device.line_in(f"input[{pin}]", 1)
        device.line_in(f"input[{pin}]", 0)
        went.extend(port for port, _ in left(device, "vector") if port != "cleared")
        device.write(0x80, 8, 1 << pin)

    for pin in (2, 1, 1, 3, 4, 1):
        edge(pin)
    assert " ".join(went) == outputs


def test_a_line_output_needs_no_vector_and_follows_its_pins():
    device = powered(Ls7aIrq)
    device.write(0x20, 8, 0)
    device.write(0x101, 1, 2)
    for pin in (0, 1, 2):
        device.line_in(f"input[{pin}]", 1)
    assert (device.intn0.level, device.intn1.level) == (1, 1)
    device.line_in("input[0]", 0)
    device.line_in("input[1]", 0)
    assert (device.intn0.level, device.intn1.level) == (1, 0)
    device.write(0x40, 8, 1 << 2)
    assert (device.intn0.level, left(device, "vector")) == (0, [("lo", 2)])


def test_ranges_tell_a_platform_what_each_block_takes():
    assert Ls3aIpi.ranges("csr")[-1] == (0x1158, 8)
    assert Ls3aIpi.ranges("csr")[:3] == [(0x1000, 0x10), (0x1020, 0x24), (0x1048, 8)]
    assert Ls3aExtIrq.ranges()[:4] == [(0x420, 8), (0x1140, 4), (0x14A0, 0x28), (0x1600, 0x20)]
    assert StableTimer.ranges()[0] == (0x408, 8)
    blocks = {"ls3a_ipi": 0x1000, "ls3a_router_irq": 0x1400, "ls3a_ext_irq": 0, "stable_timer": 0}
    for space in ("memory", "csr"):
        taken = {}
        for name, base in blocks.items():
            for start, length in device_class(name).ranges(space):
                for place in range(start, start + length):
                    place += base if space == "memory" else 0
                    assert taken.setdefault(place, name) == name, f"{place:#x} is taken twice"


def test_every_core_meets_its_own_block_as_configuration_registers():
    ipi, timer = powered(Ls3aIpi), powered(StableTimer)
    router = powered(device_class("liointc"))
    router.write(0x24, 4, 0)
    router.write(0x28, 4, 2)
    router.write(0x01, 1, 0x18)
    router.line_in("input[1]", 1)
    for core in range(8):
        ipi.write(0x1008, 4, 1 << core, core, "csr")
        timer.write(0x1060, 8, 100 + core, core, "csr")
        assert ipi.read(0x100 * (core % 4), 4) >> core & 1
        assert timer.read(0x1060 + 0x100 * (core % 4), 4) == 100 + core
        assert router.read(0x1010, 4, core, "csr") == (2 if core % 4 == 3 else 0)
    assert (ipi.read(0x1010, 4, 0, "csr"), ipi.undecoded["read", "csr", 0x1010, 4]) == (0, 1)


def test_the_node_counter_has_its_own_clock():
    timer = powered(StableTimer, hz=100_000_000, node_hz=700_000_000)
    timer.outside.advance(10_000_000)
    assert (timer.read(0x408, 8), timer.read(0x40C, 4), timer.counter) == (7000, 0, 1000)
    assert timer.read(0x408, 8, 3, "csr") == 7000


def test_a_timer_is_written_by_halves():
    timer = powered(StableTimer)
    timer.write(0x1060, 4, 50)
    timer.write(0x1064, 4, 1 << 29)
    timer.outside.advance(500_000)
    assert timer.pin.levels == 1
    assert timer.read(0x1064, 4) == 0xA000_0000


@pytest.mark.parametrize(
    "make, reason",
    [
        (lambda: Ls7aIrq(pins=65), "pins 65"),
        (lambda: Ls7aIrq(pins=0), "pins 0"),
        (lambda: Ls3aHtIrq(lines=6), "lines 6, stripe 1"),
        (lambda: Ls3aHtIrq(stripe=3), "stripe 3"),
        (lambda: Ls3aExtIrq(node=16), "node 16"),
        (lambda: Ls3aIpi(node=-1), "node -1"),
        (lambda: device_class("ls3a_ext_irq_kvm")(online=5), "online 5"),
        (lambda: device_class("ls3a_router_irq_kvm")(online=0), "online 0"),
        (lambda: powered(Ls7aIrq, pins=32).line_in("input[32]", 1), r"no input line 'input\[32\]'"),
        (lambda: powered(Ls3aHtIrq).vector_in("message", 256), "vector 256; allowed are 0 to 255"),
        (lambda: powered(Ls3aHtIrq).vector_in("messages", 0), "no vector input 'messages'; it has message"),
        (lambda: powered(StableTimer).event_in("x", 0, 1), "no event input 'x'; it has none"),
    ],
)
def test_misuse_is_named(make, reason):
    with pytest.raises(DeviceError, match=reason):
        make()


def test_a_board_refuses_wires_that_do_not_fit():
    board = hw_board()
    for source, target in (("pic.lo", "lio.input[0]"), ("pic.intn0", "htv.message"), ("ext.pin[0]", "lio.input[32]")):
        with pytest.raises(DeviceError, match="cannot be wired"):
            board.wire(source, target)


def test_a_board_names_what_is_not_on_it():
    board = hw_board()
    for act in (
        lambda: board.read("pci", 0, 4),
        lambda: board.line("pci.irq", 1),
        lambda: board.wire("pic.lo", "pci.x"),
    ):
        with pytest.raises(DeviceError, match="no device 'pci' is on the board; there are pic, msi, htv, ext"):
            act()
    with pytest.raises(DeviceError, match="pic has no output line 'irq'; it has intn0, intn1"):
        board.level("pic.irq")


def test_a_wire_takes_over_a_level_that_is_high_already():
    board = Board()
    board.add("fd", "irqfd", assigned=[(1, 4, True)])
    board.event("fd.signal", 1)
    board.add("pic", "pchpic")
    board.wire("fd.pin[4]", "pic.input[4]")
    assert board.read("pic", 0x380, 8) == 1 << 4


class Late(Device):
    """Source: this test."""

    def on_timer_slot(self, index):
        self.outside.output("log", bytes([index]))


def test_timers_can_have_an_index(rig):
    rig.device(Late)
    rig.model.after(20, "slot[7]")
    rig.model.after(10, "slot[3]")
    rig.advance(30)
    assert rig.outputs == {"log": b"\x03\x07"}


@pytest.mark.parametrize("module", CLASSES)
def test_every_device_has_its_table(module):
    cls = device_class(module)
    table = markdown(cls)
    assert all(f" {name} |" in table for name in cls.register_map().registers)


def test_kvm_eiointc_facts():
    """Loongson 4.19 KVM: ls3a_ext_irq.c. Direct forms of rows E04 and E14, which come whole with KVM's CSR traps."""
    device = powered(device_class("ls3a_ext_irq_kvm"))
    csr = {"core": 0, "space": "csr"}
    device.write(0x14C0, 8, 0x0202020202020202, **csr)
    device.write(0x1C00, 8, 0x1111111112111111, **csr)
    for vector in (2, 3):
        device.vector_in("message", vector)
    assert (device.core_isr[0], device.core_isr[4], device.pin.levels) == (4, 8, 0)
    device.write(0x1600, 4, 0xFFFFFFFF, **csr)
    assert device.pin.levels == 1 << 1, "core 1 is not looked at"
    device.write(0x1CFC, 4, 0xAA000000, **csr)
    device.write(0x1CFF, 1, 0xBB, **csr)
    assert device.coremap[252:] == [0, 0, 0, 0xAA]
    assert (device.latched(), device.behind("pin[1]"), device.behind("pin[5]")) == (0b1100, 0b0100, 0)
    device.write(0x1800, 8, 0x10, **csr)
    assert (device.core_isr[0], device.pin.levels) == (4, 2)


def test_kvm_ipi_enable_gates_nothing():
    """Loongson 4.19 KVM: ls3a_ipi.c."""
    device = powered(device_class("ls3a_ipi_kvm"))
    device.write(0x108, 4, 0b101)
    assert (device.pin.levels, device.behind("pin[1]"), device.behind("csr")) == (0b10, 0b101 << 32, 0)


def test_kvm_router_facts():
    """kernel_2k1000 KVM: ls3a_router_irq.c: a core's first pin stays until the core's last source falls."""
    device = powered(device_class("ls3a_router_irq_kvm"))
    device.write(0x00, 2, 0x2111)
    device.write(0x28, 4, 3)
    for source, level in ((0, 1), (1, 1), (0, 0)):
        device.line_in(f"input[{source}]", level)
    assert device.pin.levels == 0b11
    assert (device.latched(), device.behind("pin[0]"), device.behind("pin[1]")) == (0b10, 0, 0b10)
    device.line_in("input[1]", 0)
    assert device.pin.levels == 0b01
    device.line_in("input[0]", 1)
    device.write(0x2C, 4, 1)
    device.line_in("input[0]", 0)
    assert (device.read(0x20, 4), device.pin.levels) == (1, 1), "a fall while disabled is lost"
