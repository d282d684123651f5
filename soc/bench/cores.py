"""Speed of many cores: the same busy program on each, over the number of cores and over the window of law 8.

All machines exist before the first round and are warm; in each round they take turns, so that a change of the host's
speed meets all of them. A rate is instructions of all cores by CPU time of the process, one thread of which works; what
else the host does disturbs that less than wall time. A cost is the time of an instruction by that of the first row, one
core.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from soc.bench import bare
from soc.bench.contest import Say
from soc.bench.errors import BenchError
from soc.timing import Timing

COUNTS = (1, 2, 4, 8, 16)
WINDOWS = ("25 ns", "50 ns", "100 ns", "250 ns", "500 ns", "1 us", "2 us", "5 us", "10 us")
WINDOW_CORES = 4
INSTRUCTIONS = 100_000_000
GUEST = Path(__file__).with_name("busy.S")


@dataclass
class Cores:
    """Rounds of one machine: `cores` busy cores in windows of `window_ps`. `cpu_s` has an entry per round."""

    cores: int
    window_ps: int
    instructions: int = 0
    """Of one round, by all cores together."""
    cpu_s: list[float] = field(default_factory=list)

    @property
    def mips(self) -> float:
        """Guest MIPS of all cores together, median of the rounds."""
        return self.instructions / median(self.cpu_s) / 1e6

    def costs(self, one: "Cores") -> list[float]:
        """Per round: time of an instruction by that of `one`."""
        scale = one.instructions / self.instructions
        return [scale * a / b for a, b in zip(self.cpu_s, one.cpu_s, strict=True)]

    @property
    def turn_ns(self) -> float:
        """Host time in ns of one core's turn: a busy core completes an instruction a cycle."""
        turns = self.instructions / Timing().core.ticks(self.window_ps)
        return median(self.cpu_s) / turns * 1e9


def by_count(
    rounds: int, instructions: int = INSTRUCTIONS, counts: Sequence[int] = COUNTS, say: Say = lambda text: None
) -> list[Cores]:
    """A row per number of busy cores, at the default window; about `instructions` in each round."""
    return _measure([(count, None) for count in counts], rounds, instructions, say)


def by_window(
    rounds: int, instructions: int = INSTRUCTIONS, windows: Sequence[str] = WINDOWS, say: Say = lambda text: None
) -> list[Cores]:
    """A row for one core, then one per window with `WINDOW_CORES` busy cores. The links that leave a core are as long
    as the window."""
    return _measure([(1, None), *((WINDOW_CORES, window) for window in windows)], rounds, instructions, say)


def _measure(machines: Sequence[tuple[int, str | None]], rounds: int, instructions: int, say: Say) -> list[Cores]:
    built = [_machine(cores, window) for cores, window in machines]
    results = [
        Cores(cores, min(machine.timing.core_window, machine.timing.mmio_request))
        for (cores, _), machine in zip(machines, built, strict=True)
    ]
    for machine in built:
        # Until all cores are released and their blocks translated.
        _run(machine, machine.run(max_virtual="300 us", digest=False))
    for number in range(rounds):
        say(f"round {number + 1} of {rounds}")
        for machine, result in zip(built, results, strict=True):
            began = time.process_time()
            done = _run(machine, machine.run(max_insns=instructions, digest=False))
            spent = time.process_time() - began
            result.instructions = result.instructions or done.instructions
            result.cpu_s.append(spent * result.instructions / done.instructions)
    return results


def _machine(cores: int, window: str | None) -> Any:
    from soc.machine import Machine

    timing = Timing() if window is None else Timing(core_window=window, mmio_request=window)
    machine = Machine("virt", cpus=cores, ram="16 MiB", timing=timing)
    bare.load(machine, GUEST, cores)
    return machine


def _run(machine: Any, result: Any) -> Any:
    if result.ended != "limit":
        raise BenchError(f"{len(machine.cpu)} busy cores ended with {result.ended}: {result.reason}")
    idle = [core.number for core in machine.cpu if core.held or core.waiting]
    if idle:
        raise BenchError(f"of {len(machine.cpu)} busy cores these are not: {idle}")
    return result
