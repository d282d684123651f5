"""Random sequences on the tiers and on the reference: `python -m tests.oracles.agreement --sequences 100000 --seed 1`.

Every sequence runs on tier threaded and tier stencil, as part of a guest program with exception vectors, and on the
array backend of the instruction table; one in `--every` also on tier reference. The states they end with are compared.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from cpu.engine import shared
from cpu.engine.cache import source_hash
from cpu.engine.code_buffer import usable
from tests.oracles import layout as at
from tests.oracles import lockstep, qemu, record
from tests.oracles.compare import NotAlone, describe, shrink
from tests.oracles.layout import OWN
from tests.oracles.lockstep import Coverage, Lockstep
from tests.oracles.programs import Program
from tests.oracles.record import Record
from tests.oracles.sequences import Case
from tests.oracles.tiers import TierError, open_tier, run_image
from tests.oracles.variants import BATCH, Batch

FAST = ("threaded", "stencil") if usable() else ("threaded",)
ARRAYS = "array backend"
ROUND = 16  # batches that the array backend takes at once
EVERY = 51  # odd, so that it meets every variant, and scratch areas within a page and across two
SHOWN = 10  # differences of a round that are minimised


@dataclass
class Tally:
    """What a run compared and what it found."""

    sequences: int = 0
    on_reference: int = 0
    translated: int = 0  # blocks that tier stencil made into host code
    coverage: Coverage = field(default_factory=Coverage)
    differences: int = 0
    shown: list[str] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        self.sequences += other.sequences
        self.on_reference += other.on_reference
        self.translated += other.translated
        self.coverage.add(other.coverage)
        self.differences += other.differences
        self.shown += other.shown

    def found(self, text: Callable[[], str]) -> None:
        """A difference, which `text` describes if it is one of the first."""
        self.differences += 1
        if len(self.shown) < SHOWN:
            self.shown.append(text())

    def exceptions(self) -> dict[str, int]:
        """How many sequences ended with which exception."""
        totals: dict[str, int] = {}
        for codes in self.coverage.raised.values():
            for code, count in codes.items():
                totals[code] = totals.get(code, 0) + count
        return dict(sorted(totals.items()))

    def summary(self) -> str:
        ran = self.coverage.ran
        exceptions = ", ".join(f"{code} {count}" for code, count in self.exceptions().items())
        return "\n".join(
            (
                f"{self.sequences} sequences on {', '.join((*FAST, ARRAYS))}; {self.on_reference} of them on reference",
                f"{sum(ran.values())} instructions of {len(ran)} rows, rarest {min(ran.values())} times; "
                f"{self.translated} blocks translated",
                f"ended in an exception: {exceptions}",
                f"{self.differences} differences",
            )
        )


def run_tier(tier: str, program: Program) -> tuple[np.ndarray, int]:
    """(state blocks that the cases end with, blocks translated)."""
    layout, count = program.layout, len(program.blocks)
    first = layout.block(int(program.slots[0]))
    blocks = np.zeros((count, at.BLOCK), np.uint8)
    blocks[:, : at.STATE_BYTES] = program.blocks
    following = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(at.BLOCK) + np.uint64(first)
    following[-1] = 0
    _column(blocks, at.NEXT)[:] = following
    code, where = program.code()
    image = [(layout.physical(where), code), (layout.physical(first), blocks.tobytes())]
    core = run_image(tier, layout, qemu.bare_runner(layout, first) + image, count)
    ends = np.frombuffer(core.memory.read(layout.physical(first), blocks.size), np.uint8).reshape(blocks.shape)
    ends = ends[:, : at.STATE_BYTES].copy()
    _column(ends, at.NEXT)[:] = 0
    exception = _column(ends, at.CAUSE) >> np.uint64(2) & np.uint64(31)
    _column(ends, at.BADVADDR)[~np.isin(exception, at.SETS_BADVADDR)] = 0  # undefined otherwise
    return ends, int(core.memory.shared[shared.BLOCKS_TRANSLATED])


def _column(blocks: np.ndarray, offset: int) -> np.ndarray:
    return blocks[:, offset : offset + 8].view(np.uint64)[:, 0]


def run_round(seed: int, every: int, numbers: range) -> Tally:
    """Compares the batches `numbers` of `seed`."""
    batches = [Batch(OWN, seed, number) for number in numbers]
    tally = Tally(sequences=len(batches) * BATCH)
    whole = Program.joined([batch.program for batch in batches])
    Lockstep(whole, tally.coverage).run()
    reference = open_tier("reference", OWN)
    for batch, expected in zip(batches, np.split(whole.blocks, len(batches)), strict=True):
        for tier in FAST:
            compare_tier(tally, batch, expected, tier)
        for n in range(0, BATCH, every):
            case = batch.case(n)
            tally.on_reference += 1
            if reference([case])[0] != at.unpack_block(expected[n].tobytes()):
                tally.found(partial(minimised, case, "reference"))
    return tally


def compare_tier(tally: Tally, batch: Batch, expected: np.ndarray, tier: str) -> None:
    """Compares what the cases end with on a fast tier with the blocks expected."""
    try:
        ends, translated = run_tier(tier, batch.program)
    except TierError as error:
        tally.found(partial(lost, batch, tier, error))
        return
    tally.translated += translated
    for n in np.flatnonzero((ends != expected).any(axis=1)):
        tally.found(partial(minimised, batch.case(n), tier))


def minimised(case: Case, tier: str) -> str:
    """The shortest sequence that still differs, as text."""
    side = open_tier(tier, OWN)
    try:
        text = describe(*shrink(case, side, lockstep.run_cases))
    except NotAlone as alone:
        text = f"{alone}\n" + describe(case, side([case])[0], lockstep.run_cases([case])[0])
    return f"tier {tier} (ours) against the array backend (oracle): {text}"


def lost(batch: Batch, tier: str, error: TierError) -> str:
    """A batch's program did not come to its end: the first case that does not alone, as text."""
    side = open_tier(tier, OWN)
    for n in range(BATCH):
        case = batch.case(n)
        try:
            side([case])
        except TierError as alone:
            end = lockstep.run_cases([case])[0]
            return f"{alone}\n{describe(case, end, end)}"
    return f"tier {tier}, cases {batch.numbers[0]} to {batch.numbers[-1]} together, none of them alone: {error}"


