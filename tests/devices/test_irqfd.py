"""Signals from outside the machine: pulses, vectors, and lines held until the guest acknowledges."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devices.board import Board
from devices.errors import DeviceError
from devices.ls7a_irqfd import Ls7aIrqfd
from tests.devices.revive import EXAMPLES, left, powered, revive
from tests.devices.vectors import MACROS


@pytest.fixture
def board():
    return bridge()


def bridge(pic="ls7a_irq"):
    """The injector in front of a PCH-PIC, its messages and the doorbell's into an HTVEC."""
    board = Board()
    fd = board.add("fd", "irqfd")
    board.add("pic", pic)
    board.add("htv", "htvec")
    for n in range(64):
        board.wire(f"fd.pin[{n}]", f"pic.input[{n}]")
    board.wire("pic.cleared", "fd.cleared")
    board.wire("pic.lo", "htv.message")
    board.wire("fd.msi", "htv.message")
    if pic == "ls7a_irq":
        for step in MACROS["init61"]:
            _, size, place = step.split()
            offset, value = place.split("=")
            board.write("pic", int(offset, 16), int(size[1]), int(value, 16))
    left(fd, "event")
    return board


def unmask(board, pin, masked=False):
    old = board.read("pic", 0x20, 8)
    board.write("pic", 0x20, 8, old | 1 << pin if masked else old & ~(1 << pin))


def vectors(board):
    return [value for port, value in left(board.devices["pic"], "vector") if port == "lo"]


def test_a_plain_signal_pulses_its_pin(board):
    fd = board.devices["fd"]
    fd.assign(7, 16)
    unmask(board, 16)
    board.event("fd.signal", 7)
    assert vectors(board) == [16]
    assert [value for _, value in left(fd, "line")] == [1, 0]
    assert (board.read("pic", 0x380, 8), board.read("pic", 0x3A0, 8)) == (0, 0)


def test_an_edge_pin_latches_the_pulse_while_it_is_masked(board):
    board.devices["fd"].assign(7, 16)
    board.write("pic", 0x60, 8, 1 << 16)
    board.event("fd.signal", 7, 3)
    assert vectors(board) == []
    unmask(board, 16)
    assert vectors(board) == [16]


def test_kvm_v10_a_pulse_on_a_level_pin_leaves_only_the_vector():
    """Loongson 4.19 KVM: ls7a_irqfd.c: set to 1, at once to 0; an edge pin loses it."""
    board = bridge("ls7a_irq_kvm")
    board.write("pic", 0x210, 1, 16)
    board.devices["fd"].assign(7, 16)
    board.event("fd.signal", 7)
    assert vectors(board) == [16]
    pic = board.devices["pic"]
    assert (pic.intirr, pic.intisr) == (0, 0)
    board.write("pic", 0x60, 8, 1 << 16)
    board.event("fd.signal", 7)
    assert vectors(board) == []


def test_kvm_v11_a_held_pin_falls_with_the_acknowledge_and_is_not_sent_again():
    """Loongson 4.19 KVM: ls7a_irqfd.c, ls7a_irq.c."""
    board = bridge("ls7a_irq_kvm")
    board.write("pic", 0x210, 1, 16)
    fd, pic = board.devices["fd"], board.devices["pic"]
    fd.assign(7, 16, resample=True)
    board.event("fd.signal", 7)
    board.event("fd.signal", 7)
    assert (vectors(board), pic.intirr, pic.intisr) == ([16], 1 << 16, 1 << 16)
    assert pic.behind("lo") == 1 << 16
    board.write("pic", 0x80, 8, 1 << 16)
    assert (vectors(board), pic.intirr, pic.intisr) == ([], 0, 0)
    assert left(fd, "event") == [("resample", (7, 1))]


def test_linux_level_flow_with_a_device_that_still_wants(board):
    """mask, acknowledge HTVEC, handle, clear, unmask: a new message only after the device signalled again."""
    fd = board.devices["fd"]
    fd.assign(7, 40, resample=True)
    unmask(board, 40)
    for still_active in (True, True, False):
        board.event("fd.signal", 7)
        assert vectors(board) == [40]
        unmask(board, 40, masked=True)
        board.write("pic", 0x84, 4, 1 << 8)
        assert left(fd, "event") == [("resample", (7, 1))]
        if still_active:
            assert board.level("fd.pin[40]") == 0
        unmask(board, 40)
        assert vectors(board) == []


def test_hw_mode_sends_once_more_when_a_held_pin_is_cleared_unmasked(board):
    """In hw mode the pin is a level like any other: it is still high when INTCLR ends the service."""
    board.devices["fd"].assign(7, 40, resample=True)
    unmask(board, 40)
    board.event("fd.signal", 7)
    board.write("pic", 0x80, 8, 1 << 40)
    assert vectors(board) == [40, 40]
    assert (board.read("pic", 0x380, 8), board.level("fd.pin[40]")) == (0, 0)


def test_all_resampling_descriptors_of_a_pin_are_told_and_plain_ones_are_not(board):
    fd = board.devices["fd"]
    for descriptor, resample in ((1, True), (2, True), (3, False)):
        fd.assign(descriptor, 5, resample)
    board.event("fd.signal", 2)
    board.write("pic", 0x80, 8, 1 << 5 | 1 << 6)
    assert left(fd, "event") == [("resample", (1, 1)), ("resample", (2, 1))]


