"""The guests that scenarios and tests run: assembled on the spot from `scenarios/guests`."""

from __future__ import annotations

from pathlib import Path

from cpu.isa.assembler import assemble_file
from cpu.isa.program import Program
from soc.errors import ConfigurationError, choose

FOLDER = Path(__file__).parent / "guests"
SHARED = ("common.S",)


def guests() -> list[str]:
    """The names of the guests, sorted."""
    return sorted(path.name for path in FOLDER.glob("*.S") if path.name not in SHARED)


def guest(name: str, **parameters: int) -> Program:
    """The guest `name`, for instance "first_light.S", with its parameters (64-bit words named by symbols) replaced.

    `guest(...).to_elf()` is what `Machine.load` takes. Raises ConfigurationError for an unknown name, TableError for
    an unknown parameter.
    """
    if name not in guests():
        raise ConfigurationError(choose("guest", name, guests()))
    return assemble_file(FOLDER / name).with_values(**parameters)
