"""One core with RAM and ROM, guest code as text, and exception handlers that stop: what the tests of the engine share.

Every exception vector holds a WAIT that nothing can end, so a program ends at the first exception, or at a WAIT of its
own, without stop pcs: the code runs in the same blocks as in a free run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from cpu import state
from cpu.core import Core, Stop, StopKind
from cpu.costs import Costs
from cpu.cp0 import registers
from cpu.engine import shared
from cpu.engine.code_buffer import usable
from cpu.isa.assembler import assemble
from cpu.isa.names import GPR_NAMES
from cpu.isa.program import Program
from cpu.memory import Memory
from cpu.tlb.operations import write_entry

TIERS = ("stencil", "threaded", "reference") if usable() else ("threaded", "reference")
needs_stencil = pytest.mark.skipif(
    not usable(), reason="tier stencil needs x86-64 Linux, and memory that is writable and executable"
)
M64 = (1 << 64) - 1
MIB = 1 << 20

KSEG0, KSEG1 = 0xFFFF_FFFF_8000_0000, 0xFFFF_FFFF_A000_0000
XKPHYS = 0x9800_0000_0000_0000
BEV_BASE = 0xFFFF_FFFF_BFC0_0200
CODE = KSEG0 + 0x10000
VECTORS = (0x000, 0x080, 0x100, 0x180, 0x200)

IE, EXL, ERL, UM, SM = 1, 1 << 1, 1 << 2, 1 << 4, 1 << 3
UX, SX, KX, BEV, FR, CU0, CU1 = 1 << 5, 1 << 6, 1 << 7, 1 << 22, 1 << 26, 1 << 28, 1 << 29
WIDE = UX | SX | KX
STATUS = WIDE | FR | CU1
IP = {n: 1 << (8 + n) for n in range(8)}

INT, MOD, TLBL, TLBS, ADEL, ADES, IBE, DBE, SYS, BP, RI, CPU, OV, TR = range(14)
GSEXC, TLBRI, TLBXI, MSADIS = 16, 19, 20, 21

G, V, D = 1, 2, 4
CACHED = 3 << 3
RI_BIT, XI_BIT = 1 << 63, 1 << 62
RIE, XIE, IEC = 1 << 31, 1 << 30, 1 << 27


def physical(address: int) -> int:
    """Physical address of one in kseg0, kseg1 or xkphys."""
    return address & 0x1FFF_FFFF if address >= KSEG0 else address & 0xFFFF_FFFF_FFFF


def lo(pa: int, flags: int = V | D) -> int:
    """EntryLo of a page frame."""
    return pa >> 12 << 6 | CACHED | flags


def wait_word() -> bytes:
    return assemble("wait 0").data


@dataclass
class Outcome:
    """Where a program ended. `vector`: offset of the exception vector, None: at a WAIT of its own, at `pc`."""

    pc: int
    vector: int | None
    instructions: int
    cp0: dict[str, int]
    gpr: list[int]

    @property
    def code(self) -> int:
        return self.cp0["cause"] >> 2 & 31

    @property
    def bd(self) -> bool:
        return bool(self.cp0["cause"] >> 31)

    @property
    def ce(self) -> int:
        return self.cp0["cause"] >> 28 & 3

    @property
    def epc(self) -> int:
        return self.cp0["epc"]

    @property
    def badvaddr(self) -> int:
        return self.cp0["badvaddr"]

    def __getitem__(self, name: str) -> int:
        return self.gpr[GPR_NAMES.index(name)]


@dataclass
class Rig:
    """A core in kernel mode with EBase at the start of kseg0. `devices` answers uncached accesses by address."""

    tier: str
    ram_bytes: int = 16 * MIB
    devices: dict[int, int] = field(default_factory=dict)
    written: list[tuple[int, int, int]] = field(default_factory=list)
    latency: int = 0
    slice_cycles: int | None = None
    hot_after: int = 1
    """Tier stencil: how often a block runs in tier T before it is translated."""
    costs: Costs | None = None
    vz: bool | dict = False
    unmodelled_ri: bool = False
    ftlb: bool = False
    lasx: bool = False

    def __post_init__(self) -> None:
        self.memory = Memory(self.ram_bytes)
        options = {name: getattr(self, name) for name in ("costs", "vz", "unmodelled_ri", "ftlb", "lasx")}
        self.core = Core(0, self.memory, self.tier, **options)
        self.memory.shared[shared.HOT_AFTER] = self.hot_after
        self.program: Program | None = None
        for vector in VECTORS:
            self.memory.write(vector, wait_word())
            self.memory.write(physical(BEV_BASE) + vector, wait_word())

    @property
    def S(self):
        return self.core.S

    def load(self, text: str, base: int = CODE, at: int | None = None) -> Program:
        """Assembles `text` for virtual `base` and writes it to physical `at`."""
        program = assemble(text, base)
        self.memory.write(physical(base) if at is None else at, program.data)
        return program

    def tlb(self, index: int, va: int, lo0: int, lo1: int = 0, mask: int = 0, asid: int = 0) -> None:
        """TLB entry `index`; `mask` as PageMask holds it."""
        names = ("entryhi", "entrylo0", "entrylo1", "pagemask")
        slots = [registers.register(name).slot for name in names]
        before = [int(self.S[slot]) for slot in slots]
        for slot, value in zip(slots, (va & ~0x1FFF | asid, lo0, lo1, mask), strict=True):
            self.S[slot] = value - (1 << 64) if value >> 63 else value
        write_entry(self.S, 0, index, True, 0)
        for slot, value in zip(slots, before, strict=True):
            self.S[slot] = value

    def entry(self, index: int) -> list[int]:
        """Fields of a TLB entry as the state array holds them."""
        at = state.TLB + index * state.TLB_FIELDS
        return [v & M64 for v in self.S[at : at + state.TLB_FIELDS].tolist()]

    def set(self, pc: int | None = None, status: int = STATUS, cp0: dict[str, int] | None = None, **gpr: int) -> None:
        """State to start from; registers by name."""
        values = self.core.regs
        for name, value in gpr.items():
            values[GPR_NAMES.index(name)] = value & M64
        new = {"gpr": values, "cp0": {"status": status, "cause": 0, "ebase": KSEG0, **(cp0 or {})}}
        if pc is not None:
            new["pc"] = pc
        self.core.set_state(new)

    def run(self, until: int | None = None, max_insns: int | None = 200_000, stop_pcs: tuple[int, ...] = ()) -> Stop:
        """Runs through slices and device accesses to any other stop."""
        core, first = self.core, self.core.instructions
        more = {} if self.slice_cycles is None else {"slice_cycles": self.slice_cycles}
        while True:
            left = None if max_insns is None else first + max_insns - core.instructions
            stop = core.run(until, left, stop_pcs, **more)
            if stop.kind is StopKind.MMIO_READ:
                core.finish_read(self.devices.get(stop.address, 0), stop.cycle + self.latency)
            elif stop.kind is StopKind.MMIO_WRITE:
                self.written.append((stop.address, stop.size, stop.value))
                core.finish_write(stop.cycle + self.latency)
            elif stop.kind is not StopKind.SLICE:
                return stop

    def go(self, text: str, base: int = CODE, at: int | None = None, **start) -> Outcome:
        """Runs `text` to its WAIT or to the first exception."""
        self.program = self.load(text, base, at)
        self.set(pc=self.program.entry, **start)
        return self.finish()

    def finish(self, max_insns: int = 200_000) -> Outcome:
        """Goes on to a WAIT or to the first exception."""
        first = self.core.instructions
        stop = self.run(max_insns=max_insns)
        assert stop.kind is StopKind.DEADLOCK and self.core.waiting, stop
        return self.outcome(first)

    def outcome(self, first: int = 0) -> Outcome:
        now = self.core.get_state()
        pc = (now["pc"] - 4) & M64
        base = BEV_BASE if now["cp0"]["status"] & BEV else now["cp0"]["ebase"] & ~0xFFF & M64
        vector = pc - base if pc - base in VECTORS else None
        return Outcome(pc, vector, self.core.instructions - first - 1, now["cp0"], now["gpr"])


def on_both_tiers() -> Callable:
    """A fixture `rig` for each tier."""

    @pytest.fixture(params=TIERS)
    def rig(request) -> Rig:
        return Rig(request.param)

    return rig