def test_a_message_route_ignores_the_pins(board):
    fd = board.devices["fd"]
    fd.route(100, "msi", 200)
    fd.assign(9, 100)
    board.event("fd.signal", 9)
    assert board.read("htv", 0x80 + 24, 4) == 1 << 200 - 192
    assert board.read("pic", 0x380, 8) == 0


def test_routes_can_be_changed_and_signals_before_assignment_are_kept(board):
    fd = board.devices["fd"]
    unmask(board, 20)
    fd.route(3, "pin", 20)
    board.event("fd.signal", 11)
    assert vectors(board) == []
    fd.assign(11, 3)
    board.settle()
    assert vectors(board) == [20]
    fd.deassign(11, 3)
    board.event("fd.signal", 11)
    assert vectors(board) == []


def test_deassigning_lowers_a_held_pin(board):
    fd = board.devices["fd"]
    fd.assign(1, 5, resample=True)
    board.event("fd.signal", 1)
    assert board.level("fd.pin[5]") == 1
    fd.deassign(1, 5)
    assert board.level("fd.pin[5]") == 0


def test_a_whole_table_replaces_the_routes_or_changes_nothing(board):
    fd = board.devices["fd"]
    fd.set_routes([(70, "msi", 33), (5, "pin", 9)])
    with pytest.raises(DeviceError):
        fd.set_routes([(1, "pin", 1), (2, "pin", 64)])
    assert fd.routes == [[5, "pin", 9], [70, "msi", 33]]


def test_a_pin_driven_by_hand_falls_with_the_last_change_whoever_raised_it(board):
    fd = board.devices["fd"]
    fd.assign(7, 40, resample=True, resamplefd=8)
    board.event("fd.signal", 7)
    fd.set_pin(40, False)
    assert board.level("fd.pin[40]") == 0
    fd.set_pin(40, True)
    assert board.level("fd.pin[40]") == 1
    board.write("pic", 0x80, 8, 1 << 40)
    assert board.level("fd.pin[40]") == 0
    assert left(fd, "event") == [("resample", (8, 1))]


def test_a_gsi_without_a_route_goes_nowhere(board):
    board.devices["fd"].assign(1, 4000)
    board.event("fd.signal", 1)
    assert left(board.devices["fd"], "line") == []


def test_a_reset_of_the_machine_keeps_what_the_host_set_up(board):
    fd = board.devices["fd"]
    fd.route(3, "msi", 70)
    fd.assign(1, 3)
    fd.reset()
    board.event("fd.signal", 1)
    assert left(fd, "vector") == [("msi", 70)]


@pytest.mark.parametrize(
    "act, reason",
    [
        (lambda fd: fd.route(0, "pin", 64), "route of GSI 0 to pin 64; allowed are pin 0 to 63, msi 0 to 255"),
        (lambda fd: fd.route(0, "msi", 256), "msi 256"),
        (lambda fd: fd.route(4096, "msi", 0), "GSI 4096; allowed are 0 to 4095"),
        (lambda fd: fd.route(0, "ipi", 0), "to ipi 0"),
        (lambda fd: fd.set_routes([(1, "pin", 2), (1, "msi", 3)]), "two routes of GSI 1"),
        (lambda fd: fd.set_pin(64, True), "pin 64; allowed are 0 to 63"),
        (lambda fd: fd.assign(1, -1), "GSI -1"),
        (lambda fd: fd.assign(1 << 32, 0), "descriptor 4294967296"),
        (lambda fd: [fd.assign(1, 2), fd.assign(1, 3)], "descriptor 1 is busy with GSI 2"),
        (lambda fd: fd.deassign(1, 2), "descriptor 1 is not assigned to GSI 2"),
        (lambda fd: fd.event_in("signals", 1, 1), "no event input 'signals'; it has signal"),
        (lambda fd: fd.vector_in("cleared", 64), "vector 64; allowed are 0 to 63"),
    ],
)
def test_misuse_is_named(board, act, reason):
    with pytest.raises(DeviceError, match=reason):
        act(board.devices["fd"])


STEPS = st.one_of(
    st.tuples(st.just("signal"), st.integers(0, 3)),
    st.tuples(st.just("clear"), st.sampled_from((4, 5))),
    st.tuples(st.just("save"), st.just(0)),
)


@given(steps=st.lists(STEPS, max_size=40))
@settings(deadline=None, max_examples=EXAMPLES)
def test_a_pin_is_high_exactly_from_the_signal_to_the_acknowledge(steps):
    """Descriptors 0 and 1 hold pin 4, descriptor 2 holds pin 5, descriptor 3 pulses pin 5."""
    fd = powered(Ls7aIrqfd, assigned=[(0, 4, True), (1, 4, True), (2, 5, True), (3, 5, False)])
    held, told = set(), []
    for what, number in steps:
        if what == "signal":
            fd.event_in("signal", number, 1)
            held.add({0: 4, 1: 4, 2: 5}.get(number, 5))
            if number == 3:
                held.discard(5)
        elif what == "clear":
            fd.vector_in("cleared", number)
            held.discard(number)
            told += [("resample", (d, 1)) for d in ((0, 1) if number == 4 else (2,))]
        else:
            fd = revive(fd)
        assert {p for p, level in fd.outside.levels.items() if level} == {f"pin[{pin}]" for pin in held}
    assert left(fd, "event") == told
