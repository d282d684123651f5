"""Platforms: what exists and how it is wired, as data. One module per platform, each with a PLATFORM."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, NamedTuple

from soc.bus import Window
from soc.errors import ConfigurationError, choose
from soc.timing import Timing

NAMES = ("virt",)


class Part(NamedTuple):
    """A device of the platform: the model `module:Class`, and the physical addresses its registers appear at."""

    name: str
    model: str
    bases: tuple[int, ...]
    size: int
    options: Callable[[Timing], Mapping[str, Any]] = lambda timing: {}
    node: int = 0
    """Exists only where this node of four cores exists."""


class Wire(NamedTuple):
    """A one-way connection between two ports; `latency` names a constant of the timing table."""

    source: str
    destination: str
    latency: str


@dataclass(frozen=True)
class Platform:
    """A machine's hardware apart from its cores and RAM."""

    name: str
    parts: tuple[Part, ...]
    windows: tuple[Window, ...]
    wires: Callable[[int], tuple[Wire, ...]]
    """The wires for a number of cores."""
    console: tuple[str, str]
    """Ports of the console's serial line: the one that sends, and the one that receives."""
    rom: tuple[int, int] = (0x1FC0_0000, 0x20_0000)
    """Base and size of the boot ROM, which the memory holds."""


def find(name: str) -> Platform:
    """The platform `name`; ConfigurationError with the names there are."""
    if name not in NAMES:
        raise ConfigurationError(choose("platform", name, NAMES))
    return import_module(f"soc.platforms.{name}").PLATFORM
