"""What it costs to have the devices in other processes: an access, a boot, and a core that needs no device.

The machines of each comparison differ in placement alone, must agree in their trace hash, and take turns in each round.
A round's cost is its wall time less that of the machine with all devices in the kernel's process.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from soc.bench import bare
from soc.bench.contest import Say
from soc.bench.errors import BenchError
from soc.firmware.cmdline import FAST

ACCESSES = 20_000
IDLE_INSTRUCTIONS = 100_000_000
HERE, THERE = "inprocess", "process"
_FOLDER = Path(__file__).parent


@dataclass
class Separation:
    """Rounds of one workload with the devices here and there. `told` and `answered` are messages of one round."""

    name: str
    told: int = 0
    answered: int = 0
    here_s: list[float] = field(default_factory=list)
    there_s: list[float] = field(default_factory=list)
    waited_s: list[float] = field(default_factory=list)
    """Wall time in which the kernel waited for answers."""

    @property
    def overhead(self) -> float:
        """Wall time there by wall time here, less 1; median of the rounds."""
        return median(there / here for there, here in zip(self.there_s, self.here_s, strict=True)) - 1

    @property
    def added_us(self) -> float:
        """Wall time added per message, in us; median of the rounds. 0 where no message was sent."""
        count = self.told + self.answered
        added = median(there - here for there, here in zip(self.there_s, self.here_s, strict=True))
        return added / count * 1e6 if count else 0.0

    @property
    def turn_us(self) -> float:
        """Wall time from telling a message to the end of its answer, in us: mean of a round, median of the rounds."""
        return median(self.waited_s) / self.told * 1e6 if self.told else 0.0


def separation(rounds: int, material: Any = None, say: Say = lambda text: None) -> list[Separation]:
    """Accesses, the boot of `material` if there is one, and a core that needs no device; `rounds` of each."""
    loads = {
        f"{ACCESSES} reads of a register": (lambda place: _bare("poll.S", place), {"max_insns": 3 * ACCESSES}),
        "busy core, devices idle": (lambda place: _bare("busy.S", place), {"max_insns": IDLE_INSTRUCTIONS}),
    }
    if material is not None:
        loads["boot to INIT-UP"] = lambda place: _boot(material, place), {"until": "INIT-UP", "max_virtual": "60 s"}
    found = []
    for name, (make, limits) in loads.items():
        result = Separation(name)
        for number in range(rounds):
            say(f"{name}, round {number + 1} of {rounds}")
            _round(result, make, limits)
        found.append(result)
    return found


def _round(result: Separation, make: Callable[[str], Any], limits: dict[str, Any]) -> None:
    hashes = set()
    for place, walls in ((HERE, result.here_s), (THERE, result.there_s)):
        with make(place) as machine:
            # Until the first blocks are translated and every device has answered.
            machine.run(max_insns=1000)
            before = _waits(machine)
            done = machine.run(**limits)
            if done.ended not in ("limit", "until"):
                raise BenchError(f"{result.name} ended with {done.ended}: {done.reason}")
            walls.append(done.wall_s)
            hashes.add(done.trace_hash)
            if place == THERE:
                told, answered, waited = (after - start for after, start in zip(_waits(machine), before, strict=True))
                result.told, result.answered = told, answered
                result.waited_s.append(waited / 1e9)
    if len(hashes) != 1:
        raise BenchError(f"{result.name}: the trace hashes differ: {', '.join(sorted(hashes))}")


def _waits(machine: Any) -> tuple[int, int, int]:
    """Messages told and answered so far, and ns waited."""
    seen = [component.supervisor.waits for component in machine.components.values() if component.remote]
    entries = [entry for waits in seen for entry in waits.channels.values()]
    return sum(e[0] for e in entries), sum(waits.answers for waits in seen), sum(e[1] for e in entries)


def _bare(guest: str, place: str) -> Any:
    from soc.machine import Machine

    machine = Machine("virt", ram="16 MiB", placement=place)
    bare.load(machine, _FOLDER / guest, 1)
    return machine


def _boot(material: Any, place: str) -> Any:
    from soc.machine import Machine

    machine = Machine("virt", placement=place, append=FAST)
    machine.load(material.kernel, initrd=material.initrd)
    return machine
