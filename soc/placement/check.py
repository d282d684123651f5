"""Conformance of a device server: does it keep what docs/wire.md says?

The device is put on a bench: one register port, its lines and timers, and a kernel that tells it random accesses, line
changes, vectors and bytes. Everything it answers goes through the checks of a machine. The bench can hold a device in
this process too, so that one device can be compared with another, message by message.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random
from typing import Any, NamedTuple

from devices.models import absolute, load
from soc.errors import MessageError, ProtocolError, SocError
from soc.kernel import Kernel
from soc.link import Link, Source, Timers
from soc.messages import (
    VERSION,
    Failure,
    Hello,
    InterruptLevel,
    InterruptVector,
    Message,
    MmioError,
    MmioRead,
    MmioReply,
    MmioWrite,
    Phase,
    pack,
    unpack,
)
from soc.placement.inprocess import DeviceComponent
from soc.placement.places import Place
from soc.placement.remote import RemoteComponent
from soc.placement.socket import connect, token
from soc.placement.stream import Stream, StreamClosed, StreamTimeout, frame
from soc.trace import Trace

NAME = "device"
BASE = 0x1000_0000
LATENCY = 10_000
"""Of every link of the bench, in ps."""
_TIMER = 1 << 20
"""Port and channel of the device's timers, beyond all others."""
PATIENCE_S = 5.0
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
    kinds: list[tuple[str, Any]] = [("access", None)] * 3
    inputs = model.input_ports()
    lines = set(model.input_lines())
    kinds += [("signal", place) for place, port in enumerate(inputs, start=1) if port in lines or _vectors(model, port)]
    steps, time = [], start
    for _ in range(count):
        time += rng.randrange(1, 200_000)
        kind, place = rng.choice(kinds)
        if kind == "signal":
            port = inputs[place - 1]
            if port in lines:
                steps.append(Step(time, place, InterruptLevel, (rng.randrange(2),)))
            else:
                steps.append(Step(time, place, InterruptVector, (rng.randrange(_vectors(model, port)),)))
            continue
        size = rng.choice((1, 2, 4, 8))
        cell = rng.choice(cells) if cells else None
        offset = rng.randrange(0x1000) if cell is None or rng.random() < 0.05 else cell.offset
        size = size if cell is None or rng.random() < 0.3 else cell.register.width
        where = (rng.randrange(4), 0, BASE + offset, size)
        if rng.random() < 0.5:
            steps.append(Step(time, 0, MmioRead, (*where, 0)))
        else:
            steps.append(Step(time, 0, MmioWrite, (*where, rng.getrandbits(8 * size) & rng.getrandbits(8 * size), 0)))
    return steps


def _vectors(model: Any, port: str) -> int:
    from devices.ports import VectorIn

    return next((made.vectors for made in model.declarations(VectorIn).values() if port in made.ports), 0)


