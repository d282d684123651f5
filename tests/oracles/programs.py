"""Many cases as arrays: what the array backend runs, and what a guest program of them is made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from cpu.isa import TABLE
from tests.oracles import layout as at
from tests.oracles.arrays import M64, U64
from tests.oracles.layout import Layout, Result
from tests.oracles.sequences import LONGEST, Case

MOST_STEPS = LONGEST + 4  # a loop's branch and delay slot, a delay slot at the end, a step in front of a loop's branch
TAIL = 2  # words that lead back to the runner
ROWS = tuple(TABLE.values())
ROW_NUMBER = {row.name: number for number, row in enumerate(ROWS)}
END = len(ROWS)  # stands behind the last step of a case
ARRAYS = ("words", "lengths", "rows", "slots", "start", "blocks")


@dataclass
class Program:
    """The code of consecutive cases, and the state blocks that they start from, one row of bytes each."""

    layout: Layout
    words: np.ndarray  # case by step, with what leads back to the runner
    lengths: np.ndarray  # how many of them
    rows: np.ndarray  # case by step: number in ROWS, END behind the last
    slots: np.ndarray
    start: np.ndarray
    blocks: np.ndarray

    @classmethod
    def of(cls, cases: Sequence[Case]) -> Program:
        words = np.zeros((len(cases), MOST_STEPS + TAIL), np.uint32)
        rows = np.full((len(cases), MOST_STEPS + 1), END, np.int16)
        for n, case in enumerate(cases):
            words[n, : len(case.steps) + TAIL] = case.words()
            rows[n, : len(case.steps)] = [ROW_NUMBER[step.name] for step in case.steps]
        lengths = np.array([len(case.steps) + TAIL for case in cases])
        slots = np.array([case.slot for case in cases])
        start = np.array([case.start for case in cases], U64)
        states = (at.pack_block(case, 0)[: at.STATE_BYTES] for case in cases)
        blocks = np.frombuffer(b"".join(states), np.uint8).reshape(len(cases), at.STATE_BYTES).copy()
        return cls(cases[0].layout, words, lengths, rows, slots, start, blocks)

    @classmethod
    def joined(cls, programs: Sequence[Program]) -> Program:
        return replace(programs[0], **{n: np.concatenate([getattr(p, n) for p in programs]) for n in ARRAYS})

    def repeated(self, times: int) -> Program:
        """Each case so many times in a row."""
        return replace(self, **{name: np.repeat(getattr(self, name), times, axis=0) for name in ARRAYS})

    def code(self) -> tuple[bytes, int]:
        """The code of all cases, and its address; at most SLOTS cases."""
        first = self.layout.code_slot(int(self.slots.min()))
        image = np.zeros(len(self.words) * at.CODE_SLOT // 4, np.uint32)
        steps = np.arange(self.words.shape[1])
        places = ((self.start - U64(first & M64)) >> U64(2)).astype(np.intp)[:, None] + steps
        inside = steps < self.lengths[:, None]
        image[places[inside]] = self.words[inside]
        return image.tobytes(), first

    def results(self) -> list[Result]:
        return [at.unpack_block(block.tobytes()) for block in self.blocks]

    @property
    def scratch_addresses(self) -> np.ndarray:
        return self.slots.astype(U64) * U64(at.BLOCK) + U64(self.layout.scratch(0))