def compare(batches: range, seed: int, every: int = EVERY, jobs: int = 1) -> Iterator[Tally]:
    """The tally so far, after each round; it does not depend on the number of processes."""
    rounds = [batches[k : k + ROUND] for k in range(0, len(batches), ROUND)]
    work = partial(run_round, seed, every)
    total = Tally()
    with ProcessPoolExecutor(jobs, get_context("spawn")) if jobs > 1 else nullcontext() as pool:
        for tally in pool.map(work, rounds) if pool else map(work, rounds):
            total.add(tally)
            yield total


def result(tally: Tally, options: argparse.Namespace, seconds: float) -> Record:
    """The record of a run."""
    return {
        "seed": options.seed,
        "first batch": options.first,
        "every": options.every,
        "source": source_hash()[:16],
        "tiers": FAST,
        "sequences": tally.sequences,
        "on reference": tally.on_reference,
        "instructions": sum(tally.coverage.ran.values()),
        "blocks translated": tally.translated,
        "differences": tally.differences,
        "jobs": options.jobs,
        "seconds": round(seconds),
        "exceptions": tally.exceptions(),
        "groups": record.summary(tally.coverage),
        "never": record.never(tally.coverage),
        "ran": tally.coverage.ran,
        "raised": tally.coverage.raised,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.oracles.agreement", description=__doc__)
    parser.add_argument(
        "--sequences", type=int, default=12 * BATCH, metavar="N", help=f"how many, in batches of {BATCH} (default 12)"
    )
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="seed of the generator (default 1)")
    parser.add_argument("--first", type=int, default=0, metavar="B", help="first batch (default 0)")
    parser.add_argument(
        "--every", type=int, default=EVERY, metavar="K", help=f"one in K on tier reference (default {EVERY})"
    )
    parser.add_argument("--jobs", type=int, default=1, metavar="J", help="processes (default 1)")
    parser.add_argument("--rows", action="store_true", help="print how often each row ran and raised")
    parser.add_argument("--record", type=Path, metavar="FILE", help="leave the result there, after each round")
    options = parser.parse_args(arguments)
    for name in ("sequences", "every", "jobs"):
        if getattr(options, name) < 1:
            parser.error(f"--{name} is {getattr(options, name)}; it must be at least 1")
    begin = time.monotonic()
    told = 0
    batches = range(options.first, options.first + -(-options.sequences // BATCH))
    for tally in compare(batches, options.seed, options.every, options.jobs):
        for text in tally.shown[told:]:
            print(text, end="\n\n", flush=True)
        told = len(tally.shown)
        if options.record:
            options.record.write_text(record.text([result(tally, options, time.monotonic() - begin)]))
        print(f"{tally.sequences} sequences, {time.monotonic() - begin:.0f} s", file=sys.stderr, flush=True)
        if told >= SHOWN:
            break
    print(tally.summary())
    if options.rows:
        print(record.rows_text(tally.coverage))
    return 1 if told else 0


if __name__ == "__main__":
    sys.exit(main())
