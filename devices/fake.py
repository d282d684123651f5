"""A device's outside without a simulator: a clock that moves when told, memory for DMA, a record of all that leaves."""

from __future__ import annotations

from collections import defaultdict, deque
from functools import cached_property

from devices.device import Device
from devices.errors import DeviceError
from devices.lines import LineOut
from soc.messages import CsrWrite, EventSignal, InterruptVector, Mailbox, Message

RAM_BASE, RAM_BYTES = 0x8000_0000, 1 << 20
DOORBELL = 0x2FF0_0000
"""Where a function's 4-byte write is an interrupt message (MSI), as on the machine."""
_MOST_TRANSFERS = 100_000


class FakeOutside:
    """Implements soc.ports.Outside for one device used alone.

    now        model time in picoseconds
    events     everything that left the device, in order: (time, kind, port, value)
    outputs    bytes per byte port
    waiting    transfers that were asked for: (address, size or data, token); `transfer` does the first
    doorbells  (address, value) of each interrupt message
    """

    def __init__(self, device: Device) -> None:
        self.device = device
        self.now = 0
        self.events: list[tuple[int, str, str, object]] = []
        self.outputs: defaultdict[str, bytes] = defaultdict(bytes)
        self.levels = {port: 0 for port in device.output_lines()}
        self.timers: dict[str, tuple[int, int]] = {}
        self.waiting: deque[tuple[int, bytes | int, str]] = deque()
        self.doorbells: list[tuple[int, int]] = []
        self.transfers = 0
        self._started = 0
        device.attach(self)
        for name, line in device.line_declarations().items():
            if isinstance(line, LineOut):
                for index, port in enumerate(line.ports):
                    self.levels[port] = getattr(device, name).levels >> index & 1

    @cached_property
    def ram(self) -> bytearray:
        """Memory for the device's DMA, RAM_BYTES from RAM_BASE; made when it is first used."""
        return bytearray(RAM_BYTES)

    def left(self, kind: str, port: str, value: object) -> None:
        """Something left the device."""
        self.events.append((self.now, kind, port, value))

    def line(self, port: str, level: int) -> None:
        if port not in self.levels or level not in (0, 1) or self.levels[port] == level:
            raise DeviceError(f"output {port!r} to {level!r}: an output of the device must really change, to 0 or 1")
        self.levels[port] = level
        self.left("line", port, level)

    def vector(self, port: str, vector: int) -> None:
        self._check(InterruptVector, port, vector)
        self.left("vector", port, vector)

    def event(self, port: str, descriptor: int, count: int = 1) -> None:
        self._check(EventSignal, port, descriptor, count)
        self.left("event", port, (descriptor, count))

    def csr_write(self, port: str, core: int, offset: int, size: int, value: int) -> None:
        self._check(CsrWrite, port, core, offset, size, value)
        self.left("csr", port, (core, offset, size, value))

    def mailbox(self, port: str, mailbox: int, value: int) -> None:
        self._check(Mailbox, port, mailbox, value)
        self.left("mailbox", port, (mailbox, value))

    def _check(self, kind: type[Message], port: str, *values: int) -> None:
        """DeviceError where no message can carry `values`: between processes it would be an error too."""
        for name, value in zip(kind.own_fields(), values, strict=True):
            if (problem := kind.FIELDS[name].problem(value)) is not None:
                raise DeviceError(f"{self.device.name}.{port}: {kind.__name__}.{name} {problem}")

    def output(self, port: str, data: bytes) -> None:
        self.outputs[port] += data
        self.left("output", port, data)

    def dma_read(self, address: int, size: int, token: str) -> None:
        if size < 1:
            raise DeviceError(f"a DMA read of {size} bytes at {address:#x}; a transfer has 1 byte or more")
        self.waiting.append((address, size, token))

    def dma_write(self, address: int, data: bytes, token: str) -> None:
        if not data:
            raise DeviceError(f"a DMA write of no bytes at {address:#x}; a transfer has 1 byte or more")
        self.waiting.append((address, data, token))

    def after(self, delay_ps: int, token: str) -> None:
        self._started += 1
        self.timers[token] = (self.now + delay_ps, self._started)

    def cancel(self, token: str) -> None:
        self.timers.pop(token, None)

    def stop(self, reason: str) -> None:
        self.left("stop", "", reason)

    @property
    def stops(self) -> list[object]:
        """Reasons of all stop requests so far."""
        return [value for _, kind, _, value in self.events if kind == "stop"]

    def advance(self, delay_ps: int) -> None:
        """Let `delay_ps` picoseconds pass; timers that are due by then expire at their time, earliest first."""
        end = self.now + delay_ps
        while self.timers:
            token, (deadline, _) = min(self.timers.items(), key=lambda item: item[1])
            if deadline > end:
                break
            del self.timers[token]
            self.now = deadline
            self.device.on_timer(token)
        self.now = end

    def transfer(self) -> None:
        """Do the transfer that was asked for first. Outside RAM and doorbell it is refused. DeviceError without one."""
        if not self.waiting:
            raise DeviceError(f"{self.device.name} waits for no transfer")
        address, what, token = self.waiting.popleft()
        size = what if isinstance(what, int) else len(what)
        inside = RAM_BASE <= address and address + size <= RAM_BASE + RAM_BYTES
        place = slice(address - RAM_BASE, address - RAM_BASE + size)
        answer: bytes | None = b""
        if isinstance(what, int):
            answer = bytes(self.ram[place]) if inside else None
        elif inside:
            self.ram[place] = what
        elif address == DOORBELL and size == 4:
            self.doorbells.append((address, int.from_bytes(what, "little")))
            self.left("message", "", int.from_bytes(what, "little"))
        else:
            answer = None
        self.transfers += 1
        self.device.on_dma(token, answer)

    def rest(self) -> None:
        """Do transfers until the device asks for no more. DeviceError when it never comes to that."""
        end = self.transfers + _MOST_TRANSFERS
        while self.waiting:
            if self.transfers == end:
                raise DeviceError(
                    f"{self.device.name} asks for DMA without end: {_MOST_TRANSFERS} transfers in one step"
                )
            self.transfer()
