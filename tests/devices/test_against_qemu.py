"""LIOINTC and UART against QEMU's models: the same random accesses, the same answers and interrupt lines.

Known differences are kept out of what is generated, each with its reason. DEVICE_FUZZ sets the number of sequences.
"""

import base64
import random

import pytest

from devices.alone import make_device
from devices.rig import Rig
from tests.devices.qemu_machine import INTEN_CLEAR, INTEN_SET, INTISR, LIOINTC, SEQUENCES, STEPS

pytestmark = pytest.mark.qemu

UART, UART_SOURCE = 0x1FE001E0, 1


class Both:
    """QEMU's LIOINTC and ours, in the same state."""

    def __init__(self, qemu):
        self.qemu = qemu
        self.path = qemu.find("loongson.liointc")
        self.ours = make_device("liointc")
        self.trace = []
        # QEMU's model has no reset: bring it to the reset state by hand.
        qemu.write(INTEN_CLEAR, 4, 0xFFFFFFFF)
        for source in range(32):
            qemu.drive(self.path, source, 0)
            qemu.write(LIOINTC + source, 1, 0)

    def write(self, offset, size, value):
        self.trace.append(f"W{size} {offset:02x}={value:x}")
        self.qemu.write(LIOINTC + offset, size, value)
        self.ours.write(offset, size, value)

    def drive(self, source, level):
        self.trace.append(f"L{source}{'+' if level else '-'}")
        self.qemu.drive(self.path, source, level)
        self.ours.set_line(source, level)

    def check_registers(self):
        for offset in (0x20, 0x24, 0x28, 0x2C, 0x40, 0x44, 0x48, 0x50, 0x58, 0x5C):
            assert self.ours.read(offset, 4) == self.qemu.read(LIOINTC + offset, 4), f"{offset:#x} after " + "; ".join(
                self.trace
            )

    def check_pins(self):
        pins = sum((cause >> 10 & 0xF) << 4 * core for core, cause in enumerate(self.qemu.causes()))
        assert self.ours.lines() == pins, "; ".join(self.trace)


def random_liointc_step(both, rng, entries):
    # Not generated: EDGE and the other words at 0x30 to 0x3c, which QEMU lacks (edge sources, readable polarity);
    # routing by more than one byte at a time, which QEMU does not decode.
    kind = rng.randrange(10)
    if kind < 3:
        both.write(rng.randrange(32), 1, entries(rng))
    elif kind < 5:
        both.write(rng.choice((0x28, 0x28, 0x2C)), 4, rng.getrandbits(32) & rng.getrandbits(32))
    elif kind < 6:
        both.write(rng.choice((0x20, 0x24, 0x40, 0x48, 0x44)), 4, rng.getrandbits(32))
    else:
        both.drive(rng.randrange(32), rng.getrandbits(1))


@pytest.mark.parametrize("seed", range(SEQUENCES))
def test_liointc_registers(qemu, seed):
    """Any routing: the status words agree."""
    rng = random.Random(seed)
    both = Both(qemu)
    for _ in range(STEPS):
        random_liointc_step(both, rng, lambda rng: rng.getrandbits(8))
        both.check_registers()


@pytest.mark.parametrize("seed", range(SEQUENCES))
def test_liointc_pins(qemu, seed):
    """Routing to one core or to one pin: else QEMU crosses cores and pins of different sources."""
    rng = random.Random(1000 + seed)
    core, pin = 1 << rng.randrange(4), 0x10 << rng.randrange(4)
    one_core = rng.getrandbits(1)
    both = Both(qemu)
    for step in range(STEPS):
        if one_core:
            random_liointc_step(both, rng, lambda rng: rng.getrandbits(4) << 4 | core)
        else:
            random_liointc_step(both, rng, lambda rng: pin | rng.getrandbits(4))
        if step % 4 == 0:
            both.check_pins()


def random_uart_step(rng, loopback):
    """One (operation, offset, value). Kept out, because QEMU differs from the data sheet on purpose:

    - a FIFO reset signals THRE in QEMU even if nothing was waiting: IER is cleared before each write of FCR;
    - FCR without its enable bit still resets in QEMU: then only 0 is written;
    - loopback: QEMU never reports changes of the modem lines, so MSR and IER bit 3 are left alone;
    - RBR without a character ready is undefined: QEMU then gives the last one without FIFO, and is not asked;
    - no time passes, so there is no character timeout.
    """
    if rng.randrange(5) < 2:
        offset = rng.choice((0, 0, 1, 2, 2, 3, 4, 5, 5, 7) if loopback else range(8))
        return [("R", offset, 0)]
    offset = rng.choice((0, 0, 0, 0, 1, 1, 2, 3, 4, 7))
    value = rng.getrandbits(8)
    if offset == 1 and loopback:
        value &= ~0x08
    if offset == 2:
        value = value | 1 if rng.randrange(4) else 0
        return [("W", 3, 0x03), ("W", 1, 0), ("W", 2, value)]
    if offset == 3 and rng.randrange(4):
        value &= 0x7F
    if offset == 4:
        value = value | 0x10 if loopback else value & ~0x10
    return [("W", offset, value)]


@pytest.mark.parametrize("loopback", [False, True], ids=["line", "loopback"])
@pytest.mark.parametrize("seed", range(SEQUENCES))
def test_uart(qemu, seed, loopback):
    rng = random.Random(2000 + seed)
    qemu.reset()
    # Where QEMU's reset leaves the FIFO enable as it was and sets OUT2, the data sheet clears both.
    qemu.write(UART + 2, 1, 0)
    qemu.write(UART + 4, 1, 0)
    qemu.console()
    qemu.write(INTEN_SET, 4, UART_SOURCE)
    rig = Rig()
    uart = rig.device("uart16550")
    trace = []
    # In loopback first of all leave the modem changes of entering it behind.
    steps = [("W", 4, 0x10), ("skip", 6, 0)] if loopback else []
    while len(trace) < STEPS:
        for kind, offset, value in steps:
            trace.append(f"{kind} {offset}={value:02x}")
            if kind == "W":
                qemu.write(UART + offset, 1, value)
                uart.write(offset, 1, value)
            elif kind == "R":
                if offset == 0 and not uart.lcr & 0x80 and not uart.model.lsr & 1:
                    continue
                assert uart.read(offset, 1) == qemu.read(UART + offset, 1), "; ".join(trace)
            else:
                uart.read(offset, 1)
            assert rig.irq.level == qemu.read(INTISR, 4) & UART_SOURCE, "; ".join(trace)
        steps = random_uart_step(rng, loopback)
    assert rig.outputs.get("tx", b"") == base64.b64decode(qemu.console()), "; ".join(trace)
