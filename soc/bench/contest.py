"""Programs run by contestants in turns: inside each round everyone runs, so that a change of the host's speed meets
all of them.

A rate of the engine alone comes from two lengths of the same program, (instructions of the long one - of the short
one) / (CPU time - CPU time): start-up, loading and compiling cancel out, in the same way for every contestant, and what
else the host does disturbs it less than wall time.
"""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import exp, log
from pathlib import Path
from statistics import median

from soc.bench.errors import BenchError
from soc.bench.runs import Outcome

SHORT = 1
Say = Callable[[str], None]
Make = Callable[[int], bytes]


@dataclass(frozen=True)
class Contestant:
    """Who runs the ELF `make(iterations)`. A contestant may have a program of its own, which must print the same."""

    name: str
    run: Callable[[Path], Outcome]
    make: Make
    iterations: int


@dataclass
class Program:
    """Rounds of one contestant. All lists have an entry per round."""

    name: str
    iterations: int
    wall_s: list[float] = field(default_factory=list)
    short_wall_s: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)
    short_cpu_s: list[float] = field(default_factory=list)
    instructions: int = 0
    """Of the long run less those of the short one."""

    @property
    def engine_s(self) -> list[float]:
        """CPU time of the long run less that of the short one."""
        return [whole - short for whole, short in zip(self.cpu_s, self.short_cpu_s, strict=True)]

    @property
    def mips(self) -> float:
        """Guest MIPS of the engine alone, median of the rounds."""
        return self.instructions / median(self.engine_s) / 1e6

    @property
    def whole_mips(self) -> float:
        """Guest MIPS by wall time of the whole process, median of the rounds."""
        return self.instructions / median(self.wall_s) / 1e6

    @property
    def each_instructions(self) -> float:
        """Instructions of an iteration."""
        return self.instructions / (self.iterations - SHORT)

    @property
    def each_ns(self) -> float:
        """Time of an iteration in ns, start-up left out, median of the rounds."""
        return median(self.engine_s) / (self.iterations - SHORT) * 1e9


@dataclass
class Pair:
    """Rounds of one program, by us and by whom we compare with, if there is anybody."""

    name: str
    ours: Program
    theirs: Program | None = None

    @property
    def ratios(self) -> list[float]:
        """Per round: their time for an instruction by ours, start-up left out; above 1 when ours is faster."""
        if self.theirs is None:
            return []
        scale = self.ours.instructions / self.theirs.instructions
        return [scale * b / a for a, b in zip(self.ours.engine_s, self.theirs.engine_s, strict=True)]


def contest(contestants: Sequence[Contestant], rounds: int, say: Say = lambda text: None) -> list[Program]:
    """Measures each contestant; names differ, and one of them must count instructions.

    Raises BenchError when two runs of the same length print different text, or complete different numbers of
    instructions from their short run on.
    """
    results = [Program(one.name, one.iterations) for one in contestants]
    ledger = _Ledger()
    with tempfile.TemporaryDirectory() as folder:

        def go(one: Contestant, count: int) -> Outcome:
            path = Path(folder) / f"{contestants.index(one)}-{count}.elf"
            if not path.exists():
                path.write_bytes(one.make(count))
                path.chmod(0o755)
            outcome = one.run(path)
            ledger.enter(one.name, count, outcome)
            return outcome

        # The first runs compile and warm the host's file cache; they are not measured.
        counts = [one for one in contestants if go(one, SHORT).result]
        for count in {one.iterations for one in contestants} - {one.iterations for one in counts}:
            go(counts[0], count)
        for number in range(rounds):
            say(f"round {number + 1} of {rounds}")
            for one, result in zip(contestants, results, strict=True):
                short, whole = go(one, SHORT), go(one, one.iterations)
                result.short_wall_s.append(short.wall_s)
                result.short_cpu_s.append(short.cpu_s)
                result.wall_s.append(whole.wall_s)
                result.cpu_s.append(whole.cpu_s)
    for result in results:
        result.instructions = ledger.instructions(result.iterations)
    return results


class _Ledger:
    """What was printed and counted so far."""

    def __init__(self) -> None:
        self._printed: dict[int, tuple[str, str]] = {}
        self._counted: dict[tuple[str, int], int] = {}

    def enter(self, name: str, count: int, outcome: Outcome) -> None:
        first, wanted = self._printed.setdefault(count, (name, outcome.output))
        if not wanted or outcome.output != wanted:
            raise BenchError(f"{count} iterations: {first} prints {wanted!r}, {name} prints {outcome.output!r}")
        if outcome.result:
            instructions = outcome.result["instructions"]
            if self._counted.setdefault((name, count), instructions) != instructions:
                raise BenchError(
                    f"{count} iterations on {name}: {self._counted[name, count]} instructions, then {instructions}"
                )

    def instructions(self, count: int) -> int:
        """Of `count` iterations less those of the short run. Who counts none does the same work."""
        found = {name: number - self._counted[name, SHORT] for (name, n), number in self._counted.items() if n == count}
        if len(set(found.values())) != 1:
            raise BenchError(f"{count} iterations: {', '.join(f'{n} instructions on {o}' for o, n in found.items())}")
        return next(iter(found.values()))


def pair(name: str, ours: Contestant, theirs: Contestant | None, rounds: int, say: Say = lambda text: None) -> Pair:
    """Measures one program. Raises BenchError as `contest` does, and when the host is too busy to tell start-up from
    work."""
    both = [ours, theirs] if theirs else [ours]
    results = contest(both, rounds, lambda text: say(f"{name}, {text}"))
    if any(time <= 0 for result in results for time in result.engine_s):
        raise BenchError(f"{name}: a start took longer than a whole run; measure when the host is quieter")
    return Pair(name, *results)


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Median over the rounds of theirs / ours: above 1 when ours takes less time."""
    return median(b / a for a, b in zip(ours, theirs, strict=True))


def geometric_mean(pairs: Sequence[Pair]) -> float:
    """Of the pairs' median ratios."""
    return exp(sum(log(median(one.ratios)) for one in pairs) / len(pairs))
