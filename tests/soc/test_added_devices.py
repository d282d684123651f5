"""Models of the user's own in a machine: from keywords and from a TOML file, their registers, wires and memory."""

import re

import pytest

from devices.device import Device
from devices.dma import DmaDevice, Read, Write
from devices.lines import LineIn, LineOut
from devices.ports import VectorOut
from devices.registers import Register
from devices.virtio.rng import VirtioRng
from soc.errors import SocError
from soc.machine import Machine
from tests.soc.fakes import machine

BASE, ROUTER = 0x1000_E000, 0x3FF0_1400


class Latch(Device):
    """Holds what is written; bit 0 is its output, its input is bit 1 of `seen`."""

    value = Register(0x00)
    seen = Register(0x04, access="ro")
    out = LineOut()
    back = LineIn()
    message = VectorOut()

    def __init__(self, *, initial=0, **options):
        self.first = initial
        super().__init__(**options)

    def on_reset(self):
        self.value = self.first

    def settle(self):
        self.out.level = self.value & 1
        self.seen = self.back.level << 1


class Copier(DmaDevice):
    """Copies eight bytes of memory, from and to what is written."""

    go = Register(0x00, width=8)

    def on_write_go(self, value, old):
        self.spawn("copy", value & 0xFFFF_FFFF, value >> 32)

    def copy(self, source, target):
        data = yield Read(source, 8)
        yield Write(target, data)


def idle(core):
    yield ("run", 10)


def add(**given):
    return {"latch": {"model": Latch, "base": BASE, **given}}


def test_a_guest_reaches_its_registers_and_its_line_reaches_the_router():
    answers = []

    def program(core):
        answers.append((yield ("read", BASE, 4)))
        yield ("write", BASE, 4, 1)
        yield ("run", 400)
        answers.append((yield ("read", ROUTER + 0x20, 4)))
        answers.append((yield ("read", BASE + 4, 4)))

    wires = {"out": ["ls3a_router_irq.input[12]", "latch.back"]}
    m = machine(program, devices=add(wires=wires, options={"initial": 6}))
    m.bus.write(ROUTER + 0x28, 4, 1 << 12)
    m.run(max_virtual="10 us")
    assert answers == [6, 1 << 12, 2]
    assert m.devices["latch"].name == "latch"
    assert {"latch.out -> ls3a_router_irq.input[12]", "latch.out -> latch.back"} <= m.links.keys()


def test_a_wire_can_be_given_at_the_end_that_receives():
    m = machine(idle, devices=add(wires={"back": "uart.irq"}))
    m.run(max_virtual="1 us")
    assert m.links["uart.irq -> latch.back"].latency == m.timing.irq_line


def test_wires_have_the_latency_of_their_kind():
    m = machine(idle, platform="ls7a", devices=add(wires={"message": "ls3a_ht_irq.message", "out": "cpu0.ip[4]"}))
    assert m.links["latch.message -> ls3a_ht_irq.message"].latency == m.timing.ht_vector
    assert m.links["latch.out -> cpu0.ip[4]"].latency == m.timing.core_pin


def test_a_file_beside_the_toml_file_needs_no_import_path(tmp_path):
    (tmp_path / "lamp.py").write_text(
        "from devices.device import Device\n"
        "from devices.registers import Register\n"
        "class Lamp(Device):\n"
        "    on = Register(0, width=1, reset=3)\n"
    )
    file = tmp_path / "board.toml"
    file.write_text(
        f'[machine]\nplatform = "virt"\n[devices.lamp]\nmodel = "lamp.py:Lamp"\nbase = [{BASE}, 0x1000F000]\n'
    )
    m = machine(idle, platform=file)
    assert (m.bus.read(BASE, 1), m.bus.read(0x1000_F000, 1)) == (3, 3)
    assert m.options.devices["lamp"]["model"] == f"{tmp_path / 'lamp.py'}:Lamp"
    m.bus.write(BASE, 1, 9)
    assert m.devices["lamp"].on == 9


def test_a_device_at_a_fixed_address_can_reach_memory():
    m = machine(idle, devices={"copier": {"model": Copier, "base": BASE}})
    m.memory.write(0x8000_1000, b"8 bytes.")
    m.bus.write(BASE, 8, 0x8000_2000 << 32 | 0x8000_1000)
    m.run(max_virtual="10 us")
    assert m.memory.read(0x8000_2000, 8) == b"8 bytes."


def test_a_function_of_ones_own_takes_a_slot():
    m = machine(idle, devices={"virtio_rng": {}, "dice": {"model": VirtioRng, "options": {"seed": 7}}})
    assert m.platform.functions == {"virtio_rng": "function[1]", "dice": "function[2]"}
    assert m.devices["dice"].stream(0, 4) == VirtioRng(seed=7).stream(0, 4)


