"""A core with VZ, root code that sets up a guest in assembler and enters it, and what came of it.

Guest physical address g lies at root physical g + GUEST_RAM. The guest's code and vectors are the one pair of pages
that the root TLB maps beforehand. Each of the guest's vectors calls root with HYPCALL, each of root's waits for ever.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from cpu import state
from cpu.cp0 import registers
from cpu.isa.assembler import assemble
from cpu.isa.names import GPR_NAMES
from tests.cpu.core_rig import BEV, BEV_BASE, CACHED, EXL, KSEG0, KX, M64, MIB, VECTORS, D, Rig, V, physical

GUEST_RAM = 8 * MIB
P = KSEG0 + 0x100000
"""Where the guest's code begins (a guest virtual address)."""
GB = P + 0x1000
"""The guest's EBase."""
RB = KSEG0
"""Root's EBase."""

GM, RI, MC, CP0, AT3, AT1, GT, CG, CF = 1 << 31, 1 << 30, 1 << 29, 1 << 28, 3 << 26, 1 << 26, 1 << 25, 1 << 24, 1 << 23
D0 = GM | CP0 | AT3 | GT | CG | CF
SFC2, SFC1 = 2, 1
CGI, FCD, OG, BG, MG = 16, 8, 4, 2, 1
ID = 1
HYPCALL = 0x42000028
DRG = 1 << 8
GPSI, GSFC, HC, GRR, GVA, GHFC, GPA = 0, 1, 2, 3, 8, 9, 10
GE = 27


def root_lo(gpa: int, flags: int = V | D) -> int:
    """EntryLo of the root entry for the page at a guest physical address."""
    return guest_lo(gpa + GUEST_RAM, flags)


def guest_lo(pa: int, flags: int = V | D) -> int:
    return pa >> 12 << 6 | CACHED | flags


@dataclass(frozen=True)
class Entry:
    """A TLB entry that the root code writes; `tag`: GuestCtl1.RID meanwhile."""

    va: int
    lo0: int
    lo1: int = 0
    mask: int = 0
    asid: int = 0
    tag: int = ID


def maps(gpa: int, flags0: int = V | D, flags1: int = V | D, tag: int = ID, asid: int = 0) -> Entry:
    """A root entry for the two pages from guest physical `gpa` on."""
    return Entry(gpa, root_lo(gpa, flags0), root_lo(gpa + 0x1000, flags1), asid=asid, tag=tag)


@dataclass
class GuestRun:
    """What to start from; registers by name over the default state of a guest."""

    guest: str = ""
    root: dict[str, int] = field(default_factory=dict)
    gcp0: dict[str, int] = field(default_factory=dict)
    gpr: dict[str, int] = field(default_factory=dict)
    tlb: tuple[Entry, ...] = ()
    gtlb: tuple[Entry, ...] = ()
    before: str = ""  # root code before the guest is entered
    handler: str = ""  # root code at its general vector and for interrupts
    refill: str = ""  # root code at its XTLB refill vector
    memory: dict[int, int] = field(default_factory=dict)  # doublewords by root physical address
    lines: tuple[tuple[int, int], ...] = ()  # input and level, as the guest is entered
    entry: int = P


