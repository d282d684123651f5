"""The profile of a machine's runs: host time by what it was spent on, and samples of the guest.

It stands around the machine's own calls while a run lasts: the cores' loop, each receiver of messages, the hypervisor,
the host's waits. A run without a profile has none of this. What it reads of the host's clock stays in the profile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from importlib import import_module
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, NamedTuple

from soc.errors import ConfigurationError
from soc.profile.samples import EVERY, Samples

if TYPE_CHECKING:
    from soc.cluster import ClusterComponent
    from soc.link import Link, Receiver, Timers

START, CORES, DEVICES, ELSEWHERE, KVM, KERNEL, WAITS, SELF = (
    "start-up", "cores", "devices", "devices elsewhere", "KVM model", "kernel", "waiting", "profile",
)  # fmt: skip
"""Groups of host time, in the order of a report."""
GROUPS = (START, CORES, DEVICES, ELSEWHERE, KVM, KERNEL, WAITS, SELF)


class Item(NamedTuple):
    """Host time spent on one thing."""

    group: str
    name: str
    count: int
    """How often it was begun."""
    seconds: float


class Profile:
    """For `Machine.run(profile=...)`; several runs of one machine add up. `every`: instructions from one sample of the
    guest to the next, on average."""

    def __init__(self, every: int = EVERY) -> None:
        self.samples = Samples(every)
        self.engine: dict[str, int] = {}
        """Counters of the translation, since the machine was built."""
        self.instructions = 0
        """Instructions completed in the runs measured."""
        self._spent: dict[tuple[str, str], list[int]] = {}
        # What was spent on it: count, ns.
        self._meter: Any = None
        self._memory: Any = None

    def add(self, group: str, name: str, ns: int) -> None:
        """`ns` nanoseconds of host time were spent."""
        entry = self._spent.setdefault((group, name), [0, 0])
        entry[0] += 1
        entry[1] += ns

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """What happens inside belongs to the start-up."""
        began = perf_counter_ns()
        try:
            yield
        finally:
            self.add(START, name, perf_counter_ns() - began)

    @contextmanager
    def around(
        self, component: ClusterComponent, channels: Iterable[Link | Timers], memory: Any, devices: Mapping[str, str]
    ) -> Iterator[None]:
        """A run of the cores in `component`, whose messages go over `channels`. `devices`: where each runs; "" in this
        process."""
        cluster = component.cluster
        with self.phase("compiled code"):
            cluster.load()
            meter = self._metered(cluster, memory)
        before = sum(core.instructions for core in cluster.cores)
        self.samples.start(cluster.cores, component.hypervisor is not None)
        spent = sum(ns for _, ns in self._spent.values())
        with ExitStack() as stack:
            for channel in channels:
                stack.callback(channel.measure(lambda owner, receive: self._receiver(owner, receive, devices)))
            self._replace(stack, component, "execute", self._execute(component, meter))
            self._replace(stack, component, "nap", self._timed(WAITS, "nothing to do", component.nap))
            if component.hypervisor is not None:
                root = component.hypervisor
                component.hypervisor = self._timed(KVM, "root mode", root)
                stack.callback(setattr, component, "hypervisor", root)
            if meter is not None:
                meter.attach()
                stack.callback(meter.detach)
            began = perf_counter_ns()
            try:
                yield
            finally:
                whole = perf_counter_ns() - began
        others = sum(ns for _, ns in self._spent.values()) - spent
        self.add(KERNEL, "events, links, trace", whole - others)
        self.instructions += sum(core.instructions for core in cluster.cores) - before
        self.engine = _counters(memory)

    def items(self) -> list[Item]:
        """Host time so far, by group and by what took longest in it."""
        found = [Item(*key, count, ns / 1e9) for key, (count, ns) in self._spent.items()]
        if self._meter is not None:
            inside = next((item for item in found if item.group == CORES), None)
            if inside is not None:
                found.remove(inside)
                spans = [Item(CORES, *span) for span in self._meter.spans()]
                rest = max(inside.seconds - sum(span.seconds for span in spans), 0.0)
                found += [*spans, Item(CORES, "calls from Python", inside.count, rest)]
        return sorted(found, key=lambda item: (GROUPS.index(item.group), -item.seconds))

    def _metered(self, cluster: Any, memory: Any) -> Any:
        """The meter of compiled tiers; the reference interpreter has none."""
        if self._memory not in (None, memory):
            raise ConfigurationError("the profile is of another machine: make a new Profile for this one")
        self._memory = memory
        if self._meter is None and cluster.cores[0].tier.name != "reference":
            self._meter = import_module("cpu.engine.meter").Meter(memory.shared)
        return self._meter

    def _execute(self, component: ClusterComponent, meter: Any) -> Callable[[int | None], Any]:
        run, samples = component.cluster.run, self.samples
        name = component.cluster.cores[0].tier.name

        def execute(target: int | None) -> Any:
            left = samples.left() if component.slice is None else min(samples.left(), component.slice)
            began = perf_counter_ns()
            if meter is not None:
                meter.called()
            stop = run(target, left)
            if meter is not None:
                meter.returned()
            ended = perf_counter_ns()
            self.add(CORES, name, ended - began)
            samples.look()
            self.add(SELF, "samples", perf_counter_ns() - ended)
            return stop

        return execute

    def _receiver(self, owner: str, receive: Receiver, devices: Mapping[str, str]) -> Receiver:
        if owner not in devices:
            return self._timed(KERNEL, f"messages to {owner}", receive)
        where = devices[owner]
        return self._timed(ELSEWHERE, f"{owner} ({where})", receive) if where else self._timed(DEVICES, owner, receive)

    def _timed(self, group: str, name: str, call: Callable[[Any], None]) -> Callable[[Any], None]:
        def timed(argument: Any) -> None:
            began = perf_counter_ns()
            try:
                call(argument)
            finally:
                self.add(group, name, perf_counter_ns() - began)

        return timed

    @staticmethod
    def _replace(stack: ExitStack, owner: Any, name: str, call: Callable[..., Any]) -> None:
        setattr(owner, name, call)
        stack.callback(delattr, owner, name)


def _counters(memory: Any) -> dict[str, int]:
    shared = import_module("cpu.engine.shared")
    names = ("BLOCKS_BUILT", "BLOCKS_TRANSLATED", "PAGES_DROPPED", "POOL_FLUSHES")
    return {name.lower().replace("_", " "): int(memory.shared[getattr(shared, name)]) for name in names}
