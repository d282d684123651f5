"""virtio-blk against a driver: data, status bytes, limits, read-only disks, and a host that runs out of room."""

import errno
import resource
import struct

import msgpack
import pytest

from devices.virtio.blk import DISCARD, FLUSH, GET_ID, IN, OUT, WRITE_ZEROES, VirtioBlk
from devices.virtio.disk import SECTOR
from tests.devices.virtio.driver import Driver

SECTORS = 64
IMAGE = bytes(n * 7 % 251 for n in range(SECTORS * SECTOR))


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "disk.img"
    path.write_bytes(IMAGE)
    return path


def header(kind: int, sector: int = 0) -> bytes:
    return struct.pack("<IIQ", kind, 0, sector)


def read(driver: Driver, sector: int, count: int, indirect: bool = False) -> tuple[bytes, int]:
    data, status = driver.request(0, [header(IN, sector)], [count * SECTOR, 1], indirect)
    return data, status[0]


def write(driver: Driver, sector: int, data: bytes) -> int:
    return driver.request(0, [header(OUT, sector), data], [1])[0][0]


@pytest.mark.parametrize("indirect", [False, True])
def test_reads_give_the_image(image, indirect):
    driver = Driver(VirtioBlk(image=image))
    assert driver.device_config(0, 8) == SECTORS
    assert read(driver, 3, 5, indirect) == (IMAGE[3 * SECTOR : 8 * SECTOR], 0)
    assert driver.isr() == 1, "the used buffer is told by INTx"
    assert driver.isr() == 0 and driver.board.levels["irq"] == 0


def test_writes_reach_the_image_and_the_framing_does_not_matter(image):
    driver = Driver(VirtioBlk(image=image))
    data = bytes(range(256)) * 4
    head = header(OUT, 10)
    status = driver.request(0, [head[:5], head[5:] + data[:100], data[100:]], [1])
    assert status == [b"\0"]
    assert image.read_bytes() == IMAGE[: 10 * SECTOR] + data + IMAGE[12 * SECTOR :]
    assert driver.request(0, [header(FLUSH)], [1]) == [b"\0"]


def test_used_length_counts_what_was_written(image):
    driver = Driver(VirtioBlk(image=image))
    driver.add(0, [header(IN, 0)], [SECTOR, 1])
    driver.notify(0)
    assert driver.used(0) == [(0, SECTOR + 1)]


@pytest.mark.parametrize(
    ("readable", "writable", "status"),
    [
        ([header(IN, SECTORS)], [SECTOR, 1], 1),
        ([header(IN, SECTORS - 1)], [2 * SECTOR, 1], 1),
        ([header(IN, (1 << 64) - 1)], [SECTOR, 1], 1),
        ([header(IN, 0)], [100, 1], 1),
        ([header(OUT, SECTORS), bytes(SECTOR)], [1], 1),
        ([header(OUT, 0), bytes(100)], [1], 1),
        ([header(99)], [1], 2),
        ([header(DISCARD), struct.pack("<QII", 0, SECTORS + 1, 0)], [1], 1),
        ([header(DISCARD), struct.pack("<QII", 0, 1, 2)], [1], 2),
        ([header(DISCARD), bytes(15)], [1], 1),
        ([header(GET_ID)], [5, 1], 1),
    ],
)
def test_wrong_requests_get_a_status_and_change_nothing(image, readable, writable, status):
    driver = Driver(VirtioBlk(image=image))
    assert driver.request(0, readable, writable)[-1] == bytes([status])
    assert image.read_bytes() == IMAGE
    assert not driver.status & 64


@pytest.mark.parametrize(("readable", "writable"), [([b"short"], [1]), ([header(IN)], [])])
def test_a_chain_without_header_or_status_needs_a_reset(image, readable, writable):
    driver = Driver(VirtioBlk(image=image))
    driver.add(0, readable, writable)
    driver.notify(0)
    assert driver.status & 64
    assert driver.isr() == 2, "told as a configuration change"
    assert driver.used(0) == []
    driver.common(0x14, 1, 0)
    assert driver.status == 0


@pytest.mark.parametrize("kind", [DISCARD, WRITE_ZEROES])
def test_discarded_sectors_read_zero(image, kind):
    driver = Driver(VirtioBlk(image=image))
    assert driver.request(0, [header(kind), struct.pack("<QII", 4, 2, 0)], [1]) == [b"\0"]
    assert read(driver, 3, 4)[0] == IMAGE[3 * SECTOR : 4 * SECTOR] + bytes(2 * SECTOR) + IMAGE[6 * SECTOR : 7 * SECTOR]


