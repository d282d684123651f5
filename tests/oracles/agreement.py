"""Random sequences on the tiers and on the reference: `python -m tests.oracles.agreement --sequences 100000 --seed 1`.

Every sequence runs on tier threaded and tier stencil, as part of a guest program with exception vectors, and on the array
backend of the instruction table; every `--every`-th also on tier reference. What is compared is the state it ends with.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from cpu.engine import shared
from cpu.engine.cache import source_hash
from cpu.engine.code_buffer import usable
from cpu.isa import TABLE
from tests.oracles import layout as at
from tests.oracles import lockstep, qemu
from tests.oracles.compare import NotAlone, describe, shrink
from tests.oracles.layout import OWN
from tests.oracles.lockstep import Coverage, Lockstep, Program
from tests.oracles.sequences import LEFT_OUT, Case, generate
from tests.oracles.tiers import open_tier, run_image

FAST = ("threaded", "stencil") if usable() else ("threaded",)
ROUND = 8 * at.SLOTS  # sequences that the array backend takes at once
EVERY = 20


@dataclass
class Tally:
    """What a run compared and what it found."""

    sequences: int = 0
    on_reference: int = 0
    translated: int = 0  # blocks that tier stencil made into host code
    coverage: Coverage = field(default_factory=Coverage)
    differences: list[str] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        self.sequences += other.sequences
        self.on_reference += other.on_reference
        self.translated += other.translated
        self.coverage.add(other.coverage)
        self.differences += other.differences

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
                f"{self.sequences} sequences on {', '.join((*FAST, 'array backend'))}; {self.on_reference} on reference",
                f"{sum(ran.values())} instructions of {len(ran)} rows, rarest {min(ran.values())} times; "
                f"{self.translated} blocks translated",
                f"ended in an exception: {exceptions}",
                f"{len(self.differences)} differences",
            )
        )


def why_not(name: str) -> str:
    """Why no sequence holds a row."""
    row = TABLE[name]
    if name in LEFT_OUT:
        return LEFT_OUT[name]
    if row.helper == "not_modelled":
        return "not modelled: it ends the run"
    if row.helper:
        return f"helper {row.helper}: one function carries it out for every tier"
    return "no case came up"


def run_tier(tier: str, program: Program) -> tuple[np.ndarray, int]:
    """(state blocks that the cases end with, blocks translated)."""
    layout, count = program.layout, len(program.blocks)
    first = layout.block(int(program.slots[0]))
    image = np.zeros((count, at.BLOCK), np.uint8)
    image[:, : at.STATE_BYTES] = program.blocks
    following = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(at.BLOCK) + np.uint64(first)
    following[-1] = 0
    image[:, at.NEXT : at.NEXT + 8] = following[:, None].view(np.uint8)
    code, where = program.code()
    memory_image = [*qemu.bare_runner(layout, first), (layout.physical(where), code)]
    core = run_image(tier, layout, [*memory_image, (layout.physical(first), image.tobytes())], count)
    blocks = np.frombuffer(core.memory.read(layout.physical(first), image.size), np.uint8).reshape(image.shape)
    blocks = blocks[:, : at.STATE_BYTES].copy()
    blocks[:, at.NEXT : at.NEXT + 8] = 0
    return blocks, int(core.memory.shared[shared.BLOCKS_TRANSLATED])


def run_round(seed: int, every: int, numbers: range) -> Tally:
    """Compares the cases `numbers` of `seed`."""
    tally = Tally(len(numbers))
    programs, ends = [], {tier: [] for tier in FAST}
    for start in range(0, len(numbers), at.SLOTS):
        program = Program.of([generate(OWN, seed, n) for n in numbers[start : start + at.SLOTS]])
        for tier in FAST:
            blocks, translated = run_tier(tier, program)
            ends[tier].append(blocks)
            tally.translated += translated
        programs.append(program)
    program = Program.joined(programs)
    Lockstep(program, tally.coverage).run()
    for tier in FAST:
        blocks = np.concatenate(ends[tier])
        for n in np.flatnonzero((blocks != program.blocks).any(axis=1)):
            _compare(tally, tier, seed, numbers[n], blocks[n], program.blocks[n])
    reference = open_tier("reference", OWN)
    for n in range(-numbers.start % every, len(numbers), every):
        case = generate(OWN, seed, numbers[n])
        tally.on_reference += 1
        if reference([case])[0] != at.unpack_block(program.blocks[n].tobytes()):
            tally.differences.append(minimised(case, "reference"))
    return tally


def _compare(tally: Tally, tier: str, seed: int, number: int, ours, expected) -> None:
    """Blocks differ: in what the architecture defines, or only elsewhere?"""
    if at.unpack_block(ours.tobytes()) != at.unpack_block(expected.tobytes()):
        tally.differences.append(minimised(generate(OWN, seed, number), tier))


def minimised(case: Case, tier: str) -> str:
    """The shortest sequence that still differs, as text."""
    side = open_tier(tier, OWN)
    try:
        text = describe(*shrink(case, side, lockstep.run_cases))
    except NotAlone as alone:
        text = f"{alone}\n" + describe(case, side([case])[0], lockstep.run_cases([case])[0])
    return f"tier {tier} (ours) against the array backend (oracle): {text}"


def rounds(sequences: int, first: int) -> Iterator[range]:
    """The numbers of the cases, in portions that do not depend on how many processes there are."""
    for start in range(first, first + sequences, ROUND):
        yield range(start, min(start + ROUND, first + sequences))


def compare(sequences: int, seed: int, first: int = 0, every: int = EVERY, jobs: int = 1) -> Iterator[Tally]:
    """The tally so far, after each round of cases `first` to `first + sequences` of `seed`."""
    total = Tally()
    work = partial(run_round, seed, every)
    if jobs == 1:
        for tally in map(work, rounds(sequences, first)):
            total.add(tally)
            yield total
        return
    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        for tally in pool.map(work, rounds(sequences, first)):
            total.add(tally)
            yield total


def record(tally: Tally, options: argparse.Namespace, seconds: float) -> dict:
    """The run as docs/differential-testing.md is made from."""
    return {
        "command": f"python -m tests.oracles.agreement --sequences {options.sequences} --seed {options.seed}"
        f" --first {options.first} --every {options.every}",
        "source": source_hash()[:16],
        "seed": options.seed,
        "first": options.first,
        "sequences": {**dict.fromkeys((*FAST, "array backend"), tally.sequences), "reference": tally.on_reference},
        "instructions": sum(tally.coverage.ran.values()),
        "blocks translated": tally.translated,
        "exceptions": tally.exceptions(),
        "differences": len(tally.differences),
        "jobs": options.jobs,
        "seconds": round(seconds),
        "rows": asdict(tally.coverage)
    }


def rows_text(coverage: Coverage) -> str:
    """A line for each row: how often it ran, how often it raised; why not, if never."""
    lines = []
    for name in TABLE:
        if name in coverage.ran:
            codes = ", ".join(f"{code} {count}" for code, count in sorted(coverage.raised.get(name, {}).items()))
            lines.append(f"{name:<12} {coverage.ran[name]:>10} {codes}".rstrip())
        else:
            lines.append(f"{name:<12} {'-':>10} {why_not(name)}")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.oracles.agreement", description=__doc__)
    parser.add_argument("--sequences", type=int, default=100_000, metavar="N", help="how many (default 100000)")
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="seed of the generator (default 1)")
    parser.add_argument("--first", type=int, default=0, metavar="N", help="number of the first (default 0)")
    parser.add_argument("--every", type=int, default=EVERY, metavar="K", help=f"on reference, one in K ({EVERY})")
    parser.add_argument("--jobs", type=int, default=1, metavar="J", help="processes (default 1)")
    parser.add_argument("--rows", action="store_true", help="print how often each row ran and raised")
    parser.add_argument("--record", type=Path, metavar="FILE", help="leave the result there, as JSON")
    options = parser.parse_args(arguments)
    begin = time.monotonic()
    told = 0
    for tally in compare(options.sequences, options.seed, options.first, options.every, options.jobs):
        for text in tally.differences[told:]:
            print(text, end="\n\n", flush=True)
        told = len(tally.differences)
        print(f"{tally.sequences} sequences, {time.monotonic() - begin:.0f} s", file=sys.stderr, flush=True)
        if told >= 10:
            break
    print(tally.summary())
    if options.rows:
        print(rows_text(tally.coverage))
    if options.record:
        options.record.write_text(json.dumps(record(tally, options, time.monotonic() - begin), indent=1) + "\n")
    return 1 if told else 0


if __name__ == "__main__":
    sys.exit(main())
