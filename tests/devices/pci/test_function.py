"""The configuration space of a function: identity, BAR sizing, capabilities, the line, and MSI-X."""

import pytest

from devices.virtio.rng import VirtioRng
from tests.devices.virtio.driver import BASE, Driver

DOORBELL = 0x2FF0_0000


@pytest.fixture
def driver():
    return Driver(VirtioRng(seed=1))


def test_the_header_says_what_it_is(driver):
    assert driver.config(0x00, 4) == 0x1044_1AF4
    assert [driver.config(0x02, 2), driver.config(0x03, 1)] == [0x1044, 0x10]
    assert driver.config(0x08, 4) == 0xFF0000 << 8 | 1
    assert driver.config(0x0E, 1) == 0
    assert driver.config(0x3D, 1) == 1
    assert driver.config(0x06, 2) & 0x10, "it has capabilities"
    assert driver.config(0x100, 4) == 0 and not driver.device.undecoded


def test_a_bar_tells_its_size_and_the_others_are_absent(driver):
    for number in range(6):
        driver.config(0x10 + 4 * number, 4, 0xFFFF_FFFF)
    assert driver.config(0x10, 4) == 0xFFFF_8000
    assert [driver.config(0x10 + 4 * number, 4) for number in range(1, 6)] == [0] * 5
    driver.config(0x10, 4, 0x4000_0000)
    driver.config(0x12, 2, 0x5555)
    assert driver.config(0x10, 4) == 0x5555_0000


def test_the_capabilities_are_a_list_that_ends_and_covers_the_transport(driver):
    at, kinds, seen = driver.config(0x34, 1), [], []
    while at:
        assert at not in seen and 0x40 <= at < 0x100 and at % 4 == 0
        seen.append(at)
        if driver.config(at, 1) == 0x09:
            kinds.append(driver.config(at + 3, 1))
            offset, length = driver.config(at + 8, 4), driver.config(at + 12, 4)
            assert offset + length <= 0x8000
        else:
            assert driver.config(at, 1) == 0x11
            assert driver.config(at + 2, 2) & 0x7FF == 3
        at = driver.config(at + 1, 1)
    assert sorted(kinds) == [1, 2, 3, 4, 5]


def test_the_window_in_configuration_space_reaches_the_bar(driver):
    at = next(0x50 + n for n in range(0, 128, 4) if driver.config(0x50 + n, 4) >> 24 == 5)
    driver.config(at + 8, 4, 0x14)
    driver.config(at + 12, 4, 1)
    assert driver.config(at + 16, 1) == driver.status
    driver.config(at + 16, 4, 0)
    assert driver.status == 0
    driver.config(at + 8, 4, 0x7FFF)
    driver.config(at + 12, 4, 4)
    assert driver.config(at + 16, 4) == 0, "outside the BAR"


def ask(driver: Driver) -> None:
    driver.add(0, [], [8])
    driver.notify(0)


def test_the_line_follows_isr_and_its_disable_bit(driver):
    ask(driver)
    assert driver.board.levels["irq"] == 1 and driver.config(0x06, 2) & 8
    driver.config(0x04, 2, 0x0406)
    assert driver.board.levels["irq"] == 0 and driver.config(0x06, 2) & 8
    driver.config(0x04, 2, 0x0006)
    assert driver.board.levels["irq"] == 1
    assert driver.isr() == 1
    assert driver.board.levels["irq"] == 0


def use_msix(driver: Driver, vector: int = 2, data: int = 77) -> None:
    driver.config(0x42, 2, 0x8000)
    driver.common(0x16, 2, 0)
    driver.common(0x1A, 2, vector)
    entry = 0x4000 + 16 * vector
    driver.bar(entry, 4, DOORBELL)
    driver.bar(entry + 4, 4, 0)
    driver.bar(entry + 8, 4, data)
    driver.bar(entry + 12, 4, 0)


def test_a_message_is_a_write_after_the_used_ring(driver):
    use_msix(driver)
    ask(driver)
    assert driver.board.doorbells == [(DOORBELL, 77)]
    assert driver.board.levels["irq"] == 0 and driver.isr() == 0


@pytest.mark.parametrize("mask", ["vector", "function", "master"])
def test_a_masked_message_is_pending_and_sent_once(driver, mask):
    use_msix(driver)
    close, reopen = {
        "vector": (lambda: driver.bar(0x402C, 4, 1), lambda: driver.bar(0x402C, 4, 0)),
        "function": (lambda: driver.config(0x42, 2, 0xC000), lambda: driver.config(0x42, 2, 0x8000)),
        "master": (lambda: driver.config(0x04, 2, 0x0002), lambda: driver.config(0x04, 2, 0x0006)),
    }[mask]
    close()
    ask(driver)
    ask(driver)
    assert driver.board.doorbells == [] and driver.bar(0x5000, 8) == 1 << 2
    reopen()
    driver.board.rest()
    assert driver.board.doorbells == [(DOORBELL, 77)] and driver.bar(0x5000, 8) == 0


def test_a_vector_the_function_does_not_have_is_refused(driver):
    driver.config(0x42, 2, 0x8000)
    driver.common(0x1A, 2, 4)
    assert driver.common(0x1A, 2) == 0xFFFF
    driver.common(0x10, 2, 3)
    assert driver.common(0x10, 2) == 3
    ask(driver)
    assert driver.board.doorbells == []


def test_a_message_to_nowhere_does_not_stop_the_device(driver):
    use_msix(driver)
    driver.bar(0x4020, 4, 0x1000)
    ask(driver)
    assert not driver.status & 64 and driver.used(0) == [(0, 8)]
    assert BASE not in driver.board.doorbells
