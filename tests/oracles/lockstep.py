"""Many cases at once on the array backend: those that have come to the same row of the table go on together.

State is that of the runner, a block for each case (tests/oracles/layout.py): it is taken from there and left there, as
the guest program of tests/oracles/qemu.py does. Control flow and exceptions are those of tests/oracles/interpreter.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import or_

import numpy as np

from cpu.isa import Flow, Instruction
from cpu.isa.table import Field
from cpu.isa.values import EXC_CODES, MAX_SCALAR_BYTES, REGISTER_KIND
from cpu.isa.vectors import BITS
from tests.oracles import layout as at
from tests.oracles.arrays import M64, U64, Array, ArrayVector, bits_of
from tests.oracles.interpreter import Fault, MachineError, check_address
from tests.oracles.layout import Result
from tests.oracles.programs import END, MOST_STEPS, ROWS, Program
from tests.oracles.sequences import BRANCHES, CU1, FR, JUMPS, Case
from tests.oracles.system import meaning_of

MOST_ROUNDS = 100_000  # far beyond what any batch takes: a case that does not end is an error
WORTHWHILE = 0.75  # a row is carried out where so many wait, as a part of the most that do
FETCH = "fetch"  # stands for a row, in the coverage, where there is no instruction
GENERAL = 0x180  # offset of the general exception vector


@dataclass
class Coverage:
    """How often each row was carried out, and how often it raised which exception."""

    ran: dict[str, int] = field(default_factory=dict)
    raised: dict[str, dict[str, int]] = field(default_factory=dict)

    def note(self, name: str, count: int) -> None:
        self.ran[name] = self.ran.get(name, 0) + count

    def note_exception(self, name: str, code: str, count: int) -> None:
        of_row = self.raised.setdefault(name, {})
        of_row[code] = of_row.get(code, 0) + count

    def add(self, other: Coverage) -> None:
        for name, count in other.ran.items():
            self.note(name, count)
        for name, codes in other.raised.items():
            for code, count in codes.items():
                self.note_exception(name, code, count)


class Lockstep:
    """Runs a program's cases to their ends; the results are in its blocks."""

    def __init__(self, program: Program, coverage: Coverage):
        self.program, self.coverage = program, coverage
        self.blocks = program.blocks
        self.gpr = self._column(at.GPR, 32)
        self.vectors = self._column(at.VECTORS, 64).reshape(-1, 32, 2)
        self.scratch = self.blocks[:, at.SCRATCH : at.SCRATCH + at.SCRATCH_BYTES]
        named = {"hi": at.HI, "lo": at.LO, "fcsr": at.FCSR, "msacsr": at.MSACSR}
        self.slots = {name: self._column(offset, 1)[:, 0] for name, offset in named.items()}
        self.slots |= {name: np.zeros(len(self.blocks), U64) for name in ("llbit", "lladdr", "llval")}
        self.slots["status"] = self.status = self._column(at.STATUS, 1)[:, 0].copy()
        self.config5 = self._column(at.CONFIG5, 1)[:, 0]
        self.scratch_addresses = program.scratch_addresses
        self.pc = program.start.copy()
        self.target = np.zeros(len(self.blocks), U64)
        self.in_slot = np.zeros(len(self.blocks), bool)
        self.current = program.rows[:, 0].copy()

    def _column(self, offset: int, count: int):
        return self.blocks[:, offset : offset + 8 * count].view(U64)

    def run(self) -> None:
        """In each round the rows at which fewest cases wait are left to wait for more."""
        with np.errstate(over="ignore", divide="raise"):
            for _ in range(MOST_ROUNDS):
                waiting = np.flatnonzero(self.current != END)
                if not len(waiting):
                    self._store_controls()
                    return
                rows = self.current[waiting]
                counts = np.bincount(rows)
                waiting = waiting[counts[rows] >= WORTHWHILE * counts.max()]
                waiting = waiting[np.argsort(self.current[waiting], kind="stable")]
                rows = self.current[waiting]
                for group in np.split(waiting, np.flatnonzero(np.diff(rows)) + 1):
                    Execution(self, ROWS[self.current[group[0]]], group).run()
        raise MachineError(f"{len(waiting)} of {len(self.blocks)} cases did not end in {MOST_ROUNDS} rounds")

    def _store_controls(self) -> None:
        """As CFC1 and CFCMSA give them to the runner: sign-extended words."""
        for name in ("fcsr", "msacsr"):
            self.slots[name][:] = Array(self.slots[name]).word.numbers

    def go(self, cases, pc) -> None:
        """The cases go on at `pc`; an address that cannot be fetched from raises there."""
        self.pc[cases] = pc
        offset = pc - self.program.start[cases]
        index = offset >> U64(2)
        strange = (index > U64(MOST_STEPS)) | (offset & U64(3) != 0)
        self.current[cases] = self.program.rows[cases, np.where(strange, U64(0), index).astype(np.intp)]
        for case in cases[strange]:
            self._fetch_fault(int(case), int(self.pc[case]))

    def _fetch_fault(self, case: int, pc: int) -> None:
        try:
            if pc % 4:
                raise Fault("AdEL", badvaddr=pc)
            check_address(int(self.status[case]), pc, pc, False)
        except Fault as fault:
            self.coverage.note_exception(FETCH, fault.code, 1)
            self.raised(np.array([case]), fault.vector, fault.code, 0, fault.badvaddr)
        else:
            raise MachineError(f"case {case} of its batch goes to {pc:#x}, outside its code")

    def raised(self, cases, vector: int, code: str, coprocessor: int, badvaddr=0) -> None:
        """The cases end with an exception at their pc."""
        slot = self.in_slot[cases].astype(U64)
        cause = U64(EXC_CODES[code] << 2 | coprocessor << 28) | -(slot << U64(31))  # sign-extended, as MFC0 gives it
        columns = (vector + 1, cause, self.pc[cases] - (slot << U64(2)), badvaddr)
        for offset, values in zip((at.VECTOR, at.CAUSE, at.EPC, at.BADVADDR), columns, strict=True):
            self._column(offset, 1)[cases, 0] = values
        self.current[cases] = END


