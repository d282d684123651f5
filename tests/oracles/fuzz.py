"""Differential runs against QEMU: `python -m tests.oracles.fuzz --sequences 5000 --seed 1 --tier int`."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.oracles import qemu
from tests.oracles.compare import Side, describe, explained, shrink
from tests.oracles.layout import KERNEL, MAPPED, NARROW, USER, Layout
from tests.oracles.sequences import Case, generate
from tests.oracles.tiers import TIERS, open_tier

BATCH = 2000
LAYOUTS = {"user": USER, "system": KERNEL, "mapped": MAPPED, "narrow": NARROW}


@dataclass
class Report:
    """What a run compared and what it found."""

    compared: int = 0
    trapped: int = 0
    left_to_system: int = 0  # user layout: cases that trap; the system oracle runs such cases
    instructions: Counter = field(default_factory=Counter)
    exceptions: Counter = field(default_factory=Counter)
    explained: Counter = field(default_factory=Counter)
    unexplained: list[str] = field(default_factory=list)

    def summary(self) -> str:
        lines = [
            f"{self.compared} sequences compared, {self.trapped} of them ended in an exception, "
            f"{self.left_to_system} left to the system oracle",
            f"{sum(self.instructions.values())} instructions placed, of {len(self.instructions)} rows, "
            f"rarest {min(self.instructions.values(), default=0)} times",
            "exceptions (ExcCode: count): " + ", ".join(f"{k}: {n}" for k, n in sorted(self.exceptions.items())),
            f"{sum(self.explained.values())} explained differences, {len(self.unexplained)} unexplained",
        ]
        return "\n".join(lines + [f"  explained by {name}: {n}" for name, n in self.explained.items()])


def fuzz(sequences: int, seed: int, layout: Layout, ours: Side, first: int = 0, stop_after: int = 10) -> Report:
    """Runs cases `first` to `first + sequences` of `seed` on both sides; ends early after `stop_after` unexplained."""
    report = Report()
    for start in range(first, first + sequences, BATCH):
        numbers = range(start, min(start + BATCH, first + sequences))
        _batch(report, [generate(layout, seed, n) for n in numbers], layout, ours, stop_after)
        if len(report.unexplained) >= stop_after:
            break
    return report


def _batch(report: Report, cases: Sequence[Case], layout: Layout, ours: Side, stop_after: int) -> None:
    def theirs(batch: Sequence[Case]):
        return qemu.run(layout, batch)

    mine = ours(cases)
    if not layout.kernel:
        calm = [n for n, result in enumerate(mine) if result.vector is None]
        report.left_to_system += len(cases) - len(calm)
        cases, mine = [cases[n] for n in calm], [mine[n] for n in calm]
    for case, result, reference in zip(cases, mine, theirs(cases), strict=True):
        report.compared += 1
        report.instructions.update(step.name for step in case.steps)
        if reference.vector is not None and reference.epc != case.end:
            report.trapped += 1
            report.exceptions[reference.cause >> 2 & 31] += 1
        if result != reference:
            known = explained(case, result, reference)
            if known:
                report.explained[known.name] += 1
            else:
                report.unexplained.append(describe(*shrink(case, ours, theirs)))
                if len(report.unexplained) >= stop_after:
                    return


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.oracles.fuzz", description=__doc__)
    parser.add_argument("--sequences", type=int, default=5000, metavar="N", help="how many sequences (default 5000)")
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="seed of the generator (default 1)")
    parser.add_argument("--first", type=int, default=0, metavar="N", help="number of the first sequence (default 0)")
    parser.add_argument("--tier", choices=sorted(TIERS), default="int", help="our side (default int)")
    parser.add_argument(
        "--oracle",
        choices=sorted(LAYOUTS),
        default="system",
        help="QEMU's side: user mode, bare metal (default), or bare metal with user mode behind the TLB, with 64-bit "
        "addresses (mapped) or without (narrow)",
    )
    parser.add_argument("--stop-after", type=int, default=10, metavar="N", help="end after N unexplained (default 10)")
    options = parser.parse_args(arguments)
    layout = LAYOUTS[options.oracle]
    reason = qemu.missing(layout)
    if reason:
        parser.error(f"{reason}; install Debian's qemu-user and qemu-system-mips, or choose the other --oracle")
    begin = time.monotonic()
    ours = open_tier(options.tier, layout)
    report = fuzz(options.sequences, options.seed, layout, ours, options.first, options.stop_after)
    for text in report.unexplained:
        print(text, end="\n\n")
    print(report.summary())
    print(f"tier {options.tier}, oracle {options.oracle}, seed {options.seed}, {time.monotonic() - begin:.1f} s")
    return 1 if report.unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
