"""Several cores on one memory, in exact order (cpu/windows.py), as their caller sees them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from cpu import open_bus, state
from cpu.core import Core, CoreError, StopKind, storage
from cpu.costs import Costs
from cpu.cp0 import timer
from cpu.engine import loop, tiers
from cpu.engine.softmmu import flush_all
from cpu.memory import Memory, Watch
from cpu.vz.short_access import WRITE
from cpu.windows import (
    ALL_WAIT,
    AWAKE,
    END,
    GRID,
    LIMIT,
    LONE,
    QUIET_UNTIL,
    RAN,
    SLICE,
    STOPPED_CORE,
    TARGET,
    WINDOW,
    interpreted,
    run_cluster,
)
from cpu.words import signed
from soc.nodes import MAX_CPUS

SAVED = (GRID, END, AWAKE, LONE, RAN)
"""Of the control array, what a snapshot holds."""
RELEASED = 2  # in the slot HELD: free to go at the cycle of an event in the queue
DEFAULT_SLICE = 40_000_000


class Request(NamedTuple):
    """An uncached access that leaves by the port `core`, that of a core or of the vCPU on it; `cycle` is the access's
    own time. In state.CSR_SPACE `address` is the number of a configuration register."""

    core: int
    is_store: bool
    address: int
    size: int
    value: int
    cycle: int
    instructions: int
    space: int = state.MEMORY_SPACE


class ClusterStop(NamedTuple):
    """Why the cores came back: HORIZON (requests, or the target is reached), SLICE, LIMIT, PC (the core stands before
    one of `stops`), WATCH (it stands before an access that `watch` is about, or behind the delay slot that made it),
    STEP (it has done what `step` asked for), DEADLOCK, UNMODELLED, EXIT (the core is in root mode, which is the
    hypervisor's). Calling `run` again goes on from SLICE, PC, WATCH, STEP and EXIT."""

    kind: StopKind
    core: int = 0
    text: str = ""
    watch: Watch | None = None


AT_HORIZON = ClusterStop(StopKind.HORIZON)


class Cluster:
    """`count` cores on one memory. Cores other than 0 are held at reset until `release`."""

    def __init__(
        self,
        memory: Memory,
        count: int,
        tier: str = "auto",
        window: int = 40,
        costs: Costs | None = None,
        csr: bool = False,
        vz: bool | Mapping[str, Any] = False,
        unmodelled_ri: bool = False,
        ftlb: bool = False,
        lasx: bool = False,
    ):
        """`window`: core cycles, no longer than the shortest link that leaves a core. `costs`, `csr`, `vz`,
        `unmodelled_ri`, `ftlb`, `lasx`: as of `Core`."""
        if not 1 <= count <= MAX_CPUS:
            raise CoreError(f"{count} cores: 1 to {MAX_CPUS} are possible")
        if window < 1:
            raise CoreError(f"a window of {window} cycles; at least 1 is needed")
        if tier != "reference":
            with tiers.compiling_elsewhere(tier):
                run_cluster.make_ready()
        self.memory = memory
        self.states, tables = storage(count)
        self.control = np.zeros(16, np.int64)
        self.control[WINDOW] = window
        self.cores = [
            Core(k, memory, tier, self.states, tables, costs, csr, vz, unmodelled_ri, ftlb, lasx) for k in range(count)
        ]
        self._exits = [ClusterStop(StopKind.EXIT, k) for k in range(count)]
        for core in self.cores[1:]:
            core.S[state.HELD] = 1
        self._nothing = open_bus.table()
        self._views = [core.words for core in self.cores]
        self._control_view, self._nothing_view = memoryview(self.control), memoryview(self._nothing)
        self.limit(None)
        self.stops: frozenset[int] = frozenset()
        """The pcs before which a core stops, each time it comes there. Nothing else depends on them."""
        self.watches: tuple[Watch, ...] = ()
        """The addresses at whose access a core stops; likewise."""
        self._run = run_cluster
        if self.cores[0].tier.name == "reference":
            self._run = interpreted({core.number: core.interpreter.run for core in self.cores})

    @property
    def grid(self) -> int:
        """The grid point all cores have reached, in core cycles."""
        return self._control_view[GRID]

    @property
    def window(self) -> int:
        return int(self.control[WINDOW])

    @property
    def quiet_until(self) -> int:
        """At the return of `run`: no core executes before this cycle unless something reaches one."""
        return self._control_view[QUIET_UNTIL]

    def release(self, core: int, cycle: int, pc: int, registers: dict[int, int]) -> None:
        """Lets a held core go at `cycle`, from `pc` with the given general registers."""
        S = self.cores[core].S
        if not self.is_held(core):
            raise CoreError(f"core {core} is not held at reset")
        S[state.HELD] = RELEASED
        S[state.PC] = signed(pc)
        for number, value in registers.items():
            S[state.GPR + number] = signed(value)
        self.queue(core, cycle, state.EVENT_RELEASE, 0)

    def is_held(self, core: int) -> bool:
        """At reset and not yet released."""
        return bool(self.states[core, state.HELD] == 1)

    def queue(self, core: int, cycle: int, kind: int, value: int) -> None:
        """An event for a core, in the order of cycles: EVENT_LINE (ip * 2 + level), EVENT_REPLY (value), EVENT_ERROR"""
        S = self._views[core]
        count = S[state.EVENT_COUNT]
        if count == state.EVENT_ROOM:
            raise CoreError(f"core {core}: more than {state.EVENT_ROOM} line changes and replies in one window")
        at = state.EVENTS + 3 * count
        S[at], S[at + 1], S[at + 2] = cycle, kind, signed(value)
        S[state.EVENT_COUNT] = count + 1

    def line(self, core: int, cycle: int, ip: int, level: int) -> None:
        """Input IP2..IP7 of a core changes at `cycle`; a rise of IP7 is the stable timer's expiry."""
        if not 2 <= ip <= 7:
            raise CoreError(f"interrupt line IP{ip}: devices drive IP2 to IP7")
        self.queue(core, cycle, state.EVENT_LINE, ip * 2 + (1 if level else 0))

    def answer(self, core: int, cycle: int, value: int | None) -> None:
        """The reply to a core's access arrives at `cycle`; None is a bus error."""
        if value is None:
            self.queue(core, cycle, state.EVENT_ERROR, 0)
        else:
            self.queue(core, cycle, state.EVENT_REPLY, value)

    def limit(self, instructions: int | None) -> None:
        """Stop when the cores have completed that many instructions since reset: exactly there with one core, else at
        the end of the window. None lifts the limit."""
        limit = timer.NEVER if instructions is None else instructions
        self.control[LIMIT] = limit
        for core in self.cores:
            core.S[state.LIMIT] = limit if len(self.cores) == 1 else timer.NEVER

    def step(self, core: int | None) -> None:
        """Stop as soon as the core has executed one instruction more, with its delay slot, or taken an exception. What
        else happens is what happens anyway: others may go on first. None: no core is to step."""
        for each in self.cores:
            S = each.S
            if each.number == core:
                S[state.STEP], S[state.STEP_PC], S[state.STEP_DONE] = state.ONE, S[state.PC], S[state.INSTRUCTIONS]
            elif S[state.STEP] == state.ONE:
                S[state.STEP] = 0

    def answer_open_bus(self, latency: int, ranges: Iterable[tuple[int, int, bool]] = ()) -> None:
        """As of cpu.open_bus.describe: accesses that no `requests` tells of, but `open_bus_accesses`."""
        open_bus.describe(self._nothing, latency, ranges)

    def open_bus_accesses(self) -> list[Request]:
        """The accesses to nothing that `run` has answered, in their order; each is given once. They come before those
        of `requests`, and nothing else happened between them."""
        if not self._nothing_view[open_bus.COUNT]:
            return []
        return [
            Request(core, bool(is_store), address, size, value & ((1 << 8 * size) - 1) if is_store else 0, *rest)
            for core, is_store, address, size, value, *rest in open_bus.noted(self._nothing)
        ]

    def load(self) -> None:
        """Has the compiled loop ready, which otherwise the first run sees to."""
        if not self.control[END]:
            self.run(self.grid)

    def run(self, target: int | None, slice_cycles: int = DEFAULT_SLICE) -> ClusterStop:
        """Runs whole windows up to the grid point `target` (None: no end), or until a core sends a request."""
        control = self._control_view
        control[TARGET] = timer.NEVER if target is None else target
        if self.stops or self.memory.stops:
            self.memory.set_stops(self.stops)
        if self.memory.watches != self.watches:
            self._watch()
        control[SLICE] = slice_cycles
        what = int(self._run(self.states, self.memory.shared, self._nothing, self.control))
        if what == ALL_WAIT:
            return ClusterStop(StopKind.DEADLOCK, 0, self.waits_for())
        if what == loop.STOP_HORIZON:
            return AT_HORIZON
        if what == loop.STOP_EXIT:
            return self._exits[int(control[STOPPED_CORE])]
        core = self.cores[int(control[STOPPED_CORE])]
        stop = core.stop_of(what)
        if what != loop.STOP_WATCH:
            return ClusterStop(stop.kind, core.number, stop.text)
        hit, core.S[state.WATCH_HIT] = int(core.S[state.WATCH_HIT]) - 1, 0
        return ClusterStop(stop.kind, core.number, watch=self.watches[hit])

    def _watch(self) -> None:
        """Pages with watched addresses are kept out of the soft-MMUs, so that each access to them is looked at."""
        self.memory.set_watches(self.watches)
        for core in self.cores:
            flush_all(core.S)

    def save(self) -> dict:
        """The grid, the window in progress, and every core, as msgpack types."""
        control = [int(self.control[k]) for k in SAVED]
        return {"window": self.window, "control": control, "cores": [core.save() for core in self.cores]}

    def restore(self, saved: dict) -> None:
        """Goes on from what `save` gave. CoreError when it is not from such a cluster."""
        if (saved["window"], len(saved["cores"])) != (self.window, len(self.cores)):
            raise CoreError(
                f"the saved state is of {len(saved['cores'])} cores in windows of {saved['window']} cycles; "
                f"here are {len(self.cores)} in windows of {self.window}"
            )
        for k, value in zip(SAVED, saved["control"], strict=True):
            self.control[k] = value
        for core, state_of_it in zip(self.cores, saved["cores"], strict=True):
            core.restore(state_of_it)

    def waits_for(self) -> str:
        """What each core waits for, in words."""
        held = [str(core.number) for core in self.cores if core.held]
        texts = [core.waits_for() for core in self.cores if not core.held]
        if held:
            texts.append(f"held at reset until mailbox 0 is written: core {', '.join(held)}")
        return "; ".join(texts)

    def requests(self) -> list[Request]:
        """The accesses that left cores in the last windows, by time and port; each is given once."""
        found = []
        for S in self._views:
            what = S[state.REQUEST]
            if what:
                S[state.REQUEST] = 0
                is_store, size = what == WRITE, S[state.ACCESS_SIZE]
                value = S[state.BOUNCE] & ((1 << 8 * size) - 1) if is_store else 0
                address, space = S[state.ACCESS_PA], S[state.ACCESS_SPACE]
                cycle, instructions = S[state.CYCLES], S[state.INSTRUCTIONS]
                found.append(Request(S[state.PORT], is_store, address, size, value, cycle, instructions, space))
        if len(found) > 1:
            found.sort(key=lambda r: (r.cycle, r.core))
        return found
