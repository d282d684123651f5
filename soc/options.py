"""What a machine can be asked to be: the options of `Machine`, from keywords or a TOML file, checked."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any

from soc.errors import ConfigurationError, choose
from soc.faults import Fault
from soc.nodes import MAX_CPUS
from soc.placement.places import Place
from soc.platforms import Platform, find
from soc.platforms.added import anchored
from soc.timing import Timing

TIERS = ("auto", "reference", "threaded", "stencil")
UNIMPLEMENTED = ("stop", "ri")
HYPERVISORS = ("kvm",)
BACKENDS = ("vz", "ls3acomp", "te")
"""Of KVM, as cpu/kvm/mips.py has them. Nothing of cpu is imported before there is a machine to build."""
IRQCHIPS = ("kernel", "user")
_TABLES = ("machine", "placement", "timing", "devices")
_LISTS = ("fault",)
"""Tables that may be there several times, as [[fault]]."""
_SIZES = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_MIN_RAM, _MAX_RAM = 1 << 20, 64 << 30


@dataclass(frozen=True)
class Options:
    """The checked options of one machine; the defaults are those of `Machine`."""

    platform: Platform
    cpus: int = 1
    ram: int = 512 << 20
    """Bytes."""
    append: str = ""
    placement: Mapping[str, Place] = field(default_factory=dict)
    """Where devices run, by name; "all" is those not named."""
    tier: str = "auto"
    timing: Timing = field(default_factory=Timing)
    trace: bool = False
    strict: bool = False
    csr: bool = False
    """CPUCFG tells the guest that there are CSR instructions."""
    vz: bool | Mapping[str, Any] = False
    """The bare cores have the VZ module, with these choices of its model; those under a hypervisor always do."""
    ftlb: bool = False
    """Each TLB has an FTLB of 2048 entries besides its 64 (Config.MT = 4)."""
    lasx: bool = False
    """The cores have the 256-bit vectors of LASX, of which the context switch's instructions are modelled."""
    unimplemented: str = "stop"
    """An instruction that is real but not modelled ends the run ("stop"), or raises RI and is counted ("ri")."""
    disk: str | Path | None = None
    devices: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """PCI functions, `disk` among them as virtio_blk, and models of the user's own; the platform has them as parts."""
    fault: tuple[Fault, ...] = ()
    """Faults on channels and in device processes."""
    hypervisor: str | None = None
    """"kvm": the program runs as a guest of the KVM model; None: on the bare cores."""
    vcpus: int | None = None
    """Virtual CPUs of that guest; as many as cores when not given."""
    kvm: str = "vz"
    """KVM's back-end: "vz" of Linux 6.1, "ls3acomp" of the Loongson tree, "te" (trap and emulate) of Linux 5.10."""
    irqchip: str = "kernel"
    """Who serves the guest's interrupt controllers: "kernel" (KVM itself) or "user" (the VMM, as all other devices)."""

    @property
    def processors(self) -> int:
        """What software on the machine counts: cores, or the guest's virtual CPUs."""
        return self.cpus if self.hypervisor is None else self.vcpus or self.cpus

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
        values["devices"] = devices = anchored(devices)
        values["platform"] = values["platform"].with_devices(devices)
        if not isinstance(values.get("timing", {}), Timing):
            values["timing"] = Timing(**values.get("timing", {}))
        if values.get("placement") is None:
            there = ["all", *(part.name for part in values["platform"].parts)]
            given, passed_over = _placed.get()
            values["placement"] = {name: place for name, place in given.items() if name in there}
            passed_over.difference_update(there)
        values["placement"] = _placement(values["placement"])
        values["fault"] = tuple(Fault.read(fault) for fault in values.get("fault") or ())
        if "ram" in values:
            values["ram"] = ram_bytes(values["ram"])
        return cls(**values)

    def __post_init__(self) -> None:
        if type(self.cpus) is not int or not 1 <= self.cpus <= MAX_CPUS:
            raise ConfigurationError(f"cpus = {self.cpus!r}: a machine has 1 to {MAX_CPUS} cores")
        if self.hypervisor not in (None, *HYPERVISORS):
            raise ConfigurationError(choose("hypervisor", self.hypervisor, HYPERVISORS))
        if self.kvm not in BACKENDS:
            raise ConfigurationError(choose("KVM back-end", self.kvm, BACKENDS))
        for name, default in (("vcpus", None), ("kvm", "vz"), ("irqchip", "kernel")):
            given = getattr(self, name)
            if self.hypervisor is None and given != default:
                raise ConfigurationError(f"{name} = {given!r} without a hypervisor; add hypervisor = 'kvm'")
        if self.vcpus is not None and (type(self.vcpus) is not int or not 1 <= self.vcpus <= MAX_CPUS):
            raise ConfigurationError(f"vcpus = {self.vcpus!r}: a guest has 1 to {MAX_CPUS} virtual CPUs")
        if self.unimplemented not in UNIMPLEMENTED:
            raise ConfigurationError(choose("unimplemented", self.unimplemented, UNIMPLEMENTED))
        if self.irqchip not in IRQCHIPS:
            raise ConfigurationError(choose("irqchip", self.irqchip, IRQCHIPS))
        if self.tier not in TIERS:
            raise ConfigurationError(choose("tier", self.tier, TIERS))
        for name in ("trace", "strict", "csr", "ftlb", "lasx"):
            if type(getattr(self, name)) is not bool:
                raise ConfigurationError(f"{name} = {getattr(self, name)!r}; allowed: true, false")
        if type(self.vz) is not bool and not isinstance(self.vz, Mapping):
            raise ConfigurationError(f"vz = {self.vz!r}; allowed: true, false, or a table of choices")
        if isinstance(self.vz, Mapping) and self.hypervisor is not None:
            raise ConfigurationError("vz with choices and a hypervisor: the KVM model knows the default VZ alone")
        if self.csr and not any(part.csr for part in self.platform.parts):
            raise ConfigurationError(f"csr = true: platform {self.platform.name} has no configuration registers")
        if not isinstance(self.append, str):
            raise ConfigurationError(f"append = {self.append!r}; the kernel command line is text")
        known = ["all", *(part.name for part in self.platform.parts)]
        for name in self.placement:
            if name not in known:
                raise ConfigurationError(f"placement: {choose('component', name, known)}")

    @property
    def user_kernel(self) -> bool:
        """The program is a kernel for root's user mode: the guest of trap and emulate."""
        return self.hypervisor is not None and self.kvm == "te"

    def place(self, name: str) -> Place:
        """Where the device `name` runs."""
        return self.placement.get(name) or self.placement.get("all") or Place()


