"""The measurements: contestants take turns inside each round, so that a change of the host's speed meets all of them.

A rate of the engine alone comes from two lengths of the same program, (instructions of the long one - of the short
one) / (wall - wall): start-up, loading and compiling cancel out, in the same way for every contestant.
"""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from soc.bench import runs
from soc.bench.errors import BenchError
from soc.bench.qemu import Qemu, kernel_elf
from soc.bench.runs import Outcome
from soc.console import PROMPT
from soc.fetch.cache import Material
from soc.firmware.cmdline import DEFAULT_WORDS

SHORT = 1
# Lines whose output depends neither on the processor model nor on time.
SCRIPT = (
    "uname -a",
    'for i in 1 2 3; do echo "loop $i"; done',
    "md5sum /bin/busybox",
    "seq 1 2000 | sort -r | md5sum",
    "poweroff -f",
)
COMMAND_LINES = {"default": "", "fast": "nokaslr cryptomgr.notests"}


@dataclass
class Program:
    """Rounds of one contestant on the program. All lists have an entry per round."""

    name: str
    iterations: int
    wall_s: list[float] = field(default_factory=list)
    short_wall_s: list[float] = field(default_factory=list)
    instructions: int = 0
    """Of the long run less those of the short one."""

    @property
    def engine_s(self) -> list[float]:
        """Wall time of the long run less that of the short one."""
        return [whole - short for whole, short in zip(self.wall_s, self.short_wall_s, strict=True)]

    @property
    def mips(self) -> float:
        """Guest MIPS of the engine alone, median of the rounds."""
        return self.instructions / median(self.engine_s) / 1e6

    @property
    def whole_mips(self) -> float:
        """Guest MIPS with the whole process counted, median of the rounds."""
        return self.instructions / median(self.wall_s) / 1e6

    def as_dict(self) -> dict[str, Any]:
        """Plain data, with every round."""
        return {**vars(self), "engine_s": self.engine_s, "mips": self.mips, "whole_mips": self.whole_mips}


