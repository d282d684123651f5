"""Accesses to addresses where nothing is, answered without leaving the compiled loop.

What such an access meets and when its answer is back are known at once. Where the answer comes before all else that may
reach the core or anybody else, nothing can happen meanwhile: the core goes on with it, and the access is noted, for
whoever records what happened. Everything is in one array: ranges and answers in, accesses out.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from cpu import state
from cpu.engine.jit import jit

(LATENCY, RANGES, COUNT, VALUE) = range(4)
"""Cycles from an access to its answer, 0: none is answered here; ranges; accesses noted; the last one's answer."""
MOST_RANGES = 64
_FIRST_RANGE = 4  # each: start, end, 1 where reads give all ones
_FIRST_NOTED = _FIRST_RANGE + 3 * MOST_RANGES  # each: the fields of cpu.cluster.Request but the last
_FIELDS = 7
ROOM = 512
NOT_HERE = -1


def table() -> np.ndarray:
    """The array, with nothing in it."""
    return np.zeros(_FIRST_NOTED + _FIELDS * ROOM, np.int64)


def describe(nothing: np.ndarray, latency: int, ranges: Iterable[tuple[int, int, bool]]) -> None:
    """Have accesses within `ranges` (start, end, whether reads give all ones) answered after `latency` cycles. What
    there is no room for, or lies beyond 2^63, is answered elsewhere; so is everything with latency 0."""
    known = [(start, end, int(ones)) for start, end, ones in ranges if end < 1 << 63][:MOST_RANGES]
    nothing[LATENCY], nothing[RANGES] = latency, len(known)
    nothing[_FIRST_RANGE : _FIRST_RANGE + 3 * len(known)] = [number for row in known for number in row]


def noted(nothing: np.ndarray) -> list[list[int]]:
    """Port, whether it is a store, address, size, value, cycle, instructions of each access answered since the last
    call, in their order."""
    count, nothing[COUNT] = int(nothing[COUNT]), 0
    return nothing[_FIRST_NOTED : _FIRST_NOTED + _FIELDS * count].reshape(-1, _FIELDS).tolist()


@jit
def answered(S, nothing, is_store, before):
    """The cycle of the answer to the access a core is parked at, its value in VALUE; NOT_HERE unless that is known and
    earlier than `before`."""
    cycle = S[state.CYCLES] + nothing[LATENCY]
    count = nothing[COUNT]
    if nothing[LATENCY] == 0 or cycle >= before or count == ROOM or S[state.ACCESS_SPACE] != state.MEMORY_SPACE:
        return NOT_HERE
    address, size = S[state.ACCESS_PA], S[state.ACCESS_SIZE]
    for r in range(nothing[RANGES]):
        at = _FIRST_RANGE + 3 * r
        if nothing[at] <= address and address < nothing[at + 1]:
            nothing[VALUE] = 0
            if nothing[at + 2] and not is_store:
                nothing[VALUE] = -1 if size == 8 else (1 << 8 * size) - 1
            at = _FIRST_NOTED + _FIELDS * count
            nothing[at] = S[state.PORT]
            nothing[at + 1] = is_store
            nothing[at + 2] = address
            nothing[at + 3] = size
            nothing[at + 4] = S[state.BOUNCE]
            nothing[at + 5] = S[state.CYCLES]
            nothing[at + 6] = S[state.INSTRUCTIONS]
            nothing[COUNT] = count + 1
            return cycle
    return NOT_HERE