_placed: ContextVar[tuple[Mapping[str, Any], set[str]]] = ContextVar("placement", default=(MappingProxyType({}), set()))


@contextmanager
def placed(placement: Mapping[str, Any]) -> Iterator[set[str]]:
    """Machines built inside that say nothing of placement have this one; devices they do not have are passed over.

    Gives the names, those that any machine has had left out.
    """
    passed_over = set(placement)
    before = _placed.set((placement, passed_over))
    try:
        yield passed_over
    finally:
        _placed.reset(before)


def _placement(given: Any) -> dict[str, Place]:
    places = given if isinstance(given, Mapping) else {"all": given}
    return {name: Place.read(name, place) for name, place in places.items()}


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
            f"RAM size {size!r}; write a number of MiB, or text as '512 MiB', '2 GiB' (1 MiB to 64 GiB)"
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
        if name in _LISTS and isinstance(table, list):
            continue
        if name in _LISTS:
            raise ConfigurationError(f"{path}: {name} must be a list of tables, each headed [[{name}]]")
        if name not in _TABLES:
            raise ConfigurationError(f"{path}: {choose('table', name, (*_TABLES, *_LISTS))}")
        if not isinstance(table, dict):
            raise ConfigurationError(f"{path}: {name} must be a table, [{name}]")
    values = tables.pop("machine", {})
    for name in values:
        if name not in known:
            raise ConfigurationError(f"{path}: [machine] {choose('option', name, known)}")
    if "devices" in tables:
        tables["devices"] = anchored(tables["devices"], path.parent)
    return {**values, **tables}
