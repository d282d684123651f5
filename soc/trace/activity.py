"""A trace read in order of time: what each line, vector port and core did, and the path of every interrupt.

A path begins at a device's edge, or, for what software commands (an inter-processor interrupt) or a function's message
in memory (MSI), at the store that leaves the core or the write that leaves the function. Everything is derived from
the messages and from the cores' notes of interrupts taken, so a file gives what the live run gives.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from soc.errors import SocError
from soc.messages import (
    CsrWrite,
    DmaWrite,
    EventSignal,
    InterruptLevel,
    InterruptVector,
    MmioError,
    MmioRead,
    MmioReply,
    MmioWrite,
)
from soc.trace.path import MSI, TIMER, Path
from soc.trace.wiring import Wiring, commanded, component

if TYPE_CHECKING:
    from soc.link import Link
    from soc.trace.trace import Record
    from soc.trace.wiring import Channel

MEMORY = "memory"


class Taken(NamedTuple):
    """An interrupt exception: `time` of the handler's first instruction in ps, IP bits pending and enabled, the timer's
    deadline in ps where IP7 is among them, and for a virtual CPU when KVM injected which bits."""

    time: int
    core: int
    mask: int
    deadline: int | None
    injected: tuple[tuple[int, int], ...] = ()

    @classmethod
    def of(cls, row: Sequence[Any]) -> Taken:
        """From plain data."""
        time, core, mask, deadline, *more = row
        return cls(time, core, mask, deadline, tuple((ip, at) for ip, at in more[0]) if more else ())


class High(NamedTuple):
    """One stay of a line at 1, from its edge to its fall (None: still up); `by_access`: an access made it fall."""

    rose: int
    fell: int | None
    cause: int
    by_access: bool


class Access(NamedTuple):
    """An uncached access of a core: when it left, when its reply came (None: never), and what it met."""

    left: int
    back: int | None
    target: str
    is_store: bool
    address: int
    size: int
    instructions: int
    """The core's completed instructions before it."""
    cause: int


class Sent(NamedTuple):
    """A vector or event that left a port."""

    left: int
    arrived: int
    vector: int
    cause: int
    target: str


class Activity:
    """Everything of a trace that has to do with interrupts, by port and by core."""

    def __init__(self, records: Iterable[Record], taken: Iterable[Taken], wiring: Wiring) -> None:
        self.wiring = wiring
        self.lines: dict[str, list[High]] = {}
        """Output line to its stays at 1, in order of time."""
        self.vectors: dict[str, list[Sent]] = {}
        """Output port to the vectors that left there."""
        self.accesses: dict[str, list[Access]] = {}
        """Core to its accesses."""
        self.taken: dict[str, list[Taken]] = {}
        """Core to the interrupts it took."""
        self.paths: list[Path] = []
        """Every interrupt, in the order of their beginnings."""
        self.end = 0
        """Time in ps of the last thing in the trace."""
        _Reader(self).read(records, sorted(taken))
        self.cores = sorted({*self.accesses, *self.taken}, key=lambda name: int(name[3:]))
        self.paths.sort(key=lambda path: path.began)

    def chosen(self, name: str | None, through: str | None = None) -> list[Path]:
        """The paths that began at `name` and passed `through`; SocError when there is none, with what there is."""
        found = self.paths if name is None else [path for path in self.paths if path.is_from(name)]
        if not found:
            there = ", ".join(sorted({path.origin for path in self.paths}))
            raise SocError(f"no interrupt began at {name!r}; interrupts began at: {there or 'nowhere'}")
        if through is None:
            return found
        passing = [path for path in found if path.passed(through)]
        if not passing:
            there = sorted({component(place).split()[0] for path in found for place, _, _ in path.places})
            raise SocError(f"none of {len(found)} interrupts passed {through!r}; they passed: {', '.join(there)}")
        return passing


