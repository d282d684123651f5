"""Several cores in exact order: windows of model time on a fixed grid (design law 8).

In a window each core runs in core order to the window's end; what reaches a core from outside (levels, replies) is
queued with its cycle and takes effect at the first block boundary at or after it. A store of one core is seen by the
others from their next turn on. Where only one core is awake its windows are run in one go, which changes nothing.

A core's link (LL) is gone where another core has executed since: SC then fails, as it may, and no store is missed.
"""

from __future__ import annotations

import types
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from cpu import open_bus, state
from cpu.core import Core, CoreError, StopKind, storage
from cpu.costs import Costs
from cpu.cp0 import timer
from cpu.cp0.exceptions import set_line, take_exception
from cpu.cp0.registers import C0_CAUSE, C0_STATUS
from cpu.engine import loop, shared
from cpu.engine.jit import jit, jit_inline
from cpu.engine.loop import GOES_ON, go_straight, prepare, run, shift_time
from cpu.engine.softmmu import flush_all
from cpu.memory import Memory, Watch
from cpu.vz import short_access

DATA_BUS_ERROR = 7
# Control array of a cluster.
(GRID, WINDOW, TARGET, SLICE, STOPPED_CORE, LIMIT, END, AWAKE, LONE, RAN, QUIET_UNTIL) = range(11)
SAVED = (GRID, END, AWAKE, LONE, RAN)
ALL_WAIT, LIMIT_REACHED = 100, 101
RELEASED = 2  # in the slot HELD: free to go at the cycle of an event in the queue
DEFAULT_SLICE = 40_000_000


@jit
def complete(S, kind, value, cycle):
    """The reply to the access a core is parked at."""
    shift_time(S, max(cycle - S[state.CYCLES], 0))
    S[state.AWAITS] = 0
    if kind == state.EVENT_ERROR and S[state.HYPERVISOR] and S[state.RESUME] == 0:
        S[state.ACCESS_ERROR] = 1
    elif kind == state.EVENT_ERROR:
        S[state.RESUME] = 0
        S[state.SAMPLE] = 1
        take_exception(S, 0, DATA_BUS_ERROR, 0, S[state.PC], S[state.RESUME_DELAY], -1)
    else:
        S[state.BOUNCE] = value


@jit
def next_event(S):
    """Cycle of the next queued event of a core, or NEVER."""
    head = S[state.EVENT_HEAD]
    if head == S[state.EVENT_COUNT]:
        return timer.NEVER
    return S[state.EVENTS + 3 * head]


@jit
def apply_event(S):
    """Takes the next queued event."""
    at = state.EVENTS + 3 * S[state.EVENT_HEAD]
    cycle, kind, value = S[at], S[at + 1], S[at + 2]
    S[state.EVENT_HEAD] += 1
    if S[state.EVENT_HEAD] == S[state.EVENT_COUNT]:
        S[state.EVENT_HEAD] = 0
        S[state.EVENT_COUNT] = 0
    if kind == state.EVENT_RELEASE:
        S[state.HELD] = 0
        S[state.CYCLES] = cycle
    elif kind == state.EVENT_LINE:
        bit = 1 << (8 + (value >> 1))
        if bit == timer.IP7:
            if value & 1:
                timer.external(S, cycle)
        else:
            set_line(S, bit, value & 1)
    else:
        complete(S, kind, value, cycle)


@jit
def leaving(S, what):
    """The access that leaves the core with the stop `what`, for REQUEST, or 0."""
    if what == loop.STOP_READ:
        return short_access.READ
    if what == loop.STOP_WRITE:
        return short_access.WRITE
    return short_access.send(S) if what == loop.STOP_EXIT else short_access.NONE


