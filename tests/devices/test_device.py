"""What every device gets from its base class: lines, timers, byte ports, save and restore, errors that help."""

import subprocess
import sys

import msgpack
import pytest

import devices
from devices import CLASSES, device_class
from devices.device import Device
from devices.errors import DeviceError, UndecodedAccess, UnknownDevice
from devices.lines import LineIn, LineIns, LineOut, LineOuts
from devices.registers import Internal, Register


class Pulse(Device):
    """Counts edges of its inputs; a write starts a pulse of that many picoseconds."""

    length = Register(0x00)
    count = Register(0x04, access="ro")
    text = Internal(b"")

    gate = LineIn(initial=1)
    input = LineIns(3)
    out = LineOut()
    copy = LineOuts(3)

    def on_write_length(self, value, old):
        self.out.level = 1
        self.after(value, "end")

    def on_timer_end(self):
        self.out.level = 0

    def on_line_input(self, index, level):
        self.count += 1

    def on_receive_text(self, data):
        self.text += data

    def settle(self):
        self.copy.levels = self.input.levels if self.gate.level else 0


def test_only_real_changes_leave_a_device(rig):
    rig.device(Pulse)
    for level in (0, 1, 1, 0, 0):
        rig.input[1].level = level
    assert rig.model.count == 2
    assert rig.copy[1].edges == [(0, 1), (0, 0)]
    assert rig.copy[0].edges == []


def test_changes_of_several_lines_leave_lowest_first(rig):
    rig.device(Pulse)
    rig.gate.level = 0
    for line in (2, 0, 1):
        rig.input[line].level = 1
    rig.gate.level = 1
    assert [port for _, kind, port, _ in rig.outside.events if kind == "line"] == ["copy[0]", "copy[1]", "copy[2]"]


def test_a_timer_ends_the_pulse_at_its_time_and_can_be_restarted(rig):
    pulse = rig.device(Pulse)
    pulse.length = 1000
    rig.advance(999)
    assert rig.out.level == 1
    pulse.length = 1000
    rig.advance(5000)
    assert rig.out.edges == [(0, 1), (1999, 0)]


def test_reset_stops_timers_keeps_inputs_and_lets_outputs_follow(rig):
    pulse = rig.device(Pulse)
    rig.input[2].level = 1
    pulse.length = 1000
    rig.step(rig.model.reset)
    rig.advance(2000)
    assert rig.model.state == {"length": 0, "count": 0, "text": b"", "gate": 1, "input": 4, "out": 1, "copy": 4}


def test_save_and_restore_across_msgpack_with_a_running_timer(rig):
    pulse = rig.device(Pulse)
    rig.input[0].level = 1
    rig.send("text", b"\xff\x00")
    pulse.length = 1000
    rig.advance(400)
    saved = msgpack.unpackb(msgpack.packb(rig.model.save()))
    rig.advance(5000)
    ended_at = rig.out.edges[-1]

    rig.device(Pulse)
    rig.outside.now = 400
    rig.outside.levels.update({"out": 1, "copy[0]": 1})
    rig.model.restore(saved)
    assert rig.model.save() == saved
    rig.advance(5000)
    assert rig.out.edges == [ended_at]


@pytest.mark.parametrize(
    "spoil, reason",
    [
        (lambda saved: saved.pop("timers"), "a snapshot has the parts"),
        (lambda saved: saved["registers"].pop("count"), "registers differ from this device's: count"),
        (lambda saved: saved["lines"].update(irq=0), "lines differ from this device's: irq"),
        (lambda saved: saved["registers"].update(count=1 << 32), "snapshot's count is 4294967296"),
    ],
)
def test_a_foreign_snapshot_is_refused_and_nothing_changes(rig, spoil, reason):
    pulse = rig.device(Pulse)
    pulse.length = 5
    before = rig.model.save()
    wrong = rig.model.save()
    spoil(wrong)
    with pytest.raises(DeviceError, match=reason):
        rig.model.restore(wrong)
    assert rig.model.save() == before


@pytest.mark.parametrize(
    "act, reason",
    [
        (lambda d: d.line_in("input[3]", 1), r"no input line 'input\[3\]'; it has gate, input\[0\]"),
        (lambda d: d.line_in("gate", 2), "gate at level 2; allowed: 0, 1"),
        (lambda d: d.line_in("gate", 1.0), "gate at level 1.0"),
        (lambda d: d.receive("rx", b""), "no byte input 'rx'; it has text"),
        (lambda d: d.on_timer("end"), "'end' expired but is not running"),
        (lambda d: d.after(0, "end"), "delay 0 ps; a delay is a whole number of ps, 1 or more"),
        (lambda d: d.after(1.5, "end"), "delay 1.5 ps; a delay is a whole number of ps"),
        (lambda d: d.select_bank("x"), "no register bank 'x'"),
    ],
)
def test_misuse_is_named(rig, act, reason):
    rig.device(Pulse)
    with pytest.raises(DeviceError, match=reason):
        act(rig.model)


def test_a_device_must_be_attached_before_it_acts():
    with pytest.raises(DeviceError, match="attach"):
        Pulse().line_in("input[0]", 1)


def test_strict_devices_stop_at_what_they_do_not_decode(rig):
    rig.device(Pulse, strict=True, name="pulse0")
    with pytest.raises(UndecodedAccess, match="pulse0: write of 8 bytes at memory offset 0x0"):
        rig.model.write(0, 8, 0)


def test_the_rig_notices_a_device_that_breaks_its_declarations(rig):
    class Overflow(Device):
        count = Register(0, width=1)

        def on_write_count(self, value, old):
            self.count = 0x100

    overflow = rig.device(Overflow)
    with pytest.raises(AssertionError, match="count holds 256"):
        overflow.count = 1


def test_every_device_has_its_names_and_loads_alone():
    for module, cls in CLASSES.items():
        found = device_class(module)
        assert found.__name__ == cls
        assert getattr(devices, cls) is found
        assert found.__doc__ and "Source:" in found.__doc__
        assert found.register_map().registers or found.input_ports()
        assert bool(found.size) == bool(found.register_map().registers)
    assert device_class("liointc") is device_class("ls3a_router_irq")


def test_a_name_that_is_wrong():
    with pytest.raises(UnknownDevice, match=r"'toaster' is not a device; available: .*uart16550"):
        device_class("toaster")


def test_devices_load_neither_the_simulator_nor_the_engine():
    """A device process starts in milliseconds: design, arrows."""
    code = (
        "import sys, devices; [devices.device_class(m) for m in devices.CLASSES]; import devices.alone;"
        "print(sorted({'numba', 'simpy', 'numpy', 'cpu', 'soc.kernel', 'soc.machine'} & sys.modules.keys()))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_a_transfer_that_nobody_waits_for_is_refused(rig):
    rig.device("devices.virtio.rng:VirtioRng")
    with pytest.raises(DeviceError, match="VirtioRng waits for no transfer"):
        rig.outside.transfer()
