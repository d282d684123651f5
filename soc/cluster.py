"""The cores as one component: windows of model time on a grid, accesses that become messages, messages that become
events.

At a grid point every event earlier than it has been handled; the cores then run the window that ends there, and on as
long as nothing is due (design law 8). Lines and replies that arrive inside a window are queued with their own time. An
access sent inside a window arrives at the earliest at its end: no link that leaves a core is shorter than a window.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from threading import Event
from typing import TYPE_CHECKING, Any, Protocol

from soc.errors import ConfigurationError, ProtocolError
from soc.link import Link, Source
from soc.messages import KINDS, Mailbox, Message, MmioError, MmioRead, MmioReply, MmioWrite, Phase, Space
from soc.time import NEVER, Clock

if TYPE_CHECKING:
    from soc.bus import AddressMap
    from soc.kernel import Kernel
    from soc.nothing import Nothing
    from soc.trace import Trace

_MEMORY = int(Space.MEMORY)
_CSR = int(Space.CSR)
_LOW_HALF = 0xFFFF_FFFF
_NAP_S = 0.02
MOST_PASSED_OVER = 4096
"""Windows without a look at the host."""
RELEASE_REGISTERS = (29, 28, 5)
"""What mailboxes 1 to 3 hold for a core or vCPU that leaves reset: sp, gp, a1 (mailbox 0: pc)."""


class Pins(Protocol):
    """Where what arrives for a core goes: times in ps."""

    def line(self, core: int, time: int, ip: int, level: bool) -> None: ...
    def answer(self, core: int, time: int, value: int | None) -> None: ...
    def release(self, core: int, time: int, mailboxes: list[int]) -> None: ...


class CorePort:
    """One core, or virtual CPU, as the wiring sees it: its register port, its pins and its mailbox."""

    def __init__(self, number: int, cluster: Pins, source: Source) -> None:
        self.number, self.name, self.source = number, f"cpu{number}", source
        self.bus: AddressMap[Link] | None = None
        self.csrs: AddressMap[Link] | None = None
        """Configuration registers, by number."""
        self.open_bus: Link | None = None
        self.awaited: tuple[int, type[Message]] | None = None
        self.mailboxes = [0, 0, 0, 0]
        self.pins: dict[int, dict[int, int]] = {}
        """Input number to the outputs that hold it high, each with its cause."""
        self._cluster = cluster
        self._pin_of: dict[int, int] = {}

    def pinned_to(self, pins: Pins) -> None:
        """What arrives goes to `pins` from now on."""
        self._cluster = pins

    def pin(self, ip: int, number: int) -> Callable[[Message], None]:
        """The handler for level messages to the input IP`ip`, which has port `number` in the wiring."""
        self._pin_of[number] = ip
        self.pins.setdefault(ip, {})
        return self._level

    def _level(self, message: Message) -> None:
        ip = self._pin_of[message.destination]
        drivers = self.pins[ip]
        was = bool(drivers)
        # Several outputs may drive one pin: it is high while any of them is.
        if message.level:
            drivers[message.source] = message.cause
        else:
            drivers.pop(message.source, None)
        if bool(drivers) != was:
            self._cluster.line(self.number, message.time, ip, bool(drivers))

    def mail(self, message: Message) -> None:
        """A value arrived in a mailbox: 0, once its low half is not zero, releases a core that waits at reset.

        Linux sends the high half first where it sends halves (csr_mail_send, arch/mips/loongson64/smp.c).
        """
        if type(message) is not Mailbox:
            raise ProtocolError(f"{self.name} cannot take a {type(message).__name__} as mail")
        self.mailboxes[message.mailbox] = message.value
        if self.mailboxes[0] & _LOW_HALF:
            self._cluster.release(self.number, message.time, self.mailboxes)

    def reply(self, message: Message) -> None:
        """The answer to the access the core is parked at."""
        if self.awaited is None or message.request != self.awaited[0]:
            raise ProtocolError(f"{self.name} got {message} but waits for {self.awaited or 'no reply'}")
        if type(message) not in (MmioReply, MmioError):
            raise ProtocolError(f"{self.name} cannot take a {type(message).__name__} as a reply")
        is_read = self.awaited[1] is MmioRead
        self.awaited = None
        if type(message) is MmioError:
            self._cluster.answer(self.number, message.time, None)
        else:
            self._cluster.answer(self.number, message.time, message.value if is_read else 0)

    def save(self) -> dict[str, Any]:
        """The access under way, the mailboxes and who holds which pin high, for a snapshot."""
        return {
            "awaited": None if self.awaited is None else [self.awaited[0], self.awaited[1].KIND],
            "mailboxes": list(self.mailboxes),
            "pins": {ip: list(drivers.items()) for ip, drivers in self.pins.items()},
        }

    def restore(self, saved: dict[str, Any]) -> None:
        """What `save` gave."""
        awaited = saved["awaited"]
        self.awaited = None if awaited is None else (awaited[0], KINDS[awaited[1]])
        self.mailboxes = list(saved["mailboxes"])
        self.pins = {ip: dict(drivers) for ip, drivers in saved["pins"].items()}

    def send(
        self, is_store: bool, sent: int, address: int, size: int, value: int, instructions: int, space: int = _MEMORY
    ) -> None:
        """An access leaves the core at `sent` ps, for whatever the bus has at the address in `space`."""
        found = (self.csrs if space == _CSR else self.bus).find(address)
        link = found[1] if found is not None else self.open_bus
        kind = MmioWrite if is_store else MmioRead
        fields = (value, instructions) if is_store else (instructions,)
        sequence = link.send(kind, sent, self.source.new_cause(), self.number, space, address, size, *fields)
        self.awaited = sequence, kind

    def high(self) -> str:
        """The inputs that are high, in words."""
        return ", ".join(f"IP{ip}" for ip, drivers in sorted(self.pins.items()) if drivers) or "none"


class ClusterComponent:
    """All cores of a machine."""

    def __init__(
        self,
        cluster: Any,
        kernel: Kernel,
        trace: Trace,
        sources: list[Source],
        clock: Clock,
        end: Callable[[str, str], None],
    ) -> None:
        """`end(ended, reason)` is called where the run ends; with two empty texts when `ending` was set before."""
        self.cluster = cluster
        self._window = cluster.window
        self.ports = [CorePort(number, self, source) for number, source in enumerate(sources)]
        self.exits = 0
        """Uncached accesses that left a core so far."""
        self.done_before = 0
        """Instructions that earlier runs completed: `Machine.run` counts from there."""
        self.slice: int | None = None
        self.ending = False
        """Set by whatever ends the run: it ends with the window in progress."""
        self.hypervisor: Callable[[int], None] | None = None
        """Root mode of the cores, where a model of one stands for it: called with the core that is in it."""
        self.let_send: Callable[[bool], None] = lambda wanted: None
        """Has the model of root mode do all that cores have put off (cpu/vz/short_access.py); whether they may put off
        more."""
        self.note_taken: Callable[[Any], None] = self._note_taken
        """Has the trace know of the interrupts that a core has taken."""
        self.stop_at: tuple[int, str] | None = None
        """Model time in ps at which the run ends as a limit, and what to say then."""
        self.predicate: Callable[[], bool] | None = None
        self.visit: tuple[int, Callable[[], None]] | None = None
        """Model time in ps, and what is called at the first grid point at or after it; that changes nothing."""
        self.debugger: Callable[[Any], None] | None = None
        """Called with the stop where a core comes to one that a debugger has asked for, and before the run ends because
        a core cannot go on."""
        self.host: Callable[[], None] | None = None
        """Called between runs of the cores: progress, pacing."""
        self.pace: Callable[[int], float] | None = None
        self.typed: deque[bytes] = deque()
        self.type_at: Callable[[int, bytes], None] | None = None
        self.wake = Event()
        self._kernel, self._clock, self._end = kernel, clock, end
        self._trace = trace
        trace.wiring.cores, trace.wiring.clock = len(cluster.cores), clock
        for core in cluster.cores:
            core.log_interrupts(trace.keeps)
        self.nothing: Nothing | None = None
        """What records the accesses that the cores have answered themselves."""
        self.passes_over = True
        """Whether grid points at which nothing can happen are passed over, and accesses to nothing answered by the
        cores themselves. No result depends on it."""
        self._shortens = self._passing = False
        self._quiet_until = 0
        self._last = NEVER

    @property
    def time(self) -> int:
        """The grid point the cores have reached, in ps."""
        return self._clock.time(self.cluster.grid)

    # What arrives inside the window in progress.

    def line(self, core: int, time: int, ip: int, level: bool) -> None:
        self.cluster.line(core, self._clock.tick_at_or_after(time), ip, level)
        self.look()

    def answer(self, core: int, time: int, value: int | None) -> None:
        """The reply of a core's access; None is a bus error."""
        self.cluster.answer(core, self._clock.tick_at_or_after(time), value)
        self.look()

    def release(self, core: int, time: int, mailboxes: list[int]) -> None:
        if self.cluster.is_held(core):
            registers = dict(zip(RELEASE_REGISTERS, mailboxes[1:], strict=True))
            self.cluster.release(core, self._clock.tick_at_or_after(time), mailboxes[0], registers)
            self.look()

    def end_soon(self) -> None:
        """The run is to end with the window in progress."""
        self.ending = True
        self.look()

    def look(self) -> None:
        """Something has reached a core, or ends the run: the next grid point has something to do."""
        if self._passing:
            self._kernel.halt()

    # Running.

    def drive(self) -> None:
        """Has events and cores take turns until the run ends."""
        self._quiet_until = 0
        self._last = self._last_point()
        self._shortens = self.passes_over and self.predicate is None
        if self.nothing is not None:
            self.nothing.offer(self.cluster, self._shortens)
        self.let_send(self._shortens)
        try:
            while self._run_to(self._next_point()):
                pass
        finally:
            self.let_send(False)
            self._kernel.reach(self._kernel.now, Phase.SETUP)

    def _next_point(self) -> int:
        """Handles every event before the next grid point that has anything to do; that point, in core cycles."""
        kernel, window = self._kernel, self._window
        point = self.cluster.grid + window
        if self._shortens and not self.ending and self._pass_over(point):
            point = max(point, (self._clock.ticks(kernel.now) // window + 1) * window)
        time = self._clock.time(point)
        kernel.loop(time)
        kernel.reach(time, Phase.GRID)
        return point

    def _pass_over(self, point: int) -> bool:
        """Handles the events up to the next grid point at which something can happen, without a visit to those between.

        A grid point runs the cores, sends their accesses and may end the run. The cores have said until when none of
        them has an instruction to execute if nothing reaches it; so the points before that send nothing, and where
        nothing can end the run they change nothing. What can change any of this comes by `look`, which ends it at
        once. Order is that of the kernel's queue, here as always.
        """
        window = self._window
        until = min((self._quiet_until // window + 1) * window, point + MOST_PASSED_OVER * window, self._last)
        if until <= point:
            return False
        self._passing = True
        try:
            self._kernel.loop(self._clock.time(until))
        finally:
            self._passing = False
        return True

    def _last_point(self) -> int:
        """The grid point at which the run is to end or somebody looks, in core cycles, or NEVER."""
        times = [stop[0] for stop in (self.stop_at, self.visit) if stop is not None]
        if not times:
            return NEVER
        return -(-self._clock.tick_at_or_after(min(times)) // self._window) * self._window

    def _run_to(self, first: int) -> bool:
        """The grid point `first`: the cores run up to it, and on while nothing is due. False where the run ends."""
        name, stop = self._run_cores(first)
        if name not in ("HORIZON", "LIMIT") and not (name == "DEADLOCK" and (self.typed or self._wait_for_typing())):
            self._stopped(name, stop)
            return False
        for request in self.cluster.requests():
            self._request(request)
        if self.visit is not None and self.time >= self.visit[0]:
            _, call = self.visit
            self.visit = None
            self._last = self._last_point()
            self.let_send(self._shortens)
            call()
        if name == "LIMIT":
            self._stopped(name, stop)
        elif self.ending:
            self._end("", "")
        elif self.stop_at is not None and self.time >= self.stop_at[0]:
            self._end("limit", self.stop_at[1])
        elif self.predicate is not None and self.predicate():
            self._end("until", "the predicate held")
        else:
            self._pace()
            while self.typed:
                self.type_at(max(self._kernel.now, self.time), self.typed.popleft())
            return True
        return False

    def _run_cores(self, first: int) -> tuple[str, Any]:
        """Has the cores run to `first` or further; why they stopped, by name and whole."""
        while True:
            stop = self.execute(self._target(first))
            name = stop.kind.name
            for request in self.cluster.open_bus_accesses():
                self.exits += 1
                self.nothing.record(request, self.ports[request.core].source.new_cause())
            if name == "EXIT":
                self.hypervisor(stop.core)
                continue
            if name in ("PC", "WATCH", "STEP"):
                self.debugger(stop)
                if self.host is not None:
                    self.host()
                continue
            if self._trace.keeps:
                for core in self.cluster.cores:
                    self.note_taken(core)
            if self.host is not None:
                self.host()
            if name != "SLICE":
                self._quiet_until = self.cluster.quiet_until
                return name, stop
            self._pace()

    def _target(self, first: int) -> int | None:
        """How far the cores may run, `first` or further. None: without end."""
        if self.ending or self.typed:
            # The window in progress is finished.
            return first
        due, target = self._kernel.next_event_time(), self._last
        if due != NEVER:
            target = min(target, self._clock.ticks(due) // self._window * self._window)
        return None if target == NEVER else max(first, target)

    def execute(self, target: int | None) -> Any:
        """Has the cores run to the grid point `target`; why they came back. A profile puts itself around this."""
        return self.cluster.run(target) if self.slice is None else self.cluster.run(target, self.slice)

    def save(self) -> dict[str, Any]:
        """The cores and what surrounds them, for a snapshot between runs or from `visit`."""
        return {"cluster": self.cluster.save(), "exits": self.exits, "ports": [port.save() for port in self.ports]}

    def restore(self, saved: dict[str, Any]) -> None:
        """What `save` gave."""
        self.cluster.restore(saved["cluster"])
        self.exits = saved["exits"]
        for port, state in zip(self.ports, saved["ports"], strict=True):
            port.restore(state)

    def _stopped(self, name: str, stop: Any) -> None:
        if name != "LIMIT" and self.debugger is not None:
            self.debugger(stop)
        if name == "LIMIT":
            self._end(
                "limit", f"{sum(core.instructions for core in self.cluster.cores) - self.done_before} instructions"
            )
        elif name == "DEADLOCK":
            self._end("deadlock", stop.text)
        else:
            self._end("error", f"cpu{stop.core}: {stop.text or name}")

    def waits_for(self) -> str:
        """What the cores wait for, in words."""
        return "; ".join(
            f"{core.waits_for()}; lines high: {port.high()}"
            for core, port in zip(self.cluster.cores, self.ports, strict=True)
            if not core.held
        )

    def _request(self, request: Any) -> None:
        self.exits += 1
        self.ports[request.core].send(
            request.is_store,
            self._clock.time(request.cycle),
            request.address,
            request.size,
            request.value,
            request.instructions,
            request.space,
        )

    def _note_taken(self, core: Any) -> None:
        time = self._clock.time
        for cycle, mask, came_due in core.drain_irq_log():
            self._trace.taken(core.number, time(cycle), mask, time(came_due))

    def _pace(self) -> None:
        # Only the host waits here: virtual time is ahead of the wall clock.
        if self.pace is not None:
            while not self.ending and not self.typed and (ahead := self.pace(self.time)) > 0:
                self.nap(min(ahead, _NAP_S))

    def _wait_for_typing(self) -> bool:
        if self.pace is None:
            return False
        while not self.typed and not self.ending:
            self.nap(_NAP_S)
        return True

    def nap(self, how_long: float) -> None:
        """The host has nothing to do for so many seconds, or until something is typed."""
        self.wake.wait(how_long)
        self.wake.clear()
        if self.host is not None:
            self.host()


def window_cycles(window: int, shortest: int, clock: Clock) -> int:
    """The window in core cycles: `window` ps, or the shortest link that leaves a core where that is shorter."""
    cycles = clock.ticks(min(window, shortest))
    if cycles < 1:
        raise ConfigurationError(
            f"core_window and mmio_request: {min(window, shortest)} ps is less than a core cycle ({clock.time(1)} ps)"
        )
    return cycles