def test_the_serial_number_is_given(image):
    driver = Driver(VirtioBlk(image=image, serial="disk-7"))
    assert driver.request(0, [header(GET_ID)], [20, 1]) == [b"disk-7".ljust(20, b"\0"), b"\0"]


def test_a_read_only_disk_says_so_and_refuses_writes(image):
    driver = Driver(VirtioBlk(image=image, readonly=True))
    assert driver.offered >> 5 & 1 and not driver.offered >> 13 & 1
    assert write(driver, 0, bytes(SECTOR)) == 1
    assert driver.request(0, [header(WRITE_ZEROES), struct.pack("<QII", 0, 1, 0)], [1]) == [b"\1"]
    assert read(driver, 0, 1) == (IMAGE[:SECTOR], 0)
    assert image.read_bytes() == IMAGE


def test_under_an_overlay_the_image_never_changes(image, tmp_path):
    layer = tmp_path / "layer"
    for overlay in ("memory", layer):
        driver = Driver(VirtioBlk(image=image, overlay=overlay))
        assert write(driver, 5, b"x" * SECTOR) == 0
        assert read(driver, 4, 3)[0] == IMAGE[4 * SECTOR : 5 * SECTOR] + b"x" * SECTOR + IMAGE[6 * SECTOR : 7 * SECTOR]
        assert image.read_bytes() == IMAGE
    again = Driver(VirtioBlk(image=image, overlay=layer))
    assert read(again, 5, 1)[0] == b"x" * SECTOR


def test_a_full_host_disk_is_an_io_error_and_loses_nothing(image, tmp_path, monkeypatch, caplog):
    driver = Driver(VirtioBlk(image=image, overlay=tmp_path / "layer", name="virtio_blk"))
    assert write(driver, 5, b"x" * SECTOR) == 0

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("devices.virtio.disk.os.pwrite", full)
    assert write(driver, 5, b"y" * SECTOR) == 1
    assert write(driver, 6, b"y" * SECTOR) == 1
    monkeypatch.undo()
    assert "No space left on device" in driver.device.troubles[0] and "virtio_blk" in caplog.text
    assert read(driver, 5, 2) == (b"x" * SECTOR + IMAGE[6 * SECTOR : 7 * SECTOR], 0)
    assert image.read_bytes() == IMAGE


def test_a_host_file_that_cannot_grow_is_an_io_error_too(image, tmp_path):
    disk = tmp_path / "big.img"
    disk.write_bytes(bytes(1 << 20))
    driver = Driver(VirtioBlk(image=disk, overlay=tmp_path / "layer"))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (16 * SECTOR, before[1]))
    try:
        first, last = write(driver, 0, b"a" * SECTOR), write(driver, 1000, b"b" * SECTOR)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert (first, last) == (0, 1) and "File too large" in driver.device.troubles[0]
    assert read(driver, 0, 1)[0] == b"a" * SECTOR and read(driver, 1000, 1) == (bytes(SECTOR), 0)
    assert disk.read_bytes() == bytes(1 << 20)


def test_a_snapshot_at_any_transfer_has_the_same_future(image, tmp_path):
    def finish(driver: Driver) -> tuple:
        driver.board.rest()
        return bytes(driver.board.ram), driver.device.save(), driver.board.levels

    steps = 0
    while True:
        driver = Driver(VirtioBlk(image=image, overlay="memory"))
        driver.add(0, [header(OUT, 2), b"z" * SECTOR], [1])
        driver.notify(0, run=False)
        for _ in range(steps):
            if not driver.board.waiting:
                return
            driver.board.transfer()
        saved = driver.device.save()
        twin = Driver(VirtioBlk(image=image, overlay="memory"))
        twin.device.restore(saved)
        twin.board.ram[:] = driver.board.ram
        twin.board.waiting.extend(driver.board.waiting)
        twin.board.levels = dict(driver.board.levels)
        assert finish(twin) == finish(driver), f"after {steps} transfers"
        steps += 1


def test_a_read_under_way_is_restored_with_the_overlay_it_reads(image):
    driver = Driver(VirtioBlk(image=image, overlay="memory"))
    assert write(driver, 3, b"n" * SECTOR) == 0
    places = driver.add(0, [header(IN, 3)], [SECTOR, 1])
    driver.notify(0, run=False)
    while True:
        saved = msgpack.unpackb(msgpack.packb(driver.device.save()), strict_map_key=False)
        device = VirtioBlk(image=image, overlay="memory")
        device.attach(driver.board)
        device.restore(saved)
        driver.device = driver.board.device = device
        if not driver.board.waiting:
            break
        driver.board.transfer()
    assert driver.peek(places[0], SECTOR) == b"n" * SECTOR
    assert driver.used(0) == [(0, SECTOR + 1)]
