"""PCI devices of a machine from its TOML file, and from keywords beside it."""

import pytest

from soc.errors import SocError
from tests.soc.fakes import machine


def program(core):
    yield ("run", 10)


def test_devices_come_from_the_file_and_keywords_add_to_them(tmp_path):
    image, file = tmp_path / "d.img", tmp_path / "m.toml"
    image.write_bytes(bytes(1024))
    file.write_text(f'[machine]\nplatform = "ls7a"\ndisk = "{image}"\n[devices.virtio_rng]\nseed = 7\n')
    m = machine(program, platform=file)
    assert list(m.platform.functions) == ["virtio_blk", "virtio_rng"]
    assert m.devices["virtio_blk"].disk.sectors == 2
    assert m.devices["virtio_rng"].stream(0, 4) != machine(program, devices={"virtio_rng": {}}).devices[
        "virtio_rng"
    ].stream(0, 4)


def test_two_of_a_kind_take_two_slots(tmp_path):
    m = machine(program, devices={"virtio_rng": {}, "virtio_rng_2": {"seed": 2}})
    assert m.platform.functions == {"virtio_rng": "function[1]", "virtio_rng_2": "function[2]"}


def test_the_disk_joins_what_devices_say_of_it(tmp_path):
    image = tmp_path / "d.img"
    image.write_bytes(bytes(512))
    m = machine(program, disk=image, devices={"virtio_net": {}, "virtio_blk": {"readonly": True}})
    assert list(m.platform.functions) == ["virtio_blk", "virtio_net"]
    assert m.devices["virtio_blk"].disk.readonly


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[devices]\nvirtio_rng = 7\n", "device virtio_rng: 7; a table of its options"),
        ("[devices.floppy]\n", "unknown device 'floppy'"),
        ("devices = 3\n", r"devices must be a table"),
        ("[devices.virtio_blk]\n", "a disk without an image: give image=FILE"),
    ],
)
def test_a_wrong_table_is_named(tmp_path, text, says):
    file = tmp_path / "m.toml"
    file.write_text(text)
    with pytest.raises(SocError, match=says):
        machine(program, platform=file)
