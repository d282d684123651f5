"""The device's side of the wire: a device in a process of its own, with no simulator around it.

The adapter is the one of the kernel's process (soc/placement/inprocess.py). What stands around it here has the same
faces and turns what leaves into bytes: a kernel that only knows what time it is, links that pack, timers that are
asked for at the other side. Neither simpy nor numba is loaded.
"""

from __future__ import annotations

import hmac
import logging
from collections.abc import Callable, Iterable
from typing import Any

import msgpack

from devices.models import absolute, load
from soc.errors import ConfigurationError, MessageError, ProtocolError, SocError
from soc.link import Source
from soc.messages import (
    Configure,
    ConsoleBytes,
    CsrWrite,
    DmaError,
    DmaReply,
    EventSignal,
    Failure,
    Hello,
    InterruptLevel,
    InterruptVector,
    LinkOut,
    Mailbox,
    Message,
    MmioError,
    MmioRead,
    MmioReply,
    MmioWrite,
    PortIn,
    Reset,
    Restore,
    Role,
    Snapshot,
    Space,
    Stop,
    SyncPromise,
    TimerCancel,
    TimerTick,
    pack,
    unpack,
)
from soc.placement.inprocess import DeviceComponent
from soc.placement.stream import Stream, StreamClosed, frame
from soc.time import NEVER

log = logging.getLogger(__name__)

PACKAGES = ("devices.", "scenarios.", "soc.platforms.")
"""Where a model may come from unless the server was told of others."""
STRICT = "strict: "
"""How the reason of a Stop begins when the device refused an access."""
SIGNALS = (InterruptLevel, InterruptVector, Mailbox, EventSignal, CsrWrite, ConsoleBytes)
TAKES = {
    Role.REGISTERS: (MmioRead, MmioWrite),
    Role.INPUT: SIGNALS,
    Role.ANSWERS: (MmioReply, MmioError),
    Role.DMA: (DmaReply, DmaError),
    Role.TIMER: (TimerTick,),
}
"""What may arrive at a port."""
HELLO_BYTES = 4096
"""The longest message taken from somebody who has not said the token yet."""


class Present:
    """Stands for the kernel, which here only knows what time it is."""

    _now = 0

    @property
    def now(self) -> int:
        """The time of the message being handled, in ps."""
        return self._now


class OutLink:
    """A link that leaves: the same `send` as soc.link.Link, into the answer being put together."""

    def __init__(self, description: LinkOut, source: Source, answer: bytearray) -> None:
        self.channel, self.latency = description.channel, description.latency
        self.origin, self.target = (description.name, description.source), ("", description.destination)
        self._source, self._answer = source, answer

    def send(self, kind: type[Message], sent: int, cause: int, *fields: Any) -> int:
        """Have a message leave at `sent` ps; returns its sequence number."""
        source = self._source
        source.sequence = sequence = source.sequence + 1
        message = kind(sent + self.latency, self.origin[1], self.target[1], sequence, cause, *fields)
        self._answer += frame(pack(message))
        return sequence


class OutTimers:
    """Timers that the other side keeps: a tick goes there as a message and comes back when it is due."""

    def __init__(self, present: Present, source: Source, answer: bytearray) -> None:
        self.port = 0
        self.armed: dict[str, int] = {}
        """Token to time in ps."""
        self._present, self._source, self._answer = present, source, answer

    def after(self, delay: int, token: str, kind: type[Message]) -> None:
        """Arm the timer `token` to tick in `delay` ps; armed already, it is armed anew."""
        source = self._source
        source.sequence = sequence = source.sequence + 1
        time = self.armed[token] = self._present._now + delay
        self._answer += frame(pack(kind(time, self.port, self.port, sequence, 0, token)))

    def cancel(self, token: str) -> None:
        """Disarm it, if it is armed."""
        if self.armed.pop(token, None) is not None:
            self._answer += frame(pack(TimerCancel(self._present._now, self.port, self.port, 0, 0, token)))

    def forget(self) -> None:
        """No timer is armed any more."""
        self.armed.clear()


