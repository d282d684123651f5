"""Virtqueues a driver got wrong, by hand and at random: the device asks for a reset, and never crashes or hangs."""

import struct

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from devices.virtio.blk import VirtioBlk
from devices.virtio.console import VirtioConsole
from devices.virtio.device import NEEDS_RESET, NOTIFY, VERSION_1
from devices.virtio.net import VirtioNet
from devices.virtio.queue import INDIRECT, NEXT, WRITE
from devices.virtio.rng import VirtioRng
from tests.devices.revive import EXAMPLES
from tests.devices.virtio.driver import BASE, SIZE, Driver

FAR = 0x1234_5678_9000


def rows(driver: Driver, *descriptors: tuple[int, int, int, int], queue: int = 0) -> None:
    for place, row in enumerate(descriptors):
        driver.poke(driver.areas(queue)[0] + 16 * place, struct.pack("<QIHH", *row))


@pytest.mark.parametrize(
    "descriptors",
    [
        [(BASE + 0x8000, 8, NEXT | WRITE, 0)],
        [(BASE + 0x8000, 8, NEXT | WRITE, 1), (BASE + 0x8000, 8, NEXT | WRITE, 0)],
        [(BASE + 0x8000, 8, NEXT | WRITE, 16)],
        [(BASE + 0x8000, 8, NEXT | WRITE, 1), (BASE + 0x8000, 8, 0, 0)],
        [(FAR, 8, WRITE, 0)],
        [(BASE + SIZE - 4, 8, WRITE, 0)],
        [((1 << 64) - 4, 8, WRITE, 0)],
        [(BASE, (1 << 32) - 1, WRITE, 0)],
        [(BASE + 0x8000, 1 << 24, NEXT | WRITE, 1), (BASE + 0x8000, 1, WRITE, 0)],
        [(BASE + 0x8000, 0, INDIRECT, 0)],
        [(BASE + 0x8000, 24, INDIRECT, 0)],
        [(BASE + 0x8000, 16 * 17, INDIRECT, 0)],
        [(BASE + 0x8000, 16, INDIRECT | NEXT, 1), (BASE + 0x8000, 8, WRITE, 0)],
        [(BASE + 0x8000, 8, NEXT | WRITE, 1), (BASE + 0x8000, 16, INDIRECT, 0)],
        [(BASE, 16, INDIRECT, 0)],
        [(FAR, 16, INDIRECT, 0)],
    ],
    ids=lambda rows: " ".join(f"{row[1]:#x}/{row[2]}" for row in rows),
)
def test_a_malformed_chain_needs_a_reset(descriptors):
    driver = Driver(VirtioRng())
    rows(driver, *descriptors)
    driver.offer(0, 0)
    driver.notify(0)
    assert driver.status & NEEDS_RESET
    assert driver.isr() == 2 and driver.used(0) == []
    driver.notify(0)
    assert driver.used(0) == [], "it stands still until the reset"


@pytest.mark.parametrize("index", [17, 0x8000, 0xFFFF])
def test_an_index_ahead_of_the_ring_needs_a_reset(index):
    driver = Driver(VirtioRng())
    driver.poke(driver.areas(0)[1] + 2, struct.pack("<H", index))
    driver.notify(0)
    assert driver.status & NEEDS_RESET


def test_a_head_outside_the_table_needs_a_reset():
    driver = Driver(VirtioRng())
    driver.offer(0, 16)
    driver.notify(0)
    assert driver.status & NEEDS_RESET


@pytest.mark.parametrize("area", [0, 1, 2])
@pytest.mark.parametrize("address", [BASE + 1, (1 << 64) - 16, FAR])
def test_a_ring_that_is_no_memory_needs_a_reset(area, address):
    driver = Driver(VirtioRng())
    driver.device.areas[area] = address
    driver.add(0, [], [8])
    driver.notify(0)
    assert driver.status & NEEDS_RESET


def test_after_the_reset_the_device_serves_again():
    device = VirtioRng()
    driver = Driver(device)
    driver.offer(0, 99)
    driver.notify(0)
    assert driver.status & NEEDS_RESET
    again = Driver(device)
    assert len(again.request(0, [], [8])[0]) == 8 and not again.status & NEEDS_RESET


