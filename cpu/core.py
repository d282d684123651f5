"""The public face of one core: run it, look at it, set it. See cpu/engine for how it runs.

A stop tells why `run` came back. An uncached access leaves the core parked at its instruction: `finish_read` or
`finish_write` completes it and time goes on from there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np

from cpu import state
from cpu.costs import Costs
from cpu.cp0 import registers, stable, timer
from cpu.cp0.exceptions import set_line, take_exception
from cpu.cp0.fields import CONFIG5_MSAEN, EXCCODE_DBE
from cpu.engine import loop, parked, shared, tiers
from cpu.engine.helpers import LCSRP, LSPW, LVZP
from cpu.engine.softmmu import flush_all, update_context
from cpu.engine.softmmu_layout import CONTEXTS, TABLE_BYTES
from cpu.isa import disassembler
from cpu.memory import Memory, zeros
from cpu.tlb.translate import FETCH, USER, mode_of, translate
from cpu.vz.choices import Choices
from cpu.vz.face import RootMode
from cpu.words import M32, M64, fits, signed
from soc.errors import SocError, choose
from soc.ports import is_level

WHOLE_SLICE = 40_000_000
TLB_WORDS, FTLB_WORDS = state.TLB_ENTRIES * state.TLB_FIELDS, state.FTLB_ENTRIES * state.TLB_FIELDS
FTLB_SLOTS = ("ftlb", "guest_ftlb")
STATE_KEYS = ("pc", "gpr", "hi", "lo", "fpr", "msa", "fcsr", "msacsr", "cp0")
MODES = ("kernel", "supervisor", "user", "user")
"""By Status.KSU; 3 is not defined."""


class CoreError(SocError):
    """A core was asked for what it cannot do."""


class StopKind(IntEnum):
    """Why a run came back."""

    HORIZON = 0
    SLICE = 1
    MMIO_READ = 2
    MMIO_WRITE = 3
    LIMIT = 4
    PC = 5
    DEADLOCK = 6
    UNMODELLED = 7
    EXIT = 8
    STEP = 9
    WATCH = 10


class Stop(NamedTuple):
    """`cycle` is the instruction's own time in core cycles; `address` is physical, or a configuration register's number
    where `space` is state.CSR_SPACE."""

    kind: StopKind
    address: int = 0
    size: int = 0
    value: int = 0
    cycle: int = 0
    text: str = ""
    space: int = state.MEMORY_SPACE


def _given(values: Mapping[str, Any]) -> Iterator[tuple[str, Any, int]]:
    """(name, value, width in bits) of every register in a state dictionary."""
    for name, width in (("pc", 64), ("hi", 64), ("lo", 64), ("fcsr", 32), ("msacsr", 32)):
        if name in values:
            yield name, values[name], width
    for name in ("gpr", "fpr"):
        yield from ((f"{name}[{n}]", value, 64) for n, value in enumerate(values.get(name, ())))
    for n, halves in enumerate(values.get("msa", ())):
        if not isinstance(halves, tuple | list) or len(halves) != 2:
            raise CoreError(f"set_state: msa[{n}] = {halves!r}; a pair is needed, (low 64 bits, high 64 bits)")
        yield from ((f"msa[{n}]", half, 64) for half in halves)
    for name, value in values.get("cp0", {}).items():
        if name != "config5_msaen":
            yield f"cp0 {name}", value, registers.register(name).width


def _plain(value: Any) -> Any:
    """`value`, which may be nested, with Python's own numbers and lists in place of numpy's."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


def _check_state(values: Mapping[str, Any], vz: bool) -> None:
    """CoreError, or TableError for a CP0 register there is not, when `set_state` cannot take `values`."""
    for key in values:
        if key not in STATE_KEYS:
            raise CoreError(f"set_state: {choose('key', key, STATE_KEYS)}")
    for name in ("gpr", "fpr", "msa"):
        if name in values and len(values[name]) != 32:
            raise CoreError(f"set_state: {name} needs 32 values, got {len(values[name])}")
    for name, value, width in _given(values):
        if not fits(value, width):
            raise CoreError(f"set_state: {name} = {value!r}; a whole number of {width} bits is needed")
    for name, value in values.get("cp0", {}).items():
        if name == "config5_msaen":
            if not is_level(value):
                raise CoreError(f"set_state: cp0 {name} = {value!r}; allowed: 0, 1")
        elif not (r := registers.register(name)).modelled or (r.vz and not vz):
            raise CoreError(f"set_state: CP0 register {name} is not modelled")


