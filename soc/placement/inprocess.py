"""Hosts a device in the kernel's own process: messages in, calls on the device; calls from the device, messages out."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from soc.errors import ProtocolError, SocError, UnmappedAccessError
from soc.link import Link, Source, Timers
from soc.messages import (
    ConsoleBytes,
    EventSignal,
    InterruptLevel,
    InterruptVector,
    Mailbox,
    Message,
    MmioError,
    MmioRead,
    MmioReply,
    MmioWrite,
    Space,
    TimerTick,
)

if TYPE_CHECKING:
    from soc.kernel import Kernel
    from soc.trace import Trace

_SPACE = {int(space): space.label for space in Space}
_CARRIES_ON = (InterruptLevel, InterruptVector, Mailbox, EventSignal)


class DeviceComponent:
    """A device and its place in the machine; the device's `Outside`.

    Cause ids: an output line that rises while an interrupt message is handled carries that message's cause on. One that
    rises for another reason, such as an unmask, carries the cause of the input line asserted last, if one is asserted;
    otherwise that of the access being handled; otherwise a new one. A falling line carries the cause it rose with.
    """

    def __init__(
        self,
        name: str,
        device: Any,
        kernel: Kernel,
        trace: Trace,
        source: Source,
        timers: Callable[[Callable[[Message], None]], Timers],
        stop: Callable[[str, str], None],
    ) -> None:
        self.name, self.device = name, device
        self.links: dict[str, list[Link]] = {}
        """Output port name to the links that leave there."""
        self._inputs: dict[int, str] = {}
        self._kernel, self._source, self._stop, self._paths = kernel, source, stop, trace.paths
        self._timers = timers(self._tick)
        self._handled: Message | None = None
        self._asserted: dict[int, int] = {}
        self._risen: dict[str, int] = {}
        device.attach(self)

    def input(self, port: str, number: int) -> Callable[[Message], None]:
        """The handler for messages that arrive at input `port`, which has `number` in the wiring."""
        self._inputs[number] = port
        return self._arrive

    def connect(self, port: str, link: Link) -> None:
        """Let `link` carry what leaves at `port`."""
        self.links.setdefault(port, []).append(link)

    def access(self, call: Callable[..., Any], *arguments: Any) -> Any:
        """Call the device outside every message: host-side inspection and reset. Its outputs leave now."""
        self._handled = None
        return call(*arguments)

    # The device's Outside.

    @property
    def now(self) -> int:
        return self._kernel._now

    def line(self, port: str, level: int) -> None:
        handled = self._handled
        if level:
            cause = self._risen[port] = self._cause(handled)
        else:
            cause = self._risen.pop(port, 0)
            if self._paths is not None and type(handled) in (MmioRead, MmioWrite):
                self._paths.ended(cause, f"{self.name}.{port}", self._kernel._now)
        for link in self.links.get(port, ()):
            link.send(InterruptLevel, self._kernel._now, cause, level)

    def vector(self, port: str, vector: int) -> None:
        cause = self._cause(self._handled)
        for link in self.links.get(port, ()):
            link.send(InterruptVector, self._kernel._now, cause, vector)

    def mailbox(self, port: str, box: int, value: int) -> None:
        cause = self._cause(self._handled)
        for link in self.links.get(port, ()):
            link.send(Mailbox, self._kernel._now, cause, box, value)

    def output(self, port: str, data: bytes) -> None:
        cause = self._handled.cause if self._handled is not None else 0
        for link in self.links.get(port, ()):
            link.send(ConsoleBytes, self._kernel._now, cause, data)

    def after(self, delay_ps: int, token: str) -> None:
        self._timers.after(delay_ps, token, TimerTick)

    def cancel(self, token: str) -> None:
        self._timers.cancel(token)

    def stop(self, reason: str) -> None:
        self._stop(self.name, reason)

    def _cause(self, handled: Message | None) -> int:
        if handled is not None and isinstance(handled, _CARRIES_ON):
            return handled.cause
        if self._asserted:
            return next(reversed(self._asserted.values()))
        return (handled.cause if handled is not None else 0) or self._source.new_cause()

    # Messages to the device.

    def _arrive(self, message: Message) -> None:
        self._handled = message
        port = self._inputs[message.destination]
        if type(message) is InterruptLevel:
            self._asserted.pop(message.destination, None)
            if message.level:
                self._asserted[message.destination] = message.cause
            self.device.line_in(port, message.level)
        elif type(message) is ConsoleBytes:
            self.device.receive(port, message.data)
        else:
            raise ProtocolError(f"{self.name}.{port} cannot take a {type(message).__name__}")

    def _tick(self, message: Message) -> None:
        self._handled = message
        self.device.on_timer(message.token)

    def save(self) -> dict[str, Any]:
        """The device's state and the causes its lines carry, for a snapshot."""
        return {
            "device": self.device.save(),
            "source": self._source.save(),
            "asserted": list(self._asserted.items()),
            "risen": dict(self._risen),
        }


class MmioPort:
    """Registers of a component as one core reaches them: requests in, replies out."""

    __slots__ = ("_base", "_component", "_device", "_kernel", "_send", "_strict")

    def __init__(
        self,
        component: DeviceComponent,
        base: int,
        reply: Link,
        kernel: Kernel,
        strict: Callable[[str], None] | None = None,
    ) -> None:
        self._component, self._device, self._base = component, component.device, base
        self._kernel, self._send, self._strict = kernel, reply.send, strict

    def arrive(self, message: Message) -> None:
        """An MMIO request: do the access, reply."""
        self._component._handled = message
        value = 0
        try:
            if type(message) is MmioRead:
                _, _, _, _, _, sequence, cause, core, space, address, size, _ = message
                value = self._device.read(address - self._base, size, core, _SPACE[space])
            elif type(message) is MmioWrite:
                _, _, _, _, _, sequence, cause, core, space, address, size, data, _ = message
                self._device.write(address - self._base, size, data, core, _SPACE[space])
            else:
                raise ProtocolError(f"{self._component.name} got a {type(message).__name__} on its register port")
        except UnmappedAccessError as error:
            self._send(MmioError, self._kernel._now, cause, sequence, str(error))
            return
        except SocError as error:
            # A strict device refuses what it does not decode; the run stops there, and the guest gets an answer.
            if self._strict is None:
                raise
            self._strict(f"{self._component.name}: {error}")
        self._send(MmioReply, self._kernel._now, cause, sequence, value)
