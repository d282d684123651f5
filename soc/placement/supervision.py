"""Watching over a device in another process: naming what went wrong, and bringing it back where that is the policy.

A device that comes back is a new process with the description of the first, the last state the old one gave, and every
message since told again. Its answers to these must be, byte for byte, those the machine has acted on; so a run with a
restart is the run without it, or it ends. A run that stopped because a device was lost goes on in the same way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from soc.errors import DeviceLost, MessageError, ProtocolError
from soc.messages import Hello, Message, Restore, Snapshot, pack
from soc.placement.places import Place
from soc.placement.socket import connect, token
from soc.placement.stream import StreamClosed, frame
from soc.placement.subprocess import Connection, PlacementError, spawn
from soc.placement.sync import Conversation, PeerFailure, Waits

SNAPSHOT_MESSAGES = 2000
SNAPSHOT_BYTES = 1 << 20
"""A state is asked for after this many messages, or this many bytes, told and answered since the last."""
ATTEMPTS = 3
"""How often a device is brought back for one message."""
FATE_S = 0.2
"""How long the end of a process whose connection has closed is waited for, in seconds of wall time."""


class Supervisor:
    """The life of one peer: its connection, what it was told since its last state, and its failures.

    `description` is what a new process is told before anything else: frames that are not answered.
    """

    def __init__(self, name: str, place: Place, system: bytes, description: bytes) -> None:
        self.name, self.place = name, place
        self.waits = Waits()
        self.restarts = 0
        self.failures: list[str] = []
        """What went wrong so far, in words."""
        self.last: Message | None = None
        """The last good message that came from the device."""
        self.connection: Connection | None = None
        self._system, self._description = system, description
        self._conversation: Conversation | None = None
        self._state: tuple[int, bytes] | None = None
        # Time in ps and bytes of the last state; then what was told since: frames, channel, time, the answer's bytes.
        self._told: list[tuple[bytes, tuple[int, int], int, list[bytes]]] = []
        self._size = 0
        self._down = False
        self._unsaid: DeviceLost | None = None
        # A failure that was no answer to a message: the next message tells of it.

    def start(self) -> None:
        """Start the process, or connect. It is greeted by `greet`, so that several can start at a time."""
        server = self.place.server
        self.connection = spawn() if server is None else connect(*server, self.place.watchdog)

    def greet(self) -> None:
        """Shake hands and describe the device, once. Raises DeviceLost."""
        if self._conversation is not None:
            return
        try:
            self._greet()
        except (ProtocolError, MessageError) as error:
            raise self._lost(error, "at the start") from error

    def _greet(self) -> None:
        conversation = self._conversation = Conversation(self.connection.stream, self.waits, self.place.watchdog)
        secret = token() if self.place.server else b""
        conversation.say(frame(pack(Hello(0, 0, 0, 0, 0, self.name, self._system, secret))))
        hello = conversation.hear()
        if type(hello) is not Hello or hello.system != self._system:
            raise ProtocolError(f"answered Hello with {hello!r:.200}")
        conversation.say(self._description)

    def ask(self, message: Message, judge: Callable[[list[Message]], Any]) -> Any:
        """Tell the device `message`; returns what `judge` makes of its answer (the promise last).

        `judge` raises ProtocolError for an answer that cannot be. A failure is DeviceLost, unless the policy is to
        restart and the device came back.
        """
        if self._unsaid is not None:
            lost, self._unsaid = self._unsaid, None
            lost.told = message
            raise lost
        frames = frame(pack(message))
        channel = message[3], message[4]
        for attempt in range(ATTEMPTS):
            try:
                if self._down:
                    self._bring_back()
                messages, pieces = self._conversation.ask(frames, channel, message[2])
                judged = judge(messages)
                break
            except (ProtocolError, MessageError, PlacementError) as error:
                self._down = True
                lost = self._lost(error, f"on {message!r:.300}")
                lost.told = message
                if self.place.on_failure != "restart" or attempt == ATTEMPTS - 1:
                    raise lost from error
        if len(messages) > 1:
            self.last = messages[-2]
        self._told.append((frames, channel, message[2], pieces))
        self._size += len(frames) + sum(map(len, pieces))
        if len(self._told) >= SNAPSHOT_MESSAGES or self._size >= SNAPSHOT_BYTES:
            self.take_state(message[2])
        return judged

    def state(self, now: int) -> bytes:
        """The device's state at `now`, as its Snapshot has it."""
        return self.ask(Snapshot(now, 0, 0, 0, 0, b""), _state_of)

    def take_state(self, now: int) -> None:
        """Ask for the device's state at `now` ps: what was told before need not be told again."""
        try:
            messages, _ = self._conversation.ask(frame(pack(Snapshot(now, 0, 0, 0, 0, b""))), (0, 0), now)
            state = _state_of(messages)
        except (ProtocolError, MessageError) as error:
            # What was told since the last state is still here: nothing but the process is lost.
            self._down = True
            lost = self._lost(error, "on a request for its state")
            self._unsaid = None if self.place.on_failure == "restart" else lost
            return
        self._state = now, state
        self._told.clear()
        self._size = 0

    def _bring_back(self) -> None:
        self.restarts += 1
        self.connection.abandon()
        self.start()
        self._greet()
        told = self._told
        if self._state is not None:
            now, state = self._state
            _restored(self._conversation.ask(frame(pack(Restore(now, 0, 0, 0, 0, state))), (0, 0), now)[0])
        for frames, channel, now, pieces in told:
            again = self._conversation.ask(frames, channel, now)[1]
            # The promise that ends an answer counts answers of this process, so only what is before it is compared.
            if again[:-1] != pieces[:-1]:
                raise PeerFailure(
                    f"answered differently when it was told again: {again[:-1]!r:.200}, before {pieces[:-1]!r:.200}"
                )
        self._down = False

    def restore(self, now: int, state: bytes) -> None:
        """Have the device go on from `state`, at `now` ps; what it was told before is forgotten."""
        self._told.clear()
        self._size, self._state = 0, (now, state)
        self.ask(Restore(now, 0, 0, 0, 0, state), _restored)

    def _lost(self, error: Exception, when: str) -> DeviceLost:
        text = self._text(error, when)
        self.failures.append(text)
        return DeviceLost(text)

    def _text(self, error: Exception, when: str) -> str:
        connection = self.connection
        where = connection.where if connection is not None else self.place.where
        patience = FATE_S if isinstance(error, StreamClosed) else 0
        fate = connection.fate(patience) if connection is not None and not isinstance(error, PeerFailure) else ""
        last = f"last good message {self.last!r:.300}" if self.last is not None else "it had sent nothing yet"
        return f"device {self.name} ({where}) failed {when}: {error}{f'; {fate}' if fate else ''}; {last}"

    def close(self) -> None:
        """End the process, or the connection; at once where it has failed."""
        if self.connection is not None:
            (self.connection.abandon if self._down else self.connection.close)()


def _state_of(messages: list[Message]) -> bytes:
    if len(messages) != 2 or type(messages[0]) is not Snapshot:
        raise ProtocolError(f"gave no state: {messages!r:.200}")
    return messages[0].state


def _restored(messages: list[Message]) -> None:
    if len(messages) != 1:
        raise ProtocolError(f"answered Restore with {messages[0]!r:.200}")