class Peer:
    """One device, from the description of it to its answers."""

    def __init__(self, name: str, allowed: Callable[[str], bool]) -> None:
        self._name, self._allowed = name, allowed
        self._present = Present()
        self._answer = bytearray()
        self._answers = 0
        self._component: DeviceComponent | None = None
        # Port, or for registers (source, port), to what takes messages there; port to its role.
        self._arrivals: dict[tuple[int, int] | int, Callable[[Message], None]] = {}
        self._roles: dict[int, Role] = {}
        self._registers: dict[int, PortIn] = {}
        self._memory: int | None = None
        self._channels: dict[int, OutLink] = {}

    def handle(self, message: Message) -> bytes:
        """What is answered to `message`: frames; nothing to a part of the description. Raises SocError."""
        kind = type(message)
        if kind is Configure:
            self._configure(message)
            return b""
        component = self._component
        if component is None:
            raise ProtocolError(f"{kind.__name__} before Configure: a device is described first")
        if kind is PortIn:
            self._port(message)
            return b""
        if kind is LinkOut:
            self._link(message)
            return b""
        present = self._present
        if message[2] < present._now:
            raise ProtocolError(f"{message} is of the past: it is {present._now} ps")
        present._now = message[2]
        source, destination = message[3], message[4]
        arrive = self._arrivals.get(destination) or self._arrivals.get((source, destination))
        if not kind.HASHED or arrive is None:
            self._other(message)
        elif kind in TAKES[role := self._roles[destination]]:
            arrive(message)
        else:
            raise ProtocolError(f"{self._name}: a {kind.__name__} at port {destination}, which is for {role.name}")
        self._answers += 1
        timers = self._timers.armed
        until = min(timers.values()) if timers else NEVER
        self._answer += frame(pack(SyncPromise(present._now, 0, 0, self._answers, 0, until)))
        answer = bytes(self._answer)
        self._answer.clear()
        return answer

    def _configure(self, message: Configure) -> None:
        if self._component is not None:
            raise ProtocolError("a second Configure: a connection serves one device")
        if not self._allowed(message.model):
            raise ConfigurationError(
                f"model {message.model!r} is not served here; `soc device serve --allow {message.model}` allows it"
            )
        from devices.device import Device

        try:
            options = msgpack.unpackb(message.options, strict_map_key=False)
            model = load(message.model)
            if not issubclass(model, Device):
                raise ConfigurationError(f"{message.model!r} is no device")
            device = model(**options)
        except (ImportError, AttributeError, TypeError, ValueError) as error:
            raise ConfigurationError(f"model {message.model!r} with {message.options!r:.80}: {error}") from error
        self._source = Source(self._name, message.component)
        self._timers = OutTimers(self._present, self._source, self._answer)
        self._component = DeviceComponent(
            self._name, device, self._present, None, self._source, self._take_timers, self._stop
        )

    def _take_timers(self, tick: Callable[[Message], None]) -> OutTimers:
        self._tick = tick
        return self._timers

    def _ticked(self, message: TimerTick) -> None:
        self._timers.armed.pop(message.token, None)
        self._tick(message)

    def _port(self, message: PortIn) -> None:
        component, number = self._component, message.destination
        self._roles[number] = Role(message.role)
        if message.role == Role.REGISTERS:
            self._registers[number] = message
        elif message.role == Role.TIMER:
            self._timers.port = number
            self._arrivals[number] = self._ticked
        elif message.role == Role.ANSWERS:
            self._arrivals[number] = component.answered
        elif message.role == Role.DMA:
            self._memory = number
            self._arrivals[number] = component.dma_done
        else:
            known = component.device.input_ports()
            if message.name not in known and not hasattr(component.device, "on_receive_" + message.name):
                raise ConfigurationError(f"{self._name} has no input {message.name!r}; it has {', '.join(known)}")
            self._arrivals[number] = component.input(message.name, number)

    def _link(self, message: LinkOut) -> None:
        link = self._channels[message.channel] = OutLink(message, self._source, self._answer)
        registers = self._registers.get(message.source)
        if registers is not None:
            arrive = self._component.registers(registers.base, link, self._refuse if registers.strict else None)
            self._arrivals[message.destination, message.source] = arrive
        elif message.source == self._memory:
            self._component.memory = link
        else:
            self._component.connect(message.name, link)

    def _other(self, message: Message) -> None:
        component, kind = self._component, type(message)
        if kind in (MmioRead, MmioWrite) and not message.source and not message.destination:
            self._host_access(message)
        elif kind is Reset:
            component.access(component.device.reset)
        elif kind is Snapshot:
            self._say(Snapshot, self._save())
        elif kind is Restore:
            self._restore(message.state)
        else:
            raise ProtocolError(f"{self._name} cannot take {message}")

    def _host_access(self, message: Message) -> None:
        device, place = self._component.device, (message.address, message.size)
        where = (message.core, Space(message.space).label)
        try:
            if type(message) is MmioRead:
                value = self._component.access(device.read, *place, *where)
            else:
                self._component.access(device.write, *place, message.value, *where)
                value = 0
        except SocError as error:
            self._say(MmioError, 0, f"{error}"[:256])
        else:
            self._say(MmioReply, 0, value)

    def _save(self) -> bytes:
        saved = {
            "component": self._component.save(),
            "source": self._source.save(),
            "timers": dict(self._timers.armed),
        }
        return msgpack.packb(saved)

    def _restore(self, state: bytes) -> None:
        try:
            saved = msgpack.unpackb(state, strict_map_key=False)
            self._component.restore(saved["component"], self._channels)
            self._source.restore(saved["source"])
            self._timers.armed.update(saved["timers"])
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            raise MessageError(f"{self._name} cannot be restored from {len(state)} bytes: {error!r}") from error
        # The other side has its ticks and lines: nothing of this is news to it.
        self._answer.clear()

    def _say(self, kind: type[Message], *fields: Any) -> None:
        self._answer += frame(pack(kind(self._present._now, 0, 0, 0, 0, *fields)))

    def _stop(self, component: str, reason: str) -> None:
        self._say(Stop, reason[:256])

    def _refuse(self, text: str) -> None:
        self._say(Stop, f"{STRICT}{text}"[:256])


