"""A core as a component: runs it up to the next event, turns its accesses into messages and replies into values.

The kernel handles every event earlier than the core's next block boundary before the core passes it: `run(until)` stops
at the first boundary at or after the time of the next event, and the core goes on from an event of its own at the
boundary's time, in the phase after all others. So a line that changes at time t is seen at the first boundary at or
after t, whatever else cuts the run (design laws 5 and 8).

Hooks the core may offer beyond its agreed face:
- `finish_error(cycle)`: the access met a bus error. Without it a bus error ends the run.
- `drain_irq_log() -> list[(cycle, pending_ip_mask)]`: the interrupts taken since the last call: the core cycle of the
  handler's first instruction, and the lines pending and enabled, bit n for IPn. Called after each run when latencies
  are kept.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from threading import Event
from typing import TYPE_CHECKING, Any

from soc.errors import ProtocolError, SocError, UnmappedAccessError
from soc.link import Link, Source
from soc.messages import Message, MmioError, MmioRead, MmioReply, MmioWrite, Phase, Space
from soc.time import NEVER, Clock

if TYPE_CHECKING:
    from soc.bus import AddressMap
    from soc.kernel import Kernel
    from soc.trace import Trace

_MEMORY = int(Space.MEMORY)
_NAP_S = 0.02


class CoreComponent:
    """One core, its register port and its interrupt pins. This version runs it alone in the machine."""

    def __init__(
        self,
        number: int,
        core: Any,
        kernel: Kernel,
        trace: Trace,
        source: Source,
        clock: Clock,
        channel: int,
        end: Callable[[str, str], None],
    ) -> None:
        """`end(ended, reason)` is called where the run ends; with two empty texts when `ending` was set before."""
        self.number, self.name, self.core = number, f"cpu{number}", core
        self.bus: AddressMap[Link] | None = None
        self.open_bus: Link | None = None
        self.exits = 0
        """Uncached accesses that left the core so far."""
        self.limit: int | None = None
        """The run ends when the core has completed this many instructions."""
        self.slice: int | None = None
        self.stop_pcs: tuple[int, ...] = ()
        self.ending = False
        """Set by whatever ends the run; the core then stops at its next resume or reply."""
        self.predicate: Callable[[], bool] | None = None
        self.host: Callable[[], None] | None = None
        """Called between runs of the core: progress, pacing."""
        self.pace: Callable[[int], float] | None = None
        self.typed: deque[bytes] = deque()
        self.type_at: Callable[[int, bytes], None] | None = None
        self.wake = Event()
        self._kernel, self._source, self._clock, self._channel, self._end = kernel, source, clock, channel, end
        self._paths = trace.paths if hasattr(core, "drain_irq_log") else None
        self._resumes = 0
        self._scheduled = False
        self._awaited: tuple[int, type[Message]] | None = None
        self._pins: dict[int, dict[int, int]] = {}
        self._pin_of: dict[int, int] = {}

    @property
    def time(self) -> int:
        """The core's own time in ps: it may be ahead of the kernel's by less than a block."""
        return self._clock.time(self.core.cycles)

    def pin(self, ip: int, number: int) -> Callable[[Message], None]:
        """The handler for level messages to the input IP`ip`, which has port `number` in the wiring."""
        self._pin_of[number] = ip
        self._pins.setdefault(ip, {})
        return self._level

    def start(self) -> None:
        """Have the core go on at the kernel's time, unless it waits for a reply or is about to go on anyway."""
        if self._awaited is None and not self._scheduled:
            self._schedule(self._kernel.now)

    def _schedule(self, time: int) -> None:
        self._resumes += 1
        self._scheduled = True
        self._kernel.post(time, Phase.CORE, self._channel, self._resumes, self._resume)

    def _resume(self, _: Any) -> None:
        self._scheduled = False
        self._go_on()

    def _go_on(self) -> None:
        if self.ending:
            self._end("", "")
        elif self.predicate is not None and self.predicate():
            self._end("until", "the predicate held")
        else:
            self._advance()

    def _level(self, message: Message) -> None:
        ip = self._pin_of[message.destination]
        drivers = self._pins[ip]
        # Several outputs may drive one pin: it is high while any of them is.
        if message.level:
            drivers[message.source] = message.cause
        else:
            drivers.pop(message.source, None)
        self.core.set_line(ip, 1 if drivers else 0)

    def _advance(self) -> None:
        kernel, core, clock = self._kernel, self.core, self._clock
        while True:
            if self.typed:
                self._take_typing()
            horizon = kernel.next_event_time()
            if horizon <= kernel._now:
                # Something is still due at this very time: the core goes on after it.
                self._schedule(max(kernel._now, self.time))
                return
            left = None if self.limit is None else self.limit - core.instructions
            if left is not None and left <= 0:
                self._end("limit", f"{core.instructions} instructions")
                return
            until = None if horizon == NEVER else clock.tick_at_or_after(horizon)
            if self.slice is not None and (left is None or left > self.slice):
                stop = core.run(until, self.slice, self.stop_pcs)
                sliced = True
            else:
                stop = core.run(until, left, self.stop_pcs)
                sliced = False
            if self._paths is not None:
                self._note_taken()
            if self.host is not None:
                self.host()
            name = stop.kind.name
            if name == "MMIO_READ":
                self._request(MmioRead, stop)
                return
            if name == "MMIO_WRITE":
                self._request(MmioWrite, stop)
                return
            if self.ending:
                self._end("", "")
                return
            if name == "HORIZON":
                time = self.time
                if time < horizon:
                    raise SocError(f"{self.name} stopped at {time} ps, before the horizon at {horizon} ps")
                self._pace(time)
                self._schedule(time)
                return
            if name == "SLICE" or (name == "LIMIT" and sliced):
                self._pace(self.time)
                continue
            if name == "LIMIT":
                self._end("limit", f"{core.instructions} instructions")
                return
            if name == "PC":
                self._end("until", f"{self.name} reached pc {stop.address:#x}")
                return
            if name in ("DEADLOCK", "WAIT"):
                if self._wait_for_typing():
                    continue
                self._end("deadlock", self.waits_for(stop.text))
                return
            self._end("error", f"{self.name}: {stop.text or name}")
            return

    def waits_for(self, text: str = "") -> str:
        """What a waiting core waits for, in words."""
        high = [f"IP{ip}" for ip, drivers in sorted(self._pins.items()) if drivers]
        detail = text or "no timer is set and no event is due"
        lines = f"lines high: {', '.join(high) or 'none'}"
        return f"{self.name} waits for an interrupt at pc {self.core.pc:#x}: {detail}; {lines}"

    def _request(self, kind: type[Message], stop: Any) -> None:
        self.exits += 1
        found = self.bus.find(stop.address)
        link = found[1] if found is not None else self.open_bus
        fields = (stop.value, self.core.instructions) if kind is MmioWrite else (self.core.instructions,)
        sequence = link.send(
            kind,
            self._clock.time(stop.cycle),
            self._source.new_cause(),
            self.number,
            _MEMORY,
            stop.address,
            stop.size,
            *fields,
        )
        self._awaited = sequence, kind

    def reply(self, message: Message) -> None:
        """The answer to the access the core is parked at."""
        if self._awaited is None or message.request != self._awaited[0]:
            raise ProtocolError(f"{self.name} got {message} but waits for {self._awaited or 'no reply'}")
        kind = self._awaited[1]
        self._awaited = None
        cycle = self._clock.tick_at_or_after(message.time)
        if type(message) is MmioReply:
            if kind is MmioRead:
                self.core.finish_read(message.value, cycle)
            else:
                self.core.finish_write(cycle)
        elif type(message) is MmioError and hasattr(self.core, "finish_error"):
            self.core.finish_error(cycle)
        elif type(message) is MmioError:
            raise UnmappedAccessError(f"{self.name}: {message.reason}, and this core cannot take one")
        else:
            raise ProtocolError(f"{self.name} cannot take a {type(message).__name__} as a reply")
        self._go_on()

    def _note_taken(self) -> None:
        for cycle, mask in self.core.drain_irq_log():
            time = self._clock.time(cycle)
            for ip, drivers in self._pins.items():
                if mask >> ip & 1:
                    for cause in drivers.values():
                        self._paths.taken(cause, self.name, time)

    def _take_typing(self) -> None:
        while self.typed:
            self.type_at(max(self._kernel.now, self.time), self.typed.popleft())

    def _pace(self, time: int) -> None:
        # Only the host waits here: virtual time is ahead of the wall clock.
        if self.pace is not None:
            while not self.ending and not self.typed and (ahead := self.pace(time)) > 0:
                self.wake.wait(min(ahead, _NAP_S))
                self.wake.clear()
                if self.host is not None:
                    self.host()

    def _wait_for_typing(self) -> bool:
        if self.pace is None:
            return False
        while not self.typed and not self.ending:
            self.wake.wait(_NAP_S)
            self.wake.clear()
            if self.host is not None:
                self.host()
        return True