class Execution:
    """One row's instruction in each of the cases of a group. `alive` are those that have not raised."""

    def __init__(self, machine: Lockstep, row: Instruction, cases):
        self.machine, self.row, self.cases = machine, row, cases
        self.alive = np.ones(len(cases), bool)
        index = (machine.pc[cases] - machine.program.start[cases]) >> U64(2)
        words = machine.program.words[cases, index.astype(np.intp)]
        self.fields = {f.name: _extract(f, words) for f in row.fields}

    def run(self) -> None:
        self.machine.coverage.note(self.row.name, len(self.cases))
        self._check_unit()
        if self.row.flow in BRANCHES + JUMPS:
            self._branch()
            return
        if self.row.prefetch:
            hint = self.fields[self.row.prefetch] == 0
            self._go_on(self.cases[hint & self.alive])
            self._keep(~hint)
        self._keep(self.alive)
        if len(self.cases):
            meaning_of(self.row)(ArrayOperands(self))
        self._go_on(self.cases[self.alive])

    def _keep(self, which) -> None:
        self.cases, self.alive = self.cases[which], self.alive[which]
        self.fields = {name: values[which] for name, values in self.fields.items()}

    def _check_unit(self) -> None:
        machine, row = self.machine, self.row
        if row.unit == "fpu":
            self.trap("CpU", machine.status[self.cases] & U64(CU1) == 0, 1)
        self.trap("RI", self._is_absent())
        if row.unit == "msa":
            self.trap("MSADis", machine.config5[self.cases] & U64(at.MSAEN) == 0)

    def _is_absent(self):
        """This core has no LASX; with FR = 0 there are no vectors, no pairs and no odd register of 64 bits."""
        row = self.row
        if row.unit == "lasx":
            return True
        narrow = self.machine.status[self.cases] & U64(FR) == 0
        if row.unit == "msa" or row.fr1:
            return narrow
        odd = [self.fields[name] & U64(1) != 0 for name in row.wide if name in self.fields]
        return narrow & np.any(odd, axis=0) if odd else False

    def _go_on(self, cases) -> None:
        machine = self.machine
        slot = machine.in_slot[cases]
        machine.in_slot[cases] = False
        machine.go(cases, np.where(slot, machine.target[cases], machine.pc[cases] + U64(4)))

    def _branch(self) -> None:
        self._keep(self.alive)
        machine, row, cases = self.machine, self.row, self.cases
        taken = np.ones(len(cases), bool)
        if row.meaning:
            taken = np.broadcast_to(row.meaning(ArrayOperands(self)).truth, taken.shape)
        pc = machine.pc[cases]
        if row.flow is Flow.JUMP:
            target = pc + U64(4) & U64(M64 ^ 0xFFFFFFF) | self.fields["target"] << U64(2)
        elif row.flow is Flow.JUMP_REGISTER:
            target = self.read("rs")
        else:
            target = pc + np.where(taken, U64(4) + (self.fields["offset"] << U64(2)), U64(8))
        if row.link is not None:
            number = self.fields[row.link].astype(np.intp) if isinstance(row.link, str) else row.link
            machine.gpr[cases, number] = pc + U64(8)
            machine.gpr[cases, 0] = 0
        into_slot = taken if row.flow is Flow.LIKELY else np.ones(len(cases), bool)
        machine.target[cases] = target
        machine.in_slot[cases] = into_slot
        machine.go(cases, np.where(into_slot, pc + U64(4), pc + U64(8)))

    # What the meaning's operands ask for.
    def read(self, name: str):
        machine, number = self.machine, self.fields[name].astype(np.intp)
        kind = REGISTER_KIND[name]
        if kind == "gpr":
            return machine.gpr[self.cases, number]
        if kind == "msa":
            return machine.vectors[self.cases, number]
        odd = self._half(number)
        return machine.vectors[self.cases, number - odd, 0] >> (32 * odd).astype(U64)

    def _half(self, number):
        """1 where an FPR is the upper half of the one before: an odd one with FR = 0."""
        return np.where(self.machine.status[self.cases] & U64(FR) == 0, number & 1, 0)

    def write(self, name: str, values) -> None:
        machine, number = self.machine, self.fields[name].astype(np.intp)
        odd = self._half(number)[self.alive]
        cases, number = self.cases[self.alive], number[self.alive]
        kind = REGISTER_KIND[name]
        if kind == "msa":
            machine.vectors[cases, number] = self.of_alive(values.of(64).lanes)
        elif kind == "fpr":
            up, whole = (32 * odd).astype(U64), U64(M64)
            kept = machine.vectors[cases, number - odd, 0] & ~(whole << up)
            machine.vectors[cases, number - odd, 0] = kept | self.of_alive(bits_of(values)) << up
        else:
            machine.gpr[cases, number] = self.of_alive(bits_of(values))
            machine.gpr[cases, 0] = 0

    def of_alive(self, values):
        return np.broadcast_to(values, (len(self.cases), *np.shape(values)[1:]))[self.alive]

    def trap(self, code: str, when, coprocessor: int = 0) -> None:
        struck = self.alive & when
        if struck.any():
            self._raise(struck, code, GENERAL, coprocessor)

    def _raise(self, struck, code: str, vector: int, coprocessor: int = 0, badvaddr=0) -> None:
        self.machine.coverage.note_exception(self.row.name, code, int(struck.sum()))
        self.machine.raised(self.cases[struck], vector, code, coprocessor, badvaddr)
        self.alive &= ~struck

    def places(self, address, size: int, bad, aligned: bool, write: bool):
        """Offsets in the scratch areas; 0 for a case that raises."""
        address = np.broadcast_to(address, len(self.cases))
        bad = np.broadcast_to(bad, len(self.cases))
        error = "AdES" if write else "AdEL"
        if aligned:
            crooked = self.alive & (address % U64(size) != 0)
            if crooked.any():
                self._raise(crooked, error, GENERAL, badvaddr=bad[crooked])
        places = address - self.machine.scratch_addresses[self.cases]
        outside = self.alive & (places > U64(at.SCRATCH_BYTES - size))
        for k in np.flatnonzero(outside):
            self._address_fault(k, int(address[k]), int(bad[k]), write)
        return np.where(self.alive, places, U64(0)).astype(np.intp)

    def _address_fault(self, k: int, address: int, bad: int, write: bool) -> None:
        case = self.cases[k]
        try:
            check_address(int(self.machine.status[case]), address, bad, write)
        except Fault as fault:
            only = np.zeros(len(self.cases), bool)
            only[k] = True
            self._raise(only, fault.code, fault.vector, badvaddr=fault.badvaddr)
        else:
            raise MachineError(f"case {case} of its batch accesses {address:#x}, outside its scratch area")

    def load(self, places, size: int):
        """The bytes at `places`, case by byte."""
        return self.machine.scratch[self.cases[:, None], places[:, None] + np.arange(size)]

    def store(self, places, data) -> None:
        cases, places = self.cases[self.alive, None], places[self.alive, None]
        self.machine.scratch[cases, places + np.arange(data.shape[1])] = self.of_alive(data)


