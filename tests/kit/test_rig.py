"""The rig beyond registers and lines: models from anywhere, messages, DMA, revival, its record."""

import pytest

from devices.device import Device
from devices.dma import DmaDevice, Read, Write
from devices.errors import DeviceError, UnknownDevice
from devices.fake import RAM_BASE
from devices.lines import LineIn, LineOut, LineOuts
from devices.models import absolute, load, name_of
from devices.ports import CsrOut, EventIn, EventOut, MailOut, VectorIn, VectorOut
from devices.registers import Internal, Register, RegisterArray
from devices.rig import Rig


class Echo(DmaDevice):
    """Writes what it reads, eight bytes further; an address outside of memory raises its line."""

    at = Register(0x00, width=8)
    bad = LineOut()
    spins = Internal(0)

    def on_write_at(self, value, old):
        self.spawn("copy", value)

    def copy(self, address):
        data = yield Read(address, 8)
        yield Write(address + 8, data)

    def on_fault(self, method, fault):
        self.bad.level = 1

    def on_receive_spin(self, data):
        self.spawn("spin")

    def spin(self):
        while True:
            yield Read(RAM_BASE, 1)


def test_dma_comes_to_rest_within_the_step(rig):
    echo = rig.device(Echo)
    rig.outside.ram[0:8] = b"8 bytes."
    echo.at = RAM_BASE
    assert rig.outside.ram[8:16] == b"8 bytes." and not rig.outside.waiting
    echo.at = 0x1000
    assert rig.bad.level == 1


def test_dma_without_end_is_told(rig):
    rig.device(Echo)
    with pytest.raises(DeviceError, match="Echo asks for DMA without end"):
        rig.send("spin", b"x")


def test_a_revived_device_goes_on(rig):
    echo = rig.device(Echo)
    echo.at = 0x1000
    before = rig.model
    echo = rig.revive()
    assert rig.model is not before and rig.model.state == before.state
    assert (echo.at, rig.bad.level) == (0x1000, 1)


def test_the_record_has_both_sides_in_order(rig):
    rig.device("ls3a_ht_irq").enable[0] = 1 << 3
    rig.vector("message", 3)
    told = [str(entry).strip() for entry in rig.record]
    assert told[1:] == ["0.000 ns  write enable[0] = 0x8", "0.000 ns  vector message = 3", "0.000 ns    line[0] = 1"]


def test_a_model_by_file_module_and_class(tmp_path):
    file = tmp_path / "lamp.py"
    file.write_text("from devices.device import Device\nclass Lamp(Device):\n    pass\n")
    rig = Rig(tmp_path)
    rig.device("lamp.py:Lamp")
    lamp = type(rig.model)
    assert load(f"{file}:Lamp") is lamp, "the same file is loaded once"
    assert name_of(lamp) == f"{file}:Lamp" and absolute("lamp.py:Lamp", tmp_path) == f"{file}:Lamp"
    rig.device("devices.rtc:GoldfishRtc")
    assert name_of(type(rig.model)) == absolute("devices.rtc:GoldfishRtc", tmp_path) == "devices.rtc:GoldfishRtc"


def test_a_module_that_fails_is_not_kept(tmp_path):
    file = tmp_path / "broken.py"
    file.write_text("class Lamp:\n    pass\n1 / 0\n")
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            load("broken.py:Lamp", tmp_path)


@pytest.mark.parametrize("model", ["", "lamp", "lamp.py", ":Lamp", "devices.rtc:"])
def test_what_names_no_model(model):
    with pytest.raises(UnknownDevice, match=r"write module:Class or path/to/file\.py:Class"):
        load(model)


def test_an_import_error_of_the_models_own_is_its_own(tmp_path, monkeypatch):
    (tmp_path / "needy.py").write_text("import no_such_thing\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="no_such_thing"):
        load("needy:Lamp")


@pytest.mark.parametrize(
    ("act", "says"),
    [
        (lambda rig, dev: setattr(dev, "value", 0x1_0000), "value = 65536; the register holds 0 to 0xffff"),
        (lambda rig, dev: setattr(dev, "value", -1), "value = -1"),
        (lambda rig, dev: dev.array.__setitem__(1, 0x100), "array = 256; the register holds 0 to 0xff"),
        (lambda rig, dev: dev.read(0, 3), "access size 3"),
        (lambda rig, dev: dev.write(0, True, 0), "access size True"),
        (lambda rig, dev: setattr(rig.gate, "level", 2), "gate at level 2"),
        (lambda rig, dev: rig.vector("message", 1.0), "vector 1.0"),
        (lambda rig, dev: rig.event("signal", 1 << 32), "descriptor 4294967296; allowed"),
        (lambda rig, dev: rig.event("signal", 1, 0), "count 0; allowed"),
    ],
)
def test_what_does_not_fit_is_refused(rig, act, says):
    class Fitting(Device):
        value = Register(0, width=2)
        array = RegisterArray(8, count=2, width=1)
        gate = LineIn()
        message = VectorIn()
        signal = EventIn()

    fitting = rig.device(Fitting)
    with pytest.raises(DeviceError, match=says):
        act(rig, fitting)


@pytest.mark.parametrize(
    ("act", "says"),
    [
        (lambda dev: dev.message.send(-1), "message: InterruptVector.vector is -1, allowed: 0 to 2"),
        (lambda dev: dev.signal.send(True), "signal: EventSignal.descriptor is bool"),
        (lambda dev: dev.mail.send(256, 0), "mail: Mailbox.mailbox is 256"),
        (lambda dev: dev.csr.send(0, 0x1000, 3, 0), "csr: CsrWrite.size is 3, allowed: 1, 2, 4, 8"),
        (lambda dev: setattr(dev.pin, "levels", 0b1000), "levels 0x8 of 3 outputs"),
        (lambda dev: setattr(dev.pin, "levels", -1), "levels -0x1 of 3 outputs"),
    ],
)
def test_what_no_wire_carries_cannot_leave(rig, act, says):
    class Sender(Device):
        message = VectorOut()
        signal = EventOut()
        mail = MailOut()
        csr = CsrOut()
        pin = LineOuts(3)

    rig.device(Sender)
    with pytest.raises(DeviceError, match=says):
        act(rig.model)
    assert not rig.outside.events


def test_names_there_are_not(rig):
    class Plain(Device):
        value = Register(0)
        irq = LineOut()

    plain = rig.device(Plain)
    with pytest.raises(AttributeError, match="no register 'valu'; it has value"):
        _ = plain.valu
    with pytest.raises(AttributeError, match="no line 'ira'; it has irq"):
        _ = rig.ira
    with pytest.raises(AttributeError, match=r"call rig.device\(...\) first"):
        _ = Rig().irq