def storage(count: int) -> tuple[np.ndarray, np.ndarray]:
    """State arrays (one row a core, on cache lines) and translation tables of `count` cores. What a table holds counts
    only while its context has a key, and it is emptied before it gets one."""
    width = (state.SIZE + 7) // 8 * 8
    states = zeros(count * width, np.int64).reshape(count, width)
    return states, zeros(count * CONTEXTS * TABLE_BYTES // 8, np.int64).reshape(count, -1)


class Core:
    """One core of a machine. `tier`: "auto", "threaded" or "reference"."""

    def __init__(
        self,
        number: int,
        memory: Memory,
        tier: str = "auto",
        states: np.ndarray | None = None,
        tables: np.ndarray | None = None,
        costs: Costs | None = None,
        csr: bool = False,
        vz: bool | Mapping[str, Any] | Choices = False,
        unmodelled_ri: bool = False,
        ftlb: bool = False,
        lasx: bool = False,
    ):
        """`states` and `tables`: state arrays and translation tables of all cores of the memory; without them the core
        is alone. `costs` are the same for all cores of a memory; a cycle per instruction unless given. `csr`: CPUCFG
        says that there are instructions for configuration registers (LCSRP); they are carried out in any case. `vz`: it
        has the VZ module, LDDIR and LDPTE, with the choices named (cpu/vz/choices.py); `core.vz` is root's view of it.
        `unmodelled_ri`: what is real but not modelled raises RI and is counted (`unmodelled`), instead of a stop.
        `ftlb`: each TLB has 2048 entries of one page size besides its 64. `lasx`: it has the 256-bit vectors, which
        Config6.LASXMODE and Config.LASXEN enable."""
        alone = states is None or tables is None
        if alone:
            states, tables = storage(1)
        if not 0 <= number < len(states):
            raise CoreError(f"core {number} of {len(states)}")
        S = states[number]
        self.number = number
        self.memory = memory
        self.S = S
        self.words = S.data
        """The same slots as Python's own integers: what single ones are read and written by."""
        self._tables = tables[number]
        self.costs, self.csr, self.unmodelled_ri, self.lasx = costs or Costs(), csr, unmodelled_ri, lasx
        memory.set_charges(self.costs.charges())
        M = memory.shared
        M[shared.CORES], M[shared.TABLES_BYTES] = len(tables), CONTEXTS * TABLE_BYTES
        M[shared.TABLES] = tables.ctypes.data
        M[shared.STATES], M[shared.STATES_BYTES] = states.ctypes.data, states.strides[0]
        S[state.STATE_ADDRESS] = S.ctypes.data
        S[state.SOFTMMU_BASE] = self._tables.ctypes.data
        S[state.NUMBER] = number
        self.choices, self.ftlb = Choices.of(vz), ftlb
        self.vz = RootMode(self) if self.choices else None
        self.tier = tiers.choose(tier)
        self._run = self.tier.runner(self)
        self.reset()
        self.log_interrupts(alone)

    def reset(self) -> None:
        """The state after a cold reset, at cycle 0."""
        S = self.S
        keep = (state.STATE_ADDRESS, state.SOFTMMU_BASE, state.NUMBER, state.IRQ_LOG_WANTED)
        kept = [int(S[k]) for k in keep]
        S[:] = 0
        for k, value in zip(keep, kept, strict=True):
            S[k] = value
        S[state.CONTEXT_KEYS : state.CONTEXT_KEYS + CONTEXTS] = -1
        for tlb in (state.TLB, state.GTLB):
            S[tlb + 1 : tlb + TLB_WORDS + FTLB_WORDS : state.TLB_FIELDS] = -1
        S[state.COUNT_DIVIDER], S[state.EXCEPTION_ENTRY] = self.costs.count_divider, self.costs.exception_entry
        S[state.CORE_CLOCK], S[state.STABLE_CLOCK] = self.costs.core_clock, self.costs.stable_clock
        S[state.CPUCFG1] = registers.CPUCFG1_LASX if self.lasx else 0
        S[state.CPUCFG2] = (LCSRP if self.csr else 0) | (LSPW | LVZP if self.vz else 0)
        S[state.UNMODELLED_RI] = self.unmodelled_ri
        S[state.RANDOM] = 0x2545F491 + self.number
        S[state.PORT] = self.number
        S[state.SAMPLE] = 1
        S[state.PC] = -0x40400000
        if self.choices:
            S[state.VZ_CHOICES], S[state.GUEST_IDS] = self.choices.bits, self.choices.ids
        registers.reset(S, self.number, self.choices, self.ftlb)
        S[state.GUEST_STABLE_END] = stable.STANDS
        for bank in (0, state.GUEST):
            timer.rearm(S, bank, 0)
        update_context(S)

    # Running
    def run(
        self,
        until: int | None,
        max_insns: int | None = None,
        stop_pcs: tuple[int, ...] = (),
        slice_cycles: int = WHOLE_SLICE,
    ) -> Stop:
        """Runs until the first block boundary at or after core cycle `until` (None: no horizon), at most `max_insns`
        instructions, and never past `slice_cycles` without coming back (a host matter: call again)."""
        S = self.S
        S[state.UNTIL] = timer.NEVER if until is None else until
        S[state.SLICE_END] = self.cycles + slice_cycles
        S[state.LIMIT] = timer.NEVER if max_insns is None else self.instructions + max_insns
        S[state.STEP] = 0
        if stop_pcs or self.memory.stops:
            self.memory.set_stops(stop_pcs)
        code = int(self._run())
        if code in (loop.STOP_READ, loop.STOP_WRITE):
            size = int(S[state.ACCESS_SIZE])
            S[state.AWAITS] = 1
            kind = StopKind.MMIO_READ if code == loop.STOP_READ else StopKind.MMIO_WRITE
            value = 0 if kind is StopKind.MMIO_READ else int(S[state.BOUNCE]) & ((1 << 8 * size) - 1)
            space = int(S[state.ACCESS_SPACE])
            return Stop(kind, int(S[state.ACCESS_PA]), size, value, self.cycles, space=space)
        return self.stop_of(code)

    def stop_of(self, code: int) -> Stop:
        """What a stop code of the loop means."""
        if code == loop.STOP_HORIZON:
            return Stop(StopKind.HORIZON, cycle=self.cycles)
        if code == loop.STOP_SLICE:
            return Stop(StopKind.SLICE, cycle=self.cycles)
        if code == loop.STOP_LIMIT:
            return Stop(StopKind.LIMIT, cycle=self.cycles)
        if code == loop.STOP_PC:
            return Stop(StopKind.PC, address=self.pc, cycle=self.cycles)
        if code == loop.STOP_STEP:
            return Stop(StopKind.STEP, address=self.pc, cycle=self.cycles)
        if code == loop.STOP_WATCH:
            return Stop(StopKind.WATCH, address=self.pc, cycle=self.cycles)
        if code == loop.STOP_EXIT:
            return Stop(StopKind.EXIT, cycle=self.cycles)
        if code == loop.STOP_DEADLOCK:
            return Stop(StopKind.DEADLOCK, cycle=self.cycles, text=self.waits_for())
        return self._cannot_go_on(code)

    def _cannot_go_on(self, code: int) -> Stop:
        at = f"core {self.number} at pc {self.pc:#018x}"
        if code == loop.STOP_STORM:
            cause = int(self.S[registers.C0_CAUSE])
            text = (
                f"{at} takes exceptions without completing an instruction (ExcCode {cause >> 2 & 31}, EPC "
                f"{self.cp0('epc'):#018x}): its handler itself faults. Check EBase, Status.BEV and the vector."
            )
            return Stop(StopKind.DEADLOCK, cycle=self.cycles, text=text)
        word = self.word_at(self.pc)
        shown = f"{word:#010x} ({disassembler.disassemble(word, self.pc)})" if word is not None else "unreadable"
        why = {
            loop.STOP_UNMODELLED: "is real on this core but not modelled yet",
            loop.STOP_PARTIAL: "is a partial, conditional or vector access to a device at "
            f"{int(self.S[state.ACCESS_PA]):#x}; that is not modelled",
        }[code]
        return Stop(StopKind.UNMODELLED, cycle=self.cycles, text=f"{at}: instruction {shown} {why}.")

    def waits_for(self) -> str:
        """What a waiting core waits for, in words."""
        S = self.S
        status, cause = int(S[registers.C0_STATUS]), int(S[registers.C0_CAUSE])
        enabled = [f"IP{k}" for k in range(8) if status >> (8 + k) & 1]
        return (
            f"core {self.number} waits at pc {self.pc:#018x} for {' or '.join(enabled) or 'no interrupt at all'} "
            f"(Status {status:#010x}, Cause {cause:#010x})"
        )

    def finish_read(self, value: int, cycle: int) -> None:
        """The reply to the parked load arrived at core cycle `cycle`."""
        self._finish((shared.RESUME_SLOW, shared.RESUME_CSR), "a read", cycle)
        self.S[state.BOUNCE] = signed(value)

    def finish_write(self, cycle: int) -> None:
        """The parked store completed at core cycle `cycle`."""
        self._finish((shared.RESUME_STORED,), "a write", cycle)

    def finish_error(self, cycle: int) -> None:
        """The parked access ended in a bus error: a data bus error exception."""
        S = self.S
        self._finish((int(S[state.RESUME]),), "an access", cycle)
        S[state.RESUME] = 0
        S[state.SAMPLE] = 1
        take_exception(S, 0, EXCCODE_DBE, 0, int(S[state.PC]), int(S[state.RESUME_DELAY]), -1)

    def _finish(self, expected: tuple[int, ...], what: str, cycle: int) -> None:
        if not self.S[state.AWAITS] or self.S[state.RESUME] not in expected:
            raise CoreError(f"core {self.number} is not waiting for {what}")
        late = cycle - self.cycles
        if late < 0:
            raise CoreError(f"a reply at cycle {cycle} to an access at cycle {self.cycles}")
        self.S[state.AWAITS] = 0
        loop.shift_time(self.S, late)

    def set_line(self, ip: int, level: int) -> None:
        """Level of interrupt input IP2..IP6; sampled at the next block boundary."""
        if not 2 <= ip <= 6:
            raise CoreError(f"interrupt line IP{ip}: devices drive IP2 to IP6 (IP7 is the core's own timer)")
        if not is_level(level):
            raise CoreError(f"interrupt line IP{ip} at level {level!r}; allowed: 0, 1")
        set_line(self.S, 1 << (8 + ip), int(level))

    def log_interrupts(self, wanted: bool = True) -> None:
        """Whether interrupts taken are noted for `drain_irq_log`."""
        self.S[state.IRQ_LOG_WANTED] = int(wanted)

    def drain_irq_log(self) -> list[tuple[int, int, int]]:
        """(cycle, pending and enabled IP bits, cycle the timer last came due) of each interrupt taken since the last
        call; under a hypervisor in Python those that guests took."""
        count = int(self.S[state.IRQ_LOG_COUNT])
        if not count:
            return []
        log = self.S[state.IRQ_LOG : state.IRQ_LOG + 3 * count].tolist()
        self.S[state.IRQ_LOG_COUNT] = 0
        return list(zip(log[::3], log[1::3], log[2::3], strict=True))

    # Looking
    @property
    def cycles(self) -> int:
        """Core clock cycles since reset, waits included."""
        return self.words[state.CYCLES]

    @property
    def instructions(self) -> int:
        """Instructions completed since reset."""
        return self.words[state.INSTRUCTIONS]

    @property
    def waiting(self) -> bool:
        return bool(self.S[state.WAITING])

    @property
    def held(self) -> bool:
        """Waiting at reset for its release."""
        return bool(self.S[state.HELD])

    @property
    def pc(self) -> int:
        return int(self.S[state.PC]) & M64

    @property
    def mode(self) -> str:
        """kernel, supervisor or user, with `guest` before it in VZ's guest mode; in user mode with the ASID."""
        S, bank = self.S, int(self.S[state.BANK])
        mode = mode_of.py_func(int(S[bank + registers.C0_STATUS]))
        asid = f" asid {int(S[bank + registers.C0_ENTRYHI]) & 0xFF}" if mode == USER else ""
        return f"{'guest ' if bank else ''}{MODES[mode]}{asid}"

    @property
    def regs(self) -> list[int]:
        """The 32 general registers, unsigned."""
        return [v & M64 for v in self.S[state.GPR : state.GPR + 32].tolist()]

    def cp0(self, name: str) -> int:
        """A CP0 register by the manual's lower-case name, unsigned."""
        r = registers.register(name)
        if name == "count":
            return int(timer.count(self.S, 0, self.S[state.CYCLES]))
        return int(self.S[r.slot]) & (M64 if r.width == 64 else M32)

    @property
    def exceptions(self) -> dict[int, int]:
        """Exceptions taken, by ExcCode."""
        counts = self.S[state.EXCEPTIONS : state.EXCEPTIONS + 32].tolist()
        return {code: n for code, n in enumerate(counts) if n}

    @property
    def tlb_refills(self) -> int:
        return int(self.S[state.EXCEPTIONS + state.TLB_REFILLS])

    @property
    def mmio_count(self) -> int:
        return int(self.S[state.MMIO_COUNT])

    @property
    def unmodelled(self) -> int:
        """Instructions that are real but not modelled and raised RI."""
        return int(self.S[state.UNMODELLED_COUNT])

    def translate(self, va: int, access: int = FETCH) -> int | None:
        """Physical address of a virtual one for an access in the current mode, or None. It leaves no trace."""
        S, tried_first = self.S, (state.TLB_LAST, state.TLB_LAST + state.GUEST)
        kept = [S[at] for at in tried_first]
        pa, status = translate(S, signed(va), access)
        for at, value in zip(tried_first, kept, strict=True):
            S[at] = value
        return None if status else int(pa)

    def word_at(self, va: int) -> int | None:
        """The instruction word at a virtual address, or None where nothing can be read."""
        pa = self.translate(va & ~3)
        if pa is None or not self.memory.is_ram(pa):
            return None
        return int.from_bytes(self.memory.read(pa, 4), "little")

    # State as a dictionary
    def get_state(self) -> dict:
        """Every register, unsigned, by STATE_KEYS. `fpr` and `msa` are views of one file; `cp0` is by name, with
        `config5_msaen` for that bit of Config5."""
        S = self.S.tolist()
        fpr = [S[state.FPR + state.FPR_STRIDE * n] & M64 for n in range(32)]
        high = [S[state.FPR + state.FPR_STRIDE * n + 1] & M64 for n in range(32)]
        names = [r.name for r in registers.REGISTERS.values() if r.modelled and (self.vz or not r.vz)]
        msa = {"config5_msaen": int(self.cp0("config5") & CONFIG5_MSAEN != 0)}
        return {
            "pc": self.pc,
            "gpr": self.regs,
            "hi": S[state.HI] & M64,
            "lo": S[state.LO] & M64,
            "fpr": fpr,
            "msa": list(zip(fpr, high, strict=True)),
            "fcsr": S[state.FCSR] & M32,
            "msacsr": S[state.MSACSR] & M32,
            "cp0": {name: self.cp0(name) for name in names} | msa,
        }

    def set_state(self, values: dict) -> None:
        """Sets the registers that are given, by the keys of `get_state`; a value is a number of the register's width,
        signed or unsigned. An FPR given without MSA has its upper half cleared. Clears the LL bit and leaves any
        unfinished access. CoreError for what there is not or does not fit: then nothing is set."""
        S = self.S
        values = _plain(values)
        _check_state(values, self.vz is not None)
        if "pc" in values:
            S[state.PC] = signed(values["pc"])
        if "gpr" in values:
            S[state.GPR : state.GPR + 32] = [0, *[signed(v) for v in values["gpr"][1:]]]
        for name, slot in (("hi", state.HI), ("lo", state.LO)):
            if name in values:
                S[slot] = signed(values[name])
        for name, slot in (("fcsr", state.FCSR), ("msacsr", state.MSACSR)):
            if name in values:
                S[slot] = values[name] & M32
        for n, value in enumerate(values.get("fpr", ())):
            S[state.FPR + state.FPR_STRIDE * n] = signed(value)
            S[state.FPR + state.FPR_STRIDE * n + 1] = 0
        for n, (low, high) in enumerate(values.get("msa", ())):
            S[state.FPR + state.FPR_STRIDE * n] = signed(low)
            S[state.FPR + state.FPR_STRIDE * n + 1] = signed(high)
        for name, value in values.get("cp0", {}).items():
            if name == "config5_msaen":
                enabled = CONFIG5_MSAEN if value else 0
                S[registers.C0_CONFIG5] = int(S[registers.C0_CONFIG5]) & ~CONFIG5_MSAEN | enabled
            elif name == "count":
                timer.set_count(S, self.cycles, value & M32)
            elif name == "compare":
                timer.set_compare(S, 0, self.cycles, value & M32)
            elif name == "ebase":
                # Also as a 32-bit address, which is sign-extended; the core's number is not writable.
                base = value - (1 << 32) if value >> 31 == 1 else value
                S[registers.C0_EBASE] = (signed(base) & ~0x3FF) | self.number
            elif name == "cause":
                timer.set_disabled(S, self.cycles, value & M32)
            else:
                r = registers.register(name)
                S[r.slot] = signed(value) if r.width == 64 else value & M32
        S[state.LLBIT] = 0
        S[state.RESUME] = 0
        S[state.WAITING] = S[state.AWAITS] = S[state.REQUEST] = 0
        S[state.SAMPLE] = 1
        flush_all(S)
        update_context(S)

    # Snapshots.
    def _saved(self) -> dict[str, tuple[int, int]]:
        """The slots that a snapshot holds."""
        left_out = state.HOST if self.ftlb else {*state.HOST, *FTLB_SLOTS}
        return {name: where for name, where in state.SLOTS.items() if name not in left_out}

    def save(self) -> dict:
        """All that the future of the core depends on, as msgpack types: the state by slot, and where it is parked."""
        S = self.S
        slots = {name: S[at : at + count].astype("<i8").tobytes() for name, (at, count) in self._saved().items()}
        where = self.interpreter.place() if self.tier.name == "reference" else parked.place(self)
        return {"slots": slots, "place": None if where is None else list(where)}

    def restore(self, saved: dict) -> None:
        """Goes on from what `save` gave, in whatever tier. CoreError when it is not from such a core."""
        S, slots = self.S, saved["slots"]
        known = {name: 8 * count for name, (_, count) in self._saved().items()}
        if {name: len(data) for name, data in slots.items()} != known:
            wrong = sorted(name for name in {*slots, *known} if len(slots.get(name, b"")) != known.get(name))
            raise CoreError(f"core {self.number}: the saved state is of another version; it differs in {wrong}")
        if slots["number"] != int(self.number).to_bytes(8, "little"):
            raise CoreError(f"core {self.number}: the saved state is that of another core")
        for name, data in slots.items():
            at, count = state.SLOTS[name]
            S[at : at + count] = np.frombuffer(data, "<i8")
        S[state.CONTEXT_KEYS : state.CONTEXT_KEYS + CONTEXTS] = -1
        update_context(S)
        if saved["place"] is not None:
            where = parked.Place(*saved["place"])
            if self.tier.name == "reference":
                self.interpreter.stand(where)
            else:
                parked.stand(self, where)

    def digest(self) -> bytes:
        """The architectural registers as bytes, for the trace hash."""
        S = self.S
        parts = [S[state.GPR : state.GPR + 32], S[[state.HI, state.LO, state.PC, state.FCSR, state.MSACSR]]]
        parts += [S[state.FPR : state.FPR + 32 * state.FPR_STRIDE], S[state.CP0 : state.CP0 + 256]]
        words = TLB_WORDS + (FTLB_WORDS if self.ftlb else 0)
        tlb = S[state.TLB : state.TLB + words].reshape(-1, state.TLB_FIELDS)
        parts += [tlb if self.vz else tlb[:, :-1]]
        parts += [np.array([self.cycles, self.cycles - self.instructions], np.int64)]
        if self.vz:
            parts += [S[state.GCP0 : state.GCP0 + 256]]
            parts += [S[state.GTLB : state.GTLB + words]]
        return b"".join(np.ascontiguousarray(p).tobytes() for p in parts)
