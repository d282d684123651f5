"""The physical address space as the host sees it, for inspection and tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from soc.bus import AddressMap
from soc.errors import ConfigurationError, UnmappedAccessError
from soc.messages import MmioWrite, Unsigned

if TYPE_CHECKING:
    from soc.machine import Machine
    from soc.placement.inprocess import DeviceComponent


def _check(size: int, value: int = 0) -> None:
    if (problem := MmioWrite.FIELDS["size"].problem(size)) is not None:
        raise ConfigurationError(f"the size of an access {problem}")
    if (problem := Unsigned(8 * size, f"in {size} bytes").problem(value)) is not None:
        raise ConfigurationError(f"the value of a write {problem}")


class HostBus:
    """The physical address space as the host sees it: RAM, ROM and devices, outside model time."""

    def __init__(self, machine: Machine, places: AddressMap[Any]) -> None:
        self._machine, self.map = machine, places

    @property
    def unmapped(self) -> dict[int, int]:
        """Guest accesses to addresses where nothing is, counted by page."""
        return self._machine.open_bus.unmapped

    def read(self, address: int, size: int, core: int = 0) -> int:
        """`size` bytes at a physical address as a little-endian number. A device register may have read side effects.

        Where the platform has only a window, the window's answer, uncounted. Raises UnmappedAccessError elsewhere, and
        ConfigurationError where `size` is not 1, 2, 4 or 8.
        """
        _check(size)
        memory = self._machine.memory
        if memory.is_ram(address):
            return int.from_bytes(memory.read(address, size), "little")
        component, base = self._device(address)
        if component is None:
            return 0 if self._window(address) == "zeros" else (1 << 8 * size) - 1
        return component.access(component.device.read, address - base, size, core)

    def write(self, address: int, size: int, value: int, core: int = 0) -> None:
        """Write `size` bytes at a physical address. Lines a device raises by it leave at the present model time.

        Raises the errors of `read`, and ConfigurationError for a `value` that has no place in them.
        """
        _check(size, value)
        memory = self._machine.memory
        if memory.is_ram(address):
            memory.write(address, value.to_bytes(size, "little"))
            return
        component, base = self._device(address)
        if component is None:
            self._window(address)
        else:
            component.access(component.device.write, address - base, size, value, core)

    def _device(self, address: int) -> tuple[DeviceComponent | None, int]:
        found = self.map.find(address)
        return (None, 0) if found is None else found[1]

    def _window(self, address: int) -> str:
        window = self._machine.open_bus.window(address)
        if window is None or window.reads == "error":
            names = ", ".join(f"{name} {base:#x}" for base, _, name, _ in self.map)
            raise UnmappedAccessError(f"no RAM, no device and no window at {address:#x}; devices: {names}")
        return window.reads