@dataclass
class Boot:
    """Rounds of one contestant on one command line."""

    name: str
    command_line: str
    wall_s: list[float] = field(default_factory=list)
    engine_s: list[float] = field(default_factory=list)
    """Wall time inside the machine's run, where the contestant reports it."""
    instructions: int = 0
    trace_hash: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Plain data, with every round."""
        return dict(vars(self))


Say = Callable[[str], None]


def program(
    make: Callable[[int], bytes],
    tiers: Mapping[str, int],
    qemu: Qemu | None,
    rounds: int,
    say: Say = lambda text: None,
    theirs: int | None = None,
) -> list[Program]:
    """Measures the ELF `make(iterations)` on each tier with its number of iterations, and on QEMU with `theirs` (the
    largest of the tiers' without).

    Raises BenchError when two runs of the same length print different text.
    """
    longest = theirs or max(tiers.values())
    results = [Program(tier, iterations) for tier, iterations in tiers.items()]
    starts: dict[str, Callable[[Path], Outcome]] = {
        tier: lambda elf, tier=tier: runs.soc("run", "--tier", tier, elf) for tier in tiers
    }
    if qemu is not None:
        results.append(Program(qemu.name, longest))
        starts[qemu.name] = qemu.run
    printed: dict[int, tuple[str, str]] = {}
    counted: dict[int, int] = {}
    with tempfile.TemporaryDirectory() as folder:
        elves = {count: Path(folder) / f"{count}.elf" for count in {SHORT, longest, *tiers.values()}}
        for count, path in elves.items():
            path.write_bytes(make(count))
        # The first runs compile and warm the host's file cache; they are not counted.
        for result in results:
            _agree(printed, counted, result.name, SHORT, starts[result.name](elves[SHORT]))
        if longest not in tiers.values():
            # QEMU counts no instructions.
            _agree(printed, counted, results[0].name, longest, starts[results[0].name](elves[longest]))
        for number in range(rounds):
            say(f"program, round {number + 1} of {rounds}")
            for result in results:
                for count, walls in ((SHORT, result.short_wall_s), (result.iterations, result.wall_s)):
                    outcome = starts[result.name](elves[count])
                    _agree(printed, counted, result.name, count, outcome)
                    walls.append(outcome.wall_s)
    for result in results:
        # QEMU runs the same program, which depends on nothing else.
        result.instructions = counted[result.iterations] - counted[SHORT]
    return results


def _agree(
    printed: dict[int, tuple[str, str]], counted: dict[int, int], name: str, count: int, outcome: Outcome
) -> None:
    first, wanted = printed.setdefault(count, (name, outcome.output))
    if not wanted or outcome.output != wanted:
        raise BenchError(f"{count} iterations: {first} prints {wanted!r}, {name} prints {outcome.output!r}")
    if outcome.result:
        instructions = outcome.result["instructions"]
        if counted.setdefault(count, instructions) != instructions:
            raise BenchError(f"{count} iterations: {counted[count]} instructions, but {instructions} on {name}")


def boot(material: Material, qemu: Qemu | None, rounds: int, say: Say = lambda text: None) -> list[Boot]:
    """Measures the boot to a shell, `SCRIPT` and power-off, without the stub, on the default tier and on QEMU.

    Raises BenchError when the shell's answers differ, or when two boots of ours have different trace hashes.
    """
    results = []
    with tempfile.TemporaryDirectory() as folder:
        script, elf = Path(folder) / "script", Path(folder) / "vmlinux"
        script.write_text("\n".join(SCRIPT) + "\n")
        elf.write_bytes(kernel_elf(material.kernel))
        for label, words in COMMAND_LINES.items():
            ours, theirs = Boot("soc", words), Boot(qemu.name, words) if qemu else None
            results += [ours, *([theirs] if theirs else [])]
            answers = None
            for number in range(rounds + 1):
                say(f"boot, {label} command line, " + (f"round {number} of {rounds}" if number else "warm-up"))
                outcome = _boot(material, script, words)
                result = outcome.result
                if ours.trace_hash not in ("", result["trace_hash"]):
                    raise BenchError(f"two equal boots have the trace hashes {ours.trace_hash}, {result['trace_hash']}")
                ours.trace_hash, ours.instructions = result["trace_hash"], result["instructions"]
                answers = _answer(answers, outcome, "soc")
                if number:
                    ours.wall_s.append(outcome.wall_s)
                    ours.engine_s.append(result["wall_s"])
                if theirs is not None:
                    outcome = qemu.boot(elf, material.initrd, " ".join((*DEFAULT_WORDS, words)), SCRIPT)
                    answers = _answer(answers, outcome, theirs.name)
                    if number:
                        theirs.wall_s.append(outcome.wall_s)
    return results


def _boot(material: Material, script: Path, words: str, environment: Mapping[str, str] | None = None) -> Outcome:
    given = ("--kernel", material.kernel, "--initrd", material.initrd, "--script", script, "--append", words)
    return runs.soc("boot", *given, environment=environment)


def _answer(before: list[str] | None, outcome: Outcome, name: str) -> list[str]:
    found = answers(outcome.output)
    if len(found) != len(SCRIPT):
        raise BenchError(f"{name} shows {len(found)} prompts, {len(SCRIPT)} were expected: {outcome.output[-200:]!r}")
    # What the kernel says after the last command carries its own time.
    if before is not None and found[:-1] != before[:-1]:
        raise BenchError(f"the shell answers differ: {before[:-1]} but {found[:-1]} on {name}")
    return found


def answers(console: str) -> list[str]:
    """What the shell printed after each prompt, without the escape sequences of its line editor."""
    prompt = PROMPT.decode()
    return [part.replace("\x1b[6n", "").strip() for part in console.split(prompt)[1:]]


def cold(
    make: Callable[[int], bytes] | None, material: Material | None, say: Say = lambda text: None
) -> dict[str, float]:
    """Wall seconds of a first run with an empty cache of compiled code: of the short program, and of a boot."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        if make is not None:
            say("first run with an empty code cache")
            elf = Path(folder) / "short.elf"
            elf.write_bytes(make(SHORT))
            found["run"] = runs.soc("run", elf, environment=_empty(folder, "run")).wall_s
        if material is not None:
            say("first boot with an empty code cache")
            script = Path(folder) / "script"
            script.write_text("\n".join(SCRIPT) + "\n")
            words = COMMAND_LINES["default"]
            found["boot"] = _boot(material, script, words, _empty(folder, "boot")).wall_s
    return found


def _empty(folder: str, name: str) -> dict[str, str]:
    return {"XDG_CACHE_HOME": str(Path(folder) / f"cache-{name}")}


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Median over the rounds of theirs / ours: above 1 when ours takes less time."""
    return median(b / a for a, b in zip(ours, theirs, strict=True))
