"""A meter between the run loop and the handlers: how long control was in translated code and, by the reason of each
exit, how long it was away from it.

It stands in for the two entry points of a machine's descriptor (M[ENTER], M[ENTER_SLOW]), so that nothing is measured,
and nothing is slower, where no meter is attached. It reads the host's clock and writes to its own record only.
"""

from __future__ import annotations

import ctypes
import platform
import time
from typing import NamedTuple

import llvmlite.binding as llvm
import numpy as np

from cpu import state
from cpu.engine import shared
from cpu.engine.micro import R_HELPER, R_HOT, R_LINK, R_MEMORY, R_STOP, R_STORED, R_TRAP, R_UNIT

CALLED = 0
AWAY = R_HOT + 1
BOUNDARY, BUILT, CODE = AWAY, AWAY + 1, AWAY + 2
SPANS = {
    CODE: "translated code",
    BUILT: "blocks built",
    R_HOT: "blocks translated to host code",
    R_LINK: "targets looked up",
    R_MEMORY: "accesses past the soft-MMU",
    R_STORED: "stores past the soft-MMU",
    R_HELPER: "helpers",
    R_TRAP: "traps",
    R_UNIT: "units that are off",
    R_STOP: "blocks left before their end",
    BOUNDARY: "boundaries: interrupts, windows, slices",
    CALLED: "starts of the loop",
}
"""What a span of time is called, in the order of a report. CODE is inside, all others are outside translated code: from
an exit to the next entry, or to the loop's return."""

# The record: clock at the last change, what goes on since then, blocks built by then, the two real entry points;
# then a number of spans and a time for each kind.
LAST, KIND, BLOCKS, ENTER, ENTER_SLOW, COUNTS = range(6)
KINDS = CODE + 1
TIMES = COUNTS + KINDS
SIZE = TIMES + KINDS
CLOCK_MONOTONIC = 1
CYCLE_COUNTER = platform.machine().lower() in ("x86_64", "amd64")


class Span(NamedTuple):
    """All spans of one kind together."""

    name: str
    count: int
    seconds: float


class Meter:
    """The meter of the machine with descriptor `shared_array`. Not usable for the reference interpreter, which has no
    entry points. `cycle_counter`: read the processor's counter, or the host's monotonic clock."""

    def __init__(self, shared_array: np.ndarray, cycle_counter: bool = CYCLE_COUNTER) -> None:
        self._shared = shared_array
        self._record = np.zeros(SIZE, np.int64)
        self._ticks = self._ns = 0
        self._since = (0, 0)
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        target = llvm.Target.from_default_triple().create_target_machine(opt=2, jit=True)
        text = _module(self._record.ctypes.data, int(shared_array.ctypes.data), cycle_counter)
        self._engine = llvm.create_mcjit_compiler(llvm.parse_assembly(text), target)
        self._engine.finalize_object()
        address = self._engine.get_function_address
        self._entries = address("metered"), address("metered_slow")
        self._clock = ctypes.CFUNCTYPE(ctypes.c_int64)(address("clock"))
        self._called = ctypes.CFUNCTYPE(None)(address("called"))
        self._returned = ctypes.CFUNCTYPE(None)(address("returned"))

    def attach(self) -> None:
        """Measure from now on."""
        M, record = self._shared, self._record
        record[ENTER], record[ENTER_SLOW] = M[shared.ENTER], M[shared.ENTER_SLOW]
        M[shared.ENTER], M[shared.ENTER_SLOW] = self._entries
        self._since = self._clock(), time.perf_counter_ns()

    def detach(self) -> None:
        """Measure no more. The machine is as before `attach`."""
        M, record = self._shared, self._record
        self._ticks += self._clock() - self._since[0]
        self._ns += time.perf_counter_ns() - self._since[1]
        M[shared.ENTER], M[shared.ENTER_SLOW] = record[ENTER], record[ENTER_SLOW]

    def called(self) -> None:
        """The run loop is about to be called."""
        self._called()

    def returned(self) -> None:
        """The run loop has returned."""
        self._returned()

    def spans(self) -> list[Span]:
        """What was measured, of each kind that occurred. After `detach`."""
        scale = self._ns / self._ticks / 1e9 if self._ticks else 0.0
        counts, times = self._record[COUNTS:TIMES], self._record[TIMES:]
        return [
            Span(name, int(counts[kind]), float(times[kind]) * scale) for kind, name in SPANS.items() if counts[kind]
        ]


