"""The guests that scenarios and tests run: assembled on the spot from `scenarios/guests`, and loaded into a machine."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cpu.isa.assembler import assemble, assemble_file
from cpu.isa.program import Program
from soc.errors import ConfigurationError, choose

if TYPE_CHECKING:
    from soc.platforms import Platform

FOLDER = Path(__file__).parent / "guests"
SHARED = ("common.S", "cores.S")
ON_CORES = '.include "cores.S"'
KSEG0_BITS = 0x1FFF_FFFF
"""Bits of an address in kseg0 that are the physical address."""
UNCACHED = 0x9000_0000_0000_0000
PLACES = {
    "virt": {"uart_source": 0},
    "ls7a": {"uart_source": 10, "power_at": UNCACHED + 0x100D_0014, "power_value": 7 << 10 | 1 << 13},
}
"""What guests must know of a platform, by the words of theirs that hold it. Source: soc/platforms."""
VZ_BACKENDS = ("vz", "ls3acomp")
"""KVM's back-ends that run them: kernels linked to the kseg0 of a real machine."""


def guests(cores: bool = False) -> list[str]:
    """The names of the guests, sorted: those for one core, or those for several."""
    found = (path for path in FOLDER.glob("*.S") if path.name not in SHARED)
    return sorted(path.name for path in found if (ON_CORES in path.read_text(encoding="utf-8")) == cores)


def guest(name: str | Path, **parameters: int) -> Program:
    """The guest `name`, for instance "first_light.S", with its parameters (64-bit words named by symbols) replaced.

    A Path is a source file of your own, which may include what the guests here share (SHARED).
    `guest(...).to_elf()` is what `Machine.load` takes. Raises ConfigurationError for an unknown name, TableError for
    an unknown parameter.
    """
    if isinstance(name, Path):
        return assemble(_source(name), name=name.name, folder=FOLDER).with_values(**parameters)
    if not (FOLDER / name).is_file() or name in SHARED:
        raise ConfigurationError(choose("guest", name, [*guests(), *guests(cores=True)]))
    return _assembled(FOLDER / name).with_values(**parameters)


def _source(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise ConfigurationError(f"cannot read the guest {path}: {why}.\nGive a file of assembler source.") from error


@cache
def _assembled(path: Path) -> Program:
    return assemble_file(path)


class Loaded:
    """A machine with a guest for several cores in it, ready to run; afterwards, what the guest left in memory."""

    def __init__(
        self, name: str, platform: str | Platform, cpus: int, options: dict[str, Any], parameters: dict[str, int]
    ) -> None:
        from soc import Machine

        places = PLACES[getattr(platform, "name", platform)]
        plain = guest(name)
        known = {word: value for word, value in places.items() if word in plain.symbols}
        self.program = guest(name, **{**known, "cores": options.get("vcpus") or cpus, **parameters})
        self.machine = Machine(platform, cpus=cpus, **{"trace": True, **options})
        self.machine.load(self.program.to_elf())

    def run(self, **limits: Any) -> Any:
        """Runs to power-off, at most 10 s of model time; `limits` as of `Machine.run`."""
        from soc import PoweredOff

        return self.machine.run(until=PoweredOff, **{"max_virtual": "10 s", **limits})

    def words(self, symbol: str, count: int = 1, size: int = 8, start: int = 0) -> list[int]:
        """`count` words of `size` bytes of the table at `symbol`, from word `start` on."""
        at = (self.program.symbol(symbol) & KSEG0_BITS) + start * size
        data = self.machine.memory.read(at, count * size)
        return [int.from_bytes(data[place : place + size], "little") for place in range(0, len(data), size)]

    def counters(self, core: int) -> list[int]:
        """The eight counters of a core (OWN_COUNT in cores.S)."""
        own = self.program.symbols
        return self.words("own", 8, start=(core << own["OWN_SHIFT"]) // 8 + own["OWN_COUNT"] // 8)

    @property
    def tick(self) -> int:
        """One tick of Count, in ps."""
        return self.machine.timing.core.time(self.machine.timing.count_divider)


def loaded(
    name: str,
    platform: str | Platform = "virt",
    cpus: int = 1,
    options: dict[str, Any] | None = None,
    **parameters: int,
) -> Loaded:
    """A machine of `platform` with the guest `name`; `options` are the Machine's. Raises ConfigurationError."""
    if getattr(platform, "name", platform) not in PLACES:
        raise ConfigurationError(choose("platform", str(platform), PLACES))
    if (options or {}).get("kvm", "vz") not in VZ_BACKENDS:
        raise ConfigurationError(choose("KVM back-end for a guest of the library", options["kvm"], VZ_BACKENDS))
    return Loaded(name, platform, cpus, options or {}, parameters)


def within(name: str, value: int, least: int, most: int) -> None:
    """Raises ConfigurationError unless least <= value <= most."""
    if not least <= value <= most:
        raise ConfigurationError(f"{name} = {value}; allowed: {least} to {most}")
