"""Rows of the instruction table, each in a loop over many records of operands, on two tiers."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

import pytest

from cpu.engine import shared
from cpu.isa.table import Instruction
from tests.cpu.core_rig import KSEG0, STATUS, Rig, physical

RECORDS, RESULTS = KSEG0 + 0x10_0000, KSEG0 + 0x80_0000
HANDLER = """
        .org 0x180
        dmfc0   $k1, $epc               # an enabled exception: the result stays as it was
        daddiu  $k1, $k1, 4
        dmtc0   $k1, $epc
        eret
"""
LOOP = """
{label}:
        {load}
1:      .word   {word}
        b       2f
        nop
2:      {store}
        daddiu  $a0, $a0, {record}
        daddiu  $a2, $a2, -1
        bnez    $a2, {label}
        daddiu  $a1, $a1, {result}
        wait    0
"""


@dataclass(frozen=True)
class RowLoops:
    """`load` takes a record at $a0 into the registers and goes to 1, `store` leaves a result at $a1; both are so many
    words of 64 bits. `registers` are those of the rows' fields."""

    rows: Sequence[Instruction]
    registers: dict[str, int]
    load: str
    record_words: int
    store: str
    result_words: int
    cp0: dict[str, int] = field(default_factory=dict)

    def results(self, tier: str, data: bytes, seed: int) -> list[list[tuple[int, ...]]]:
        """For each row, what its loop over all records left in memory."""
        rig = Rig(tier, hot_after=0)
        rig.load(HANDLER, KSEG0)
        rig.memory.write(physical(RECORDS), data)
        record, result = 8 * self.record_words, 8 * self.result_words
        count, found = len(data) // record, []
        for number, row in enumerate(self.rows):
            others = {f.name: Random(f"{seed} {number}").getrandbits(f.width) for f in row.fields if not f.is_register}
            word = row.encode(**{f.name: self.registers[f.name] for f in row.fields if f.is_register}, **others)
            text = LOOP.format(
                label=f"L{number}", word=word, load=self.load, store=self.store, record=record, result=result
            )
            rig.set(rig.load(text).entry, STATUS, self.cp0, a0=RECORDS, a1=RESULTS, a2=count)
            rig.finish(100 * count)
            left = rig.memory.read(physical(RESULTS), result * count)
            found.append(list(struct.iter_unpack(f"<{self.result_words}Q", left)))
        if tier == "stencil":
            assert rig.memory.shared[shared.BLOCKS_TRANSLATED] >= len(self.rows)
        return found

    def compare(self, data: bytes, seed: int) -> None:
        """Both compiled tiers leave the same."""
        records = list(struct.iter_unpack(f"<{self.record_words}Q", data))
        tiers = (self.results(tier, data, seed) for tier in ("stencil", "threaded"))
        for row, ours, theirs in zip(self.rows, *tiers, strict=True):
            for given, *shown in zip(records, ours, theirs, strict=True):
                if shown[0] != shown[1]:
                    words = [[hex(word) for word in words] for words in (given, *shown)]
                    pytest.fail(f"{row.name} of {words[0]} gives {words[1]}, softfloat says {words[2]}")