class NoDevice:
    pass


@pytest.mark.parametrize(
    ("name", "given", "says"),
    [
        ("latch", {"model": Latch}, "Latch has registers; give `base`"),
        ("latch", {"model": Latch, "base": "0x10"}, "base '0x10'; a physical address below 2\\^48"),
        ("latch", {"model": Latch, "base": 0x1FE0_01E0}, "latch at 0x1fe001e0..0x1fe001e7 overlaps uart"),
        ("latch", {"model": Latch, "base": 0x8000_0000}, "latch at 0x80000000: the machine has memory there"),
        ("latch", {"model": Latch, "base": BASE, "pins": 3}, "unknown key 'pins'; allowed: model, base, size, wires"),
        ("latch", {"model": Latch, "base": BASE, "size": 0}, "size 0; a positive number of bytes"),
        (
            "latch",
            {"model": Latch, "base": BASE, "options": {"pins": 3}},
            "unknown option of Latch 'pins'; allowed: initial, strict",
        ),
        (
            "latch",
            {"model": Latch, "base": BASE, "wires": {"irq": "uart.irq"}},
            "unknown port of Latch 'irq'; allowed: out",
        ),
        ("latch", {"model": Latch, "base": BASE, "wires": {"out": 3}}, "wire out to 3; a port is needed"),
        ("latch", {"model": Latch, "base": BASE, "wires": {"out": "pic.x"}}, "unknown component 'pic'"),
        ("uart", {"model": Latch, "base": BASE}, "device 'uart': the machine has one of that name"),
        ("cpu0", {"model": Latch, "base": BASE}, "device 'cpu0': a name is a-z"),
        ("latch", {"model": "latch", "base": BASE}, "'latch' names no model; write module:Class"),
        ("latch", {"model": "no.such:Latch", "base": BASE}, "there is no module 'no'"),
        ("latch", {"model": "nowhere.py:Latch", "base": BASE}, "there is no file .*nowhere.py"),
        ("latch", {"model": "devices.rtc:Latch", "base": BASE}, "devices.rtc has no class 'Latch'; it has GoldfishRtc"),
        ("latch", {"model": NoDevice, "base": BASE}, "NoDevice' is no device"),
        ("latch", {"model": 5, "base": BASE}, "model 5; give module:Class"),
        ("dice", {"model": VirtioRng, "base": BASE}, "a PCI function has no base"),
    ],
)
def test_what_cannot_be_added_is_named(name, given, says):
    with pytest.raises(SocError) as refused:
        machine(idle, devices={name: given})
    assert re.search(says, str(refused.value)), refused.value


def test_a_local_class_has_no_name_for_others():
    class Local(Latch):
        pass

    with pytest.raises(SocError, match="Local is no class of a module"):
        machine(idle, devices={"latch": {"model": Local, "base": BASE}})


def test_a_checkpoint_brings_it_back():
    m = Machine("virt", ram=16, devices=add(options={"initial": 6}, wires={"out": ["latch.back"]}))
    m.bus.write(BASE, 4, 5)
    restored = Machine.restore(m.save())
    assert (restored.bus.read(BASE, 4), restored.devices["latch"].first) == (5, 6)
    assert restored.links.keys() == m.links.keys()


def test_it_runs_in_a_process_of_its_own_with_the_same_hash(tmp_path):
    (tmp_path / "lamp.py").write_text(
        "from devices.device import Device\n"
        "from devices.lines import LineIn, LineOut\n"
        "from devices.registers import Register\n"
        "class Lamp(Device):\n"
        "    on = Register(0, width=4)\n"
        "    count = Register(4, access='ro')\n"
        "    out, back = LineOut(), LineIn()\n"
        "    def on_line_back(self, index, level):\n"
        "        self.count += level\n"
        "    def settle(self):\n"
        "        self.out.level = self.on & 1\n"
    )
    lamp = {"model": f"{tmp_path / 'lamp.py'}:Lamp", "base": BASE, "wires": {"out": "lamp.back"}}
    seen, hashes = [], set()

    def program(core):
        for value in (1, 0, 1):
            yield ("write", BASE, 4, value)
            yield ("run", 100)
        seen.append((yield ("read", BASE + 4, 4)))

    for placement in ({}, {"lamp": "process"}):
        with machine(program, devices={"lamp": lamp}, placement=placement) as m:
            hashes.add(m.run(max_virtual="10 us").trace_hash)
    assert seen == [2, 2] and len(hashes) == 1