@jit
def run_window(S, M, nothing, end):
    """Runs one core to the end of a window. GOES_ON, or the stop that keeps it from getting there. `nothing`: the array
    of cpu.open_bus."""
    while True:
        then = next_event(S)
        if S[state.AWAITS] or S[state.HELD]:
            if then < end:
                apply_event(S)
                continue
            if S[state.HELD] and S[state.CYCLES] < end:
                S[state.CYCLES] = end
            return GOES_ON
        if S[state.RESUME] == 0 and S[state.SAMPLE]:
            # At a boundary.
            if then < end and then <= S[state.CYCLES]:
                apply_event(S)
                continue
            if S[state.CYCLES] >= end:
                return GOES_ON
        if S[state.PUT_OFF]:
            if not short_access.finish(S):
                return loop.STOP_EXIT
            continue
        S[state.UNTIL] = min(end, then)
        what = run(S, M)
        leaves = leaving(S, what)
        if leaves:
            answer = open_bus.answered(S, nothing, leaves == short_access.WRITE, S[state.UNTIL])
            if answer != open_bus.NOT_HERE:
                complete(S, state.EVENT_REPLY, nothing[open_bus.VALUE], answer)
                continue
            S[state.AWAITS] = 1
            S[state.REQUEST] = leaves
        elif what != loop.STOP_HORIZON:
            return what


@jit_inline
def run_straight(S, M, end):
    """The same where nothing comes between. False: `run_window` has to go on."""
    if S[state.AWAITS] or S[state.HELD] or S[state.RESUME] or next_event(S) < end or S[state.CYCLES] >= end:
        return False
    S[state.UNTIL] = end
    return go_straight(S, M) and S[state.CYCLES] >= end


@jit
def is_awake(S):
    """Whether the core would execute instructions now."""
    if S[state.AWAITS] or S[state.HELD]:
        return False
    return not S[state.WAITING] or (S[C0_CAUSE] & S[C0_STATUS] & 0xFF00) != 0


@jit
def wakes_at(S):
    """The earliest cycle at which a core that is not awake may execute again, as far as it knows."""
    then = next_event(S)
    if S[state.WAITING] and S[C0_STATUS] & timer.IP7 and not S[state.AWAITS]:
        then = min(then, S[state.TIMER])
    return then


@jit
def completed(states):
    """Instructions completed by all cores."""
    total = 0
    for c in range(states.shape[0]):
        total += states[c, state.INSTRUCTIONS]
    return total


