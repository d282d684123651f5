"""The stable timers of the four cores of a Loongson-3A node, and the node counter."""

from fractions import Fraction
from typing import Any

from devices.device import Device
from devices.lines import LineOuts
from devices.ports import VectorIn
from devices.registers import Internal, Register, RegisterArray
from soc.nodes import CORES
from soc.time import Clock

BLOCK = 0x100
TICKS = (1 << 48) - 1
PERIODIC, ENABLE, ALWAYS_ONE = 1 << 62, 1 << 61, 1 << 63
COUNTER = (1 << 64) - 1
CSR_CFG, CSR_TICKS = 0x1060, 0x1070


class StableTimer(Device):
    """A 48-bit down-counter per core, one-shot or periodic, and a 64-bit node counter. Offsets relative to 0x1fe00000.

    hz        frequency of the timers, in Hz, int or Fraction
    node_hz   frequency of the node counter

    A write of TIMER_CFG with the enable bit starts a count of InitVal ticks; without it the count stands still. At 0
    the core's interrupt is latched; a one-shot timer then parks at all ones, a periodic one starts again without drift.
    ``pin[core]`` is the latch; every expiry is a rising edge of it, also when the last one was not acknowledged. It is
    acknowledged by a write of Compare on that core, which arrives as its number at `compare`. A core that takes the
    edges into its own Cause.TI, and clears that itself, can leave `compare` unconnected or lag behind.

    As configuration registers 0x1060 and 0x1070 a core meets its own timer.

    Source: 3A5000 manual, software clock system; Loongson 4.19: stable_counter.c. Chosen here: ticks are those of a
    clock that starts at reset, so a count is exact on that clock and up to one tick shorter than its nominal length;
    a count of 0 expires at once, a periodic one then every tick.
    """

    timer_cfg = RegisterArray(
        CSR_CFG,
        count=CORES,
        stride=BLOCK,
        width=8,
        reset=ALWAYS_ONE,
        mask=PERIODIC | ENABLE | TICKS,
        accepts=(4, 8),
        fields={"periodic": 62, "enable": 61, "initval": (47, 0)},
        doc="Timer of core i.",
    )
    timer_ticks = RegisterArray(
        CSR_TICKS,
        count=CORES,
        stride=BLOCK,
        width=8,
        access="ro",
        accepts=(4, 8),
        fields={"ticks": (47, 0)},
        doc="Ticks left of core i.",
    )
    node_counter = Register(0x408, width=8, access="ro", accepts=(4, 8), doc="Ticks of the node clock since reset.")

    end = Internal([0] * CORES)
    """Tick of the clock at which each running timer is at 0."""
    latch = Internal(0)

    compare = VectorIn("A core of this node, 0 to 3, wrote Compare.", vectors=CORES)
    pin = LineOuts(CORES, "IP7 of each core.")

    def __init__(
        self, *, hz: int | Fraction = 100_000_000, node_hz: int | Fraction | None = None, **options: Any
    ) -> None:
        self.clock = Clock(hz)
        self.node_clock = self.clock if node_hz is None else Clock(node_hz)
        super().__init__(**options)

    @staticmethod
    def csr_view(offset: int, core: int) -> int | None:
        if CSR_CFG <= offset < CSR_CFG + 8 or CSR_TICKS <= offset < CSR_TICKS + 8:
            return offset + BLOCK * (core % CORES)
        return offset if 0x408 <= offset < 0x410 else None

    @property
    def counter(self) -> int:
        """The stable counter: ticks of the timers' clock since reset."""
        return self.clock.ticks(self.outside.now)

    def on_read_node_counter(self) -> int:
        return self.node_clock.ticks(self.outside.now) & COUNTER

    def on_read_timer_ticks(self, core: int) -> int:
        return self._left(core)

    def _left(self, core: int) -> int:
        if self.running(f"expiry[{core}]"):
            return self.end[core] - self.counter
        return self.timer_ticks[core]

    def on_write_timer_cfg(self, core: int, value: int, old: int) -> None:
        self.timer_ticks[core] = self._left(core)
        self.cancel(f"expiry[{core}]")
        if value & ENABLE:
            self._count(core, self.counter)
            if not value & TICKS:
                self._expire(core)

    def _count(self, core: int, start: int) -> None:
        self.timer_ticks[core] = self.timer_cfg[core] & TICKS
        self.end[core] = start + max(1, self.timer_ticks[core])
        self.after(max(1, self.clock.time(self.end[core]) - self.outside.now), f"expiry[{core}]")

    def on_timer_expiry(self, core: int) -> None:
        self._expire(core)

    def _expire(self, core: int) -> None:
        self.latch |= 1 << core
        self.pin.levels &= ~(1 << core)
        if self.timer_cfg[core] & PERIODIC:
            if not self.running(f"expiry[{core}]"):
                self._count(core, self.end[core])
        else:
            self.cancel(f"expiry[{core}]")
            self.timer_ticks[core] = TICKS

    def on_vector_compare(self, core: int) -> None:
        self.latch &= ~(1 << core)

    def settle(self) -> None:
        self.pin.levels = self.latch
