"""CP0 registers, each once: name, number, select, reset value, writable bits, width, and the guest context's copy.

Values are those of a Loongson-3A4000 (PRId 0x14C000) as QEMU 10.0 models it and as Linux 6.1 reads them; sources: MIPS
Architecture For Programmers, volume III (MD00091) and VZ module (MD00848); QEMU: target/mips/cpu-defs.c.inc; Linux 6.1:
arch/mips/kernel/cpu-probe.c, arch/mips/kvm/vz.c. Config4.KScrExist is the hardware's, whose /proc/cpuinfo counts six
(QEMU: three): by it KVM keeps a guest's KScratch6, which is KPGD. Effects beyond "store the writable bits" are in
cpu/cp0/access.py.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cpu import state
from cpu.cp0.fields import CONFIG3_VZ, CONFIG_MT, CONFIG_MT_FTLB
from cpu.isa.errors import TableError
from cpu.vz.choices import Choices
from cpu.vz.guestctl import G1, RAD
from cpu.words import M32, signed

M64 = -1
CONFIG4_FTLB = 0xC268  # MMUExtDef = 3, pages of 16 KiB, 8 ways, 256 sets
CPUCFG1_LASX = 1 << 11  # without it LASXEN of Config and LASXMODE of Config6 stay 0


@dataclass(frozen=True)
class Register:
    """One CP0 register. `mask`: bits a write changes; `modelled` False: real, but touching it stops the run; `vz`: only
    on a core with VZ. `guest`: access classes of the guest's copy (cpu/vz/traps.py), for reads and writes where they
    differ, "" where the guest has none of its own; `guest_mask` and `root_mask`: bits that the guest's MTC0 and root's
    MTGC0 change in it."""

    name: str
    number: int
    select: int
    reset: int = 0
    mask: int = 0
    width: int = 32
    guest: str = ""
    guest_reset: int = 0
    guest_mask: int = 0
    root_mask: int = 0
    vz: bool = False
    modelled: bool = True

    @property
    def index(self) -> int:
        """Offset in a bank."""
        return 8 * self.number + self.select

    @property
    def slot(self) -> int:
        """Offset of the root context's copy in the state array; the guest's is state.GUEST further."""
        return state.CP0 + self.index


REGISTERS: dict[str, Register] = {}


def _row(name, number, select, reset=0, mask=0, width=32, guest="", **other) -> None:
    """A register; what is not said of the guest's copy is as in root, and root writes there what the guest may."""
    if guest:
        other.setdefault("guest_reset", reset)
        other.setdefault("guest_mask", mask)
        other.setdefault("root_mask", other["guest_mask"])
    REGISTERS[name] = Register(name, number, select, reset, mask, width, guest, **other)


_LO = 0x000003FFFFFFFFFF
_HI = (3 << 62) - (1 << 64) | 0x0000FFFFFFFFE000 | 0x7FF

