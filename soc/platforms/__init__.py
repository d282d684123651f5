"""Platforms: what exists and how it is wired, as data. One module per platform, each with a PLATFORM."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from inspect import signature
from typing import Any, NamedTuple

from soc.bus import Window
from soc.errors import ConfigurationError, choose
from soc.ram import ROM_BASE, ROM_BYTES
from soc.timing import Timing

NAMES = ("virt", "ls7a")
FUNCTIONS = {
    "virtio_blk": "devices.virtio.blk:VirtioBlk",
    "virtio_rng": "devices.virtio.rng:VirtioRng",
    "virtio_console": "devices.virtio.console:VirtioConsole",
    "virtio_net": "devices.virtio.net:VirtioNet",
}
"""PCI functions a machine can be given, by kind. A name may add a number, as in virtio_blk_2."""
CHIP = 0x1FE0_0000
"""Configuration registers of a processor, its node being in address bits 47:44."""
_TEXTUAL = {"str", "int", "bool"}


def of_node(part: str, node: int) -> str:
    """The name of a part that every node has; that of node 0 has no number."""
    return f"{part}_{node}" if node else part


class Range(NamedTuple):
    """Physical addresses that belong to a device, which sees an access as `address - origin`."""

    address: int
    size: int
    origin: int


class Part(NamedTuple):
    """A device of the platform: the model `module:Class`, and the physical addresses its registers appear at.

    `size` bytes at each of `bases`, and the `windows`.
    """

    name: str
    model: str
    bases: tuple[int, ...] = ()
    size: int = 0
    options: Callable[[Timing], Mapping[str, Any]] = lambda timing: {}
    windows: tuple[Range, ...] = ()
    node: int = 0
    """Exists only where this node of four cores exists."""
    csr: bool = False
    """The cores of its node reach its configuration registers with CSR instructions."""

    def ranges(self) -> tuple[Range, ...]:
        """All address ranges of the device."""
        return (*(Range(base, self.size, base) for base in self.bases), *self.windows)


class Wire(NamedTuple):
    """A one-way connection between two ports; `latency` names a constant of the timing table."""

    source: str
    destination: str
    latency: str


@dataclass(frozen=True)
class PciBus:
    """The PCI host of a platform and the places behind it."""

    bridge: Part
    always: bool
    """False: the bridge exists only when there are functions."""
    slots: tuple[tuple[int, str], ...]
    """Device numbers for functions, in the order they are taken, and where INTA# of each leads."""


@dataclass(frozen=True)
class Platform:
    """A machine's hardware apart from its cores and RAM.

    A part given again replaces the earlier one of its name, and a wire given twice is one wire: so a platform is
    extended by adding to what it has.
    """

    name: str
    parts: tuple[Part, ...]
    windows: tuple[Window, ...]
    wires: Callable[[int], tuple[Wire, ...]]
    """The wires for a number of cores."""
    console: tuple[str, str]
    """Ports of the console's serial line: the one that sends, and the one that receives."""
    rom: tuple[int, int] = (ROM_BASE, ROM_BYTES)
    """Base and size of the boot ROM, which the memory holds."""
    pci: PciBus | None = None
    doorbells: Mapping[int, str] = field(default_factory=dict)
    """Addresses where a function's 4-byte write is an interrupt message, and memory's output port for it."""
    functions: Mapping[str, str] = field(default_factory=dict)
    """PCI functions of this machine: name to the bridge's output port. They are parts too."""
    added: frozenset[str] = frozenset()
    """The parts that this machine has besides those of its platform: functions and devices of its own."""

    def __post_init__(self) -> None:
        given = self.wires
        object.__setattr__(self, "parts", tuple({part.name: part for part in self.parts}.values()))
        object.__setattr__(self, "wires", lambda cpus: tuple(dict.fromkeys(given(cpus))))

    def with_devices(self, devices: Mapping[str, Mapping[str, Any]]) -> Platform:
        """This platform and `devices`: PCI functions by name, and models of the user's own (soc/platforms/added.py).

        Raises ConfigurationError.
        """
        from soc.platforms.added import added, is_own

        taken = {part.name for part in self.parts}
        own = {name: added(name, given, taken) for name, given in devices.items() if is_own(given)}
        behind: dict[str, Part] = {}
        for name, options in devices.items():
            if name not in own:
                model = _function_model(name, options, taken)
                behind[name] = Part(name, model, options=lambda timing, given=dict(options): given)
            elif own[name].on_pci:
                behind[name] = own[name].part
        platform = self._with_functions(behind)
        wires, more = platform.wires, [wire for each in own.values() for wire in each.wires]
        return replace(
            platform,
            parts=(*platform.parts, *(each.part for each in own.values() if not each.on_pci)),
            wires=lambda cpus: (*wires(cpus), *more),
            added=frozenset(devices),
        )

    def _with_functions(self, functions: Mapping[str, Part]) -> Platform:
        if self.pci is None or not (functions or self.pci.always):
            if functions:
                raise ConfigurationError(f"platform {self.name} has no PCI bus, so no {', '.join(functions)}")
            return self
        if len(functions) > len(self.pci.slots):
            raise ConfigurationError(
                f"{len(functions)} PCI functions ({', '.join(functions)}); "
                f"platform {self.name} has {len(self.pci.slots)} slots"
            )
        lines, behind = [], {}
        for part, (slot, line) in zip(functions.values(), self.pci.slots, strict=False):
            lines.append(Wire(f"{part.name}.irq", line, "irq_line"))
            behind[slot << 3] = (f"function[{slot}]", load(part.model).bars)
        bridge = self.pci.bridge._replace(options=lambda timing: {"functions": behind})
        ports = {name: port for name, (port, _) in zip(functions, behind.values(), strict=True)}
        wires = self.wires
        return replace(
            self,
            parts=(*self.parts, bridge, *functions.values()),
            wires=lambda cpus: (*wires(cpus), *lines),
            functions=ports,
        )


def function_options(name: str) -> dict[str, Any]:
    """The options of a PCI function that can be given as text, with their defaults. ConfigurationError: no such one."""
    given = signature(load(_function_model(name, {}, set()))).parameters.values()
    return {
        p.name: p.default for p in given if p.kind is p.KEYWORD_ONLY and _TEXTUAL & set(re.split(r"\W+", p.annotation))
    }


def _function_model(name: str, options: Any, taken: set[str]) -> str:
    kind = re.sub(r"_\d+$", "", name)
    if kind not in FUNCTIONS or name in taken:
        raise ConfigurationError(
            f"{choose('device', name, FUNCTIONS)}; a number may follow, as in virtio_blk_2.\n"
            "A device of your own has the key `model`."
        )
    if not isinstance(options, Mapping) or any(not isinstance(key, str) for key in options):
        raise ConfigurationError(f"device {name}: {options!r}; a table of its options is needed, {{}} for none")
    return FUNCTIONS[kind]


def load(model: str) -> Any:
    """The class `module:Class` or `file.py:Class`. Raises UnknownDevice."""
    from devices.models import load

    return load(model)


def decoded(model: str, base: int) -> tuple[Range, ...]:
    """Just what `model` decodes, its offset 0 being at `base`: several devices share the chip's page."""
    return tuple(Range(base + offset, size, base) for offset, size in load(model).ranges())


def find(name: str) -> Platform:
    """The platform `name`; ConfigurationError with the names there are."""
    if name not in NAMES:
        raise ConfigurationError(choose("platform", name, NAMES))
    return import_module(f"soc.platforms.{name}").PLATFORM
