"""Links: one-way channels between two ports, with a positive latency in picoseconds and a stable number."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from soc.errors import ConfigurationError
from soc.messages import VERSION, Message, Phase, pack, unpack
from soc.ports import split

if TYPE_CHECKING:
    from soc.kernel import Kernel
    from soc.trace import Trace

CAUSE_BITS = 40
Receiver = Callable[[Any], None]


class Source:
    """A component as a sender: its number in the machine and its two counters, of messages and of causes."""

    __slots__ = ("_causes", "name", "number", "sequence")

    def __init__(self, name: str, number: int) -> None:
        self.name, self.number = name, number
        self.sequence = 0
        self._causes = 0

    def new_cause(self) -> int:
        """A cause id no other component and no earlier call has given."""
        self._causes += 1
        return self.number << CAUSE_BITS | self._causes

    def save(self) -> dict[str, int]:
        """The counters, for a snapshot."""
        return {"sequence": self.sequence, "causes": self._causes}

    def restore(self, saved: dict[str, int]) -> None:
        """The counters of `save`."""
        self.sequence, self._causes = saved["sequence"], saved["causes"]


class Link:
    """A channel from port `origin` to port `target`, both given as (name, number).

    `deliver(message)` is called at the message's time, in the order of law 2. With `wire=True` each message is packed
    and unpacked again on its way, as it would be between processes: tests use it to prove that nothing else crosses.
    """

    __slots__ = (
        "_add",
        "_arrival",
        "_deliver",
        "_from",
        "_kernel",
        "_post",
        "_receiver",
        "_source",
        "_to",
        "_wire",
        "channel",
        "destination",
        "latency",
        "name",
    )
    __slots__ += ("origin", "source_name", "target")

    def __init__(
        self,
        kernel: Kernel,
        trace: Trace,
        channel: int,
        source: Source,
        origin: tuple[str, int],
        target: tuple[str, int],
        latency: int,
        deliver: Callable[[Any], None],
        wire: bool = False,
    ) -> None:
        self.name = f"{origin[0]} -> {target[0]}"
        if type(latency) is not int or latency < 1:
            raise ConfigurationError(
                f"link {self.name}: latency {latency!r} ps; at least 1 ps is needed (design law 5)"
            )
        self.channel, self.latency = channel, latency
        self.origin, self.target = origin, target
        self._from, self._to = origin[1], target[1]
        self._source, self._kernel, self._post = source, kernel, kernel.post
        self._add, self._wire = trace.add, wire
        self._deliver = self._receiver = deliver
        self._arrival = self._arrive
        trace.wire(self)

    def send(self, kind: type[Message], sent: int, cause: int, *fields: Any) -> int:
        """Send a message that leaves at `sent` ps; returns its sequence number. `fields` are all of the message's own,
        in their order."""
        message = self._message(kind, sent, cause, fields)
        self._post(message[2], kind.PHASE, self.channel, message[5], self._arrival, message)
        return message[5]

    def note(self, kind: type[Message], sent: int, cause: int, *fields: Any) -> int:
        """As `send`, for a message that is next in the order and whose receiver is known to have taken it."""
        message = self._message(kind, sent, cause, fields)
        self._add(message, self)
        return message[5]

    def _message(self, kind: type[Message], sent: int, cause: int, fields: tuple) -> Message:
        source = self._source
        source.sequence = sequence = source.sequence + 1
        head = (VERSION, kind.KIND, sent + self.latency, self._from, self._to, sequence, cause)
        return tuple.__new__(kind, head + fields)

    @property
    def is_plain(self) -> bool:
        """Nothing stands between sender and receiver: no fault, no profile, no packing."""
        return self._arrival == self._arrive and self._deliver == self._receiver and not self._wire

    def resume(self, message: Message) -> None:
        """Put `message` on its way to its own time."""
        self._post(message[2], message.PHASE, self.channel, message[5], self._arrival, message)

    def again(self, message: Message) -> None:
        """Deliver `message` once more, now: its first delivery was taken back."""
        self._post(self._kernel._now, message.PHASE, self.channel, message[5], self._arrive, message)

    def intercept(self, arrival: Receiver) -> Receiver:
        """Have every message go to `arrival` at its time. Returns what delivers one."""
        before, self._arrival = self._arrival, arrival
        return before

    def measure(self, around: Callable[[str, Receiver], Receiver]) -> Callable[[], None]:
        """Have `around(name of the receiving component, receiver)` receive instead. Returns what undoes that."""
        before = self._deliver
        self._deliver = around(split(self.target[0])[0], before)
        return lambda: setattr(self, "_deliver", before)

    def _arrive(self, message: Message) -> None:
        if self._wire:
            message = unpack(pack(message))
        self._add(message, self)
        self._deliver(message)


class Timers:
    """A component's timers: ticks it sends to itself, on a channel of its own."""

    __slots__ = ("_add", "_armed", "_kernel", "_source", "_tick", "channel", "port")

    def __init__(
        self, kernel: Kernel, trace: Trace, channel: int, source: Source, port: int, tick: Callable[[Any], None]
    ) -> None:
        self._kernel, self._add, self.channel, self._source, self.port = kernel, trace.add, channel, source, port
        self._tick = tick
        self._armed: dict[str, Any] = {}

    def after(self, delay: int, token: str, kind: type[Message]) -> None:
        """Arm (again) the timer `token`, `delay` ps from now; `kind` is the message it delivers."""
        self.at(self._kernel.now + delay, token, kind)

    def at(self, time: int, token: str, kind: type[Message]) -> None:
        """Arm (again) the timer `token` for `time`."""
        self.cancel(token)
        source = self._source
        source.sequence = sequence = source.sequence + 1
        self.resume(kind(time, self.port, self.port, sequence, 0, token))

    def resume(self, tick: Message) -> None:
        """Arm a timer for the time of its `tick`."""
        posted = self._kernel.post(tick[2], Phase.TIMER, self.channel, tick[5], self._due, tick)
        self._armed[tick.token] = posted

    def forget(self) -> None:
        """No timer is armed any more."""
        for token in list(self._armed):
            self.cancel(token)

    def cancel(self, token: str) -> None:
        """Forget the timer `token`, if it is armed."""
        if (entry := self._armed.pop(token, None)) is not None:
            self._kernel.cancel(entry)

    def measure(self, around: Callable[[str, Receiver], Receiver]) -> Callable[[], None]:
        """Have `around(name of the component, receiver)` receive the ticks instead. Returns what undoes that."""
        before = self._tick
        self._tick = around(self._source.name, before)
        return lambda: setattr(self, "_tick", before)

    def deadlines(self) -> dict[str, int]:
        """Token to time in ps of every armed timer."""
        return {token: time for token, (time, *_) in self._armed.items()}

    def _due(self, message: Any) -> None:
        del self._armed[message.token]
        self._add(message, None)
        self._tick(message)
