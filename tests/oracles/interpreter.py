"""A small machine around the int backend: it runs one case from the meanings in the table, with delay slots.

It shares nothing with the engine in cpu/engine: what it gets wrong, QEMU shows; what it and the engine disagree
about is an error of the engine.
"""

from __future__ import annotations

from cpu.isa import Flow, Instruction
from cpu.isa.values import EXC_CODES, GuestTrap, IntOperands
from soc.errors import SocError
from tests.oracles import layout as at
from tests.oracles.layout import Result
from tests.oracles.sequences import CU1, FR, KX, SX, UX, Case
from tests.oracles.system import meaning_of

M64 = (1 << 64) - 1
SEGMENT, PHYSICAL = (1 << 48) - 1, (1 << 48) - 1
STEPS = 1000  # a case has no loop


class MachineError(SocError):
    """A case left the memory, the registers or the code that it owns."""


class Fault(Exception):
    """An exception with its vector offset and bad address."""

    def __init__(self, code: str, vector: int = 0x180, badvaddr: int = 0):
        super().__init__(code)
        self.code, self.vector, self.badvaddr = code, vector, badvaddr


class Machine:
    """The machine face of IntOperands, for one case."""

    def __init__(self, case: Case):
        self.case = case
        self.gpr = list(case.gpr)
        self.vectors = list(case.vectors)
        self.slots = {name: getattr(case, name) for name in ("hi", "lo", "fcsr", "msacsr", "status")}
        self.slots |= {"llbit": 0, "lladdr": 0, "llval": 0}
        self.scratch = bytearray(case.scratch)

    def get(self, kind: str, number: int) -> int:
        if kind == "gpr":
            return self.gpr[number]
        if kind == "msa":
            return self.vectors[number]
        number, half = self.half(number)
        return (self.vectors[number] & M64) >> half

    def set(self, kind: str, number: int, value: int) -> None:
        if kind == "gpr" and number == 0:
            return
        if kind == "gpr":
            self.gpr[number] = value & M64
        elif kind == "msa":
            self.vectors[number] = value
        else:
            number, half = self.half(number)
            self.vectors[number] = self.vectors[number] & ~(M64 << half & M64) | value << half & M64

    def half(self, number: int) -> tuple[int, int]:
        """Register and lowest bit of an FPR: with Status.FR = 0 an odd one is the upper half of the one before."""
        odd = number & 1 if self.slots["status"] & FR == 0 else 0
        return number - odd, 32 * odd

    def slot(self, name: str) -> int:
        return self.slots[name]

    def set_slot(self, name: str, value: int) -> None:
        self.slots[name] = value & M64

    def load(self, address: int, size: int, bad: int, aligned: bool, write: bool = False) -> int:
        place = self.place(address, size, bad, aligned, write)
        return int.from_bytes(self.scratch[place : place + size], "little")

    def store(self, address: int, size: int, value: int, bad: int, aligned: bool) -> None:
        place = self.place(address, size, bad, aligned, True)
        self.scratch[place : place + size] = value.to_bytes(size, "little")

    def place(self, address: int, size: int, bad: int, aligned: bool, write: bool) -> int:
        """Offset in the scratch area; raises the exception that the address gives."""
        if aligned and address % size:
            raise Fault("AdES" if write else "AdEL", badvaddr=bad)
        if self.case.layout.kernel:
            check_address(self.case.status, address, bad, write)
        place = address - self.case.scratch_address
        if not 0 <= place <= at.SCRATCH_BYTES - size:
            raise MachineError(f"case {self.case.number} accesses {address:#x}, outside its scratch area")
        return place

    def fetch(self, pc: int) -> None:
        if pc % 4:
            raise Fault("AdEL", badvaddr=pc)
        if self.case.layout.kernel:
            check_address(self.case.status, pc, pc, False)


