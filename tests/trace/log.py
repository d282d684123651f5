"""A trace written by hand: channels between ports, messages over them, interrupts taken."""

from __future__ import annotations

from soc.messages import DmaWrite, InterruptLevel, InterruptVector, MmioReply, MmioWrite
from soc.time import Clock
from soc.trace import Trace
from soc.trace.wiring import Channel

NS = 1000


class Log:
    """Messages are given in the order they leave and delivered in the order they arrive."""

    def __init__(self, cores: int = 1) -> None:
        self.trace = Trace(records=True)
        self.trace.wiring.cores, self.trace.wiring.clock = cores, Clock(800_000_000)
        self._numbers: dict[str, int] = {}
        self._channels: dict[tuple[str, str], Channel] = {}
        self._sent: list = []
        self._taken: list[tuple] = []
        self._sequence = 0

    def wire(self, origin: str, target: str, ns: int = 10) -> Channel:
        """The channel between two ports, made on first use."""
        if (origin, target) not in self._channels:
            ports = [(name, self._numbers.setdefault(name, len(self._numbers) + 1)) for name in (origin, target)]
            self._channels[origin, target] = Channel(*ports, ns * NS)
            self.trace.wire(self._channels[origin, target])
        return self._channels[origin, target]

    def send(self, kind, origin: str, target: str, ns: int, left: int, cause: int, *fields) -> int:
        """A message that leaves at `left` ps; returns when it arrives."""
        link = self.wire(origin, target, ns)
        self._sequence += 1
        message = kind(left + link.latency, link.origin[1], link.target[1], self._sequence, cause, *fields)
        self._sent.append((message, link))
        return message.time

    def line(self, origin: str, target: str, left: int, cause: int, level: int = 1, ns: int = 10) -> int:
        return self.send(InterruptLevel, origin, target, ns, left, cause, level)

    def vector(self, origin: str, target: str, left: int, cause: int, vector: int, ns: int = 100) -> int:
        return self.send(InterruptVector, origin, target, ns, left, cause, vector)

    def message(self, function: str, vector: int, left: int, cause: int) -> int:
        """A function's MSI write; returns when the doorbell has it."""
        data = vector.to_bytes(4, "little")
        return self.send(DmaWrite, f"{function}.dma", f"memory.{function}", 150, left, cause, 0x2FF0_0000, data)

    def store(self, core: int, device: str, left: int, cause: int, instructions: int = 0) -> int:
        """A store of a core to a device's registers, and its reply; returns when the device has it."""
        fields = (core, 0, 0x1000, 4, 1, instructions)
        there = self.send(MmioWrite, f"cpu{core}.mmio", f"{device}.mmio", 100, left, cause, *fields)
        self.send(MmioReply, f"{device}.mmio", f"cpu{core}.mmio", 100, there, cause, self._sequence, 0)
        return there

    def taken(self, core: int, time: int, *ips: int, deadline: int | None = None) -> None:
        self._taken.append((core, time, sum(1 << ip for ip in ips), deadline))

    def done(self) -> Trace:
        """The trace of all that was sent."""
        for message, link in sorted(self._sent, key=lambda entry: entry[0].time):
            self.trace.add(message, link)
        for entry in self._taken:
            self.trace.taken(*entry)
        return self.trace


ROUTER, HT, EXT, PIC, IPI = "ls3a_router_irq", "ls3a_ht_irq", "ls3a_ext_irq", "ls7a_irq", "ls3a_ipi"


def uart_interrupt(log: Log, start: int, cause: int, delay: int = 5 * NS, core: int = 0) -> int:
    """Edge at `start`, handler `delay` after the pin, end one store later; returns the end."""
    there = log.line("uart.irq", f"{ROUTER}.input[0]", start, cause)
    pin = log.line(f"{ROUTER}.pin[{4 * core}]", f"cpu{core}.ip[2]", there, cause)
    log.taken(core, pin + delay, 2)
    end = log.store(core, "uart", pin + delay + 50 * NS, cause + 1000)
    fell = log.line("uart.irq", f"{ROUTER}.input[0]", end, cause, 0)
    log.line(f"{ROUTER}.pin[{4 * core}]", f"cpu{core}.ip[2]", fell, cause, 0)
    return end
