"""The kernel's end of a device in another process, with the face of soc.placement.inprocess.DeviceComponent.

Links, timers and sequence numbers of the device are the machine's own: what the device answers is checked against them
and put into the kernel's queue as if it had been sent here.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from hashlib import blake2b
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import msgpack

from soc.errors import ConfigurationError, DeviceLost, ProtocolError, UnmappedAccessError
from soc.link import Link, Source, Timers
from soc.messages import (
    Configure,
    DmaRead,
    DmaWrite,
    InterruptLevel,
    LinkOut,
    Message,
    MmioError,
    MmioRead,
    MmioReply,
    MmioWrite,
    PortIn,
    Reset,
    Role,
    Space,
    Stop,
    TimerCancel,
    TimerTick,
    pack,
)
from soc.placement.places import Place
from soc.placement.serve import SIGNALS, STRICT
from soc.placement.stream import frame
from soc.placement.supervision import Supervisor
from soc.ports import split
from soc.time import NEVER

if TYPE_CHECKING:
    from soc.kernel import Kernel

_SPACES = {space.label: int(space) for space in Space}
_ACCESSES, _REPLIES, _TRANSFERS = (MmioRead, MmioWrite), (MmioReply, MmioError), (DmaRead, DmaWrite)
_CARRIES = {Role.REGISTERS: _REPLIES, Role.DMA: _TRANSFERS, Role.ANSWERS: _ACCESSES, Role.INPUT: SIGNALS}
"""What may leave a port, by what arrives there."""
_GONE = "the device is disconnected"


class RemoteDevice:
    """A device in another process as the host sees it: registers, reset, state."""

    def __init__(self, component: RemoteComponent, model: Any) -> None:
        self._component, self._model = component, model
        self.name = component.name

    def input_ports(self) -> list[str]:
        """Names a wire can end at."""
        return self._model.input_ports()

    def output_ports(self) -> list[str]:
        """Names a wire can start from."""
        return self._model.output_ports()

    def read(self, offset: int, size: int, core: int = 0, space: str = "memory") -> int:
        """Read `size` bytes at `offset`, outside model time. UnmappedAccessError when the device refuses."""
        return self._component.host_access(MmioRead, core, _SPACES[space], offset, size, 0)

    def write(self, offset: int, size: int, value: int, core: int = 0, space: str = "memory") -> None:
        """Write `size` bytes at `offset`, outside model time. UnmappedAccessError when the device refuses."""
        self._component.host_access(MmioWrite, core, _SPACES[space], offset, size, value, 0)

    def reset(self) -> None:
        """Cold reset."""
        self._component.reset()

    def save(self) -> dict[str, Any]:
        """Everything the device's future depends on; what is the device's own affair as bytes, `opaque`."""
        saved = self._component.save()
        return saved.get("device", saved)

    @property
    def state(self) -> dict[str, Any]:
        """Registers, internal state and line levels by name, for people."""
        saved = self.save()
        parts = [saved[part] for part in ("registers", "internals", "lines") if part in saved]
        return {name: value for part in parts for name, value in part.items()} if parts else saved


class RemoteComponent:
    """A device in another process and its place in the machine."""

    remote = True

    def __init__(
        self,
        name: str,
        model: str,
        declared: Any,
        options: Mapping[str, Any],
        place: Place,
        kernel: Kernel,
        source: Source,
        timers: Callable[[Callable[[Message], None]], Timers],
        stop: Callable[[str, str], None],
    ) -> None:
        """`declared` is the class of the model. Raises ConfigurationError for options that are no plain data."""
        self.name, self.place = name, place
        self.device = RemoteDevice(self, declared)
        self.links: dict[str, list[Link]] = {}
        """Output port name to the links that leave there."""
        self.memory: Link | None = None
        """Where DMA goes; None for a component that does none."""
        self.disconnected = ""
        """Why the device is no longer part of the machine, in words."""
        self.supervisor: Supervisor | None = None
        self._model, self._options = model, _plain(name, options)
        self._kernel, self._source, self._stop = kernel, source, stop
        self._timers = timers(self._tick)
        self._due: dict[str, int] = {}
        self._registers: dict[int, tuple[int, Callable[[str], None] | None]] = {}
        # Links that leave the device, as (source, destination), and what may be sent over each.
        self._out: dict[tuple[int, int], tuple[Link, tuple[type[Message], ...]]] = {}
        # Requests not answered yet, by reply link: sequence to cause. Lines that are high: the cause they rose by.
        self._asked: dict[tuple[int, int], dict[int, int]] = {}
        self._high: dict[tuple[int, int], int] = {}
        self._saved: Mapping[str, Any] = {}
        # What `restore` was given, for `restored`.

    # Building.

    def input(self, port: str, number: int) -> Callable[[Message], None]:
        """The handler for messages that arrive at input `port`, which has `number` in the wiring."""
        return self._arrive

    def connect(self, port: str, link: Link) -> None:
        """Let `link` carry what leaves at `port`."""
        self.links.setdefault(port, []).append(link)

    def registers(self, base: int, reply: Link, strict: Callable[[str], None] | None) -> Callable[[Message], None]:
        """The handler for accesses to the registers at `base` that are answered over `reply`."""
        self._registers[reply.origin[1]] = base, strict
        self._asked[reply.origin[1], reply.target[1]] = {}
        return self._access

    def start(self, links: Iterable[Link]) -> None:
        """Start the device's process, or connect to its server; `links` are all of the machine. PlacementError."""
        own = [link for link in links if split(link.origin[0])[0] == self.name]
        into = {link.target[1]: link.target[0] for link in links if split(link.target[0])[0] == self.name}
        bridged = self._bridged(own, into)
        told = [Configure(0, 0, 0, 0, 0, self._model, self._options, self._source.number)]
        roles = {number: self._role(number, bridged) for number in into}
        for number, port in into.items():
            base, strict = self._registers.get(number, (0, None))
            told.append(PortIn(0, 0, number, 0, 0, split(port)[1], roles[number], base, int(strict is not None)))
        told.append(PortIn(0, 0, self._timers.port, 0, 0, "timer", Role.TIMER, 0, 0))
        for link in own:
            origin, target = link.origin[1], link.target[1]
            self._out[origin, target] = link, _CARRIES[roles.get(origin, Role.INPUT)]
            told.append(LinkOut(0, origin, target, 0, 0, split(link.origin[0])[1], link.latency, link.channel))
        description = b"".join(frame(pack(message)) for message in told)
        system = blake2b(description, digest_size=16).digest()
        self.supervisor = Supervisor(self.name, self.place, system, description)
        self.supervisor.start()

    def _bridged(self, own: Iterable[Link], into: Mapping[int, str]) -> set[int]:
        """Ports that pass accesses on: what they send is answered at the same port, which is no input of the device."""
        inputs = self.device.input_ports()
        both = {link.origin[1] for link in own} & into.keys()
        return {number for number in both if split(into[number])[1] not in inputs}

    def _role(self, number: int, bridged: Container[int]) -> Role:
        if number in self._registers:
            return Role.REGISTERS
        if self.memory is not None and number == self.memory.origin[1]:
            return Role.DMA
        return Role.ANSWERS if number in bridged else Role.INPUT

    def reset(self) -> None:
        """Cold reset of the device, which must have started. DeviceLost when it cannot be greeted or described."""
        self._check_there()
        self.supervisor.greet()
        self._tell(Reset(self._kernel._now, 0, 0, 0, 0))

    # The host.

    def access(self, call: Callable[..., Any], *arguments: Any) -> Any:
        """Call the device outside every message: host-side inspection and reset. Its outputs leave now."""
        return call(*arguments)

    def host_access(self, kind: type[Message], core: int, space: int, offset: int, *fields: int) -> int:
        """A read or write outside model time, at an offset in the device; returns the value of a read."""
        self._check_there()
        reply = self._tell(kind(self._kernel._now, 0, 0, 0, 0, core, space, offset, *fields), host=True)
        if reply is None:
            # Lost by this access, and disconnected, as is its policy.
            self._check_there()
        if type(reply) is MmioError:
            raise UnmappedAccessError(reply.reason)
        return reply.value

    def _check_there(self) -> None:
        if self.disconnected:
            raise UnmappedAccessError(f"{self.name}: {_GONE}")

    def save(self) -> dict[str, Any]:
        """The state for a snapshot, as DeviceComponent gives it; `opaque` where the peer has a form of its own."""
        self._check_there()
        state = self.supervisor.state(self._kernel._now)
        saved = _map(state)
        if not saved.keys() >= {"component", "source"}:
            high = [[*way, cause] for way, cause in self._high.items()]
            asked = [[*way, *request] for way, requests in self._asked.items() for request in requests.items()]
            return {"opaque": state, "high": high, "asked": asked}
        self._source.restore({**saved["source"], "sequence": self._source.sequence})
        return saved["component"]

    def restore(self, saved: dict[str, Any], channels: Mapping[int, Any]) -> None:
        """What `save` gave; `channels` has the machine's links by number. The device has it after `restored`."""
        self._saved = saved
        self._timers.forget()
        for requests in self._asked.values():
            requests.clear()
        if "opaque" in saved:
            self._high = {(source, destination): cause for source, destination, cause in saved["high"]}
            for source, destination, sequence, cause in saved["asked"]:
                self._asked[source, destination][sequence] = cause
            return
        risen = [(link, cause) for port, cause in saved["risen"].items() for link in self.links.get(port, ())]
        self._high = {(link.origin[1], link.target[1]): cause for link, cause in risen}
        for _, back, request, cause in saved["forwarded"]:
            link = channels[back]
            self._asked[link.origin[1], link.target[1]][request] = cause

    def restored(self) -> None:
        """Timers and counters are restored too: tell the device."""
        self._due = self._timers.deadlines()
        saved = self._saved
        if "opaque" in saved:
            state = saved["opaque"]
        else:
            state = msgpack.packb({"component": saved, "source": self._source.save(), "timers": self._due})
        self.supervisor.restore(self._kernel._now, state)

    def owns(self, tick: Message) -> bool:
        """Whether `tick` is of this device's timers."""
        return tick.source == self._timers.port

    def resume(self, tick: Message) -> None:
        """Arm the timer whose `tick` could not be delivered."""
        self._due[tick.token] = tick.time
        self._timers.resume(tick)

    # Messages to the device.

    def _arrive(self, message: Message) -> None:
        if not self.disconnected:
            self._tell(message)

    answered = dma_done = _arrive

    def _access(self, message: Message) -> None:
        """An MMIO request, whose reply is owed from now on."""
        way = message[4], message[3]
        if self.disconnected:
            self._out[way][0].send(MmioError, self._kernel._now, message.cause, message.sequence, _GONE)
            return
        self._asked[way][message.sequence] = message.cause
        self._tell(message)

    def _tick(self, message: Message) -> None:
        del self._due[message.token]
        self._tell(message)

    def _tell(self, message: Message, host: bool = False) -> Message | None:
        """Tell the device, act on its answer; returns the reply to an access of the `host`, None without the device."""
        try:
            answer = self.supervisor.ask(message, lambda answer: self._judge(answer, host))
        except DeviceLost as lost:
            if self.place.on_failure != "disconnect":
                raise
            self._disconnect(str(lost))
            return None
        return self._act(answer) if len(answer) > 1 else None

    def _judge(self, answer: list[Message], host: bool) -> list[Message]:
        """`answer`, or ProtocolError when something in it cannot be. Nothing of it has happened yet."""
        now, sequence, due = self._kernel._now, self._source.sequence, self._due
        replied: set[tuple[int, int, int]] = set()
        to_host = 0
        for message in answer[:-1]:
            kind = type(message)
            if not kind.HASHED:
                if kind is TimerCancel:
                    due = {token: time for token, time in due.items() if token != message.token}
                elif kind is not Stop or message[3:6] != (0, 0, 0):
                    raise ProtocolError(f"sent {message}, which the kernel cannot take")
                continue
            source, destination = message[3], message[4]
            if host and message[2:7] == (now, 0, 0, 0, 0) and kind in _REPLIES and not message.request:
                to_host += 1
                continue
            sequence += 1
            if message[5] != sequence:
                raise ProtocolError(f"sent {message} out of order: sequence {sequence} is next")
            if kind is TimerTick:
                if message[2] < now or source != self._timers.port or destination != source:
                    raise ProtocolError(f"armed a timer with {message} at {now} ps, from port {self._timers.port}")
                due = {**due, message.token: message[2]}
                continue
            link, carries = self._out.get((source, destination), (None, ()))
            if kind not in carries:
                raise ProtocolError(f"sent {message}, which no link of its carries")
            if message[2] < now + link.latency:
                raise ProtocolError(f"sent {message} late: from {now} ps it arrives at {now + link.latency} ps")
            if carries is _REPLIES:
                request = source, destination, message.request
                if message.request not in self._asked[source, destination] or request in replied:
                    raise ProtocolError(f"sent {message}, and no such request is open")
                replied.add(request)
        if to_host != host:
            raise ProtocolError(f"answered an access of the host {to_host} times")
        until = min(due.values()) if due else NEVER
        if answer[-1].until != until:
            raise ProtocolError(f"promises silence until {answer[-1].until} ps; its first timer is at {until} ps")
        return answer

    def _act(self, answer: list[Message]) -> Message | None:
        """Have what is in an answer happen; returns what is for the host."""
        to_host = None
        for message in answer[:-1]:
            kind = type(message)
            source, destination = message[3], message[4]
            if not kind.HASHED:
                if kind is TimerCancel:
                    self._timers.cancel(message.token)
                    self._due.pop(message.token, None)
                else:
                    self._stopped(message.reason)
                continue
            if not source:
                to_host = message
                continue
            self._source.sequence = message[5]
            if kind is TimerTick:
                self._timers.cancel(message.token)
                self._timers.resume(message)
                self._due[message.token] = message[2]
                continue
            if kind in _REPLIES:
                del self._asked[source, destination][message.request]
            elif kind is InterruptLevel:
                if message.level:
                    self._high.setdefault((source, destination), message.cause)
                else:
                    self._high.pop((source, destination), None)
            self._out[source, destination][0].resume(message)
        return to_host

    def _stopped(self, reason: str) -> None:
        refused = reason.removeprefix(STRICT)
        strict = next((strict for _, strict in self._registers.values() if strict is not None), None)
        if refused != reason and strict is not None:
            strict(refused)
        else:
            self._stop(self.name, reason)

    # Without the device.

    def _disconnect(self, why: str) -> None:
        """The device is gone: its lines fall, its timers are off, what it was asked gets a bus error."""
        self.disconnected = why
        now = self._kernel._now
        for token in list(self._due):
            self._timers.cancel(token)
        self._due.clear()
        for way, cause in self._high.items():
            self._out[way][0].send(InterruptLevel, now, cause, 0)
        self._high.clear()
        for way, requests in self._asked.items():
            for sequence, cause in requests.items():
                self._out[way][0].send(MmioError, now, cause, sequence, _GONE)
            requests.clear()
        self.supervisor.close()

    def troubles(self) -> dict[str, int]:
        """What a result must say of this device: how often it was restarted, whether it is disconnected."""
        counted = {f"restarts of {self.name}": self.supervisor.restarts} if self.supervisor.restarts else {}
        return {**counted, f"disconnected {self.name}": 1} if self.disconnected else counted

    def close(self) -> None:
        """End the device's process, or the connection to it."""
        if self.supervisor is not None:
            self.supervisor.close()


def _map(state: bytes) -> dict[str, Any]:
    try:
        found = msgpack.unpackb(state, strict_map_key=False)
    except (ValueError, msgpack.UnpackException):
        found = None
    return found if type(found) is dict else {}


def _plain(name: str, options: Mapping[str, Any]) -> bytes:
    """The options as msgpack; a path becomes text. ConfigurationError for what cannot leave the process."""
    for option, value in options.items():
        try:
            msgpack.packb(value, default=_as_text)
        except (TypeError, ValueError, OverflowError) as error:
            raise ConfigurationError(
                f"device {name}: its option {option} = {value!r:.80} cannot be sent to another process.\n"
                f"Place {name} in the kernel's process: {name}=inprocess."
            ) from error
    return msgpack.packb(dict(options), default=_as_text)


def _as_text(value: Any) -> str:
    if isinstance(value, PurePath):
        return str(value)
    raise TypeError(f"{type(value).__name__} is no plain data")
