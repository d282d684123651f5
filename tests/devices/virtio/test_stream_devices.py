"""virtio-rng, virtio-console and virtio-net: what goes in and out, and that it waits when the guest has no buffer."""

import struct

import pytest

from devices.errors import DeviceError
from devices.virtio import peer
from devices.virtio.console import VirtioConsole
from devices.virtio.net import VirtioNet
from devices.virtio.rng import VirtioRng
from tests.devices.virtio.driver import Driver

HEADER = bytes(12)
RECEIVED = struct.pack("<10xH", 1)
GUEST = bytes.fromhex("525400123456")


def test_random_bytes_come_from_the_seed_in_order():
    one, two, other = Driver(VirtioRng(seed=7)), Driver(VirtioRng(seed=7)), Driver(VirtioRng(seed=8))
    first, second = one.request(0, [], [100])[0], one.request(0, [], [50])[0]
    assert two.request(0, [], [75, 75]) == [(first + second)[:75], (first + second)[75:]]
    assert other.request(0, [], [100])[0] != first
    assert len(set(first)) > 50, "they look random"


@pytest.mark.parametrize("seed", [-1, 1 << 64, True, 1.5])
def test_a_seed_of_more_than_64_bits_is_refused(seed):
    with pytest.raises(DeviceError, match=f"seed {seed}: a whole number from 0"):
        VirtioRng(seed=seed)


def test_console_output_leaves_and_input_waits_for_a_buffer():
    driver = Driver(VirtioConsole())
    driver.request(1, [b"hello ", b"world"], [])
    assert driver.board.outputs["tx"] == b"hello world" == driver.device.written
    driver.device.receive("rx", b"typed words")
    driver.board.rest()
    assert driver.device.waiting == b"typed words"
    assert driver.request(0, [], [5]) == [b"typed"]
    assert driver.request(0, [], [64])[0].rstrip(b"\0") == b" words"
    assert driver.device.waiting == b""
    (place,) = driver.add(0, [], [64])
    driver.notify(0)
    assert driver.used(0) == []
    driver.device.receive("rx", b"!")
    driver.board.rest()
    assert driver.used(0) == [(0, 1)] and driver.peek(place, 1) == b"!"


def net(**options) -> tuple[Driver, int]:
    driver = Driver(VirtioNet(delay=1000, **options))
    return driver, driver.add(0, [], [1600])[0]


def deliver(driver: Driver, place: int, size: int) -> bytes:
    driver.board.advance(1000)
    driver.board.rest()
    assert driver.used(0) == [(0, size + 12)]
    assert driver.peek(place, 12) == RECEIVED
    return driver.peek(place + 12, size)


def test_loopback_gives_the_frame_back_after_the_delay():
    driver, place = net(peer="loopback")
    frame = bytes(range(60))
    driver.request(1, [HEADER, frame], [])
    driver.board.advance(999)
    driver.board.rest()
    assert driver.used(0) == []
    driver.board.advance(1)
    assert deliver(driver, place, 60) == frame


def test_a_handler_sees_each_frame_and_answers():
    seen = []

    def handler(frame):
        seen.append(frame)
        return [frame[::-1]]

    driver, place = net(peer=handler, mac="02:00:00:00:00:07")
    assert bytes(driver.device_config(n, 1) for n in range(6)).hex() == "020000000007"
    driver.request(1, [HEADER + b"abc"], [])
    assert deliver(driver, place, 3) == b"cba" and seen == [b"abc"]


def test_frames_wait_for_buffers_in_order_and_too_many_are_lost():
    driver, place = net(peer="none")
    for n in range(300):
        driver.device.send(b"%03d" % n)
    driver.board.advance(1000)
    assert driver.device.lost == 44
    assert deliver(driver, place, 3) == b"000"
    assert driver.request(0, [], [15])[0][12:] == b"001"


def test_the_echo_host_answers_arp_and_ping():
    ask = b"\xff" * 6 + GUEST + b"\x08\x06\0\1\x08\0\6\4\0\1" + GUEST + b"\x0a\0\2\x0f" + bytes(6) + peer.ADDRESS
    (answer,) = peer.echo(ask)
    assert answer[:14] == GUEST + peer.MAC + b"\x08\x06"
    assert answer[20:42] == b"\0\2" + peer.MAC + peer.ADDRESS + GUEST + b"\x0a\0\2\x0f"

    message = bytearray(b"\x08\0\0\0\x12\x34\0\1odd")
    message[2:4] = peer._checksum(message)
    header = bytearray(
        b"\x45\0" + struct.pack(">H", 20 + len(message)) + bytes(4) + b"\x40\1\0\0\x0a\0\2\x0f" + peer.ADDRESS
    )
    header[10:12] = peer._checksum(header)
    (pong,) = peer.echo(peer.MAC + GUEST + b"\x08\0" + bytes(header) + bytes(message) + bytes(5))
    assert pong[:14] == GUEST + peer.MAC + b"\x08\0"
    assert pong[26:34] == peer.ADDRESS + b"\x0a\0\2\x0f" and pong[34:36] == b"\0\0" and pong[38:] == message[4:]
    assert peer._checksum(pong[14:34]) == b"\0\0" == peer._checksum(pong[34:])


@pytest.mark.parametrize(
    "frame", [b"", b"x" * 13, b"x" * 12 + b"\x08\x06", b"x" * 12 + b"\x08\0" + bytes(20), bytes(60)]
)
def test_the_echo_host_ignores_the_rest(frame):
    assert peer.echo(frame) == []


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"mac": "12345"}, "12 hexadecimal digits"),
        ({"mac": "01:00:00:00:00:00"}, "first byte even"),
        ({"peer": "bridge"}, "use echo, loopback, none"),
        ({"delay": 0}, "whole number from 1"),
    ],
)
def test_wrong_options_are_named(options, says):
    with pytest.raises(DeviceError, match=says):
        VirtioNet(**options)


def test_a_frame_shorter_than_its_header_needs_a_reset():
    driver, _ = net(peer="loopback")
    driver.add(1, [b"short"], [])
    driver.notify(1)
    assert driver.status & 64


def test_frames_on_the_cable_survive_a_snapshot():
    driver, _ = net(peer="loopback")
    driver.request(1, [HEADER + b"frame"], [])
    saved = driver.device.save()
    twin, _ = net(peer="loopback")
    twin.board.now = driver.board.now
    twin.device.restore(saved)
    twin.board.ram[:] = driver.board.ram
    for each in (driver, twin):
        each.board.advance(1000)
        each.board.rest()
    assert twin.board.ram == driver.board.ram and twin.device.save() == driver.device.save()
