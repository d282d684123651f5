"""What `soc bench` measures, in its order: each section's rows, how they are measured and shown."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from soc.bench import boots, cold, cores, figures, programs, separation, tables
from soc.bench.boots import Boot
from soc.bench.cold import Cold
from soc.bench.contest import Pair, Program
from soc.bench.cores import Cores
from soc.bench.separation import Separation
from soc.bench.setting import Setting


@dataclass(frozen=True)
class Section:
    """`row` is the type of what `measure` gives a list of; it is plain data but for its properties."""

    title: str
    row: type
    measure: Callable[[Setting], list[Any]]
    table: Callable[[Sequence[Any]], Iterator[Sequence[str]]]
    figures: Callable[[Sequence[Any]], Iterator[tuple[str, float, str]]]


def _cores(setting: Setting) -> list[Cores]:
    return cores.by_count(setting.rounds, setting.count(cores.INSTRUCTIONS), say=setting.say)


def _windows(setting: Setting) -> list[Cores]:
    return cores.by_window(setting.rounds, setting.count(cores.INSTRUCTIONS), say=setting.say)


def _separation(setting: Setting) -> list[Separation]:
    return separation.separation(setting.rounds, setting.material, setting.say)


SECTIONS = {
    "compute": Section("Compute set", Pair, programs.compute, tables.compute, figures.speeds),
    "vector": Section(
        "Vector instructions, beside QEMU's user mode", Pair, programs.vector, tables.compute, figures.speeds
    ),
    "system": Section("Operations of a kernel", Pair, programs.system, tables.system, figures.times),
    "tiers": Section("The mixed program on every tier", Program, programs.tiers, tables.tiers, figures.tiers),
    "guest": Section("The compute set as a guest of KVM", Pair, programs.guest, tables.guest, figures.speeds),
    "boot": Section(
        "Boot of Debian's kernel to a shell, a script, power-off", Boot, boots.single, tables.boot, figures.boots
    ),
    "machines": Section(
        "The same on many CPUs, with work for all of them", Boot, boots.many, tables.machines, figures.boots
    ),
    "cores": Section("The same busy program on every core", Cores, _cores, tables.cores, figures.cores),
    "windows": Section("Busy cores over the window", Cores, _windows, tables.cores, figures.cores),
    "separation": Section(
        "Devices in the simulator's process and in others", Separation, _separation, tables.separation,
        figures.separation,
    ),
    "cold": Section("Cold start", Cold, cold.cold, tables.cold, figures.cold),
}  # fmt: skip
