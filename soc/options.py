"""What a machine can be asked to be: the options of `Machine`, from keywords or a TOML file, checked."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from soc.errors import ConfigurationError, choose
from soc.platforms import Platform, find
from soc.timing import Timing

TIERS = ("auto", "reference", "threaded", "stencil")
PLACEMENTS = ("inprocess",)
MAX_CPUS = 16
_TABLES = ("machine", "placement", "timing", "devices")
_SIZES = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_MIN_RAM, _MAX_RAM = 1 << 20, 1 << 40


@dataclass(frozen=True)
class Options:
    """The checked options of one machine; the defaults are those of `Machine`."""

    platform: Platform
    cpus: int = 1
    ram: int = 512 << 20
    """Bytes."""
    append: str = ""
    placement: Mapping[str, str] | str = "inprocess"
    tier: str = "auto"
    timing: Timing = field(default_factory=Timing)
    trace: bool = False
    strict: bool = False
    disk: str | Path | None = None
    devices: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """PCI functions, `disk` among them as virtio_blk; the platform has them as parts."""

    @classmethod
    def read(cls, platform: str | Path | Platform, given: Mapping[str, Any]) -> Options:
        """The options for `platform` (a name, a TOML file or a Platform), replaced by those of `given` not None.

        Raises ConfigurationError, or TimeError for a wrong [timing] value; both name what is allowed.
        """
        names = [entry.name for entry in fields(cls)]
        values: dict[str, Any] = {"platform": platform}
        if isinstance(platform, Path) or (isinstance(platform, str) and platform.endswith(".toml")):
            values = {"platform": "virt", **_read_toml(Path(platform), names)}
        for name, value in given.items():
            if name not in names:
                raise ConfigurationError(choose("machine option", name, names))
            if value is None:
                continue
            if name == "timing" and not isinstance(value, Timing):
                value = {**values.get("timing", {}), **value}
            values[name] = value
        if not isinstance(values["platform"], Platform):
            values["platform"] = find(values["platform"])
        devices = dict(_table("devices", values.get("devices") or {}))
        if values.get("disk") is not None:
            blk = {"image": values["disk"], **devices.get("virtio_blk", {})}
            devices = {"virtio_blk": blk, **{name: given for name, given in devices.items() if name != "virtio_blk"}}
        values["devices"] = devices
        values["platform"] = values["platform"].with_functions(devices)
        if not isinstance(values.get("timing", {}), Timing):
            values["timing"] = Timing(**values.get("timing", {}))
        if "ram" in values:
            values["ram"] = ram_bytes(values["ram"])
        return cls(**values)

    def __post_init__(self) -> None:
        if type(self.cpus) is not int or not 1 <= self.cpus <= MAX_CPUS:
            raise ConfigurationError(f"cpus = {self.cpus!r}: a machine has 1 to {MAX_CPUS} cores")
        if self.tier not in TIERS:
            raise ConfigurationError(choose("tier", self.tier, TIERS))
        for name in ("trace", "strict"):
            if type(getattr(self, name)) is not bool:
                raise ConfigurationError(f"{name} = {getattr(self, name)!r}; allowed: true, false")
        if not isinstance(self.append, str):
            raise ConfigurationError(f"append = {self.append!r}; the kernel command line is text")
        places = self.placement if isinstance(self.placement, Mapping) else {"all": self.placement}
        known = ["all", *(part.name for part in self.platform.parts)]
        for name, place in places.items():
            if name not in known:
                raise ConfigurationError(f"placement: {choose('component', name, known)}")
            if place not in PLACEMENTS:
                raise ConfigurationError(f"placement of {name}: {choose('place', place, PLACEMENTS)}")


def _table(name: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigurationError(f"{name} = {value!r}; a table is needed")
    return value


def ram_bytes(size: str | int) -> int:
    """Bytes of `"512 MiB"`, `"1GiB"`; an integer is MiB, as in --ram-mb. ConfigurationError when unreadable."""
    wanted = None
    if type(size) is int:
        wanted = size << 20
    elif isinstance(size, str):
        number, unit = size.strip()[:-3].strip(), size.strip()[-3:]
        if unit in _SIZES and number.isdecimal():
            wanted = int(number) * _SIZES[unit]
    if wanted is None or not _MIN_RAM <= wanted <= _MAX_RAM:
        raise ConfigurationError(
            f"RAM size {size!r}; write a number of MiB, or text as '512 MiB', '2 GiB' (1 MiB to 1 TiB)"
        )
    return wanted


def _read_toml(path: Path, known: list[str]) -> dict[str, Any]:
    try:
        tables = tomllib.loads(path.read_text())
    except OSError as error:
        raise ConfigurationError(f"cannot read machine file {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"machine file {path} is not TOML: {error}") from error
    for name, table in tables.items():
        if name not in _TABLES:
            raise ConfigurationError(f"{path}: {choose('table', name, _TABLES)}")
        if not isinstance(table, dict):
            raise ConfigurationError(f"{path}: {name} must be a table, [{name}]")
    values = tables.pop("machine", {})
    for name in values:
        if name not in known:
            raise ConfigurationError(f"{path}: [machine] {choose('option', name, known)}")
    return {**values, **tables}
