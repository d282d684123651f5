"""The reference interpreter: one instruction at a time on the int backend, with the boundaries of every tier.

Slow and plain: it caches nothing, fetches and translates each access anew, and decodes each word from the table. It
shares with the fast tiers only the meanings, `translate`, the exceptions and the helpers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from cpu import state
from cpu.cp0.exceptions import take_address_exception, take_exception
from cpu.cp0.fields import EXCCODE_ADEL, EXCCODE_ADES, EXCCODE_RI
from cpu.engine import loop, shared
from cpu.engine.blocks import BOUNDARY_BYTES, note_instruction, raise_fetch
from cpu.engine.decode import decode_for, pack
from cpu.engine.helpers import JUMP, NEXT, RAISED, READ_CSR, SOONER, WAIT, WRITE_CSR, finish_csr, run_helper
from cpu.engine.micro import HELPER_ID, OPS, UNIT_ENABLES
from cpu.engine.slow_access import stops_access
from cpu.isa import Flow
from cpu.isa.values import EXC_CODES, MAX_SCALAR_BYTES, VECTOR_BITS, GuestTrap, IntOperands
from cpu.tlb.translate import FETCH, ROOT, effective, translate
from cpu.vz.mode import HALVES, MODES, is_hypervisors
from cpu.vz.short_exit import answer
from cpu.words import M32, M64, signed


class Mmio(Exception):
    """The access goes to a device."""

    def __init__(self, address: int, size: int, is_store: bool, value: int = 0):
        super().__init__(hex(address))
        self.address, self.size, self.is_store, self.value = address, size, is_store, value


class Watched(Exception):
    """A watch stops the access."""


class AddressFault(Exception):
    """A translation failed."""

    def __init__(self, status: int, va: int):
        super().__init__(hex(va))
        self.status, self.va = status, va


class Place(NamedTuple):
    """Where a core is parked inside a block, without an address of the host: the word of the instruction, and the pc
    that follows the block where the instruction is its last (None: the block goes on)."""

    word: int
    following: int | None


class PartialStore(Exception):
    """A partial or conditional store to a device, or a vector from or to one."""


class Registers:
    """The machine that IntOperands sees, over a core's state array and memory."""

    def __init__(self, core):
        self.core = core
        self.S = core.S
        self.reply: int | None = None

    def get(self, kind: str, number: int) -> int:
        if self._is_half(kind, number):
            return self.get(kind, number - 1) >> 32
        at = self._offset(kind, number)
        return sum((int(self.S[at + lane]) & M64) << 64 * lane for lane in range(self._lanes(kind)))

    def set(self, kind: str, number: int, value: int) -> None:
        if self._is_half(kind, number):
            self.set(kind, number - 1, self.get(kind, number - 1) & M32 | (value & M32) << 32)
            return
        at = self._offset(kind, number)
        if kind != "gpr" or number:
            for lane in range(self._lanes(kind)):
                self.S[at + lane] = signed(value >> 64 * lane)

    @staticmethod
    def _lanes(kind: str) -> int:
        return VECTOR_BITS.get(kind, 64) // 64

    def _is_half(self, kind: str, number: int) -> bool:
        """Status.FR = 0: an FPR of an odd number is the upper half of the one before."""
        return kind == "fpr" and bool(number & 1) and bool(self.S[state.UNITS] & HALVES)

    @staticmethod
    def _offset(kind: str, number: int) -> int:
        return state.GPR + number if kind == "gpr" else state.FPR + state.FPR_STRIDE * number

    def slot(self, name: str) -> int:
        return int(self.S[state.SLOTS[name][0]]) & M64

    def set_slot(self, name: str, value: int) -> None:
        self.S[state.SLOTS[name][0]] = signed(value)

    def _pieces(self, ea: int, size: int, bad: int, aligned: bool, is_store: bool) -> list[tuple[int, int]]:
        """(physical address, bytes) of the access: one piece, or two when it crosses a page."""
        error = EXCCODE_ADES if is_store else EXCCODE_ADEL
        ea, bad = (int(effective(self.S, signed(address))) & M64 for address in (ea, bad))
        if aligned and ea & (size - 1):
            raise AddressFault(error, bad)
        pieces, at = [], ea
        while at < ea + size:
            count = min(ea + size - at, 0x1000 - (at & 0xFFF))
            pa, status = translate(self.S, signed(at), 1 if is_store else 0)
            if status:
                where = bad if at == ea else at
                raise AddressFault(int(status), int(pa) + where - at if status & ROOT else where)
            pieces.append((int(pa), count))
            at += count
        device = [not self._is_memory(pa, is_store) for pa, _ in pieces]
        if any(device) and (len(pieces) > 1 or ea & (size - 1)):
            raise AddressFault(error, bad)
        M, kinds = self.core.memory.shared, 1 << is_store
        if M[shared.WATCH_COUNT] and self.reply is None and stops_access(self.S, M, signed(ea), size, kinds):
            raise Watched
        return pieces

    def _is_memory(self, pa: int, is_store: bool) -> bool:
        offset = self.core.memory.offset(pa)
        return 0 <= offset < self.core.memory.ram_bytes if is_store else offset >= 0

    def load(self, ea: int, size: int, bad: int, aligned: bool, write: bool = False) -> int:
        pieces = self._pieces(ea, size, bad, aligned, write)
        if not self._is_memory(pieces[0][0], write):
            if write or size > MAX_SCALAR_BYTES:
                self.S[state.ACCESS_PA] = pieces[0][0]
                raise PartialStore
            if self.reply is None:
                raise Mmio(pieces[0][0], size, False)
            value, self.reply = self.reply, None
            return value & ((1 << 8 * size) - 1)
        return int.from_bytes(b"".join(self.core.memory.read(pa, count) for pa, count in pieces), "little")

    def store(self, ea: int, size: int, value: int, bad: int, aligned: bool) -> None:
        pieces = self._pieces(ea, size, bad, aligned, True)
        if not self._is_memory(pieces[0][0], True):
            if size > MAX_SCALAR_BYTES:
                self.S[state.ACCESS_PA] = pieces[0][0]
                raise PartialStore
            raise Mmio(pieces[0][0], size, True, value)
        data = value.to_bytes(size, "little")
        for pa, count in pieces:
            self.core.memory.write(pa, data[:count])
            data = data[count:]


