"""Root mode for a hypervisor in Python: the registers and instructions that it uses, by name.

Every method does what the instruction does in root mode; none takes time by itself (`charge` does).
"""

from __future__ import annotations

from typing import NamedTuple, NoReturn

from cpu import state
from cpu.cp0 import registers, stable, timer
from cpu.cp0.access import read_cp0, write_cp0
from cpu.cp0.exceptions import return_from_exception
from cpu.cp0.registers import C0_ENTRYHI, C0_GUESTCTL1
from cpu.engine.softmmu import update_context
from cpu.tlb.operations import (
    drop_entry,
    invalidate,
    probe,
    read_entry,
    write_indexed,
    write_random,
)
from cpu.tlb.translate import find_entry
from cpu.vz import lent_timer
from cpu.vz.guestctl import ID, RID_SHIFT
from cpu.words import M32, M64, signed
from soc.errors import SocError


class RootModeError(SocError):
    """The hypervisor asked a core for what its registers do not allow."""


class _Place(NamedTuple):
    """A register as it is accessed: 8 * register + select, whether by D moves, its values, the bits a write changes."""

    index: int
    wide: bool
    values: int
    mask: int


def _places(mask: str, guest: bool) -> dict[str, _Place]:
    """The registers of a context by name; `mask`: the field that says what root may write there."""
    return {
        r.name: _Place(r.index, r.width == 64, M64 if r.width == 64 else M32, signed(getattr(r, mask)))
        for r in registers.REGISTERS.values()
        if r.modelled and not (guest and not registers.IN_GUEST[r.index])
    }


_ROOT, _GUEST = _places("mask", False), _places("root_mask", True)


def _absent(where: str, name: str) -> NoReturn:
    registers.register(name)
    raise RootModeError(f"the {where} has no register {name}")


