"""Hosts a device in the kernel's own process: messages in, calls on the device; calls from the device, messages out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from soc.bits import bits
from soc.errors import ProtocolError, SocError, UnmappedAccessError
from soc.link import Link, Source, Timers
from soc.messages import (
    ConsoleBytes,
    CsrWrite,
    DmaError,
    DmaRead,
    DmaReply,
    DmaWrite,
    EventSignal,
    InterruptLevel,
    InterruptVector,
    Mailbox,
    Message,
    MmioError,
    MmioRead,
    MmioReply,
    MmioWrite,
    Phase,
    Space,
    TimerTick,
)

if TYPE_CHECKING:
    from soc.kernel import Kernel
    from soc.trace import Trace

_SPACE = {int(space): space.label for space in Space}
_NUMBER = {label: number for number, label in _SPACE.items()}
_CARRIES_ON = (InterruptLevel, InterruptVector, Mailbox, EventSignal, CsrWrite)
_STORES = (MmioWrite, CsrWrite)
DMA_PAGE = 4096
"""A transfer is cut at multiples of this many bytes: one message never crosses a page."""


class _Transfer:
    """One DMA of a device while its pieces are under way."""

    __slots__ = ("failed", "left", "pieces", "token")

    def __init__(self, token: str, count: int) -> None:
        self.token, self.left, self.failed = token, count, False
        self.pieces: list[bytes] = [b""] * count


class DeviceComponent:
    """A device and its place in the machine; the device's `Outside`.

    Cause ids: what leaves for an interrupt that the device has latched carries the cause by which that was latched,
    however much later it leaves; of several, the oldest. Anything else carries on the cause of the interrupt message
    being handled; otherwise that of the input line asserted last, if one is asserted; otherwise that of the access;
    otherwise a new one. A falling line carries the cause it rose with. Where a store latches an interrupt behind a line
    that is up already, the level is sent again, with the store's cause: nothing else would carry that.

    Several outputs may drive one input line: it is high while any of them is.
    """

    remote = False

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
        self.dropped: Counter[str] = Counter()
        """Messages that left where nothing is, by output port; lines and bytes are not counted."""
        self._inputs: dict[int, str] = {}
        self._kernel, self._source, self._stop = kernel, source, stop
        self._timers = timers(self._tick)
        self._handled: Message | None = None
        self._asserted: dict[tuple[int, int], int] = {}
        # (input, output that holds it high) to cause, in the order in which they rose.
        self._risen: dict[str, int] = {}
        self._latches = getattr(device, "latched", lambda: None)() is not None
        self._latched: dict[int, int] = {}
        # Bit of what the device has latched to cause, in the order in which they came.
        self._transfers: dict[int, tuple[_Transfer, int]] = {}
        self._forwarded: dict[int, tuple[Link, int, int]] = {}
        # The request sent on: where its reply goes, the request it came as, its cause.
        self.memory: Link | None = None
        """Where DMA goes; None for a component that does none."""
        device.attach(self)

    def input(self, port: str, number: int) -> Callable[[Message], None]:
        """The handler for messages that arrive at input `port`, which has `number` in the wiring."""
        self._inputs[number] = port
        return self._arrive

    def connect(self, port: str, link: Link) -> None:
        """Let `link` carry what leaves at `port`."""
        self.links.setdefault(port, []).append(link)

    def registers(self, base: int, reply: Link, strict: Callable[[str], None] | None) -> Callable[[Message], None]:
        """The handler for accesses to the registers at `base` that are answered over `reply`."""
        return MmioPort(self, base, reply, self._kernel, strict).arrive

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
            cause = self._risen[port] = self._cause(handled, port)
        else:
            cause = self._risen.pop(port, 0)
        for link in self.links.get(port, ()):
            link.send(InterruptLevel, self._kernel._now, cause, level)

    def vector(self, port: str, vector: int) -> None:
        self._leave(port, InterruptVector, vector)

    def mailbox(self, port: str, mailbox: int, value: int) -> None:
        self._leave(port, Mailbox, mailbox, value)

    def event(self, port: str, descriptor: int, count: int = 1) -> None:
        self._leave(port, EventSignal, descriptor, count)

    def csr_write(self, port: str, core: int, offset: int, size: int, value: int) -> None:
        self._leave(port, CsrWrite, core, offset, size, value)

    def _leave(self, port: str, kind: type[Message], *fields: int) -> None:
        links = self.links.get(port)
        if links is None:
            self.dropped[port] += 1
            return
        cause = self._cause(self._handled, port)
        for link in links:
            link.send(kind, self._kernel._now, cause, *fields)

    def event_at(self, port: str, time: int, descriptor: int, count: int) -> None:
        """Signal an eventfd at `time` ps, from outside of model time: the host's hand in the machine.

        SocError when `time` has passed, or while the cores are in the middle of what they run.
        """
        kernel = self._kernel
        if kernel.key[1] == Phase.GRID:
            raise SocError(
                f"{self.name}: signals are given between runs or in answer to a resample, not while cores run"
            )
        if time < kernel.now:
            raise SocError(f"{self.name}: a signal for {time} ps; it is {kernel.now} ps: that time or a later one")
        for link in self.links.get(port, ()):
            link.send(EventSignal, time, self._source.new_cause(), descriptor, count)

    def dma_read(self, address: int, size: int, token: str) -> None:
        spans = list(_pages(address, size))
        transfer = _Transfer(token, len(spans))
        for index, (start, end) in enumerate(spans):
            self._dma(transfer, index, DmaRead, start, end - start)

    def dma_write(self, address: int, data: bytes, token: str) -> None:
        spans = list(_pages(address, len(data)))
        transfer = _Transfer(token, len(spans))
        for index, (start, end) in enumerate(spans):
            self._dma(transfer, index, DmaWrite, start, bytes(data[start - address : end - address]))

    def _dma(self, transfer: _Transfer, index: int, kind: type[Message], *fields: Any) -> None:
        if self.memory is None:
            raise ProtocolError(f"{self.name} has no way to memory: list it among the platform's DMA masters")
        handled = self._handled
        cause = (handled.cause if handled is not None else 0) or self._source.new_cause()
        self._transfers[self.memory.send(kind, self._kernel._now, cause, *fields)] = transfer, index

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

    def _cause(self, handled: Message | None, port: str) -> int:
        if self._latches:
            self._note()
            behind = self.device.behind(port)
            for bit, cause in self._latched.items():
                if behind >> bit & 1:
                    return cause
        if handled is not None and isinstance(handled, _CARRIES_ON):
            return handled.cause
        if self._asserted:
            return next(reversed(self._asserted.values()))
        return (handled.cause if handled is not None else 0) or self._source.new_cause()

    def _note(self) -> None:
        """Give what the device has latched since the last time its cause, and forget what it holds no more."""
        held, known = self.device.latched(), self._latched
        for bit in [bit for bit in known if not held >> bit & 1]:
            del known[bit]
        fresh = held & ~sum(1 << bit for bit in known)
        cause = self._handled.cause if self._handled is not None else 0
        for bit in bits(fresh):
            known[bit] = cause or self._source.new_cause()

    def _noted(self, message: Message) -> None:
        """After `message`: what it latched has its cause, and goes out where a line is up already."""
        self._note()
        if type(message) not in _STORES or message.cause in self._risen.values():
            return
        fresh = sum(1 << bit for bit, cause in self._latched.items() if cause == message.cause)
        if fresh:
            for port in self._risen:
                if self.device.behind(port) & fresh:
                    for link in self.links.get(port, ()):
                        link.send(InterruptLevel, self._kernel._now, message.cause, 1)

    # Messages to the device.

    def _arrive(self, message: Message) -> None:
        self._take(message)
        if self._latches:
            self._noted(message)

    def _take(self, message: Message) -> None:
        self._handled = message
        port = self._inputs[message.destination]
        if type(message) is InterruptLevel:
            asserted, driver = self._asserted, (message.destination, message.source)
            asserted.pop(driver, None)
            if message.level:
                asserted[driver] = message.cause
                self.device.line_in(port, 1)
            elif others := [cause for (held, _), cause in asserted.items() if held == message.destination]:
                # The line stays up for another reason.
                self._latched = {bit: others[0] if c == message.cause else c for bit, c in self._latched.items()}
            else:
                self.device.line_in(port, 0)
        elif type(message) is InterruptVector:
            self.device.vector_in(port, message.vector)
        elif type(message) is Mailbox and hasattr(self.device, "mailbox_in"):
            self.device.mailbox_in(port, message.mailbox, message.value)
        elif type(message) is EventSignal:
            self.device.event_in(port, message.descriptor, message.count)
        elif type(message) is ConsoleBytes:
            self.device.receive(port, message.data)
        elif type(message) is CsrWrite:
            self.device.write(message.address, message.size, message.value, message.core, _SPACE[Space.CSR])
        else:
            raise ProtocolError(f"{self.name}.{port} cannot take a {type(message).__name__}")

    def _tick(self, message: Message) -> None:
        self._handled = message
        self.device.on_timer(message.token)
        if self._latches:
            self._noted(message)

    def dma_done(self, message: Message) -> None:
        """A reply from memory: when it is a transfer's last, the device hears of it."""
        self._handled = message
        found = self._transfers.pop(message.request, None)
        if found is None or type(message) not in (DmaReply, DmaError):
            raise ProtocolError(f"{self.name} got {message} and has no such DMA under way")
        transfer, index = found
        if type(message) is DmaReply:
            transfer.pieces[index] = message.data
        else:
            transfer.failed = True
        transfer.left -= 1
        if not transfer.left:
            self.device.on_dma(transfer.token, None if transfer.failed else b"".join(transfer.pieces))

    # A bridge passes accesses on.

    def forward(self, port: str, message: Message, space: int, address: int, back: Link) -> None:
        """Send the access `message` on through `port`; its reply goes `back` to where the request came from."""
        link = self.links[port][0]
        fields = (message.value, message.instructions) if type(message) is MmioWrite else (message.instructions,)
        sequence = link.send(
            type(message), self._kernel._now, message.cause, message.core, space, address, message.size, *fields
        )
        self._forwarded[sequence] = back, message.sequence, message.cause

    def answered(self, message: Message) -> None:
        """The reply to a forwarded access: pass it back."""
        found = self._forwarded.pop(message.request, None)
        if found is None or type(message) not in (MmioReply, MmioError):
            raise ProtocolError(f"{self.name} got {message} and has forwarded no such access")
        back, request, cause = found
        back.send(type(message), self._kernel._now, cause, request, message[-1])

    def save(self) -> dict[str, Any]:
        """The device's state, the causes its lines carry, its DMA and the accesses it has passed on, for a snapshot."""
        transfers = list({id(transfer): transfer for transfer, _ in self._transfers.values()}.values())
        return {
            "device": self.device.save(),
            "asserted": [[*driver, cause] for driver, cause in self._asserted.items()],
            "risen": dict(self._risen),
            "latched": [list(latched) for latched in self._latched.items()],
            "dropped": dict(self.dropped),
            "transfers": [[t.token, t.left, t.failed, list(t.pieces)] for t in transfers],
            "under_way": [[sequence, transfers.index(t), index] for sequence, (t, index) in self._transfers.items()],
            "forwarded": [[sent, back.channel, *origin] for sent, (back, *origin) in self._forwarded.items()],
        }

    def restore(self, saved: dict[str, Any], channels: Mapping[int, Any]) -> None:
        """What `save` gave; `channels` has the machine's links by number. Timers are restored with the channels."""
        self.device.restore(saved["device"])
        self._timers.forget()
        self._asserted = {(held, driver): cause for held, driver, cause in saved["asserted"]}
        self._risen = dict(saved["risen"])
        self._latched = {bit: cause for bit, cause in saved["latched"]}
        self.dropped = Counter(saved["dropped"])
        transfers = []
        for token, left, failed, pieces in saved["transfers"]:
            transfer = _Transfer(token, len(pieces))
            transfer.left, transfer.failed, transfer.pieces = left, failed, list(pieces)
            transfers.append(transfer)
        self._transfers = {sequence: (transfers[t], index) for sequence, t, index in saved["under_way"]}
        self._forwarded = {sent: (channels[back], *origin) for sent, back, *origin in saved["forwarded"]}
        self._handled = None