def check_address(status: int, address: int, bad: int, write: bool) -> None:
    """Raises the address error or TLB refill of a kernel-mode access; the TLB is empty."""
    region, low = address >> 62, address & (1 << 62) - 1
    compatible = address <= 0x7FFFFFFF or address >= 0xFFFFFFFF80000000
    wide = status & (UX, SX, KX, KX)[region]
    if compatible and 0xFFFFFFFF80000000 <= address < 0xFFFFFFFFC0000000:
        return
    if not compatible:
        limit = (SEGMENT, SEGMENT, None, SEGMENT - 0x80000000)[region]
        if region == 2:
            if wide and not low & (1 << 59) - 1 & ~PHYSICAL:
                return
            raise Fault("AdES" if write else "AdEL", badvaddr=bad)
        if not wide or low > limit:
            raise Fault("AdES" if write else "AdEL", badvaddr=bad)
    raise Fault("TLBS" if write else "TLBL", 0x080 if wide else 0x000, bad)


def run_case(case: Case) -> Result:
    """The state that the int backend ends `case` with."""
    machine = Machine(case)
    code = {case.start + 4 * n: step for n, step in enumerate(case.steps)}
    pc = case.start
    branch = None  # address of the branch whose delay slot is being executed
    for _ in range(STEPS):
        if pc == case.end and branch is None:
            return _result(machine)
        try:
            machine.fetch(pc)
            step = code[pc]
            fields = step.row.decode(case.words()[(pc - case.start) // 4])
            if step.row.flow in (Flow.BRANCH, Flow.LIKELY, Flow.JUMP, Flow.JUMP_REGISTER):
                _check_unit(machine, step.row, fields)
                target, annul = _flow(machine, step, fields, pc)
                if annul:
                    pc += 8
                    continue
                branch, pc = pc, pc + 4
                slot = code[pc]
                _execute(machine, slot.row, slot.row.decode(case.words()[(pc - case.start) // 4]))
                branch, pc = None, target
                continue
            _execute(machine, step.row, fields)
            pc += 4
        except GuestTrap as trap:
            cause = EXC_CODES[trap.code] << 2 | trap.coprocessor << 28
            return _trapped(machine, 0x180, cause, pc, branch, 0)
        except Fault as fault:
            return _trapped(machine, fault.vector, EXC_CODES[fault.code] << 2, pc, branch, fault.badvaddr)
    raise MachineError(f"case {case.number} did not reach its end in {STEPS} steps")


def _check_unit(machine: Machine, row: Instruction, fields: dict[str, int]) -> None:
    status = machine.slots["status"]
    if row.unit == "fpu" and machine.case.layout.kernel and not status & CU1:
        raise GuestTrap("CpU", 1)
    # This core has no LASX; with FR = 0 there are no vectors, no pairs and no odd register of 64 bits.
    absent = row.unit == "msa" or row.fr1 or any(fields.get(name, 0) & 1 for name in row.wide)
    if row.unit == "lasx" or (absent and not status & FR):
        raise GuestTrap("RI")
    if row.unit == "msa" and machine.case.layout.kernel and not machine.case.config5 & at.MSAEN:
        raise GuestTrap("MSADis")


def _execute(machine: Machine, row: Instruction, fields: dict[str, int]) -> None:
    _check_unit(machine, row, fields)
    if not row.is_hint(fields):
        meaning_of(row)(IntOperands(machine, fields))


def _flow(machine: Machine, step, fields: dict[str, int], pc: int) -> tuple[int, bool]:
    """(address after the delay slot, whether the slot is annulled); writes the link register."""
    row = step.row
    i = IntOperands(machine, fields)
    taken = row.meaning(i).truth if row.meaning else True
    if row.flow is Flow.JUMP:
        target = (pc + 4) & ~0xFFFFFFF | fields["target"] << 2
    elif row.flow is Flow.JUMP_REGISTER:
        target = machine.gpr[fields["rs"]]
    else:
        target = pc + 4 + 4 * fields["offset"] if taken else pc + 8
    if row.link is not None:
        machine.set("gpr", row.link if isinstance(row.link, int) else fields[row.link], pc + 8)
    return target, not taken and row.flow is Flow.LIKELY


def _result(machine: Machine, *trap) -> Result:
    slots = (machine.slots[name] for name in ("hi", "lo", "fcsr", "msacsr"))
    return at.result(machine.gpr, *slots, machine.vectors, machine.scratch, *trap)


def _trapped(machine: Machine, vector: int, cause: int, pc: int, branch: int | None, badvaddr: int) -> Result:
    if branch is None:
        return _result(machine, vector, cause, pc, badvaddr)
    return _result(machine, vector, cause | at.BD, branch, badvaddr)
