"""Batches of cases made fast: each case that the builder makes is followed by variants of it.

A variant has the rows and the branches of its original. Its registers are renamed, its immediates and its state are
drawn anew: it is another sequence. A batch fills the slots of a layout; a case is reproduced by (layout, seed, number).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from cpu.isa.table import FPR_FIELDS, GPR_FIELDS, LASX_FIELDS, MSA_FIELDS, Field
from tests.oracles import layout as at
from tests.oracles import pools
from tests.oracles.arrays import M64, U64
from tests.oracles.layout import Layout
from tests.oracles.programs import END, ROWS, Program
from tests.oracles.sequences import Case, Step, generate

VARIANTS = 16  # of one original, itself counted
BATCH = at.SLOTS

# Fields that a variant draws anew: not those that make addresses, control registers and bit fields.
IMMEDIATES = ("imm", "sa", "sa1", "code", "stype", "cc", "u5", "s5", "s10", "i8", "m", "n")

# What a variant draws anew of FCSR (conditions, flags, rounding mode) and MSACSR (flags, rounding mode).
DRAWN_FCSR, DRAWN_MSACSR = 0xFE80007F, 0x0000007F


class Batch:
    """Batch `number` of the run with `seed`: cases number * BATCH and following."""

    def __init__(self, layout: Layout, seed: int, number: int):
        numbers = range(number * BATCH, (number + 1) * BATCH)
        self.numbers = numbers
        self.originals = [generate(layout, seed, n) for n in numbers[::VARIANTS]]
        self.random = np.random.default_rng([seed, number])
        self.changed = np.arange(BATCH) % VARIANTS != 0
        self.general = self._renaming([n for n in range(1, 31) if n not in at.RESERVED])
        self.floating = self._renaming(list(range(32)))
        self.program = Program.of(self.originals).repeated(VARIANTS)
        self.moved = np.arange(BATCH) % VARIANTS
        self.program.slots += self.moved
        self.program.start += (self.moved * at.CODE_SLOT).astype(U64)
        self._rewrite_words()
        self._draw_general()
        self._draw_rest()

    def _renaming(self, registers: list[int]) -> np.ndarray:
        """The new number of each register; an original keeps its own."""
        renaming = np.tile(np.arange(32), (BATCH, 1))
        renaming[:, registers] = self.random.permuted(np.tile(registers, (BATCH, 1)), axis=1)
        return np.where(self.changed[:, None], renaming, np.arange(32))

    def _rewrite_words(self) -> None:
        program = self.program
        pinned = np.array([_pinned(case, program.rows.shape[1]) for case in self.originals]).repeat(VARIANTS, axis=0)
        cases, steps = np.nonzero(program.rows != END)
        rows = program.rows[cases, steps]
        order = np.argsort(rows, kind="stable")
        for group in np.split(order, np.flatnonzero(np.diff(rows[order])) + 1):
            here = cases[group], steps[group]
            words = program.words[here]
            for f in ROWS[rows[group[0]]].fields:
                words = _inserted(f, words, self._field(f, words, here, pinned[here]))
            program.words[here] = words

    def _field(self, f: Field, words: np.ndarray, here: tuple, pinned: np.ndarray) -> np.ndarray:
        """What a field of the originals' words becomes."""
        old = words >> np.uint32(f.low) & _mask(f)
        if f.name in GPR_FIELDS:
            return self.general[here[0], old]
        if f.name in FPR_FIELDS + MSA_FIELDS + LASX_FIELDS:
            return self.floating[here[0], old]
        if f.name == "target":
            return old + self.moved[here[0]] * (at.CODE_SLOT // 4)
        if f.name in IMMEDIATES:
            return np.where(self.changed[here[0]] & ~pinned, self._immediates(f, len(words)), old)
        return old

    def _immediates(self, f: Field, count: int) -> np.ndarray:
        drawn = self.random.integers(0, 1 << f.width, count)
        if not f.signed:
            return drawn
        top = 1 << f.width - 1
        edges = self.random.choice(np.array([0, 1, -1, top - 1, -top]), count)
        return np.where(self.random.random(count) < 0.7, edges, drawn)

    def _draw_general(self) -> None:
        """General registers: those with a role follow their case's place, the others are drawn."""
        values = self.program.blocks[:, at.GPR : at.GPR + 8 * 32].view(U64)
        free = np.zeros((BATCH, 32), bool)
        for n, case in enumerate(self.originals):
            own = slice(n * VARIANTS, (n + 1) * VARIANTS)
            free[own, case.free] = True
            values[own, case.bases] += (self.moved[own, None] * at.BLOCK).astype(U64)
            targets = [register for register, _, _ in case.targets]
            values[own, targets] += (self.moved[own, None] * at.CODE_SLOT).astype(U64)
        drawn = np.where(self.random.random((BATCH, 32)) < 0.5, self._stock(pools.word), self._stock(pools.integer))
        np.put_along_axis(values, self.general, np.where(free & self.changed[:, None], drawn, values), axis=1)

    def _draw_rest(self) -> None:
        blocks, random = self.program.blocks, self.random
        self._replace(at.VECTORS, self._stock(pools.vector_register))
        self._replace(at.SCRATCH, random.integers(0, 1 << 64, (BATCH, at.SCRATCH_BYTES // 8), U64))
        self._replace(at.HI, self._stock(pools.integer, 2))
        for offset, mask in ((at.FCSR, DRAWN_FCSR), (at.MSACSR, DRAWN_MSACSR)):
            kept = blocks[:, offset : offset + 8].view(U64) & U64(~mask & M64)
            self._replace(offset, kept | random.integers(0, 1 << 32, (BATCH, 1), U64) & U64(mask))
        blocks[:, at.CODE : at.CODE + 8] = self.program.start[:, None].view(np.uint8)

    def _stock(self, draw: Callable, count: int = 32) -> np.ndarray:
        stock = pools.stock_array(draw)
        return stock[self.random.integers(0, len(stock), (BATCH, count))].reshape(BATCH, -1)

    def _replace(self, offset: int, values: np.ndarray) -> None:
        """Of the variants' blocks, from `offset` on."""
        data = np.ascontiguousarray(values).view(np.uint8)
        self.program.blocks[self.changed, offset : offset + data.shape[1]] = data[self.changed]

    def case(self, index: int) -> Case:
        """Case `index` of the batch, to run alone. The program must be as it was made."""
        original, program = self.originals[index // VARIANTS], self.program
        renamed, block = self.general[index], program.blocks[index].tobytes()
        state = at.unpack_block(block)
        steps = []
        for step, word in zip(original.steps, program.words[index], strict=False):
            fields = step.row.decode(int(word))
            steps.append(Step(step.name, tuple((name, fields[name]) for name, _ in step.fields), step.target))
        targets = sorted((int(renamed[register]), *place) for register, *place in original.targets)
        return replace(
            original,
            number=self.numbers[index],
            steps=tuple(steps),
            registers=state.gpr,
            targets=tuple(targets),
            bases=tuple(int(renamed[n]) for n in original.bases),
            free=tuple(sorted(int(renamed[n]) for n in original.free)),
            hi=state.hi,
            lo=state.lo,
            fcsr=state.fcsr,
            msacsr=state.msacsr,
            vectors=state.vectors,
            scratch=state.scratch,
            start=int(program.start[index]),
        )


def _pinned(case: Case, count: int) -> np.ndarray:
    """Steps whose immediates stay: those that count a loop down."""
    pinned = np.zeros(count, bool)
    for n, step in enumerate(case.steps):
        if step.target is not None and step.target <= n:
            pinned[n + 1] = True
    return pinned


def _mask(f: Field) -> np.uint32:
    return np.uint32((1 << f.width) - 1)


def _inserted(f: Field, words: np.ndarray, values: np.ndarray) -> np.ndarray:
    bits = (values & int(_mask(f))).astype(np.uint32)
    return words & ~(_mask(f) << np.uint32(f.low)) | bits << np.uint32(f.low)