def test_a_reset_is_done_when_the_last_transfer_is():
    driver = Driver(VirtioRng())
    driver.add(0, [], [8])
    driver.notify(0, run=False)
    driver.common(0x14, 1, 0)
    assert driver.status != 0, "a transfer is under way"
    driver.board.rest()
    assert driver.status == 0 and driver.used(0) == []
    assert driver.common(0x1C, 2) == 0, "no queue is enabled"


def test_features_that_were_not_offered_are_refused():
    for wanted in (0, VERSION_1 | 1 << 50):
        driver = Driver(VirtioRng())
        driver.common(0x14, 1, 0)
        for half in (0, 1):
            driver.common(0x08, 4, half)
            driver.common(0x0C, 4, wanted >> 32 * half & 0xFFFF_FFFF)
        driver.common(0x14, 1, 3)
        driver.common(0x14, 1, 11)
        assert driver.status == 3


def test_an_indirect_table_needs_the_feature():
    driver = Driver(VirtioRng(), indirect=False)
    driver.add(0, [], [8], indirect=True)
    driver.notify(0)
    assert driver.status & NEEDS_RESET


def test_the_index_wraps():
    driver = Driver(VirtioRng(), size=4)
    for served in (driver.device.served, driver.ready, driver.taken):
        served[0] = 0xFFFE
    driver.poke(driver.areas(0)[2] + 2, struct.pack("<H", 0xFFFE))
    for _ in range(5):
        driver.free = BASE + 0x80000
        driver.request(0, [], [8])
    assert driver.device.served[0] == 3


def test_a_queue_can_be_suppressed_from_interrupting():
    driver = Driver(VirtioRng())
    driver.poke(driver.areas(0)[1], struct.pack("<H", 1))
    driver.request(0, [], [8])
    assert driver.isr() == 0


address = st.one_of(
    st.integers(BASE, BASE + SIZE - 1), st.integers(0, (1 << 64) - 1), st.sampled_from([BASE, BASE + SIZE - 8, FAR])
)
descriptor = st.tuples(
    address,
    st.one_of(st.integers(0, 64), st.integers(0, (1 << 32) - 1)),
    st.sampled_from([0, NEXT, WRITE, NEXT | WRITE, INDIRECT, INDIRECT | NEXT, 0xFFFF]),
    st.integers(0, 20),
)
KINDS = {
    "rng": lambda image: VirtioRng(),
    "blk": lambda image: VirtioBlk(image=image, overlay="memory"),
    "console": lambda image: VirtioConsole(),
    "net": lambda image: VirtioNet(peer="loopback"),
}


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    path = tmp_path_factory.mktemp("disk") / "disk.img"
    path.write_bytes(bytes(16 * 512))
    return path


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=2 * EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    table=st.lists(descriptor, min_size=1, max_size=8),
    tables=st.binary(max_size=256),
    heads=st.lists(st.integers(0, 20), min_size=1, max_size=4),
    ahead=st.sampled_from([0, 0, 0, 1, 100]),
    queue=st.integers(0, 5),
)
def test_whatever_the_guest_writes_the_device_comes_to_rest(image, kind, table, tables, heads, ahead, queue):
    driver = Driver(KINDS[kind](image))
    driver.poke(BASE + 0x8000, tables)
    target = queue % driver.device.queues
    rows(driver, *table, queue=target)
    for head in heads:
        driver.offer(target, head)
    if ahead:
        driver.poke(driver.areas(target)[1] + 2, struct.pack("<H", len(heads) + ahead))
    driver.bar(NOTIFY + 4 * (queue % 4), 2, queue)
    driver.notify(target)
    if kind == "net":
        driver.board.advance(1_000_000_000)
        driver.board.rest()
    served = driver.device.served[target]
    idle = kind in ("console", "net") and target == 0
    assert driver.status & NEEDS_RESET or served == len(heads) + ahead or idle
    fresh = Driver(driver.device)
    assert fresh.status == 15, "a reset always helps"


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 0x5008), st.sampled_from([1, 2, 4, 8]), st.integers(0, (1 << 64) - 1)), max_size=40
    )
)
def test_no_register_access_is_a_host_error(accesses):
    driver = Driver(VirtioRng())
    for offset, size, value in accesses:
        driver.bar(offset, size, value & (1 << 8 * size) - 1)
        assert 0 <= driver.bar(offset, size) < 1 << 8 * size
        driver.config(offset & 0xFF, size, value & (1 << 8 * size) - 1)
        assert 0 <= driver.config(offset & 0xFF, size) < 1 << 8 * size
    driver.board.rest()
