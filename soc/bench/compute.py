"""The compute set: one kind of work per program, the fastest tier of this host beside QEMU.

Vector instructions (MSA) are not in it: the processor that QEMU's loongson3-virt runs without KVM has none.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import exp, log
from statistics import median
from typing import Any

from soc.bench import measure
from soc.bench.errors import BenchError
from soc.bench.measure import Program, Say
from soc.bench.qemu import Qemu

# Iterations, ours and QEMU's, that keep each busy for longer than its start-up varies.
ITERATIONS = {
    "mixed": (30_000, 30_000),
    "integer": (150_000, 150_000),
    "double": (20_000, 4_000),
    "memory": (1_500, 60),
    "calls": (40_000, 20_000),
}

Make = Callable[[int], bytes]


@dataclass
class Part:
    """Rounds of one program of the set."""

    name: str
    ours: Program
    theirs: Program | None = None

    @property
    def ratios(self) -> list[float]:
        """Per round: QEMU's time for an instruction by ours, start-up left out; above 1 when ours is faster. Empty
        without QEMU."""
        if self.theirs is None:
            return []
        scale = self.ours.instructions / self.theirs.instructions
        return [scale * b / a for a, b in zip(self.ours.engine_s, self.theirs.engine_s, strict=True)]

    def as_dict(self) -> dict[str, Any]:
        """Plain data, with every round."""
        theirs = self.theirs.as_dict() if self.theirs else None
        return {"part": self.name, "ours": self.ours.as_dict(), "theirs": theirs, "ratios": self.ratios}


def compute(
    makes: Mapping[str, Make],
    tier: str,
    qemu: Qemu | None,
    rounds: int,
    say: Say = lambda text: None,
    iterations: Mapping[str, tuple[int, int]] = ITERATIONS,
) -> list[Part]:
    """Measures each program of `makes` on `tier` and on QEMU. Raises BenchError when they print different text, or
    when the host is too busy to tell start-up from work."""
    parts = []
    for name, make in makes.items():
        mine, theirs = iterations[name]
        results = measure.program(
            make, {tier: mine}, qemu, rounds, lambda text, n=name: say(f"{n}: {text}"), theirs if qemu else None
        )
        if any(time <= 0 for result in results for time in result.engine_s):
            raise BenchError(f"{name}: a start took longer than a whole run; measure when the host is quieter")
        parts.append(Part(name, *results))
    return parts


def geometric_mean(parts: Sequence[Part]) -> float:
    """Of the parts' median ratios."""
    return exp(sum(log(median(part.ratios)) for part in parts) / len(parts))
