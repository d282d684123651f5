"""A million malformed byte strings at each side of the wire: refused in words, by our own errors, in bounded memory.

A string is a conversation that is right up to a place. There it has a spoilt message in a right frame, a message whose
turn it is not, or a spoilt frame. String n of a seed is the same in every run.
"""

from __future__ import annotations

import random
import resource
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from devices.models import load
from soc.errors import DeviceLost, SocError, UnmappedAccessError
from soc.messages import (
    KINDS,
    Failure,
    Hello,
    Message,
    MmioRead,
    MmioReply,
    Reset,
    Snapshot,
    SyncPromise,
    pack,
    unpack,
)
from soc.placement import serve, supervision
from soc.placement.bench import NAME, Bench
from soc.placement.places import Place
from soc.placement.remote import RemoteComponent
from soc.placement.stream import Stream, StreamClosed, frame
from soc.placement.subprocess import Connection
from soc.time import NEVER
from tests.placement.test_foreign_messages import FROM_CORE, MODELS, REGISTERS, description
from tests.soc.test_foreign_bytes import SPOIL, bits_flipped, cut, deep, sample, spliced

TOKEN = b"a token of the tests"
FEW, MANY, SEEDS = 3000, 100_000, range(10)
WARM, GROWTH = 1000, 32 << 20
"""After so many strings, at most so many bytes of memory more are held at any later one."""


def kinds(error: type[SocError]) -> Iterator[str]:
    """The names of `error` and of all errors below it."""
    yield error.__name__
    for below in error.__subclasses__():
        yield from kinds(below)


OURS = frozenset(kinds(SocError))


def spoilt(rng: random.Random, message: bytes) -> bytes:
    """What takes the place of the frame of `message`."""
    way = rng.randrange(10)
    if way < 6:
        return frame(rng.choice(SPOIL)(rng, message))
    if way < 8:
        return frame(pack(sample(rng, rng.choice(list(KINDS.values())))))
    if way == 8:
        return rng.choice((bits_flipped, cut, spliced))(rng, frame(message))
    return frame(deep(rng, message)) if rng.random() < 0.1 else rng.randbytes(rng.randrange(60))


def conversation(rng: random.Random, messages: list[bytes]) -> bytes:
    """Frames of `messages`, one of them spoilt; what comes after it is as it was, or missing."""
    frames = [frame(message) for message in messages]
    place = rng.randrange(len(messages))
    frames[place] = spoilt(rng, messages[place])
    return b"".join(frames if rng.random() < 0.5 else frames[: place + 1])


class Answering(Stream):
    """A kernel's stream, at whose other end one of `answers` follows each thing said, and the end follows the last."""

    def __init__(self, answers: list[bytes]) -> None:
        ours, self._theirs = socket.socketpair()
        super().__init__(ours, 5)
        self._answers = answers

    def send(self, frames: bytes) -> None:
        super().send(frames)
        if self._answers:
            self._theirs.sendall(self._answers.pop(0))
            if not self._answers:
                self._theirs.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._theirs.close()
        super().close()


class KernelSide:
    """A machine's end of a UART in another process, whose part the strings take."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(supervision, "spawn", lambda: Connection(Answering(self._answers), "the strings"))
        self._begin()

    def throw(self, rng: random.Random) -> bool:
        """Whether the device is lost by the string that `rng` makes; it is asked for a register."""
        right = self._right
        place = rng.randrange(len(right))
        self._answers = [b"".join(map(frame, messages)) for messages in right[:place]]
        self._answers.append(conversation(rng, right[place] or right[0]))
        try:
            self._remote.device.read(0, 1)
        except DeviceLost as error:
            assert str(error).startswith(f"device {NAME} (the strings) failed ")
            return True
        except UnmappedAccessError:
            pass
        self.close()
        self._begin()
        return False

    def _begin(self) -> None:
        """A device that has been reset, and is lost at the next word."""
        self._answers: list[bytes] = []
        self._remote = Bench(load(MODELS[0]), self._made).device
        hello = pack(Hello(0, 0, 0, 0, 0, NAME, self._remote.supervisor._system, b""))
        reset, read = (pack(SyncPromise(0, 0, 0, number, 0, NEVER)) for number in (1, 2))
        # After Hello, the description, Reset, and the read.
        self._right = [[hello], [], [reset], [pack(MmioReply(0, 0, 0, 0, 0, 0, 0x60)), read]]
        self._answers += [frame(hello), b"", frame(reset)]
        self._remote.reset()
        with pytest.raises(DeviceLost):
            self._remote.device.read(0, 1)

    @staticmethod
    def _made(*around: Any) -> RemoteComponent:
        return RemoteComponent(NAME, MODELS[0], load(MODELS[0]), {}, Place("process"), *around)

    def close(self) -> None:
        """Close the connection."""
        self._remote.close()


class DeviceSide:
    """A device's process, to which the strings are told in place of a machine."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def unexpected(text: str) -> None:
            raise AssertionError(text)

        monkeypatch.setattr(serve.log, "exception", unexpected)
        hello, reset = Hello(0, 0, 0, 0, 0, NAME, b"digest", TOKEN), Reset(0, 0, 0, 0, 0)
        told = [MmioRead(10, FROM_CORE, REGISTERS, 1, 0, 0, 0, 0, 1, 0), Snapshot(20, 0, 0, 0, 0, b"")]
        self._right = [[pack(m) for m in (hello, *description(model), reset, *told)] for model in MODELS]

    def throw(self, rng: random.Random) -> bool:
        """Whether the device refuses the string that `rng` makes, and says why, or closes."""
        ours, theirs = socket.socketpair()
        with theirs:
            theirs.sendall(conversation(rng, rng.choice(self._right)))
            theirs.shutdown(socket.SHUT_WR)
            serve.serve(Stream(ours), serve.allow(), TOKEN)
            return any(map(self._refusal, frames(theirs)))

    @staticmethod
    def _refusal(heard: Message) -> bool:
        assert type(heard) is not Failure or (heard.error in OURS and len(heard.reason) > 10), heard
        return type(heard) is Failure

    def close(self) -> None:
        """Nothing is held."""


def frames(end: socket.socket) -> Iterator[Message]:
    """What came before the other side closed."""
    stream = Stream(end, 5)
    try:
        while True:
            yield unpack(stream.receive())
    except StreamClosed:
        pass


def resident() -> int:
    """Bytes of memory that this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


@pytest.fixture(params=[KernelSide, DeviceSide])
def side(request, monkeypatch):
    made = request.param(monkeypatch)
    yield made
    made.close()


def throw(side: KernelSide | DeviceSide, seed: int, count: int) -> None:
    refused, held = 0, 0
    for number in range(count):
        try:
            refused += side.throw(random.Random(seed << 32 | number))
        except Exception as error:
            raise AssertionError(f"seed {seed}, string {number}: {error!r}") from error
        if number == WARM:
            held = resident()
        elif number % 1000 == 0:
            assert number < WARM or resident() - held < GROWTH, f"seed {seed}: {number} strings hold too much"
    print(f"{refused} of {count} refused; {(resident() - held) >> 10} KiB more are held than after {WARM}")
    assert count * 0.8 < refused < count


def test_a_slice_of_the_million(side):
    throw(side, 1, FEW)


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_a_million_malformed_strings(side, seed):
    throw(side, seed, MANY)
