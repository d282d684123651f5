"""What the host keeps of its threads, one for each vCPU, and of its cores (cpu/kvm/host.py)."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from enum import Enum, auto
from inspect import GEN_SUSPENDED, getgeneratorstate
from typing import TYPE_CHECKING, Any, NamedTuple

from cpu.kvm.emulate import Access
from cpu.kvm.run import Steps
from cpu.kvm.vcpu import Vcpu

if TYPE_CHECKING:
    from cpu.core import Core


class ThreadState(Enum):
    """What a thread does: waits for a core, has one, sleeps, or has returned."""

    RUNNABLE = auto()
    RUNNING = auto()
    BLOCKED = auto()
    EXITED = auto()


class Arrival(NamedTuple):
    """What reaches a vCPU at its own time: a line's level, or (ip -1) its release with the mailboxes' values."""

    cycle: int
    ip: int
    value: Any
    core: int
    """The physical core that was told."""


class Thread:
    """The thread of one vCPU in the VMM."""

    def __init__(self, vcpu: Vcpu, body: Steps) -> None:
        self.vcpu, self.body = vcpu, body
        self.state = ThreadState.RUNNABLE
        self.cpu: PhysicalCpu | None = None
        """The physical core it runs on."""
        self.last = 0
        """The physical core it ran on last."""
        self.ready = 0
        """Cycle from which on it can run."""
        self.since = 0
        """Cycle at which it got the core it runs on."""
        self.arrivals: deque[Arrival] = deque()
        """What is on its way to the vCPU, by time."""
        self.timer_cpu: PhysicalCpu | None = None
        """The core on whose timer the vCPU's host timer runs."""
        self.mailboxes: Any = None
        """What released it from reset; None while it is held there."""

    def save(self) -> dict[str, Any]:
        """What the host knows of it, as msgpack types."""
        return {
            **{name: getattr(self, name) for name in ("last", "ready", "since")},
            "state": self.state.value,
            "cpu": None if self.cpu is None else self.cpu.number,
            "timer_cpu": None if self.timer_cpu is None else self.timer_cpu.number,
            "arrivals": [list(arrival) for arrival in self.arrivals],
            "mailboxes": self.mailboxes,
            "begun": getgeneratorstate(self.body) == GEN_SUSPENDED,
        }

    def restore(self, saved: dict[str, Any], cpus: Sequence[PhysicalCpu]) -> None:
        """What `save` gave."""
        self.last, self.ready, self.since = saved["last"], saved["ready"], saved["since"]
        self.state = ThreadState(saved["state"])
        self.cpu = None if saved["cpu"] is None else cpus[saved["cpu"]]
        self.timer_cpu = None if saved["timer_cpu"] is None else cpus[saved["timer_cpu"]]
        self.arrivals = deque(Arrival(*arrival) for arrival in saved["arrivals"])
        self.mailboxes = saved["mailboxes"]


_PLAIN = ("in_guest", "kicked", "resched", "slice_end", "armed")
"""Attributes of a core that a checkpoint has as they are."""


class PhysicalCpu:
    """One core as the host sees it."""

    def __init__(self, core: Core) -> None:
        self.core, self.number = core, core.number
        self.thread: Thread | None = None
        self.in_guest = False
        self.awaits: Access | None = None
        """The access of its thread that is under way."""
        self.kicked = False
        """A reschedule interrupt is on its way to it."""
        self.resched = False
        """Its thread is to make room at the next step."""
        self.slice_end: int | None = None
        """Cycle at which its thread's slice is over; None: nobody waits for the core."""
        self.armed: int | None = None
        """The deadline, in cycles, that Root.Compare stands for."""
        self.timers: dict[Thread, int] = {}
        """Host timers of vCPUs that run on its own, with the cycle at which each goes off."""

    def save(self, place: Mapping[Thread, int]) -> dict[str, Any]:
        """What the host knows of it, as msgpack types; `place`: the number of each thread."""
        return {
            **{name: getattr(self, name) for name in _PLAIN},
            "thread": None if self.thread is None else place[self.thread],
            "awaits": None if self.awaits is None else list(self.awaits),
            "timers": [[place[thread], cycle] for thread, cycle in self.timers.items()],
        }

    def restore(self, saved: dict[str, Any], threads: Sequence[Thread]) -> None:
        """What `save` gave."""
        for name in _PLAIN:
            setattr(self, name, saved[name])
        self.thread = None if saved["thread"] is None else threads[saved["thread"]]
        self.awaits = None if saved["awaits"] is None else Access(*saved["awaits"])
        self.timers = {threads[n]: cycle for n, cycle in saved["timers"]}

    def deadline(self) -> int | None:
        """The next cycle at which the host's timer is wanted."""
        if not self.timers:
            return self.slice_end
        first = min(self.timers.values())
        return first if self.slice_end is None else min(first, self.slice_end)