class _Reader:
    """Builds an Activity."""

    def __init__(self, into: Activity) -> None:
        self.into = into
        self.of_cause: dict[int, list[Path]] = {}
        self.up: dict[str, tuple[int, list[int]]] = {}
        self.reached: dict[str, set[int]] = {}
        self.stores: dict[int, tuple[str, int, str, int]] = {}
        # Cause to core, when it left, what it was for, when it came there.
        self.writes: dict[int, list[tuple[str, int, int, bytes]]] = {}
        self.waiting: dict[int, tuple[str, int]] = {}
        self.pins: dict[str, dict[int, dict[int, list[int]]]] = {}
        self.timers: dict[tuple[str, int], Path] = {}
        self.expiries: set[tuple[str, int]] = set()
        """(core, time in ps of the cycle) at which a stable timer's expiry reached IP7: not Count's doing."""
        self.joined: list[tuple[Path, str, int, int]] = []
        self.line_of: dict[tuple[str, int], str] = {}

    def read(self, records: Iterable[Record], taken: list[Taken]) -> None:
        handle = {
            InterruptLevel: self._level,
            InterruptVector: self._sent,
            EventSignal: self._sent,
            MmioRead: self._request,
            MmioWrite: self._request,
            MmioReply: self._reply,
            MmioError: self._reply,
            DmaWrite: self._dma,
            CsrWrite: self._csr,
        }.get
        for item in _merge(records, taken):
            if type(item) is Taken:
                self._taken(item)
                self.into.end = max(self.into.end, item.time)
                continue
            message, link = item
            self.into.end = max(self.into.end, message.time)
            do = handle(type(message))
            if do is not None and link is not None:
                do(message, link)
        for port, (rose, causes) in self.up.items():
            self.into.lines.setdefault(port, []).append(High(rose, None, causes[0], False))
        self._join()
        for path in self.into.paths:
            path.settle()

    # Accesses.

    def _request(self, message: Any, link: Link | Channel) -> None:
        owner = component(link.target[0])
        # A forwarded access has left its core before.
        self.reached.setdefault(owner, set()).add(message.time)
        origin = component(link.origin[0])
        if not origin.startswith("cpu"):
            return
        left = message.time - link.latency
        is_store = type(message) is MmioWrite
        access = Access(left, None, owner, is_store, message.address, message.size, message.instructions, message.cause)
        found = self.into.accesses.setdefault(origin, [])
        found.append(access)
        self.waiting[message.cause] = origin, len(found) - 1
        if is_store:
            self.stores[message.cause] = origin, left, owner, message.time

    def _csr(self, message: Any, link: Link | Channel) -> None:
        # A store that another node passes on.
        self.reached.setdefault(component(link.target[0]), set()).add(message.time)

    def _reply(self, message: Any, link: Link | Channel) -> None:
        if not link.target[0].startswith("cpu"):
            return
        found = self.waiting.pop(message.cause, None)
        if found is not None:
            core, index = found
            accesses = self.into.accesses[core]
            accesses[index] = accesses[index]._replace(back=message.time)

    def _dma(self, message: Any, link: Link | Channel) -> None:
        if len(message.data) == 4:
            entry = (link.origin[0], message.time - link.latency, message.time, message.data)
            self.writes.setdefault(message.cause, []).append(entry)

    # Lines and vectors.

    def _level(self, message: Any, link: Link | Channel) -> None:
        port, sent = link.origin[0], message.time - link.latency
        owner = component(port)
        if message.level:
            causes = self.up.setdefault(port, (sent, []))[1]
            if message.cause not in causes:
                # More than one: an interrupt that came behind a line that was up already.
                causes.append(message.cause)
            path = self._hop(message, link, sent)
            path.rises.setdefault(port, sent)
            if path.vector_at is not None and path.vector_at[0] == owner:
                self.line_of[path.vector_at[:2]] = port
        elif port in self.up:
            rose, causes = self.up.pop(port)
            by_access = sent in self.reached.get(owner, ())
            self.into.lines.setdefault(port, []).append(High(rose, sent, causes[0], by_access))
            for cause in causes:
                path = self._last(cause, lambda path: port in path.rises and port not in path.falls)
                if by_access and path is not None:
                    path.falls[port] = sent
        core, _, pin = link.target[0].partition(".ip[")
        if pin:
            drivers = self.pins.setdefault(core, {}).setdefault(int(pin[:-1]), {})
            if message.level:
                drivers.setdefault(message.source, []).append(message.cause)
                if pin == "7]":
                    self.expiries.add((core, self._cycle_start(message.time)))
            else:
                drivers.pop(message.source, None)

    def _sent(self, message: Any, link: Link | Channel) -> None:
        vector = message.vector if type(message) is InterruptVector else message.descriptor
        sent = Sent(message.time - link.latency, message.time, vector, message.cause, link.target[0])
        self.into.vectors.setdefault(link.origin[0], []).append(sent)
        owner = component(link.target[0])
        path = self._hop(message, link, sent.left)
        path.vector_at = owner, vector, message.time
        self.joined.append((path, owner, vector, message.time))

    def _hop(self, message: Any, link: Link | Channel, sent: int) -> Path:
        """The path of an edge or vector that left `link.origin` at `sent`: the one it goes on, or a new one."""
        port, cause = link.origin[0], message.cause
        owner = component(port)
        path = self._last(cause)
        if path is None or not (owner in path.reached or (owner == path.owner and sent == path.edge)):
            path = self._begin(message, link, sent, owner)
        core = component(link.target[0])
        path.reach(link.target[0], message.time, core if core.startswith("cpu") else None)
        return path

    def _begin(self, message: Any, link: Link | Channel, sent: int, owner: str) -> Path:
        cause = message.cause
        path = Path(cause, link.origin[0], sent)
        function = self._function(message, sent) if owner == MEMORY else None
        store = self.stores.get(cause)
        if function is not None:
            port, left = function
            path.origin, path.kind = port, MSI
            path.begin(f"{port} write leaves", left)
            path.places.append((f"{link.origin[0]} doorbell", sent, None))
        elif store is not None and sent in self.reached.get(owner, ()) and commanded(owner):
            path.begin(f"store leaves {store[0]}", store[1])
            path.sender = store[0]
            path.places.append((owner, store[3] if store[2] == owner else sent, None))
        else:
            path.begin(f"{link.origin[0]} edge", sent)
        self.of_cause.setdefault(cause, []).append(path)
        self.into.paths.append(path)
        return path

    def _function(self, message: Any, time: int) -> tuple[str, int] | None:
        """The write of a PCI function that memory turned into this vector: its port, and when it left."""
        data = message.vector.to_bytes(4, "little") if type(message) is InterruptVector else b""
        for port, left, arrived, written in self.writes.get(message.cause, ()):
            if arrived == time and written == data:
                return port, left
        return None

    def _cycle_start(self, time: int) -> int:
        clock = self.into.wiring.clock
        return time if clock is None else clock.time(clock.tick_at_or_after(time))

    def _last(self, cause: int, which: Callable[[Path], bool] = lambda path: True) -> Path | None:
        return next((path for path in reversed(self.of_cause.get(cause, ())) if which(path)), None)

    # Cores.

    def _taken(self, taken: Taken) -> None:
        core, injected = f"cpu{taken.core}", dict(taken.injected)
        self.into.taken.setdefault(core, []).append(taken)
        for ip, drivers in self.pins.get(core, {}).items():
            if taken.mask >> ip & 1:
                for cause in (cause for causes in drivers.values() for cause in causes):
                    pin = f"{core}.ip[{ip}]"
                    path = self._last(cause, lambda path: any(place == pin for place, _, _ in path.places))  # noqa: B023
                    if path is not None:
                        path.taken(core, taken.time, injected.get(ip))
        key = core, taken.deadline
        if taken.deadline is not None and key not in self.timers and key not in self.expiries:
            path = Path(0, f"{core}.timer", taken.deadline)
            path.kind = TIMER
            path.begin(f"{core} timer deadline", taken.deadline)
            path.taken(core, taken.time, injected.get(7))
            self.timers[key] = path
            self.into.paths.append(path)

    def _join(self) -> None:
        """Vectors that met a controller whose output was up already: they end when that output falls."""
        ports: dict[str, list[str]] = {}
        for port in self.into.lines:
            ports.setdefault(component(port), []).append(port)
        for path, owner, vector, time in self.joined:
            if path.vector_at != (owner, vector, time) or any(component(port) == owner for port in path.rises):
                continue
            known = self.line_of.get((owner, vector))
            up = []
            for port in [known] if known else ports.get(owner, ()):
                stays = self.into.lines.get(port, ())
                place = bisect_right(stays, time, key=lambda stay: stay.rose) - 1
                if place >= 0 and (stays[place].fell is None or stays[place].fell > time):
                    up.append((port, stays[place]))
            if len(up) == 1:
                port, stay = up[0]
                path.joined = port
                if stay.by_access:
                    path.falls[port] = stay.fell


def ip_bits(mask: int) -> str:
    """Bits of Cause.IP by name: 0x84 -> "IP2+IP7"."""
    return "+".join(f"IP{bit}" for bit in range(8) if mask >> bit & 1)


def _merge(records: Iterable[Record], taken: list[Taken]) -> Iterator[Record | Taken]:
    """Both in order of time; what reached a core by the time of a handler's first instruction comes before it."""
    place, count = 0, len(taken)
    for record in records:
        while place < count and taken[place].time < record.message.time:
            yield taken[place]
            place += 1
        yield record
    yield from taken[place:]
