"""Instructions that helpers carry out (cpu/engine/helpers.py), as far as random sequences hold them: their meanings.

Held are those that need nothing of the system but Status and constants, on a bare core in kernel mode.
"""

from __future__ import annotations

from collections.abc import Callable

from cpu.isa import Instruction

PRID, SYNCI_STEP = 0x0014C000, 16
CPUCFG = (0x0014C000, 0x6F8F0025, 0x00000001)

# (register, select): what MFC0 reads, and what MTC0 writes without effect on anything compared.
STATUS = (12, 0)
READABLE = (STATUS, (15, 0))
WRITABLE = ((30, 0), (31, 2), (31, 3), (31, 4))
HARDWARE = (0, 1, 5)  # of RDHWR: the core's number, the step of SYNCI, one that does not exist


def _read_cp0(i):
    i.rt = (i.c0 == STATUS[0]).choose(i.status.word, PRID)


def _enable(value: int) -> Callable:
    def meaning(i):
        before = i.status
        i.status = before.insert(0, 1, value)
        i.rt = before.word

    return meaning


def _rdhwr(i):
    i.trap("RI", when=i.c0.ugt(1))
    i.rt = (i.c0 == 1).choose(SYNCI_STEP, 0)


def _cpucfg(i):
    value, word = i.const(0), i.rs.uword
    for number, content in enumerate(CPUCFG):
        value = (word == number).choose(content, value)
    i.rd = value


def _rdpgpr(i):
    i.rd = i.rt


def _nothing(i):
    pass


MEANINGS: dict[str, Callable] = {
    **dict.fromkeys(("mfc0", "dmfc0"), _read_cp0),
    **dict.fromkeys(("mtc0", "dmtc0", "cache", "synci"), _nothing),
    **dict.fromkeys(("rdpgpr", "wrpgpr"), _rdpgpr),
    "di": _enable(0),
    "ei": _enable(1),
    "rdhwr": _rdhwr,
    "cpucfg": _cpucfg,
}


def meaning_of(row: Instruction) -> Callable:
    """What an oracle runs for a row."""
    return MEANINGS.get(row.name, row.meaning)