class Check:
    """The checks of the server at `host` and `port`, for a device with the ports and registers of `model`."""

    def __init__(self, host: str, port: int, model: str, same: bool = False, seed: int = 1) -> None:
        """`same`: it must behave as the model does, too. Raises UnknownDevice for a model that is none."""
        self._server, self._model, self._class = (host, port), absolute(model), load(model)
        self._same, self._seed = same, seed
        self._place = Place(f"tcp://{host}:{port}", "restart", PATIENCE_S)

    def run(self) -> Iterator[tuple[str, str]]:
        """Every check by name, with what is wrong; empty when it is as it should be."""
        for name, check in self._checks().items():
            try:
                check()
            except SocError as error:
                yield name, str(error)
            else:
                yield name, ""

    def _checks(self) -> dict[str, Callable[[], None]]:
        checks = {
            "says hello and resets": self._hello,
            "turns away a wrong token": self._wrong_token,
            "turns away another version": self._version,
            "turns away who says no hello": lambda: self._refused(frame(pack(MmioReply(0, 0, 0, 0, 0, 0, 0)))),
            "turns away a wrong CRC-32": self._wrong_check,
            "turns away a frame that is too long": lambda: self._refused(b"\xff\xff\xff\xff\0\0\0\0"),
            "turns away what is no message": self._noise,
            "answers accesses, lines and vectors": lambda: self._talk(self._remote(), 0),
            "answers the same twice": self._twice,
            "goes on from its state": self._state,
            "serves again after all this": self._hello,
        }
        if self._same:
            checks[f"behaves as {self._model}"] = self._as_model
        return checks

    def _remote(self) -> Bench:
        def made(kernel: Kernel, source: Source, *around: Any) -> RemoteComponent:
            return RemoteComponent(NAME, self._model, self._class, {}, self._place, kernel, source, *around)

        bench = Bench(self._class, made)
        try:
            bench.reset()
        except SocError:
            bench.device.close()
            raise
        return bench

    def _local(self) -> Bench:
        def made(kernel: Kernel, source: Source, timers: Any, stop: Any) -> DeviceComponent:
            return DeviceComponent(NAME, self._class(), kernel, None, source, timers, stop)

        bench = Bench(self._class, made)
        bench.reset()
        return bench

    def _hello(self) -> None:
        self._remote().device.close()

    def _talk(self, bench: Bench, round: int) -> list[Message]:
        try:
            return bench.tell(traffic(self._class, self._seed + round, bench.kernel.now + LATENCY))
        finally:
            if bench.device.remote:
                bench.device.close()

    def _twice(self) -> None:
        _agree(self._talk(self._remote(), 1), self._talk(self._remote(), 1), "the first time", "the second")

    def _as_model(self) -> None:
        for round in range(5):
            here, there = self._talk(self._local(), round), self._talk(self._remote(), round)
            _agree(here, there, "the model", "this device")

    def _state(self) -> None:
        _agree(self._in_parts(False), self._in_parts(True), "one connection", "another from the state of the first")

    def _in_parts(self, broken: bool) -> list[Message]:
        """Three rounds of traffic with the state taken after the first and, if asked, a broken connection before the
        last: what a restart does."""
        bench = self._remote()
        try:
            for part in range(3):
                if part == 2 and broken:
                    bench.device.supervisor.connection.stream.shut()
                said = bench.tell(traffic(self._class, self._seed + part, bench.kernel.now + LATENCY, TOLD // 4))
                if part == 0:
                    bench.device.supervisor.take_state(bench.kernel.now)
        finally:
            bench.device.close()
        return said

    def _refused(self, sent: bytes) -> Message | None:
        connection = connect(*self._server, PATIENCE_S)
        connection.stream.set_watchdog(PATIENCE_S)
        try:
            connection.stream.send(sent)
            return self._last_words(connection.stream)
        finally:
            connection.close()

    @staticmethod
    def _last_words(stream: Stream) -> Message | None:
        """What is heard before the connection closes: a Failure or nothing."""
        heard = None
        try:
            while True:
                heard = unpack(stream.receive())
                if type(heard) is not Failure:
                    raise ProtocolError(f"it answered {heard}; a Failure was to be expected, and an end")
        except StreamClosed:
            return heard
        except StreamTimeout:
            raise ProtocolError("it neither answered nor closed the connection") from None

    def _wrong_token(self) -> None:
        self._refused(frame(pack(Hello(0, 0, 0, 0, 0, NAME, b"", token() + b"?"))))

    def _wrong_check(self) -> None:
        good = frame(pack(Hello(0, 0, 0, 0, 0, NAME, b"", token())))
        self._refused(good[:4] + bytes([good[4] ^ 1]) + good[5:])

    def _version(self) -> None:
        heard = self._refused(frame(pack((VERSION + 1, *Hello(0, 0, 0, 0, 0, NAME, b"", token())[1:]))))
        if heard is None or heard.error != "VersionError":
            raise ProtocolError(f"it said {heard}; a Failure with the error VersionError was to be expected")

    def _noise(self) -> None:
        rng = Random(self._seed)
        hello = pack(Hello(0, 0, 0, 0, 0, NAME, b"12345678", token()))
        for _ in range(100):
            changed = bytearray(hello)
            changed[rng.randrange(len(changed) - len(token()), len(changed))] ^= rng.randrange(1, 256)
            data = bytes(changed[: rng.randrange(len(changed))]) if rng.random() < 0.5 else rng.randbytes(20)
            self._refused(frame(data))


def _agree(one: list[Message], other: list[Message], first: str, second: str) -> None:
    for place, (expected, found) in enumerate(zip(one, other, strict=False)):
        if expected != found:
            raise MessageError(f"message {place}: {first} {expected}, {second} {found}")
    if len(one) != len(other):
        raise MessageError(f"{first} made {len(one)} messages, {second} {len(other)}")