class VzRig(Rig):
    """A core with VZ and LASX that runs `GuestRun`s."""

    def __init__(self, tier: str, ram_bytes: int = 16 * MIB, **options):
        super().__init__(tier, ram_bytes, **{"vz": True, "lasx": True, **options})

    def guest_load(self, text: str, base: int = P) -> None:
        """Assembles guest code for a guest kseg0 address."""
        self.memory.write(physical(base) + GUEST_RAM, assemble(text, base).data)

    def start(self, run: GuestRun) -> None:
        """Loads root's and the guest's code; the core stands at root's first instruction."""
        for vector in VECTORS:
            self.guest_load("hypcall 1", GB + vector)
            self.load("wait 0", RB + vector)
        self.guest_load(run.guest + "\nhypcall 0\n")
        if run.handler:
            for vector in (0x180, 0x200):
                self.load(run.handler, RB + vector)
        if run.refill:
            self.load(run.refill, RB + 0x080)
        for address, value in run.memory.items():
            self.memory.write(address, value.to_bytes(8, "little"))
        self.set(pc=self.load(root_code(run)).entry)

    def enter(self, run: GuestRun) -> None:
        """As `start`, and root's code has run: the core is about to execute the guest."""
        self.start(run)
        stop = self.run(stop_pcs=(run.entry,))
        assert self.core.pc == run.entry, stop

    def go_guest(self, run: GuestRun) -> None:
        """Runs to the first exit."""
        if run.lines:
            self.enter(run)
            for ip, level in run.lines:
                self.core.set_line(ip, level)
        else:
            self.start(run)
        self.finish()

    # What came of it
    def root(self, name: str) -> int:
        return self.core.vz.c0(name)

    def gcp0(self, name: str) -> int:
        return self.core.vz.gc0(name)

    def reg(self, name: str) -> int:
        return self.core.regs[GPR_NAMES.index(name)]

    @property
    def exit(self) -> tuple[int, int]:
        """Root's ExcCode and GExcCode."""
        return self.root("cause") >> 2 & 31, self.root("guestctl0") >> 2 & 31

    def tag(self, bank: int, index: int) -> int | None:
        """GuestID of a TLB entry, None where it is invalid."""
        at = bank + state.TLB + index * state.TLB_FIELDS
        return None if self.S[at + 1] < 0 else int(self.S[at + 6])

    @property
    def vector(self) -> int:
        """Offset of root's vector at which the core waits."""
        return self.core.pc - 4 - (BEV_BASE if self.root("status") & BEV else RB)


def move(mnemonic: str, name: str, value: int) -> str:
    r = registers.register(name)
    wide = "d" if r.width == 64 else ""
    return f"dli $t8, {value & M64:#x}\n{wide}{mnemonic} $t8, ${r.number}, {r.select}\n"


def tlb_code(index: int, entry: Entry, guest: bool) -> str:
    """Writes TLB entry `index`, of the guest's TLB or of root's."""
    mnemonic, write = ("mtgc0", "tlbgwi") if guest else ("mtc0", "tlbwi")
    names = ("index", "entryhi", "pagemask", "entrylo0", "entrylo1")
    values = (index, entry.va & ~0x1FFF | entry.asid, entry.mask, entry.lo0, entry.lo1)
    text = move("mtc0", "guestctl1", entry.tag << 16 | ID)
    text += "".join(move(mnemonic, name, value) for name, value in zip(names, values, strict=True))
    return text + f"{write}\n"


def root_code(run: GuestRun) -> str:
    """Root's code: the TLBs, the guest's registers, root's, and ERET to the guest."""
    text = move("mtgc0", "pagegrain", run.gcp0.get("pagegrain", 0))
    for index, entry in enumerate((maps(physical(P)), *run.tlb)):
        text += tlb_code(index, entry, False)
    for index, entry in enumerate(run.gtlb):
        text += tlb_code(index, entry, True)
    for name, value in {"status": 0, "cause": 0, "ebase": GB, "entryhi": 0, **run.gcp0}.items():
        text += move("mtgc0", name, value)
    root = {"guestctl0": D0, "guestctl0ext": 0, "guestctl1": ID << 16 | ID, "guestctl2": 0, "entryhi": 0} | run.root
    status, control = root.pop("status", KX), root.pop("guestctl0")
    for name, value in root.items():
        text += move("mtc0", name, value)
    text += move("mtc0", "status", KX | EXL) + move("mtc0", "epc", run.entry) + run.before + "\n"
    for name, value in run.gpr.items():
        text += f"dli ${name}, {value & M64:#x}\n"
    text += f"dli $t8, {status | EXL:#x}\ndli $t9, {control:#x}\nmtc0 $t8, $12\nmtc0 $t9, $12, 6\neret\n"
    return text