class MmioPort:
    """Registers of a component as one core reaches them: requests in, replies out."""

    __slots__ = ("_back", "_base", "_component", "_device", "_kernel", "_route", "_send", "_strict")

    def __init__(
        self,
        component: DeviceComponent,
        base: int,
        reply: Link,
        kernel: Kernel,
        strict: Callable[[str], None] | None = None,
    ) -> None:
        self._component, self._device, self._base = component, component.device, base
        self._kernel, self._back, self._send, self._strict = kernel, reply, reply.send, strict
        # A bridge: route(address, size, value or None) -> (port, space, address) of an access that goes further.
        self._route = getattr(component.device, "route", None)

    def arrive(self, message: Message) -> None:
        """An MMIO request: do the access, reply."""
        self._component._handled = message
        if self._route is not None:
            written = message.value if type(message) is MmioWrite else None
            way = self._route(message.address, message.size, written)
            if way is not None:
                port, space, address = way
                self._component.forward(port, message, _NUMBER[space], address, self._back)
                return
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
        if self._component._latches:
            self._component._noted(message)
        self._send(MmioReply, self._kernel._now, cause, sequence, value)


def _pages(address: int, size: int) -> Iterator[tuple[int, int]]:
    """[start, end) of each piece of a transfer, cut at page ends."""
    end = address + size
    while address < end:
        stop = min(end, (address // DMA_PAGE + 1) * DMA_PAGE)
        yield address, stop
        address = stop
