"""Conformance of a device server: does it keep what docs/wire.md says?

The device is told random accesses, line changes and vectors on a bench, and its server what it must turn away. A device
in this process on a bench of its own says what to expect, message by message.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random
from typing import Any

from devices.models import absolute, load
from soc.errors import MessageError, ProtocolError, SocError
from soc.kernel import Kernel
from soc.link import Source
from soc.messages import VERSION, Failure, Hello, Message, MmioReply, pack, unpack
from soc.placement.bench import LATENCY, NAME, TOLD, Bench, traffic
from soc.placement.inprocess import DeviceComponent
from soc.placement.places import Place
from soc.placement.remote import RemoteComponent
from soc.placement.socket import connect, token
from soc.placement.stream import Stream, StreamClosed, StreamTimeout, frame

PATIENCE_S = 5.0
"""Wall time within which the server must answer."""


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
