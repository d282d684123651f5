"""Messages that are right in themselves, thrown at a device's side of the wire: taken, or refused by our own errors."""

import random
from collections.abc import Iterator

import msgpack
import pytest

from devices.models import load
from soc.errors import SocError
from soc.messages import KINDS, Configure, LinkOut, Message, PortIn, Restore, Role, Snapshot, TimerTick, unpack
from soc.placement.serve import Peer
from soc.placement.stream import HEADER
from tests.soc.test_foreign_bytes import sample

MODELS = (
    "devices.uart16550:Uart16550",
    "devices.virtio.rng:VirtioRng",
    "devices.ls7a_irq:Ls7aIrq",
    "devices.ls7a_irqfd:Ls7aIrqfd",
)
REGISTERS, TIMER, DMA, INPUT = 1, 2, 3, 10
FROM_CORE = 50


def description(model: str) -> Iterator[Message]:
    """A device with registers, timers, DMA if it does any, and its first inputs."""
    cls = load(model)
    yield Configure(0, 0, 0, 0, 0, model, msgpack.packb({}), 1)
    yield PortIn(0, 0, REGISTERS, 0, 0, "mmio", Role.REGISTERS, 0, 0)
    yield LinkOut(0, REGISTERS, FROM_CORE, 0, 0, "mmio", 10, 1)
    yield PortIn(0, 0, TIMER, 0, 0, "timer", Role.TIMER, 0, 0)
    if hasattr(cls, "on_dma"):
        yield PortIn(0, 0, DMA, 0, 0, "dma", Role.DMA, 0, 0)
        yield LinkOut(0, DMA, FROM_CORE + 1, 0, 0, "dma", 10, 2)
    for number, port in enumerate(cls.input_ports()[:4], start=INPUT):
        yield PortIn(0, 0, number, 0, 0, port, Role.INPUT, 0, 0)


def described(model: str) -> Peer:
    """A peer with a device that knows its ports."""
    peer = Peer("device", lambda model: True)
    for message in description(model):
        peer.handle(message)
    return peer


def throw(model: str, count: int, seed: int) -> dict[str, int]:
    """How many messages were taken and refused. A peer that has refused one is at its end; a new one follows."""
    rng = random.Random(f"{model} {seed}")
    seen, peer = {"taken": 0, "refused": 0}, described(model)
    for _ in range(count):
        kind = rng.choice(list(KINDS.values()))
        fields = dict(zip(kind.FIELDS, sample(rng, kind)[2:], strict=True))
        fields["time"] = peer._present.now + rng.choice((0, 1, 1000))
        ends = ((FROM_CORE, REGISTERS), (TIMER, TIMER), (FROM_CORE, DMA), (0, 0), (7, INPUT), (7, INPUT + 1), (7, 99))
        fields["source"], fields["destination"] = rng.choice(ends)
        if "address" in fields:
            fields["address"] = rng.randrange(0x400)
        if kind is Restore and rng.random() < 0.5:
            fields["state"] = msgpack.packb(rng.choice(({}, [], 3, {"component": {}}, {"component": [], "source": 1})))
        try:
            peer.handle(kind(**fields).check())
            seen["taken"] += 1
        except SocError:
            seen["refused"] += 1
            peer = described(model)
    return seen


@pytest.mark.parametrize("model", MODELS)
def test_messages_a_device_cannot_expect_are_refused_by_name(model):
    seen = throw(model, 2000, seed=1)
    assert seen["taken"] > 100 and seen["refused"] > 100


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_a_hundred_thousand_of_them(model):
    throw(model, 100_000, seed=2)


def test_the_refusal_names_kind_and_port():
    with pytest.raises(SocError, match="device: a TimerTick at port 1, which is for REGISTERS"):
        described(MODELS[0]).handle(TimerTick(0, FROM_CORE, REGISTERS, 1, 0, "x"))


def test_a_snapshot_that_was_spoilt_is_refused():
    peer = described(MODELS[0])
    answer = peer.handle(Snapshot(0, 0, 0, 0, 0, b""))
    length = int.from_bytes(answer[:4], "little")
    state = msgpack.unpackb(unpack(answer[HEADER : HEADER + length]).state, strict_map_key=False)
    for part in ("component", "source", "timers"):
        wrong = {**state, part: None}
        with pytest.raises(SocError):
            described(MODELS[0]).handle(Restore(0, 0, 0, 0, 0, msgpack.packb(wrong)))
