"""Disk images: what is refused, and that an overlay file is only taken for the disk it was made for."""

import os

import pytest

from devices.virtio.disk import SECTOR, DiskError, FileOverlay, ImageFile, open_disk


def test_a_missing_image_is_named(tmp_path):
    with pytest.raises(DiskError, match=r"cannot write disk image .*nothing\.img: No such file"):
        open_disk(tmp_path / "nothing.img")
    with pytest.raises(DiskError, match="directory"):
        open_disk(tmp_path)


@pytest.mark.parametrize("size", [0, 1, SECTOR - 1, SECTOR + 1])
def test_an_image_is_whole_sectors(tmp_path, size):
    path = tmp_path / "odd.img"
    path.write_bytes(bytes(size))
    with pytest.raises(DiskError, match=rf"{size} bytes; a disk has one or more whole sectors of 512"):
        open_disk(path)


def test_an_image_that_may_not_be_written_says_what_to_give(tmp_path, monkeypatch):
    path = tmp_path / "ro.img"
    path.write_bytes(bytes(SECTOR))

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("devices.virtio.disk.os.open", refuse)
    with pytest.raises(DiskError, match=r"Permission denied.\nGive `readonly`, or `overlay=memory`"):
        open_disk(path)


def test_an_overlay_belongs_to_its_image(tmp_path):
    small, large, layer = tmp_path / "a.img", tmp_path / "b.img", tmp_path / "layer"
    small.write_bytes(bytes(SECTOR))
    large.write_bytes(bytes(2 * SECTOR))
    FileOverlay(ImageFile(small), layer).write(0, b"q" * SECTOR)
    assert open_disk(small, overlay=layer).read(0, 1) == b"q" * SECTOR
    with pytest.raises(DiskError, match="is for a disk of another size"):
        open_disk(large, overlay=layer)
    with pytest.raises(DiskError, match="is no overlay"):
        open_disk(small, overlay=large)
    assert large.read_bytes() == bytes(2 * SECTOR)


def test_an_overlay_takes_only_the_room_it_needs(tmp_path):
    path, layer = tmp_path / "big.img", tmp_path / "layer"
    with path.open("wb") as file:
        file.truncate(1 << 30)
    disk = open_disk(path, overlay=layer)
    disk.write((1 << 21) - 8, b"e" * 8 * SECTOR)
    assert disk.read((1 << 21) - 8, 8) == b"e" * 8 * SECTOR
    assert layer.stat().st_blocks * 512 < 1 << 20


def test_an_image_cut_off_while_in_use_is_an_io_error(tmp_path):
    path = tmp_path / "cut.img"
    path.write_bytes(bytes(4 * SECTOR))
    disk = open_disk(path, readonly=True)
    path.write_bytes(bytes(SECTOR))
    with pytest.raises(OSError, match="cut off"):
        disk.read(2, 1)


@pytest.mark.parametrize("layer", [None, "layer"])
def test_a_file_that_was_written_later_does_not_fit_a_snapshot(tmp_path, layer):
    path = tmp_path / "disk.img"
    path.write_bytes(bytes(4 * SECTOR))
    disk = open_disk(path, overlay=layer and tmp_path / layer)
    disk.write(0, b"a" * SECTOR)
    saved = disk.save()
    disk.restore(saved)
    os.utime(disk.path, ns=(0, saved["written_ns"] + 1))
    with pytest.raises(DiskError, match="was written after the snapshot was taken"):
        disk.restore(saved)


def test_a_snapshot_holds_what_an_overlay_in_memory_holds(tmp_path):
    path = tmp_path / "disk.img"
    path.write_bytes(bytes(4 * SECTOR))
    disk = open_disk(path, overlay="memory")
    disk.write(1, b"a" * SECTOR)
    saved = disk.save()
    disk.write(1, b"b" * 2 * SECTOR)
    again = open_disk(path, overlay="memory")
    again.restore(saved)
    assert again.read(0, 4) == bytes(SECTOR) + b"a" * SECTOR + bytes(2 * SECTOR)
