"""A bench for one device: one register port, its lines and timers, and a kernel that tells it random messages.

The device may be in another process or in this one. Everything it answers goes through the checks of a machine.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any, NamedTuple

from devices.ports import VectorIn
from devices.registers import Cell
from soc.errors import ProtocolError
from soc.kernel import Kernel
from soc.link import Link, Source, Timers
from soc.messages import (
    InterruptLevel,
    InterruptVector,
    Message,
    MmioError,
    MmioRead,
    MmioReply,
    MmioWrite,
    Phase,
    Space,
)
from soc.placement.inprocess import DeviceComponent
from soc.placement.remote import RemoteComponent
from soc.trace import Trace

NAME = "device"
BASE = 0x1000_0000
LATENCY = 10_000
"""Of every link of the bench, in ps."""
_TIMER = 1 << 20
"""Port and channel of the device's timers, beyond all others."""
TOLD = 2000
"""Messages of one round of random traffic."""


class Step(NamedTuple):
    """One thing that is told: at `time` ps, over the link number `link`, `kind` with `fields`."""

    time: int
    link: int
    kind: type[Message]
    fields: tuple[int, ...]


class Bench:
    """A device with nothing around it but the ends of its links. `component(kernel, source, timers, stop)` makes it."""

    def __init__(self, model: Any, component: Callable[..., DeviceComponent | RemoteComponent]) -> None:
        self.kernel, self.trace = Kernel(), Trace(records=True)
        self._source = Source(NAME, 1)
        self.device = component(self.kernel, self._source, self._timers, lambda name, reason: None)
        self.replies: dict[int, Message] = {}
        self._outside = Source("bench", 2)
        self._number = self._channel = 0
        self._ports: dict[str, tuple[str, int]] = {}
        links: list[Link] = []
        reply = self._link(f"{NAME}.mmio", "bench.core", self._replied, links)
        arrive = self.device.registers(BASE, reply, None)
        self.links = [self._link("bench.core", f"{NAME}.mmio", arrive, links)]
        for port in model.input_ports():
            arrive = self.device.input(port, self._port(f"{NAME}.{port}")[1])
            self.links.append(self._link(f"bench.to_{self._number}", f"{NAME}.{port}", arrive, links))
        for port in model.output_ports():
            out = self._link(f"{NAME}.{port}", f"bench.from_{self._number}", lambda message: None, links)
            self.device.connect(port, out)
        if self.device.remote:
            self.device.start(links)

    def _port(self, name: str) -> tuple[str, int]:
        if name not in self._ports:
            self._number += 1
            self._ports[name] = name, self._number
        return self._ports[name]

    def _link(self, origin: str, target: str, deliver: Callable[[Message], None], links: list[Link]) -> Link:
        self._channel += 1
        source = self._source if origin.startswith(f"{NAME}.") else self._outside
        ends = self._port(origin), self._port(target)
        links.append(Link(self.kernel, self.trace, self._channel, source, *ends, LATENCY, deliver))
        return links[-1]

    def _timers(self, tick: Callable[[Message], None]) -> Timers:
        return Timers(self.kernel, self.trace, _TIMER, self._source, _TIMER, tick)

    def _replied(self, message: Message) -> None:
        if type(message) not in (MmioReply, MmioError):
            raise ProtocolError(f"an access was answered with {message}")
        self.replies[message.request] = message

    def reset(self) -> None:
        """Cold reset of the device."""
        self.device.access(self.device.device.reset)

    def tell(self, steps: list[Step]) -> list[Message]:
        """Tell the device all of `steps`; returns every message that was delivered."""
        asked = []
        for step in steps:
            sequence = self.links[step.link].send(step.kind, step.time, self._outside.new_cause(), *step.fields)
            if step.kind in (MmioRead, MmioWrite):
                asked.append(sequence)
        # A device may have timers for ever: the bench stops with its own last message.
        end = max(step.time for step in steps) + 4 * LATENCY
        self.kernel.post(end, Phase.GRID, 0, end, lambda _: self.kernel.halt())
        self.kernel.loop()
        missing = [sequence for sequence in asked if sequence not in self.replies]
        if missing:
            raise ProtocolError(f"{len(missing)} of {len(asked)} accesses were not answered")
        return [record.message for record in self.trace.records]


def traffic(model: Any, seed: int, start: int, count: int = TOLD) -> list[Step]:
    """Random messages for a device of `model`, from `start` ps on: accesses to registers and beside them, signals."""
    rng = Random(seed)
    cells = list(model.register_map().cells())
    kinds: list[Callable[[int], Step]] = [partial(_access, rng, cells)] * 3
    lines = model.input_lines()
    vectors = {port: declared.vectors for declared in model.declarations(VectorIn).values() for port in declared.ports}
    for link, port in enumerate(model.input_ports(), start=1):
        kind, values = (InterruptLevel, 2) if port in lines else (InterruptVector, vectors.get(port))
        if values:
            kinds.append(partial(_signal, rng, link, kind, values))
    steps, time = [], start
    for _ in range(count):
        time += rng.randrange(1, 200_000)
        steps.append(rng.choice(kinds)(time))
    return steps


def _signal(rng: Random, link: int, kind: type[Message], values: int, time: int) -> Step:
    return Step(time, link, kind, (rng.randrange(values),))


def _access(rng: Random, cells: list[Cell], time: int) -> Step:
    size = rng.choice((1, 2, 4, 8))
    cell = rng.choice(cells) if cells else None
    offset = rng.randrange(0x1000) if cell is None or rng.random() < 0.05 else cell.offset
    size = size if cell is None or rng.random() < 0.3 else cell.register.width
    where = (rng.randrange(4), int(Space.MEMORY), BASE + offset, size)
    if rng.random() < 0.5:
        return Step(time, 0, MmioRead, (*where, 0))
    return Step(time, 0, MmioWrite, (*where, rng.getrandbits(8 * size) & rng.getrandbits(8 * size), 0))