_row("index", 0, 0, 0, 0xFFF, guest="B")  # without an FTLB 0x3F
_row("random", 1, 0, 63, 0, guest="B")
_row("entrylo0", 2, 0, 0, _LO, 64, "B")
_row("entrylo1", 3, 0, 0, _LO, 64, "B")
_row("context", 4, 0, 0, ~0x7FFFFF, 64, "B", root_mask=~0xF)
_row("userlocal", 4, 2, 0, M64, 64, "D")
_row("pagemask", 5, 0, 0, 0x7FFFE000, guest="B")
_row("pagegrain", 5, 1, 0, 0xE8000000, guest="C")  # RIE, XIE, ELPA, IEC
_row("pwbase", 5, 5, 0, M64, 64, "A", vz=True)
_row("pwfield", 5, 6, 0, 0x3F3FFFFFFF, 64, "A", vz=True)
_row("pwsize", 5, 7, 0, 0x3F7FFFFFFF, 64, "A", vz=True)
_row("wired", 6, 0, 0, 0x3F, guest="C")
_row("pwctl", 6, 6, 0, 0x400000FF, guest="A", vz=True)
_row("hwrena", 7, 0, 0, 0xE000000F, guest="D")
_row("badvaddr", 8, 0, 0, 0, 64, "E", root_mask=M64)
_row("badinstr", 8, 1, 0, 0, guest="E", root_mask=M32)
_row("badinstrp", 8, 2, 0, 0, guest="E", root_mask=M32)
_row("count", 9, 0, 0, M32, guest="FH", guest_mask=0)
_row("pgd", 9, 7, 0, 0, 64, "A", vz=True)  # a view of pwbase or kscratch6
_row("entryhi", 10, 0, 0, _HI, 64, "B")
_row("guestctl1", 10, 4, 0, 0x00FF00FF, vz=True)  # RID, ID: eight bits each
_row("guestctl2", 10, 5, 0, 0x3F00FC00, vz=True)  # HC, VIP
_row("compare", 11, 0, 0, M32, guest="F")
_row("guestctl0ext", 11, 4, 0, 0x1F, vz=True)  # CGI, FCD, OG, BG, MG
_row("status", 12, 0, 0x00400004, 0x7DDBFFFF, guest="A", guest_mask=0x7DC3FFFF, root_mask=0x7DDBFFFF)  # BEV, ERL
_row("intctl", 12, 1, 0xE0000000, 0x3E0, guest="A")  # IPTI = 7
_row("srsctl", 12, 2, 0, 0, guest="H")
_row("guestctl0", 12, 6, 0x0C4C00FC, 0xFF80FD03, vz=True)  # AT = 3, G1, G0E, PT, G2; DRG where chosen
_row("gtoffset", 12, 7, 0, M32, vz=True)
_row("cause", 13, 0, 0, 0x08C00300, guest="A", root_mask=0xF8C0037C)  # DC, IV, WP, IP1..0
_row("nestedexc", 13, 5, 0, 0, guest="A", root_mask=0x6)  # ERL, EXL
_row("epc", 14, 0, 0, M64, 64, "A")
_row("nestedepc", 14, 2, 0, M64, 64, "A")
_row("prid", 15, 0, 0x0014C000, 0, guest="H")
_row("ebase", 15, 1, -0x80000000, 0x3FFFF000, 64, "A", root_mask=0x3FFFF3FF)
_row("config", 16, 0, 0x80004482, 0x80007, guest="AG", root_mask=0x80080007)  # LASXEN, K0
# The guest's copy has no watch registers and no counters; root sets its size of the TLB and whether it has an FPU.
_row("config1", 16, 1, 0xFEAB559B, 0, guest="AG", guest_reset=0xFEAB5583, root_mask=0xFE000001)
_row("config2", 16, 2, 0x8000055F, 0, guest="AG", root_mask=1 << 31)
_row("config3", 16, 3, 0x9C0030A0, 0, guest="AG", root_mask=0x90002080)  # M, MSAP, ULRI, LPA
_row("config4", 16, 4, 0xD0FC0000, 0x1F00, guest="AG", root_mask=0x80001F00)  # FTLBPageSize, with an FTLB
_row("config5", 16, 5, 1, 0x68000000, guest="AG")  # NFExists; K, MSAEn; no CRC32 instructions, so CRCP is 0
# LASXMODE, SFBEN, EXTIMER, INTIMER, LLEXC, SCRAND, FTLBDIS
_row("config6", 16, 6, 0x40, 0x006301C0, guest="H")
_row("lladdr", 17, 0, 0, 1, guest="D", vz=True)  # the link bit; it can be cleared
_row("watchlo", 18, 0, 0, 0, 64)  # no condition can be enabled: I, R, W read as 0
_row("watchhi", 19, 0)
_row("xcontext", 20, 0, 0, ~((1 << 41) - 1), 64, "B", root_mask=~0xF)
_row("diag", 22, 0, guest="H")
_row("gscause", 22, 1, guest="A", root_mask=0x7C)
for _n in range(4):  # Counters that do not count: enabling one (U, S, K or EXL of its control register) stops the run.
    _row(f"perfctl{_n}", 25, 2 * _n, 0, 0x7FFF)
    _row(f"perfcnt{_n}", 25, 2 * _n + 1, 0, M64, 64)
_row("errctl", 26, 0, guest="H")
_row("taglo", 28, 0, 0, M32, guest="H")
_row("datalo", 28, 1, 0, M32, guest="H")
_row("taghi", 29, 0, 0, M32, guest="H")
_row("datahi", 29, 1, 0, M32, guest="H")
_row("errorepc", 30, 0, 0, M64, 64, "A")
for _n in range(1, 7):  # Config4.KScrExist; the sixth is KPGD
    _row(f"kscratch{_n}", 31, _n + 1, 0, M64, 64, "D")

# Real, but touching one in root mode stops the run. "H": the guest's access is root's to emulate.
for _name, _number, _select, _guest in (
    ("contextconfig", 4, 1, ""), ("segctl0", 5, 2, ""), ("segctl1", 5, 3, ""), ("segctl2", 5, 4, ""),
    ("guestctl3", 10, 6, ""), ("srsmap", 12, 3, "H"), ("debug", 23, 0, "H"), ("depc", 24, 0, "H"),
    ("cacheerr", 27, 0, "H"), ("desave", 31, 0, "H"),
):  # fmt: skip
    _row(_name, _number, _select, guest=_guest, modelled=False)


def register(name: str) -> Register:
    """The register of that (manual's, lower-case) name."""
    if name not in REGISTERS:
        raise TableError(f"no CP0 register {name!r}; the table has {', '.join(sorted(REGISTERS))}")
    return REGISTERS[name]


