"""Devices that reach memory by themselves: their work is written as generators that yield transfers.

A process is a method of the device that yields Read and Write and is resumed with what they gave:

    def fetch(self, address):
        head = yield Read(address, 16)
        ...
        yield Write(address + 16, reply)

`self.spawn("fetch", address)` starts it; only the transfers' replies move it on. A refused transfer raises DmaFault at
the yield. Between two yields a process runs in no time, as every handler does.

Processes are saved by what they were started with and the replies they have had, and restored by running them again
with these. So a process must not change the device before its last reply, must read nothing of the device that may
change under it (take it as an argument), and arguments are msgpack types.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, NamedTuple

from devices.device import Device
from devices.errors import DeviceError


class Read(NamedTuple):
    """Fetch `size` bytes, 1 or more, from the bus address."""

    address: int
    size: int


class Write(NamedTuple):
    """Store `data`, 1 byte or more, at the bus address."""

    address: int
    data: bytes


class DmaFault(DeviceError):
    """A transfer met nothing that answers. Ends a process that does not catch it; see `on_fault`."""


Process = Generator[Read | Write, bytes, None]


class _Running:
    __slots__ = ("arguments", "generator", "method", "replies")

    def __init__(self, method: str, arguments: list[Any], generator: Process) -> None:
        self.method, self.arguments, self.generator = method, arguments, generator
        self.replies: list[bytes | None] = []


class DmaDevice(Device):
    """Base of the devices that do DMA."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._processes: dict[str, _Running] = {}
        self._forgotten: list[str] = []
        self._spawned = 0

    def spawn(self, method: str, *arguments: Any) -> None:
        """Start the process `method` of this device."""
        self._spawned += 1
        token = f"{method}.{self._spawned}"
        running = _Running(method, list(arguments), getattr(self, method)(*arguments))
        self._processes[token] = running
        self._resume(token, running, None, first=True)

    @property
    def busy(self) -> bool:
        """True while a transfer is under way, those of abandoned processes included."""
        return bool(self._processes or self._forgotten)

    def abandon(self) -> None:
        """Drop every process; the transfers under way still happen, nobody hears of their replies."""
        self._forgotten += self._processes
        for running in self._processes.values():
            running.generator.close()
        self._processes.clear()

    def on_fault(self, method: str, fault: DeviceError) -> None:
        """A process ended with DmaFault or with an error of the device's own. Override to tell the guest."""
        raise fault

    def on_drained(self) -> None:
        """The last transfer of the abandoned processes is done."""

    def on_dma(self, token: str, data: bytes | None) -> None:
        """The outside reports that a transfer is done; None: it was refused."""
        if token in self._forgotten:
            self._forgotten.remove(token)
            if not self.busy:
                self.on_drained()
        elif token in self._processes:
            running = self._processes[token]
            running.replies.append(data)
            self._resume(token, running, data)
        else:
            raise DeviceError(f"{self.name}: a reply for the transfer {token!r}, which is not under way")
        self.settle()

    def _resume(self, token: str, running: _Running, data: bytes | None, first: bool = False) -> None:
        try:
            step = self._step(running.generator, data, first)
        except StopIteration:
            self._processes.pop(token, None)
            return
        except DeviceError as fault:
            self._processes.pop(token, None)
            self.on_fault(running.method, fault)
            return
        if token not in self._processes:
            return
        if type(step) is Read:
            self.outside.dma_read(step.address, step.size, token)
        else:
            self.outside.dma_write(step.address, step.data, token)

    @staticmethod
    def _step(generator: Process, data: bytes | None, first: bool) -> Read | Write:
        if first:
            return next(generator)
        if data is None:
            return generator.throw(DmaFault("the transfer met nothing that answers"))
        return generator.send(data)

    def reset(self) -> None:
        self.abandon()
        super().reset()

    def save(self) -> dict[str, Any]:
        processes = [[token, r.method, list(r.arguments), list(r.replies)] for token, r in self._processes.items()]
        return {
            **super().save(),
            "processes": processes,
            "forgotten": list(self._forgotten),
            "spawned": self._spawned,
        }

    def restore(self, saved: dict[str, Any]) -> None:
        for running in self._processes.values():
            running.generator.close()
        super().restore(saved)
        self._processes, self._forgotten = {}, list(saved["forgotten"])
        self._spawned = saved["spawned"]
        for token, method, arguments, replies in saved["processes"]:
            running = _Running(method, list(arguments), getattr(self, method)(*arguments))
            running.replies = list(replies)
            # The transfer that the last step asks for is under way already.
            self._step(running.generator, None, first=True)
            for data in replies:
                self._step(running.generator, data, first=False)
            self._processes[token] = running
