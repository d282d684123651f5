"""The words and switches of the LS7A board that are no interrupt controller."""

import pytest

from devices.fake import FakeOutside
from devices.ls3a_config import Ls3aConfig
from devices.ls7a_config import Ls7aConfig
from devices.ls7a_pm import Ls7aPm


def alone(device):
    outside = FakeOutside(device)
    device.reset()
    return device, outside


@pytest.mark.parametrize(
    ("offset", "size", "value", "stops"),
    [
        (0x14, 4, 0x3C00, ["poweroff"]),
        (0x14, 4, 0x3C01, ["poweroff"]),
        (0x14, 4, 0x1C00, []),
        (0x14, 4, 0x3400, []),
        (0x30, 4, 1, ["reset"]),
        (0x30, 4, 2, []),
        (0x10, 4, 0x3C00, []),
        (0x14, 2, 0x3C00, []),
    ],
)
def test_sleep_type_7_with_enable_is_off_and_bit_0_resets(offset, size, value, stops):
    device, outside = alone(Ls7aPm())
    device.write(offset, size, value)
    assert outside.stops == stops
    assert not device.read(0x14, 4) & 0x2000, "the enable bit is not stored"
    assert not device.read(0x30, 4) & 1


def test_the_node_of_dma_addresses_begins_at_bit_44():
    device, _ = alone(Ls7aConfig())
    word = device.read(0x41C, 4)
    assert (word >> 8 & 0x1F) + 36 == 44
    device.write(0x41C, 4, 0)
    assert device.read(0x41C, 4) == word


def test_the_chip_tells_its_name_and_features_in_both_spaces():
    device, _ = alone(Ls3aConfig())
    for space in ("memory", "csr"):
        text = [device.read(offset, 8, 0, space).to_bytes(8, "little") for offset in (0x10, 0x20)]
        assert [part.rstrip(b"\0") for part in text] == [b"Loongson", b"3A4000"]
        assert device.read(0x08, 4, 0, space) == 0b11110
    device.write(0x1D0, 4, 0x8888)
    assert device.read(0x1D0, 8) == 0x8888
    device.write(0x08, 4, 0)
    assert device.read(0x08, 4) == 0b11110
