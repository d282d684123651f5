"""The physical address space as the host sees it, for inspection and tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from soc.bus import AddressMap
from soc.errors import UnmappedAccessError

if TYPE_CHECKING:
    from soc.machine import Machine
    from soc.placement.inprocess import DeviceComponent


class HostBus:
    """The physical address space as the host sees it: RAM, ROM and devices, outside model time."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self.map: AddressMap[Any] = AddressMap()

    @property
    def unmapped(self) -> dict[int, int]:
        """Guest accesses to addresses where nothing is, counted by page."""
        return self._machine.open_bus.unmapped

    def read(self, address: int, size: int, core: int = 0) -> int:
        """`size` bytes at a physical address as a little-endian number. A device register may have read side effects.

        Raises UnmappedAccessError where nothing is mapped.
        """
        memory = self._machine.memory
        if memory.is_ram(address):
            return int.from_bytes(memory.read(address, size), "little")
        component, base = self._device(address)
        return component.access(component.device.read, address - base, size, core)

    def write(self, address: int, size: int, value: int, core: int = 0) -> None:
        """Write `size` bytes at a physical address. Lines a device raises by it leave at the present model time."""
        memory = self._machine.memory
        if memory.is_ram(address):
            memory.write(address, (value & (1 << 8 * size) - 1).to_bytes(size, "little"))
            return
        component, base = self._device(address)
        component.access(component.device.write, address - base, size, value, core)

    def _device(self, address: int) -> tuple[DeviceComponent, int]:
        found = self.map.find(address)
        if found is None:
            names = ", ".join(f"{name} {base:#x}" for base, _, name, _ in self.map)
            raise UnmappedAccessError(f"no RAM and no device at {address:#x}; devices: {names}")
        offset, component = found
        return component, address - offset