def allow(models: Iterable[str] = ()) -> Callable[[str], bool]:
    """What decides whether a model is served: those of the packages of this project, and `models`.

    A file among them is taken from the current folder, and is known by its whole path.
    """
    named = frozenset(map(absolute, models))
    return lambda model: model in named or model.startswith(PACKAGES)


def serve(stream: Stream, allowed: Callable[[str], bool], token: bytes = b"") -> None:
    """Serve one device over `stream` until the other side closes it. What goes wrong is told to the other side."""
    try:
        stream.limit, whole = HELLO_BYTES, stream.limit
        hello = unpack(stream.receive())
        if type(hello) is not Hello:
            raise ProtocolError(f"a connection begins with Hello; got {type(hello).__name__}")
        if not hmac.compare_digest(hello.token, token):
            raise ProtocolError("the token is wrong: both sides take it from SOC_DEVICE_TOKEN")
        stream.limit = whole
        stream.set_watchdog(None)
        stream.send(frame(pack(Hello(0, 0, 0, 0, 0, hello.component, hello.system, b""))))
        peer = Peer(hello.component, allowed)
        while True:
            answer = peer.handle(unpack(stream.receive()))
            if answer:
                stream.send(answer)
    except StreamClosed:
        pass
    except Exception as error:
        if not isinstance(error, SocError):
            log.exception("the device failed")
        failure = Failure(0, 0, 0, 0, 0, type(error).__name__[:256], f"{error}"[:4096])
        try:
            stream.send(frame(pack(failure)))
        except ProtocolError:
            pass
    finally:
        stream.close()