ABSENT, MODELLED, UNMODELLED, WITH_VZ = range(4)
KIND = np.zeros(256, np.int64)
MASK = np.zeros(256, np.int64)
WIDE = np.zeros(256, np.int64)
IN_GUEST = np.zeros(256, np.int64)
GUEST_MASK = np.zeros(256, np.int64)
ROOT_MASK = np.zeros(256, np.int64)
for _r in REGISTERS.values():
    KIND[_r.index] = (WITH_VZ if _r.vz else MODELLED) if _r.modelled else UNMODELLED
    MASK[_r.index] = signed(_r.mask)
    WIDE[_r.index] = _r.width == 64
    IN_GUEST[_r.index] = _r.guest not in ("", "H")
    GUEST_MASK[_r.index] = signed(_r.guest_mask)
    ROOT_MASK[_r.index] = signed(_r.root_mask)

C0_INDEX = register("index").slot
C0_RANDOM = register("random").slot
C0_ENTRYLO0 = register("entrylo0").slot
C0_ENTRYLO1 = register("entrylo1").slot
C0_CONTEXT = register("context").slot
C0_USERLOCAL = register("userlocal").slot
C0_PAGEMASK = register("pagemask").slot
C0_PAGEGRAIN = register("pagegrain").slot
C0_PWBASE = register("pwbase").slot
C0_PWFIELD = register("pwfield").slot
C0_PWSIZE = register("pwsize").slot
C0_PWCTL = register("pwctl").slot
C0_WIRED = register("wired").slot
C0_HWRENA = register("hwrena").slot
C0_BADVADDR = register("badvaddr").slot
C0_BADINSTR = register("badinstr").slot
C0_BADINSTRP = register("badinstrp").slot
C0_COUNT = register("count").slot
C0_PGD = register("pgd").slot
C0_ENTRYHI = register("entryhi").slot
C0_GUESTCTL0 = register("guestctl0").slot
C0_GUESTCTL0EXT = register("guestctl0ext").slot
C0_GUESTCTL1 = register("guestctl1").slot
C0_GUESTCTL2 = register("guestctl2").slot
C0_GTOFFSET = register("gtoffset").slot
C0_COMPARE = register("compare").slot
C0_STATUS = register("status").slot
C0_CAUSE = register("cause").slot
C0_EPC = register("epc").slot
C0_NESTEDEXC = register("nestedexc").slot
C0_NESTEDEPC = register("nestedepc").slot
C0_INTCTL = register("intctl").slot
C0_EBASE = register("ebase").slot
C0_CONFIG = register("config").slot
C0_CONFIG1 = register("config1").slot
C0_CONFIG3 = register("config3").slot
C0_CONFIG4 = register("config4").slot
C0_CONFIG5 = register("config5").slot
C0_CONFIG6 = register("config6").slot
C0_LLADDR = register("lladdr").slot
C0_XCONTEXT = register("xcontext").slot
C0_DIAG = register("diag").slot
C0_GSCAUSE = register("gscause").slot
C0_ERROREPC = register("errorepc").slot
C0_KPGD = register("kscratch6").slot

# What MFC0 (READ_WORD) and DMFC0 (READ_WIDE) give in root mode is the register as it is stored. Of the others
# cpu/cp0/access.py knows.
READ_WORD, READ_WIDE = 1, 2
READ_AS_STORED = np.zeros(256, np.int64)
for _r in REGISTERS.values():
    if _r.modelled and not _r.vz and _r.slot not in (C0_COUNT, C0_CAUSE, C0_LLADDR):
        in_words = _r.slot not in (C0_ENTRYLO0, C0_ENTRYLO1)
        READ_AS_STORED[_r.index] = (READ_WORD if in_words else 0) | (READ_WIDE if _r.width == 64 else 0)


def reset(S: np.ndarray, core: int, vz: Choices | None = None, ftlb: bool = False) -> None:
    """Sets every CP0 register of a state array to its reset value; EBase.CPUNum is the core's number. `vz`: the core
    has the VZ registers and a guest context. `ftlb`: each context has an FTLB."""
    for r in REGISTERS.values():
        S[r.slot] = 0 if r.vz and not vz else signed(r.reset)
        S[r.slot + state.GUEST] = signed(r.guest_reset) if vz else 0
    S[C0_EBASE] |= core
    if vz:
        S[C0_CONFIG3] |= CONFIG3_VZ
        if vz.rad:
            S[C0_GUESTCTL0] += RAD - G1
    if ftlb:
        for bank in (0, state.GUEST) if vz else (0,):
            S[bank + C0_CONFIG] += CONFIG_MT_FTLB - (S[bank + C0_CONFIG] & CONFIG_MT)
            S[bank + C0_CONFIG4] |= CONFIG4_FTLB
