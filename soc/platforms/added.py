"""Devices that a machine is given besides its platform's: the table [devices.NAME] of its TOML file, or `devices=`.

    [devices.gpio]
    model = "gpio.py:Gpio"                            # module:Class, or file.py:Class beside the TOML file
    base = 0x100E_0000                                # where its registers are; a list: in several places
    wires = { irq = "ls3a_router_irq.input[12]" }     # its port to another's: an output to an input, or the reverse
    options = { pins = 8 }                            # for its constructor

In Python `model` may also be the class. A model that is a PCI function takes the next slot and has no base. Without
`model` the name says which of soc.platforms.FUNCTIONS it is, and the table has its options.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from inspect import signature
from pathlib import Path
from typing import Any, NamedTuple

from soc.errors import ConfigurationError, SocError, choose
from soc.platforms import Part, Wire, load

KEYS = ("model", "base", "size", "wires", "options")
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_RESERVED = re.compile(r"cpu\d+|memory|console|keyboard|open_bus|all")
_ADDRESSES = 1 << 48


class Added(NamedTuple):
    """A device to be added: its part and wires, and whether it goes behind the PCI bridge."""

    part: Part
    wires: tuple[Wire, ...]
    on_pci: bool


def is_own(given: Any) -> bool:
    """Whether an entry of `devices` names its own model."""
    return isinstance(given, Mapping) and "model" in given


def anchored(devices: Mapping[str, Any], folder: str | Path = "") -> dict[str, Any]:
    """`devices` as plain data that means the same in every process: classes by their names, files from `folder`.

    Raises ConfigurationError.
    """
    return {
        name: {**given, "model": _text(name, given["model"], folder)} if is_own(given) else given
        for name, given in devices.items()
    }


def _text(name: str, model: Any, folder: str | Path) -> str:
    from devices.models import absolute, name_of

    try:
        if isinstance(model, type):
            return name_of(model)
        if isinstance(model, str):
            return absolute(model, folder)
    except SocError as error:
        raise ConfigurationError(f"device {name}: {error}") from error
    raise ConfigurationError(f"device {name}: model {model!r}; give module:Class, file.py:Class or a class")


def added(name: str, given: Mapping[str, Any], taken: set[str]) -> Added:
    """The device `name` that `given`, out of `anchored`, describes; `taken` are the names there are.

    Raises ConfigurationError.
    """
    if not _NAME.fullmatch(name) or _RESERVED.fullmatch(name) or name in taken:
        why = "the machine has one of that name" if name in taken else "a name is a-z, 0-9 and _, as in gpio_2"
        raise ConfigurationError(f"device {name!r}: {why}")
    for key in given:
        if key not in KEYS:
            raise ConfigurationError(f"device {name}: {choose('key', key, KEYS)}; its own options go into `options`")
    cls = _model(name, given["model"])
    options = _mapping(name, "options", given.get("options", {}))
    for option in options:
        if option not in (known := _keywords(cls)):
            raise ConfigurationError(f"device {name}: {choose(f'option of {cls.__name__}', option, known)}")
    wires = tuple(_wires(name, cls, _mapping(name, "wires", given.get("wires", {}))))
    on_pci = hasattr(cls, "bars")
    if on_pci and ("base" in given or "size" in given):
        raise ConfigurationError(f"device {name}: a PCI function has no base; software gives its BARs addresses")
    if not on_pci and "base" not in given and cls.register_map().registers:
        raise ConfigurationError(f"device {name}: {cls.__name__} has registers; give `base`, their physical address")
    bases = () if "base" not in given else _bases(name, given["base"])
    size = given.get("size", cls.size)
    if bases and (type(size) is not int or size < 1):
        raise ConfigurationError(f"device {name}: size {size!r}; a positive number of bytes is needed")
    part = Part(name, given["model"], bases, size if bases else 0, lambda timing, options=dict(options): options)
    return Added(part, wires, on_pci)


def _model(name: str, model: str) -> Any:
    from devices.device import Device

    try:
        cls = load(model)
        if not issubclass(cls, Device):
            raise ConfigurationError(f"model {model!r} is no device: derive it from devices.device.Device")
        cls.register_map()
    except SocError as error:
        raise ConfigurationError(f"device {name}: {error}") from error
    return cls


def _keywords(cls: Any) -> list[str]:
    """The options that a model's constructor takes, its own and those it passes on."""
    from devices.device import Device

    found = []
    for base in cls.__mro__[: cls.__mro__.index(Device)]:
        if "__init__" in vars(base):
            _, *given = signature(base.__init__).parameters.values()
            passes_on = given and given[-1].kind is given[-1].VAR_KEYWORD
            found += [option.name for option in (given[:-1] if passes_on else given)]
            if not passes_on:
                return found
    return [*found, "strict"]


def _mapping(name: str, key: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping) or any(not isinstance(item, str) for item in value):
        raise ConfigurationError(f"device {name}: {key} = {value!r}; a table is needed")
    return value


def _bases(name: str, base: Any) -> tuple[int, ...]:
    bases = tuple(base) if isinstance(base, list | tuple) else (base,)
    for address in bases:
        if type(address) is not int or not 0 <= address < _ADDRESSES:
            raise ConfigurationError(f"device {name}: base {address!r}; a physical address below 2^48 is needed")
    return bases


def _wires(name: str, cls: Any, wires: Mapping[str, Any]) -> Iterator[Wire]:
    outputs, inputs = cls.output_ports(), cls.input_ports()
    for port, ends in wires.items():
        if port not in outputs and port not in inputs:
            raise ConfigurationError(f"device {name}: {choose(f'port of {cls.__name__}', port, [*outputs, *inputs])}")
        for end in ends if isinstance(ends, list | tuple) else (ends,):
            if not isinstance(end, str):
                raise ConfigurationError(f"device {name}: wire {port} to {end!r}; a port is needed, as in 'uart.irq'")
            latency = _latency(cls, port, end)
            own = f"{name}.{port}"
            yield Wire(own, end, latency) if port in outputs else Wire(end, own, latency)


def _latency(cls: Any, port: str, end: str) -> str:
    """The constant of the timing table for a wire."""
    from devices.ports import CsrOut, VectorIn, VectorOut

    messages = [p for made in cls.declarations((VectorIn, VectorOut, CsrOut)).values() for p in made.ports]
    if port in messages:
        return "ht_vector"
    return "core_pin" if end.startswith("cpu") else "irq_line"