class RootMode:
    """A core seen from root mode."""

    def __init__(self, core):
        self._core, self._words = core, core.words

    # Registers
    def c0(self, name: str) -> int:
        """A root register by the manual's lower-case name, unsigned."""
        return self._read(0, _ROOT.get(name) or _absent("core's model", name))

    def set_c0(self, name: str, value: int) -> None:
        """MTC0 or DMTC0, as wide as the register is."""
        self._write(0, _ROOT.get(name) or _absent("core's model", name), value)

    def gc0(self, name: str) -> int:
        """A guest register as MFGC0 or DMFGC0 gives it, unsigned."""
        return self._read(state.GUEST, _GUEST.get(name) or _absent("guest context", name))

    def set_gc0(self, name: str, value: int) -> None:
        """MTGC0 or DMTGC0, as wide as the register is."""
        self._write(state.GUEST, _GUEST.get(name) or _absent("guest context", name), value)

    def _read(self, bank: int, place: _Place) -> int:
        index, wide, values, _ = place
        return read_cp0(self._core.S, bank, index, wide, self._words[state.CYCLES]) & values

    def _write(self, bank: int, place: _Place, value: int) -> None:
        index, wide, _, mask = place
        if not 0 <= value <= M64:
            raise RootModeError(f"{value:#x} for ({index >> 3}, {index & 7}): registers take 0 to {M64:#x}")
        write_cp0(self._core.S, bank, index, signed(value), mask, wide, self._words[state.CYCLES])

    def set_guest_count(self, count: int) -> None:
        """GTOffset for a Guest.Count that stands at `count` now."""
        lent_timer.set_going(self._core.S, count)

    def guest_cause_and_count(self) -> tuple[int, int]:
        """Guest.Cause and Guest.Count."""
        return lent_timer.read(self._core.S)

    def park_guest_timer(self, compare: int, cause: int) -> None:
        """Guest.Compare and Guest.Cause, with Guest.Count at Compare."""
        lent_timer.park(self._core.S, compare, cause)

    # The guest's stable timer: the guest forms of DRDCSR and DWRCSR.
    @property
    def guest_timer(self) -> tuple[int, int]:
        """TIMER_CFG and TIMER_TICKS of the guest, unsigned."""
        S, cycle = self._core.S, self._core.cycles
        timer.catch_up(S, cycle)
        return int(S[state.GUEST_STABLE_CFG]) & M64, int(stable.ticks_left(S, cycle))

    def set_guest_timer(self, cfg: int) -> None:
        """Writes the guest's TIMER_CFG."""
        timer.set_guest_stable(self._core.S, self._core.cycles, signed(cfg))

    def set_guest_counter_offset(self, ticks: int) -> None:
        """CSR 0xfffffff8: what a guest's RDHWR of the stable counter has more than root's, modulo 2^64."""
        self._core.S[state.GUEST_STABLE_OFFSET] = signed(ticks)

    # TLB
    @property
    def _rid(self) -> int:
        return int(self._core.S[C0_GUESTCTL1]) >> RID_SHIFT & ID

    def tlbp(self) -> None:
        probe(self._core.S, 0, self._rid)

    def tlbr(self) -> None:
        self._read_entry(0)

    def tlbwi(self) -> None:
        self._write_index(0)

    def tlbwr(self) -> None:
        self._write_random(0)

    def tlbinv(self) -> None:
        invalidate(self._core.S, 0, False, self._rid)

    def tlbinvf(self) -> None:
        invalidate(self._core.S, 0, True, self._rid)

    def tlbgp(self) -> None:
        probe(self._core.S, state.GUEST, self._rid)

    def tlbgr(self) -> None:
        self._read_entry(state.GUEST)

    def tlbgwi(self) -> None:
        self._write_index(state.GUEST)

    def tlbgwr(self) -> None:
        self._write_random(state.GUEST)

    def tlbginv(self) -> None:
        invalidate(self._core.S, state.GUEST, False, self._rid)

    def tlbginvf(self) -> None:
        invalidate(self._core.S, state.GUEST, True, self._rid)

    def _read_entry(self, bank: int) -> None:
        read_entry(self._core.S, bank, False)
        update_context(self._core.S)

    def _write_index(self, bank: int) -> None:
        if not write_indexed(self._core.S, bank, self._rid):
            raise RootModeError("machine check: an FTLB entry for a page of another set or size")

    def _write_random(self, bank: int) -> None:
        write_random(self._core.S, bank, self._rid)

    def invalidate_gpa(self, gpa: int) -> bool:
        """Drops the root entry that maps a guest physical address for GuestCtl1.ID. False when there is none."""
        S = self._core.S
        return self._drop(gpa, int(S[C0_ENTRYHI]) & 0x3FF, int(S[C0_GUESTCTL1]) & ID)

    def invalidate_va(self, va: int, asid: int) -> bool:
        """Drops root's own entry that maps a virtual address for an ASID. False when there is none."""
        return self._drop(va, asid, 0)

    def _drop(self, address: int, asid: int, guest_id: int) -> bool:
        S = self._core.S
        e = int(find_entry(S, 0, signed(address), asid, guest_id))
        if e < 0:
            return False
        drop_entry(S, 0, e)
        return True

    # Going on
    @property
    def mode(self) -> str:
        """ "root" or "guest"."""
        return "guest" if self._core.S[state.BANK] else "root"

    @property
    def refills(self) -> int:
        """Root TLB refills that the core carried out itself."""
        return int(self._core.S[state.ROOT_REFILLS])

    def host(self, refill_cycles: int, cache_cycles: int = 0) -> None:
        """Makes root mode a hypervisor in Python: a run comes back with EXIT instead of executing there. A root refill
        that the core carries out itself, by the table at `set_table`, takes `refill_cycles`; an exit that it answers
        itself (`answer_until`) `cache_cycles`."""
        if refill_cycles < 0 or cache_cycles < 0:
            raise RootModeError(
                f"a root refill of {refill_cycles} cycles, an exit of {cache_cycles}; at least 0 is needed"
            )
        S = self._core.S
        S[state.HYPERVISOR] = state.ROOT_MODE
        S[state.REFILL_COST], S[state.CACHE_COST] = refill_cycles, cache_cycles

    def keep_user_mode(self) -> None:
        """After `host`: only root's kernel mode is the hypervisor's, its user mode executes on the core. A TLB refill
        of that mode walks the table at `set_table` by virtual address."""
        self._core.S[state.HYPERVISOR] = state.KERNEL_MODE

    def answer_until(self, cycle: int) -> None:
        """An exit for CACHE by index that is over before `cycle` needs no hypervisor; 0: every one does. It needs one
        in any case in a delay slot, with IP6 or IP7 pending in root, and without GuestCtl0.GT."""
        self._words[state.CACHE_UNTIL] = cycle

    def send_until(self, cycle: int) -> None:
        """A guest's access to a device in user space that is over before `cycle` needs no hypervisor; 0: every one does
        (cpu/vz/short_access.py)."""
        self._words[state.SEND_UNTIL] = cycle

    def answered(self) -> int:
        """How many exits the core has answered since the last call."""
        count = self._words[state.CACHE_EXITS]
        if count:
            self._words[state.CACHE_EXITS] = 0
        return count

    def set_table(self, address: int) -> None:
        """Host address of the page table that refills walk (cpu/vz/refill.py); 0: none, every refill is an
        exit. A model that reports guest virtual addresses has none to look up: RootModeError."""
        if address and self._core.choices.gva:
            raise RootModeError("a table of guest physical addresses, where BadVAddr is a guest virtual one (gva)")
        self._words[state.GPA_PGD] = address

    def enter_guest(self) -> None:
        """ERET. EPC is where it goes, and with GuestCtl0.GM set that is the guest."""
        return_from_exception(self._core.S)
        self._words[state.SAMPLE] = 1
        self._words[state.FAULT_COUNT] = 0

    def charge(self, cycles: int) -> None:
        """The handler took that many core cycles."""
        if cycles < 0:
            raise RootModeError(f"a handler of {cycles} cycles; at least 0 is needed")
        words = self._words
        words[state.CYCLES] += cycles
        words[state.SAMPLE] = 1

    def park(self) -> None:
        """Waits for the reply to an access of the hypervisor: its value is then in BOUNCE, or ACCESS_ERROR is 1."""
        words = self._words
        words[state.AWAITS] = 1
        words[state.RESUME] = words[state.ACCESS_ERROR] = 0

    def idle(self) -> None:
        """WAIT in root mode: until an interrupt that Status.IM lets through."""
        self._words[state.WAITING] = 1
        self._words[state.SAMPLE] = 1
