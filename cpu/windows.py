"""Windows of model time on a fixed grid, for several cores in exact order, in one compiled loop (design law 8).

In a window each core runs in core order to the window's end; what reaches a core from outside (levels, replies) is
queued with its cycle and takes effect at the first block boundary at or after it. A store of one core is seen by the
others from their next turn on. Where only one core is awake its windows are run in one go, which changes nothing.

A core's link (LL) is gone where another core has executed since: SC then fails, as it may, and no store is missed.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping

from cpu import open_bus, state
from cpu.cp0 import timer
from cpu.cp0.exceptions import set_line, take_exception
from cpu.cp0.fields import CAUSE_IP, EXCCODE_DBE, IP7
from cpu.cp0.registers import C0_CAUSE, C0_STATUS
from cpu.engine import loop
from cpu.engine.jit import jit, jit_as, jit_inline
from cpu.engine.loop import GOES_ON, go_straight, prepare, run, shift_time
from cpu.vz import short_access

(GRID, WINDOW, TARGET, SLICE, STOPPED_CORE, LIMIT, END, AWAKE, LONE, RAN, QUIET_UNTIL) = range(11)
"""The control array. In core cycles: the grid point that all cores have reached, the length of a window, how far to
run, when the host wants a look in, the end of the window in progress (0: none), until when no core executes by itself.
Of cores: the one that stopped, how many are awake, the only one that is, the one that executed last. LIMIT: of their
instructions."""
ALL_WAIT, LIMIT_REACHED = 100, 101
"""What a run comes back with besides the loop's stops: nothing can ever wake a core; the limit of all cores."""


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
        take_exception(S, 0, EXCCODE_DBE, 0, S[state.PC], S[state.RESUME_DELAY], -1)
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
        if bit == IP7:
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
    return not S[state.WAITING] or (S[C0_CAUSE] & S[C0_STATUS] & CAUSE_IP) != 0


@jit
def wakes_at(S):
    """The earliest cycle at which a core that is not awake may execute again, as far as it knows."""
    then = next_event(S)
    if S[state.WAITING] and S[C0_STATUS] & IP7 and not S[state.AWAITS]:
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


@jit_as("int64(int64[:, ::1], int64[::1], int64[::1], int64[::1])")
def run_cluster(states, M, nothing, control):
    """`run_windows`; QUIET_UNTIL says then how long the cores have nothing to execute."""
    prepare(M)
    what = run_windows(states, M, nothing, control)
    control[QUIET_UNTIL] = quiet_until(states)
    return what


def interpreted(runners: Mapping[int, Callable[[], int]]) -> Callable[..., int]:
    """`run_cluster` on the reference: the same functions as plain Python, with `run` replaced by the core's of
    `runners`, nothing prepared."""
    names = dict(globals())
    names["run"] = lambda S, M: runners[int(S[state.NUMBER])]()
    names["go_straight"] = lambda S, M: False
    names["prepare"] = lambda M: None
    for name, function in globals().items():
        source = getattr(function, "py_func", None)
        if source is not None and source.__module__ == __name__:
            names[name] = types.FunctionType(source.__code__, names, name)
    return names["run_cluster"]