@jit_inline
def open_window(states, control):
    """Decides how far the next window goes and who runs in it. False: all wait, and nothing can ever wake one."""
    grid, window, target = control[GRID], control[WINDOW], control[TARGET]
    cores = states.shape[0]
    awake = 0
    wake = timer.NEVER
    for c in range(cores):
        S = states[c]
        if is_awake(S):
            awake += 1
            control[LONE] = c
        else:
            wake = min(wake, wakes_at(S))
    end = grid + window
    if awake <= 1:
        if awake == 0 and wake >= timer.NEVER and target >= timer.NEVER:
            return False
        # Nobody else can execute before `wake`: windows that end by then are one.
        end = max(end, target if wake >= timer.NEVER else min(target, wake // window * window))
    control[END], control[AWAKE] = end, awake
    return True


@jit_inline
def take_turn(S, M, nothing, control, end):
    """Runs a core to the end of a window, without its link where another core has executed since its last turn."""
    if control[RAN] != S[state.NUMBER]:
        S[state.LLBIT] = 0
        if S[state.PUT_OFF]:
            S[state.OTHER_LINK] = 0  # the guest's, which comes back in this turn
    before = S[state.INSTRUCTIONS]
    what = GOES_ON
    if not run_straight(S, M, end):
        what = run_window(S, M, nothing, end)
    if S[state.INSTRUCTIONS] != before:
        control[RAN] = S[state.NUMBER]
    return what


@jit
def run_alone(states, M, nothing, control):
    """The only core that can execute before END runs all the windows up to it. Where it comes back sooner, the window
    it stands in becomes the one in progress."""
    lone, window = control[LONE], control[WINDOW]
    S = states[lone]
    if states.shape[0] > 1 and control[LIMIT] < timer.NEVER:
        S[state.LIMIT] = S[state.INSTRUCTIONS] + control[LIMIT] - completed(states)
    what = take_turn(S, M, nothing, control, control[END])
    if states.shape[0] > 1:
        S[state.LIMIT] = timer.NEVER
        if what == loop.STOP_LIMIT:
            what = LIMIT_REACHED
    if what == GOES_ON and S[state.REQUEST] == 0:
        return GOES_ON
    # A block may reach past the end, and a request in it: the last window is then the one.
    here = max(control[GRID], min(S[state.CYCLES] // window * window, control[END] - window))
    for c in range(states.shape[0]):
        if c != lone:
            run_window(states[c], M, nothing, here)
    control[GRID], control[END] = here, here + window
    if what == loop.STOP_DEADLOCK or what == LIMIT_REACHED:
        return GOES_ON  # what that means for all is asked at the end of the window
    return what


@jit
def quiet_until(states):
    """The earliest cycle at which any core may execute, as far as the cores know; 0 where one would now."""
    cycle = timer.NEVER
    for c in range(states.shape[0]):
        if is_awake(states[c]):
            return 0
        cycle = min(cycle, wakes_at(states[c]))
    return cycle


@jit
def run_windows(states, M, nothing, control):
    """Runs windows until TARGET, a request, a stop, or the end of the host's slice."""
    cores = states.shape[0]
    left = control[SLICE]
    for c in range(cores):
        states[c, state.SLICE_END] = states[c, state.CYCLES] + left
    while control[GRID] < control[TARGET] or control[END] != 0:
        if control[END] == 0 and not open_window(states, control):
            return ALL_WAIT
        # A slice may end inside a window: it goes on as it was opened.
        window, awake = control[WINDOW], control[AWAKE]
        if awake == 1 and control[END] - control[GRID] > window:
            what = run_alone(states, M, nothing, control)
            if what != GOES_ON:
                control[STOPPED_CORE] = control[LONE]
                return what
        end = control[END]
        requests, done = 0, 0
        for c in range(cores):
            S = states[c]
            what = take_turn(S, M, nothing, control, end)
            if what != GOES_ON:
                control[STOPPED_CORE] = c
                return what
            requests |= S[state.REQUEST]
            done += S[state.INSTRUCTIONS]
        control[GRID], control[END] = end, 0
        if cores > 1 and done >= control[LIMIT]:
            return loop.STOP_LIMIT
        if requests:
            return loop.STOP_HORIZON
        if awake > 1:
            left -= window * awake
            if left <= 0:
                return loop.STOP_SLICE
    return loop.STOP_HORIZON


@jit
def run_cluster(states, M, nothing, control):
    """`run_windows`; QUIET_UNTIL says then how long the cores have nothing to execute."""
    prepare(M)
    what = run_windows(states, M, nothing, control)
    control[QUIET_UNTIL] = quiet_until(states)
    return what


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
        if not 1 <= count <= shared.MAX_CORES:
            raise CoreError(f"{count} cores: 1 to {shared.MAX_CORES} are possible")
        if window < 1:
            raise CoreError(f"a window of {window} cycles; at least 1 is needed")
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
            self._run = _interpreted({core.number: core.interpreter.run for core in self.cores})

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
        S[state.PC] = _signed(pc)
        for number, value in registers.items():
            S[state.GPR + number] = _signed(value)
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
        S[at], S[at + 1], S[at + 2] = cycle, kind, _signed(value)
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
        if self.memory.stops != self.stops:
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
                is_store, size = what == 2, S[state.ACCESS_SIZE]
                value = S[state.BOUNCE] & ((1 << 8 * size) - 1) if is_store else 0
                address, space = S[state.ACCESS_PA], S[state.ACCESS_SPACE]
                cycle, instructions = S[state.CYCLES], S[state.INSTRUCTIONS]
                found.append(Request(S[state.PORT], is_store, address, size, value, cycle, instructions, space))
        if len(found) > 1:
            found.sort(key=lambda r: (r.cycle, r.core))
        return found


def _interpreted(runners: dict):
    """`run_cluster` on the reference: the same functions as plain Python, with `run` replaced, nothing prepared."""
    names = dict(globals())
    names["run"] = lambda S, M: runners[int(S[state.NUMBER])]()
    names["go_straight"] = lambda S, M: False
    names["prepare"] = lambda M: None
    for name in (
        "complete",
        "leaving",
        "next_event",
        "apply_event",
        "run_window",
        "run_straight",
        "is_awake",
        "wakes_at",
        "completed",
        "open_window",
        "take_turn",
        "run_alone",
        "quiet_until",
        "run_windows",
        "run_cluster",
    ):
        names[name] = types.FunctionType(globals()[name].py_func.__code__, names, name)
    return names["run_cluster"]


def _signed(value: int) -> int:
    value &= (1 << 64) - 1
    return value - (1 << 64) if value >> 63 else value
