"""Status.FR = 0 against QEMU's Loongson-3A4000 on a bare machine: random FPU instructions over halves and pairs.

QEMU keeps each half in a register of its own, so the registers are compared as SDC1 stores them.
"""

from __future__ import annotations

from random import Random

import pytest

from cpu.isa import TABLE, Flow
from tests.cpu.core_rig import TIERS
from tests.oracles import layout as at
from tests.oracles import pools, qemu
from tests.oracles.sequences import CU0, CU1, KX, SX, UX, Case, Step
from tests.oracles.tiers import CoreSide

STATUS = CU1 | CU0 | KX | SX | UX
ROWS = [row for row in TABLE.values() if row.unit == "fpu" and row.meaning and row.flow is Flow.PLAIN]
UNCHECKED = ("movf.d", "movt.d", "movz.d", "movn.d")
"""And moves and loads named after the unit. With an odd register UNPREDICTABLE: QEMU takes the pair or the half, this
core has no such instruction."""
PARTS = ("lc1", "rc1", "xc1")
BASE, INDEX, FIRST, LAST = 4, 5, 8, 15
LOADED, STORED = 0, 128
LENGTH = 20


def step(random: Random, row, odd_wide: bool) -> Step:
    """One instruction; `odd_wide` lets a wide field name an odd register."""
    fields = {}
    for f in row.fields:
        if f.name in ("base", "index"):
            fields[f.name] = BASE if f.name == "base" else INDEX
        elif f.name in row.wide:
            fields[f.name] = 2 * random.randrange(16) | (odd_wide and random.randrange(2))
        elif f in row.narrow:
            fields[f.name] = random.randrange(32)
        elif f.is_register:
            fields[f.name] = random.randrange(FIRST, LAST + 1)
        elif f.name in ("offset", "off8"):
            fields[f.name] = 8 * random.randrange(8)
        elif f.name == "off_q":
            fields[f.name] = random.randrange(4)
        elif f.name == "fcr":
            fields[f.name] = 31 if row.name == "cfc1" else 25
        else:
            fields[f.name] = random.randrange(1 << f.width)
    if row.name.startswith("gs") and row.name.endswith(PARTS) and fields.get("ft") == 0:
        fields["ft"] = 2  # QEMU takes f0 for r0 here
    return Step(row.name, tuple(fields.items()))


def case(number: int, seed: int, row, odd_wide: bool = False) -> Case:
    """Loads the pairs, some instructions with `row` among them, and stores the pairs."""
    random = Random(f"fr0 {seed} {number}")
    plain = [r for r in ROWS if not r.fr1]
    body = [step(random, random.choice(plain), False) for _ in range(LENGTH - 1)]
    body.insert(random.randrange(LENGTH), step(random, row, odd_wide))
    pairs = range(0, 32, 2)
    load = [Step("ldc1", (("base", BASE), ("ft", n), ("offset", LOADED + 4 * n))) for n in pairs]
    store = [Step("sdc1", (("base", BASE), ("ft", n), ("offset", STORED + 4 * n))) for n in pairs]
    slot = number % at.SLOTS
    registers = [pools.integer(random) for _ in range(32)]
    registers[0], registers[BASE], registers[INDEX] = 0, at.KERNEL.scratch(slot), 8 * random.randrange(8)
    values = (pools.vector_register(random) & (1 << 64) - 1 for _ in range(at.SCRATCH_BYTES // 8))
    return Case(
        number=number,
        layout=at.KERNEL,
        steps=(*load, *body, *store),
        registers=tuple(registers),
        targets=(),
        bases=(BASE,),
        free=(),
        hi=0,
        lo=0,
        fcsr=random.randrange(4) | random.choice((0, 0, 0, random.getrandbits(5) << 7)),
        msacsr=0,
        vectors=(0,) * 32,
        scratch=b"".join(value.to_bytes(8, "little") for value in values),
        status=STATUS,
        config5=0,
        start=at.KERNEL.code_slot(slot),
    )


def shown(result) -> tuple:
    return result.gpr, result.fcsr, result.scratch, result.vector, result.cause, result.epc


def compare(cases: list[Case], tiers=TIERS) -> list:
    expected = [shown(result) for result in qemu.run(at.KERNEL, cases)]
    for tier in tiers:
        ours = [shown(result) for result in CoreSide(tier, at.KERNEL)(cases)]
        for c, theirs, mine in zip(cases, expected, ours, strict=True):
            assert mine == theirs, (tier, c.number, [str(s) for s in c.steps[16:-16]])
    return expected


pytestmark = [
    pytest.mark.qemu,
    pytest.mark.skipif(qemu.missing(at.KERNEL) is not None, reason=str(qemu.missing(at.KERNEL))),
]


def test_halves_and_pairs_agree_with_qemu():
    """Each row that there is with FR = 0, once on every tier."""
    ends = compare([case(n, 1, row) for n, row in enumerate(row for row in ROWS if not row.fr1)])
    assert sum(vector is None for *_, vector, _, _ in ends) > len(ends) // 2


def test_what_is_reserved_agrees_with_qemu():
    rows = [row for row in ROWS if row.fr1 or (row.wide and row.name not in UNCHECKED and "c1" not in row.name)]
    ends = compare([case(n, 2, row, True) for n, row in enumerate(rows)])
    assert sum(cause is not None and cause >> 2 & 31 == 10 for *_, cause, _ in ends) > len(ends) // 2


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3, 8))
def test_many_cases_agree_with_qemu(seed):
    rows = [row for row in ROWS if not row.fr1] * 20
    compare([case(n, seed, row) for n, row in enumerate(rows)], TIERS[:1])
