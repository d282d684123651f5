"""Conservative synchronisation with one peer (design law 4): it is told a message at that message's time, and answers.

An answer is what the peer sends because of it, closed by a promise: nothing more leaves the peer before its earliest
timer, and a timer comes to it as a message too. So the kernel waits only for answers to what it has said, never at a
barrier, and a peer that nothing is said to costs nothing.

Every answer is complete before anything of it takes effect.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from time import perf_counter_ns

from soc.errors import ProtocolError
from soc.messages import Failure, Message, SyncPromise, unpack
from soc.placement.stream import Stream

MOST_MESSAGES = 1 << 16
"""The most messages of one answer."""
START_S = 60.0
"""How long a device may take to start, in seconds of wall time."""


class PeerFailure(ProtocolError):
    """The peer itself has said that it cannot go on, and why."""


@dataclass
class Waits:
    """What the kernel waited for: per channel, as (source, destination), how often and how long in ns of wall time."""

    channels: dict[tuple[int, int], list[int]] = field(default_factory=dict)
    """[times, ns together, longest ns]"""
    answers: int = 0
    """Messages that came back."""
    told_bytes: int = 0
    answer_bytes: int = 0

    def note(self, channel: tuple[int, int], nanoseconds: int) -> None:
        """One more wait."""
        entry = self.channels.get(channel)
        if entry is None:
            entry = self.channels[channel] = [0, 0, 0]
        entry[0] += 1
        entry[1] += nanoseconds
        if nanoseconds > entry[2]:
            entry[2] = nanoseconds


class Conversation:
    """Telling one peer, and reading its answers. All that is wrong with a stream of answers raises ProtocolError or
    MessageError; whether an answer fits the machine is the caller's to judge. The first answer may take START_S."""

    def __init__(self, stream: Stream, waits: Waits, watchdog: float) -> None:
        self.stream, self.waits = stream, waits
        self._watchdog = watchdog
        stream.set_watchdog(max(START_S, watchdog))
        self._answers = 0

    def say(self, frames: bytes) -> None:
        """Send what is not answered: a description."""
        self.stream.send(frames)

    def hear(self) -> Message:
        """One message. PeerFailure when it is one."""
        return self._take(unpack(self.stream.receive()))

    def ask(self, frames: bytes, channel: tuple[int, int], now: int) -> tuple[list[Message], list[bytes]]:
        """Tell one message of time `now` ps; returns the answer, the promise last, as messages and as bytes."""
        stream, waits = self.stream, self.waits
        if stream.pending:
            raise ProtocolError("sent something that nobody had asked for")
        began = perf_counter_ns()
        stream.send(frames)
        messages: list[Message] = []
        pieces: list[bytes] = []
        while True:
            data = stream.receive()
            message = unpack(data)
            messages.append(message)
            pieces.append(data)
            waits.answer_bytes += len(data)
            if type(message) is SyncPromise:
                break
            self._take(message)
            if len(messages) > MOST_MESSAGES:
                raise ProtocolError(f"answered one message with more than {MOST_MESSAGES}")
        waits.note(channel, perf_counter_ns() - began)
        waits.answers += len(messages) - 1
        waits.told_bytes += len(frames)
        self._answers += 1
        if self._answers == 1:
            stream.set_watchdog(self._watchdog)
        if message.sequence != self._answers or message.time != now:
            raise ProtocolError(
                f"closed answer {self._answers} at {now} ps with {message}: its sequence and time are not these"
            )
        return messages, pieces

    @staticmethod
    def _take(message: Message) -> Message:
        if type(message) is Failure:
            raise PeerFailure(f"reports {message.error}: {message.reason}")
        return message