def _extract(f: Field, words):
    """A field of each word as a 64-bit number."""
    up = U64(64 - f.low - f.width)
    raised = words.astype(U64) << up
    down = 64 - f.width
    return (raised.view(np.int64) >> down).view(U64) if f.signed else raised >> U64(down)


class ArrayOperands:
    """What a meaning sees as `i` (cpu/isa/values.py)."""

    def __init__(self, execution: Execution):
        object.__setattr__(self, "_execution", execution)

    def __getattr__(self, name: str):
        execution = self._execution
        if name not in execution.fields:
            return Array(execution.machine.slots[name][execution.cases])
        kind = REGISTER_KIND.get(name)
        if kind is None:
            return Array(execution.fields[name])
        values = execution.read(name)
        return ArrayVector(values) if kind == "msa" else Array(values)

    def __setattr__(self, name: str, value):
        execution = self._execution
        if name in execution.fields:
            execution.write(name, value)
        else:
            execution.machine.slots[name][execution.cases[execution.alive]] = execution.of_alive(bits_of(value))

    def const(self, n: int):
        return Array.constant(n)

    def vector(self, width: int, lanes):
        return ArrayVector.of_columns(width, lanes)

    def splat(self, width: int, value):
        return ArrayVector.of_columns(width, [value] * (BITS // width))

    def trap(self, code: str, when=None, coprocessor: int = 0):
        self._execution.trap(code, True if when is None else when.truth, coprocessor)

    def load(self, address, size: int, signed: bool = True, bad=None, aligned: bool = False):
        places = self._places(address, size, bad, aligned, False)
        loaded = self._loaded(places, size)
        return loaded.sext(8 * size) if signed and size < 8 else loaded

    def store(self, address, size: int, value, bad=None, aligned: bool = False):
        self._store(self._places(address, size, bad, aligned, True), size, value)

    def modify(self, address, size: int, function, bad=None, aligned: bool = False):
        places = self._places(address, size, bad, aligned, True)
        self._store(places, size, function(self._loaded(places, size)))

    def _places(self, address, size: int, bad, aligned: bool, write: bool):
        return self._execution.places(bits_of(address), size, bits_of(address if bad is None else bad), aligned, write)

    def _loaded(self, places, size: int):
        data = self._execution.load(places, size)
        if size > MAX_SCALAR_BYTES:
            return ArrayVector(data).of(64)
        wide = np.zeros((len(data), 8), np.uint8)
        wide[:, :size] = data
        return Array(wide.view(U64)[:, 0])

    def _store(self, places, size: int, value) -> None:
        if size > MAX_SCALAR_BYTES:
            data = value.of(8).lanes
        else:
            data = np.atleast_1d(bits_of(value))[:, None].view(np.uint8)[:, :size]
        self._execution.store(places, data)

    def call(self, function, *values):
        return function(self, *(value if isinstance(value, Array) else Array.constant(value) for value in values))

    def each(self, function, columns, *values):
        pairs = [self.call(function, *lanes, *values) for lanes in zip(*columns, strict=True)]
        return [result for result, _ in pairs], reduce(or_, [flags for _, flags in pairs])


def run_cases(cases: Sequence[Case], coverage: Coverage | None = None) -> list[Result]:
    """The states that the array backend ends `cases` with."""
    program = Program.of(cases)
    Lockstep(program, coverage or Coverage()).run()
    return program.results()