class Reference:
    """Runs one core. Where it stands inside a block is kept here; between blocks everything is in the state array."""

    def __init__(self, core):
        self.core, self.S, self.M = core, core.S, core.memory.shared
        self.registers = Registers(core)
        self.index = self.block_pc = self.op = self.uop = 0
        self.target: int | None = None  # of the branch whose delay slot comes next

    def run(self) -> int:
        S = self.S
        resume = int(S[state.RESUME])
        if resume:
            S[state.RESUME] = 0
            if resume == shared.RESUME_SLOW:
                self.registers.reply = int(S[state.BOUNCE]) & M64
            else:
                if resume == shared.RESUME_CSR:
                    finish_csr(S, self.uop)
                if self._done():
                    resume = 0
            if resume:
                outcome = self._block()
                if outcome is not None:
                    return outcome
        while True:
            if self._has_stepped():
                return int(loop.stepped(S))
            if S[state.CYCLES] >= S[state.SLICE_END]:
                return loop.STOP_SLICE
            if S[state.SAMPLE]:
                if S[state.CYCLES] >= S[state.UNTIL]:
                    return loop.STOP_HORIZON
                what = int(loop.at_boundary(S))
                if what == loop.AGAIN:
                    continue
                if what >= 0:
                    return what
            if is_hypervisors(S):
                if answer(S):
                    continue
                return loop.STOP_EXIT
            if self._is_full():
                return loop.STOP_LIMIT
            if (S[state.STEP] or self.M[shared.STOP_COUNT]) and loop.stops_here(S, self.M, int(S[state.PC])):
                return loop.STOP_PC
            self.index, self.block_pc, self.target = 0, int(S[state.PC]), None
            outcome = self._block()
            if outcome is not None:
                return outcome

    def _is_stop(self, pc: int) -> bool:
        return bool(self.M[shared.STOP_COUNT]) and pc in self.core.memory.stops

    def _has_stepped(self) -> bool:
        return self.S[state.STEP] == state.ONE and bool(loop.has_stepped(self.S))

    def _is_full(self) -> bool:
        return self.S[state.INSTRUCTIONS] >= self.S[state.LIMIT]

    def _is_cut(self, pc: int) -> bool:
        """Whether the block ends before the instruction at pc, which is neither its first nor in a delay slot, nor one
        whose access is under way."""
        if self.target is not None or not self.index or self.registers.reply is not None:
            return False
        return self._is_full() or self._is_stop(signed(pc)) or self._has_stepped()

    @property
    def pc(self) -> int:
        return self.block_pc + 4 * self.index

    def place(self) -> Place | None:
        """Where the core is parked inside a block, for a snapshot."""
        if not self.S[state.RESUME]:
            return None
        pa, _ = translate(self.S, signed(self.pc), FETCH)
        word = int.from_bytes(self.core.memory.read(int(pa), 4), "little")
        following = self.target
        if following is None and (self.pc + 4) & (BOUNDARY_BYTES - 1) == 0:
            following = self.pc + 4
        return Place(word, None if following is None else signed(following))

    def stand(self, where: Place) -> None:
        """Has the core be parked there."""
        self.block_pc, self.index, self.op = int(self.S[state.PC]), 0, self._decode(where.word)
        self.uop = int(pack(self.op, where.word))
        self.target = where.following if self.S[state.RESUME_DELAY] else None

    def _leave(self, pc: int, boundary: bool) -> None:
        self.S[state.PC], self.S[state.SAMPLE] = signed(pc), int(boundary)

    def _complete(self) -> None:
        """The instruction `op` completed: its class's time has gone by."""
        self.S[state.CYCLES] += self.core.costs.cycles(OPS[self.op].timing)
        self.S[state.INSTRUCTIONS] += 1

    def _done(self) -> bool:
        """The instruction at `index` completed. True when its block ended with it."""
        self._complete()
        if self.target is not None:
            self._leave(self.target, True)
            return True
        self.index += 1
        if self.pc & (BOUNDARY_BYTES - 1) == 0:
            self._leave(self.pc, True)
            return True
        return False

    def _fetch(self, pc: int, delay_slot: bool) -> int | None:
        """The word at pc, or None after taking the exception."""
        status, bad = EXCCODE_ADEL if pc & 3 else 0, signed(pc)
        if not status:
            pa, status = translate(self.S, signed(pc), FETCH)
            if not status:
                if self.core.memory.is_ram(int(pa)):
                    return int.from_bytes(self.core.memory.read(int(pa), 4), "little")
                status = -1
            elif status & ROOT:
                bad = int(pa)
        self._leave(pc, True)
        raise_fetch(self.S, status, bad, signed(pc), int(delay_slot))
        return None

    def _storm(self) -> int | None:
        return loop.STOP_STORM if loop.storm(self.S) else None

    def _not_modelled(self, stop: int, pc: int) -> int | None:
        """The stop, or None after the RI exception that stands for it."""
        self._leave(pc, True)
        what = int(loop.not_modelled(self.S, self.M, stop, signed(pc), int(self.target is not None)))
        return None if what == loop.AGAIN else what

    def _block(self) -> int | None:
        """Runs from `index` to the block's end. None, or a stop."""
        while True:
            pc = self.pc
            if self._is_cut(pc):
                self._leave(pc, False)
                return None
            word = self._fetch(pc, self.target is not None)
            if word is None:
                return self._storm()
            outcome = self._instruction(word, pc)
            if outcome is not False:
                return outcome

    def _raise(self, pc: int, enter: Callable[..., None], *arguments: int) -> int | None:
        """Takes an exception at `pc`: enter(S, *arguments, pc, delay slot, ...)."""
        self._leave(pc, True)
        head, tail = ((self.S[state.BANK],), (-1,)) if enter is take_exception else ((), ())
        note_instruction(self.S, self.M, signed(pc), int(self.target is not None))
        enter(self.S, *head, *arguments, signed(pc), int(self.target is not None), *tail)
        return self._storm()

    def _instruction(self, word: int, pc: int):
        """Carries out one instruction. False: the block goes on; None: it ended; else a stop."""
        S, spc = self.S, signed(pc)
        number = self.op = self._decode(word)
        entry = OPS[number].instruction
        delay = self.target is not None
        if entry is None or (delay and entry.flow in (Flow.BRANCH, Flow.LIKELY, Flow.JUMP, Flow.JUMP_REGISTER)):
            return self._raise(pc, take_exception, EXCCODE_RI, 0)
        if entry.unit and not S[state.UNITS] & UNIT_ENABLES[entry.unit]:
            self._leave(pc, True)
            note_instruction(S, self.M, spc, int(delay))
            loop.unit_exception(S, number, spc, int(delay))
            return self._storm()
        if entry.helper:
            return self._helper(entry, number, word, pc)
        fields = entry.decode(word)
        try:
            if entry.flow in (Flow.BRANCH, Flow.LIKELY, Flow.JUMP, Flow.JUMP_REGISTER):
                return self._branch(entry, fields, pc)
            if not entry.is_hint(fields):
                entry.meaning(IntOperands(self.registers, fields))
        except GuestTrap as trap:
            return self._raise(pc, take_exception, EXC_CODES[trap.code], trap.coprocessor)
        except AddressFault as fault:
            return self._raise(pc, take_address_exception, fault.status, signed(fault.va))
        except Mmio as access:
            return self._park(access, pc)
        except Watched:
            return self._stop_access(pc)
        except PartialStore:
            return self._not_modelled(loop.STOP_PARTIAL, pc)
        return None if self._done() else False

    def _stop_access(self, pc: int):
        """A watch stops the access at pc, or, in a delay slot, what comes behind it."""
        S = self.S
        if self.target is None:
            self._leave(pc, False)
            return loop.STOP_WATCH
        S[state.STEP], S[state.STEP_DONE] = state.ONE, S[state.INSTRUCTIONS]
        return False

    def _decode(self, word: int) -> int:
        return int(decode_for(int(self.S[state.UNITS]) & MODES, word))

    def _park(self, access: Mmio, pc: int) -> int:
        S = self.S
        S[state.ACCESS_PA], S[state.ACCESS_SIZE] = access.address, access.size
        if access.is_store:
            S[state.BOUNCE] = signed(access.value)
        return self._wait_for(shared.RESUME_STORED if access.is_store else shared.RESUME_SLOW, state.MEMORY_SPACE, pc)

    def _wait_for(self, resume: int, space: int, pc: int) -> int:
        """The access at `pc` leaves the core."""
        S = self.S
        self._leave(pc, bool(S[state.SAMPLE]))
        S[state.RESUME], S[state.RESUME_DELAY] = resume, int(self.target is not None)
        S[state.ACCESS_SPACE] = space
        S[state.MMIO_COUNT] += 1
        return loop.STOP_WRITE if resume == shared.RESUME_STORED else loop.STOP_READ

    def _branch(self, entry, fields: dict[str, int], pc: int):
        slot_address = pc + 4
        if slot_address & 0xFFF == 0 and self._fetch_ahead(slot_address) is None:
            return self._storm()
        operands = IntOperands(self.registers, fields)
        taken = True
        if entry.meaning is not None:
            taken = entry.meaning(operands).truth
        if entry.flow is Flow.JUMP:
            target = ((pc + 4) & ~0xFFFFFFF) | fields["target"] << 2
        elif entry.flow is Flow.JUMP_REGISTER:
            target = self.registers.get("gpr", fields["rs"])
        else:
            target = pc + 4 + (fields["offset"] << 2) if taken else pc + 8
        if entry.link is not None:
            link = fields["rd"] if entry.link == "rd" else entry.link
            self.registers.set("gpr", link, (pc + 8) & M64)
        self._complete()
        if entry.flow is Flow.LIKELY and not taken:
            self._leave(pc + 8, True)
            return None
        self.index += 1
        self.target = target
        return False

    def _fetch_ahead(self, pc: int) -> int | None:
        return self._fetch(pc, True)

    def _helper(self, entry, number: int, word: int, pc: int):
        S = self.S
        delay = self.target is not None
        cycle = int(S[state.CYCLES])
        uop = self.uop = int(pack(number, word)) & 0xFFFFFFFF
        what = int(run_helper(S, self.M, HELPER_ID[entry.helper], uop, word, signed(pc), int(delay), cycle))
        if what in (NEXT, SOONER):
            if entry.flow is Flow.BOUNDARY and not delay:
                self._complete()
                self._leave(pc + 4, True)
                return None
            return None if self._done() else False
        if what in (READ_CSR, WRITE_CSR):
            resume = shared.RESUME_CSR if what == READ_CSR else shared.RESUME_STORED
            return self._wait_for(resume, state.CSR_SPACE, pc)
        if what == RAISED:
            S[state.SAMPLE] = 1
            return self._storm()
        if what == JUMP:
            self._complete()
            S[state.SAMPLE] = 1
            return None
        if what == WAIT and not delay:
            self._complete()
            self._leave(pc + 4, True)
            S[state.WAITING] = 1
            return None
        S[state.STOP_WORD] = word
        return self._not_modelled(loop.STOP_UNMODELLED, pc)


class ReferenceTier:
    """The reference as a tier of a core."""

    name = "reference"

    def runner(self, core) -> Callable[[], int]:
        core.interpreter = Reference(core)
        return core.interpreter.run
