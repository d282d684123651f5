"""CP0 registers, each once: name, number, select, reset value, writable bits, width.

Values are those of a Loongson-3A4000 (PRId 0x14C000) as QEMU 10.0 models it and as Linux 6.1 reads them; sources: MIPS
Architecture For Programmers, volume III (MD00091); QEMU: target/mips/cpu-defs.c.inc; Linux 6.1: arch/mips/kernel/cpu-
probe.c. Effects beyond "store the writable bits" are in cpu/engine/helpers.py.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cpu import state
from cpu.isa.errors import TableError

M32 = 0xFFFFFFFF
M64 = -1


@dataclass(frozen=True)
class Register:
    """One CP0 register. `mask`: bits a write changes; `modelled` False: real, but touching it stops the run."""

    name: str
    number: int
    select: int
    reset: int = 0
    mask: int = 0
    width: int = 32
    modelled: bool = True

    @property
    def slot(self) -> int:
        """Offset in the state array."""
        return state.CP0 + 8 * self.number + self.select


# name, number, select, reset, writable bits, width
_ROWS = [
    ("index", 0, 0, 0, 0x3F, 32),
    ("random", 1, 0, 63, 0, 32),
    ("entrylo0", 2, 0, 0, 0x000003FFFFFFFFFF, 64),
    ("entrylo1", 3, 0, 0, 0x000003FFFFFFFFFF, 64),
    ("context", 4, 0, 0, ~0x7FFFFF, 64),
    ("userlocal", 4, 2, 0, M64, 64),
    ("pagemask", 5, 0, 0, 0x7FFFE000, 32),
    ("pagegrain", 5, 1, 0, 0xE8000000, 32),  # RIE, XIE, ELPA, IEC
    ("wired", 6, 0, 0, 0x3F, 32),
    ("hwrena", 7, 0, 0, 0xE000000F, 32),
    ("badvaddr", 8, 0, 0, 0, 64),
    ("badinstr", 8, 1, 0, 0, 32),
    ("badinstrp", 8, 2, 0, 0, 32),
    ("count", 9, 0, 0, M32, 32),
    ("entryhi", 10, 0, 0, (3 << 62) - (1 << 64) | 0x0000FFFFFFFFE000 | 0x7FF, 64),
    ("compare", 11, 0, 0, M32, 32),
    ("status", 12, 0, 0x00400004, 0x7DDBFFFF, 32),  # reset: BEV, ERL
    ("intctl", 12, 1, 0xE0000000, 0x3E0, 32),  # IPTI = 7
    ("srsctl", 12, 2, 0, 0, 32),
    ("cause", 13, 0, 0, 0x08C00300, 32),  # DC, IV, WP, IP1..0
    ("epc", 14, 0, 0, M64, 64),
    ("prid", 15, 0, 0x0014C000, 0, 32),
    ("ebase", 15, 1, -0x80000000, 0x3FFFF000, 64),
    ("config", 16, 0, 0x80004482, 0x7, 32),
    ("config1", 16, 1, 0xFEAB559B, 0, 32),
    ("config2", 16, 2, 0x8000055F, 0, 32),
    ("config3", 16, 3, 0x9C0030A0, 0, 32),
    ("config4", 16, 4, 0xD01C0000, 0, 32),
    ("config5", 16, 5, 0x00000001, 0x68000000, 32),  # NFExists; K, MSAEn; no CRC32 instructions, so CRCP is 0
    ("config6", 16, 6, 0x40, 0x004301C0, 32),  # SFBEN, EXTIMER, INTIMER, LLEXC, SCRAND, FTLBDIS
    ("watchlo", 18, 0, 0, 0, 64),  # no condition can be enabled: I, R, W read as 0
    ("watchhi", 19, 0, 0, 0, 32),
    ("xcontext", 20, 0, 0, ~((1 << 41) - 1), 64),
    ("diag", 22, 0, 0, 0, 32),  # writes flush micro-TLBs, which are not visible
    ("gscause", 22, 1, 0, 0, 32),
    # Counters that do not count: enabling one (U, S, K or EXL of its control register) stops the run.
    *((f"perfctl{n}", 25, 2 * n, 0, 0x7FFF, 32) for n in range(4)),
    *((f"perfcnt{n}", 25, 2 * n + 1, 0, M64, 64) for n in range(4)),
    ("errctl", 26, 0, 0, 0, 32),
    ("taglo", 28, 0, 0, M32, 32),
    ("datalo", 28, 1, 0, M32, 32),
    ("taghi", 29, 0, 0, M32, 32),
    ("datahi", 29, 1, 0, M32, 32),
    ("errorepc", 30, 0, 0, M64, 64),
    ("kscratch1", 31, 2, 0, M64, 64),
    ("kscratch2", 31, 3, 0, M64, 64),
    ("kscratch3", 31, 4, 0, M64, 64),
]
_NOT_MODELLED = [
    ("contextconfig", 4, 1), ("segctl0", 5, 2), ("segctl1", 5, 3), ("segctl2", 5, 4), ("pwbase", 5, 5),
    ("pwfield", 5, 6), ("pwsize", 5, 7), ("pwctl", 6, 6), ("pgd", 9, 7), ("guestctl1", 10, 4), ("guestctl2", 10, 5),
    ("guestctl3", 10, 6), ("guestctl0ext", 11, 4), ("srsmap", 12, 3), ("guestctl0", 12, 6), ("gtoffset", 12, 7),
    ("lladdr", 17, 0), ("debug", 23, 0), ("depc", 24, 0),
    ("cacheerr", 27, 0), ("desave", 31, 0), ("kpgd", 31, 7),
]  # fmt: skip

REGISTERS: dict[str, Register] = {row[0]: Register(*row) for row in _ROWS}
REGISTERS |= {name: Register(name, number, select, modelled=False) for name, number, select in _NOT_MODELLED}
BY_NUMBER: dict[tuple[int, int], Register] = {(r.number, r.select): r for r in REGISTERS.values()}


def register(name: str) -> Register:
    """The register of that (manual's, lower-case) name."""
    if name not in REGISTERS:
        raise TableError(f"no CP0 register {name!r}; the table has {', '.join(sorted(REGISTERS))}")
    return REGISTERS[name]


def _signed(value: int) -> int:
    value &= (1 << 64) - 1
    return value - (1 << 64) if value >> 63 else value


ABSENT, MODELLED, UNMODELLED = 0, 1, 2
KIND = np.zeros(256, np.int64)
MASK = np.zeros(256, np.int64)
WIDE = np.zeros(256, np.int64)
for _r in REGISTERS.values():
    _k = 8 * _r.number + _r.select
    KIND[_k] = MODELLED if _r.modelled else UNMODELLED
    MASK[_k] = _signed(_r.mask)
    WIDE[_k] = _r.width == 64

C0_INDEX = register("index").slot
C0_RANDOM = register("random").slot
C0_ENTRYLO0 = register("entrylo0").slot
C0_ENTRYLO1 = register("entrylo1").slot
C0_CONTEXT = register("context").slot
C0_USERLOCAL = register("userlocal").slot
C0_PAGEMASK = register("pagemask").slot
C0_PAGEGRAIN = register("pagegrain").slot
C0_WIRED = register("wired").slot
C0_HWRENA = register("hwrena").slot
C0_BADVADDR = register("badvaddr").slot
C0_BADINSTR = register("badinstr").slot
C0_BADINSTRP = register("badinstrp").slot
C0_COUNT = register("count").slot
C0_ENTRYHI = register("entryhi").slot
C0_COMPARE = register("compare").slot
C0_STATUS = register("status").slot
C0_CAUSE = register("cause").slot
C0_EPC = register("epc").slot
C0_INTCTL = register("intctl").slot
C0_EBASE = register("ebase").slot
C0_CONFIG5 = register("config5").slot
C0_CONFIG6 = register("config6").slot
C0_XCONTEXT = register("xcontext").slot
C0_ERROREPC = register("errorepc").slot


def reset(S: np.ndarray, core: int) -> None:
    """Sets every CP0 register of a state array to its reset value; EBase.CPUNum is the core's number."""
    for r in REGISTERS.values():
        S[r.slot] = _signed(r.reset)
    S[C0_EBASE] |= core
