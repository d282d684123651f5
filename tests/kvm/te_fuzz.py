"""Guests that do anything, under trap and emulate: what differs from tests/kvm/fuzz.py, which knows those of VZ."""

from __future__ import annotations

from random import Random

from cpu.isa.assembler import assemble
from cpu.kvm import onereg
from cpu.kvm.shadow import GUEST_TLB_SIZE, PAIR_MASK
from cpu.kvm.tlb import Entry
from cpu.kvm.uapi import PAGE_SIZE
from cpu.kvm.vcpu import Vcpu
from tests.kvm.fuzz import (
    CODE,
    CU1,
    EXL,
    FR,
    ROM_GPA,
    USER,
    USER_MODE,
    VECTORS,
    VM_AT,
    VM_SIZE,
    WORDS,
    Vmm,
    instruction,
)
from tests.oracles import pools

WINDOW = 0x40000000
GO_ON = """
        mfc0    k0, c0_count
        andi    k0, k0, 0xff
        sll     k0, k0, 2
        li      k1, {entry:#x}
        addu    k0, k0, k1
        mtc0    k0, c0_epc
        eret
"""


class TeVmm(Vmm):
    """The VM of one seed."""

    backends = ("te",)
    host_pages = range(0, 3 * PAGE_SIZE, PAGE_SIZE)

    def load(self, vcpu: Vcpu, random: Random) -> None:
        page = vcpu.number << 16
        code, vectors = CODE + page, VECTORS + page
        words = b"".join(instruction(random).to_bytes(4, "little") for _ in range(WORDS))
        self.memory.write(VM_AT + code, words)
        user = random.choice((0, USER_MODE, USER_MODE))
        entry = USER + code if user else WINDOW + code
        for vector in (0, 0x180, 0x200):
            self.memory.write(VM_AT + vectors + vector, assemble(GO_ON.format(entry=entry), WINDOW).data)
        status = user | random.getrandbits(16) & 0xFF01 | random.choice((0, FR, FR | CU1))
        if not user and not random.randrange(4):
            status |= EXL
        vcpu.set_regs([0, *(_value(random, code) for _ in range(31))], random.getrandbits(64), 0, entry)
        given = {"status": status, "ebase": WINDOW + vectors, "entryhi": 0}
        given |= {name: pools.integer(random) & 0xFFFFFFFF for name in random.sample(("cause", "compare", "epc"), 1)}
        for name, value in given.items():
            vcpu.set_one_reg(onereg.cp0(name), value)
        for index in range(1, 6):
            vcpu.shadow.guest_tlb[random.randrange(1, GUEST_TLB_SIZE)] = _entry(random, index)
        vcpu.shadow.guest_tlb[0] = Entry(PAIR_MASK, USER + code & ~0x7FFF, *_pair(USER + code, code))

    def _is_guests(self, vpn2: int, tag: int) -> bool:
        return not tag and 0 <= vpn2 < 1 << 31


def _pair(va: int, gpa: int) -> tuple[int, int]:
    """EntryLo0 and EntryLo1 by which one of the pages leads to `gpa`, and the other nowhere."""
    lo = gpa >> 14 << 8 | 6
    return (0, lo) if va & PAGE_SIZE else (lo, 0)


def _entry(random: Random, index: int) -> Entry:
    page = random.choice((random.randrange(VM_SIZE), random.randrange(VM_SIZE), ROM_GPA, random.getrandbits(34)))
    lo = page >> 14 << 8 | random.getrandbits(5)
    mask = random.choice((PAIR_MASK, PAIR_MASK, PAIR_MASK, 0))
    return Entry(mask, random.choice((0, USER, 0x60000000)) + (index << 15), lo, lo ^ random.getrandbits(3))


def _value(random: Random, code: int) -> int:
    """A register: an address inside or outside the guest's memory by one of its names, or any number."""
    kind = random.randrange(8)
    if kind < 2:
        return pools.integer(random)
    inside = code + random.randrange(0x4000) if kind < 5 else random.randrange(0x8000, VM_SIZE)
    physical = random.choice((inside, inside, inside, ROM_GPA + 0x100, VM_SIZE + 0x40, random.getrandbits(29)))
    base = random.choice((WINDOW, WINDOW, USER, 0x60000000, 0xFFFFFFFFA0000000, 0x4000))
    return base + physical & (1 << 64) - 1