def _module(record: int, descriptor: int, cycle_counter: bool) -> str:
    """LLVM IR of the meter. An exit by a link with no budget left (threaded.py) is one at a boundary; one after which
    the number of blocks built has grown is one that built blocks."""
    clock = "  %now = call i64 @llvm.readcyclecounter()\n"
    if not cycle_counter:
        clock = (
            "  %spec = alloca [2 x i64]\n"
            f"  %bad = call i32 @clock_gettime(i32 {CLOCK_MONOTONIC}, ptr %spec)\n"
            "  %s = load i64, ptr %spec\n  %p = getelementptr i64, ptr %spec, i64 1\n  %ns = load i64, ptr %p\n"
            "  %whole = mul i64 %s, 1000000000\n  %now = add i64 %whole, %ns\n"
        )

    def at(slot: int) -> str:
        return f"inttoptr (i64 {record + 8 * slot} to ptr)"

    def entry(name: str, real: int) -> str:
        return (
            f"define i64 @{name}(i64 %S, i64 %ip, i64 %n, i64 %TB, i64 %unused) nounwind {{\n"
            f"  call void @outside()\n  store i64 {CODE}, ptr {at(KIND)}\n"
            f"  %address = load i64, ptr {at(real)}\n  %code = inttoptr i64 %address to ptr\n"
            "  %reason = call i64 %code(i64 %S, i64 %ip, i64 %n, i64 %TB, i64 %unused)\n"
            "  call void @elapsed()\n"
            f"  %built = load i64, ptr inttoptr (i64 {descriptor + 8 * shared.BLOCKS_BUILT} to ptr)\n"
            f"  store i64 %built, ptr {at(BLOCKS)}\n"
            f"  %na = add i64 %S, {8 * state.EXIT_N}\n  %np = inttoptr i64 %na to ptr\n  %left = load i64, ptr %np\n"
            f"  %spent = icmp sle i64 %left, 0\n  %link = icmp eq i64 %reason, {R_LINK}\n"
            f"  %due = and i1 %spent, %link\n  %kind = select i1 %due, i64 {BOUNDARY}, i64 %reason\n"
            f"  store i64 %kind, ptr {at(KIND)}\n  ret i64 %reason\n}}\n"
        )

    return (
        "declare i64 @llvm.readcyclecounter()\ndeclare i32 @clock_gettime(i32, ptr)\n"
        f"define i64 @clock() nounwind {{\n{clock}  ret i64 %now\n}}\n"
        "define internal void @elapsed() nounwind {\n"
        f"  %now = call i64 @clock()\n  %last = load i64, ptr {at(LAST)}\n  store i64 %now, ptr {at(LAST)}\n"
        f"  %span = sub i64 %now, %last\n  %kind = load i64, ptr {at(KIND)}\n"
        f"  %count = getelementptr i64, ptr {at(COUNTS)}, i64 %kind\n  %c = load i64, ptr %count\n"
        "  %c1 = add i64 %c, 1\n  store i64 %c1, ptr %count\n"
        f"  %time = getelementptr i64, ptr {at(TIMES)}, i64 %kind\n  %t = load i64, ptr %time\n"
        "  %t1 = add i64 %t, %span\n  store i64 %t1, ptr %time\n  ret void\n}\n"
        "define internal void @outside() nounwind {\n"
        f"  %built = load i64, ptr inttoptr (i64 {descriptor + 8 * shared.BLOCKS_BUILT} to ptr)\n"
        f"  %before = load i64, ptr {at(BLOCKS)}\n  %more = icmp ne i64 %built, %before\n"
        f"  %kind = load i64, ptr {at(KIND)}\n  %what = select i1 %more, i64 {BUILT}, i64 %kind\n"
        f"  store i64 %what, ptr {at(KIND)}\n  call void @elapsed()\n  ret void\n}}\n"
        "define void @called() nounwind {\n"
        f"  %built = load i64, ptr inttoptr (i64 {descriptor + 8 * shared.BLOCKS_BUILT} to ptr)\n"
        f"  store i64 %built, ptr {at(BLOCKS)}\n  store i64 {CALLED}, ptr {at(KIND)}\n"
        f"  %now = call i64 @clock()\n  store i64 %now, ptr {at(LAST)}\n  ret void\n}}\n"
        "define void @returned() nounwind {\n  call void @outside()\n  ret void\n}\n"
        + entry("metered", ENTER)
        + entry("metered_slow", ENTER_SLOW)
    )
