"""The path of one interrupt: the places it passed, each with the time it first got there."""

from __future__ import annotations

from soc.trace.wiring import component

END = "end of interrupt"
LINE, MSI, TIMER = "line", "msi", "timer"
IPI = "ls3a_ipi"
COMPLETE, INSIDE, ON_ITS_WAY = "complete", "inside", "on its way"


class Path:
    """One interrupt. Built by `soc.trace.activity`; what readers use is below `settle`."""

    __slots__ = ("began", "cause", "core", "edge", "falls", "hops", "joined", "kind", "origin", "owner", "places")
    __slots__ += ("reached", "rises", "sender", "status", "vector_at")

    def __init__(self, cause: int, origin: str, edge: int) -> None:
        self.cause, self.origin, self.edge = cause, origin, edge
        self.kind, self.owner, self.began = LINE, component(origin), edge
        self.sender: str | None = None
        """The core whose store it is, for what software commands."""
        self.places: list[tuple[str, int, str | None]] = []
        self.reached: set[str] = set()
        self.rises: dict[str, int] = {}
        self.falls: dict[str, int] = {}
        self.joined: str | None = None
        """The line that was up already when this interrupt's vector came to its controller."""
        self.vector_at: tuple[str, int, int] | None = None
        self.core: str | None = None
        """The core that took it."""
        self.hops: dict[str, int] = {}
        """Place to time in ps, in order of time. Pins of cores that did not take it are left out."""
        self.status = ON_ITS_WAY
        """complete; inside: served without an exception of its own; on its way: neither, when the trace ended."""

    def begin(self, place: str, time: int) -> None:
        """Where the path begins."""
        self.began = time
        self.places.append((place, time, None))

    def reach(self, place: str, time: int, core: str | None) -> None:
        """It got to `place`, a pin of `core` or a controller."""
        self.reached.add(component(place))
        self.places.append((place, time, core))

    def taken(self, core: str, time: int, injected: int | None = None) -> None:
        """A core took an exception while the interrupt held one of its pins, or its timer had come. `injected`: when
        KVM made the bit pending; before this interrupt, where it was pending already or is the hardware's own."""
        if injected is not None and injected >= self.places[-1][1]:
            self.places.append((f"{core} KVM", injected, core))
        self.places.append((f"{core} handler", time, core))

    def settle(self) -> None:
        """Work out the hops, the end and the status."""
        handlers = [(time, core) for place, time, core in self.places if core and place == f"{core} handler"]
        # The end is the fall nearest to the edge that an access brought about: the device's own line, where it has one.
        end = next((self.falls[port] for port in (*self.rises, self.joined) if port in self.falls), None)
        taken = min(handlers, default=None)
        if taken is not None and (end is None or taken[0] <= end):
            self.core = taken[1]
        for place, time, core in self.places:
            own = core is None or core == self.core or (self.core is None and place != f"{core} handler")
            if own and (end is None or time <= end):
                self.hops.setdefault(place, time)
        if self.kind == TIMER:
            self.status = COMPLETE
        elif end is not None:
            self.hops[END] = end
            self.status = COMPLETE if self.core else INSIDE
        elif self.joined:
            self.status = INSIDE

    @property
    def ended(self) -> bool:
        """Whether it was served after an exception of its own: its latency is known from end to end."""
        return self.status == COMPLETE

    @property
    def finish(self) -> int:
        """Time in ps of its last hop: the end of interrupt, for a timer the handler's first instruction."""
        return next(reversed(self.hops.values()))

    @property
    def total(self) -> int:
        """From its beginning to `finish`, in ps."""
        return self.finish - self.began

    def is_from(self, name: str) -> bool:
        """Whether it began at the port, component or kind `name`."""
        owner = component(self.origin)
        if name in (self.origin, owner, self.kind) and name != LINE:
            return True
        if name == "timer":
            return self.kind == TIMER
        if name == "ipi":
            return owner.startswith(IPI)
        return owner == _module(name)

    def passed(self, name: str) -> bool:
        """Whether it passed component `name`."""
        known = (name, _module(name))
        return any(component(place).split(" ")[0] in known for place, _, _ in self.places)


def _module(name: str) -> str:
    from devices import ALIASES

    return ALIASES.get(name, name)
