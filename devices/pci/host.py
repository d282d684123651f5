"""Host bridges: they decode configuration and memory windows and pass accesses on to the functions behind them.

A bridge knows its functions' BAR sizes from the machine's description and where each BAR lies from the configuration
writes that pass through it. What no function claims reads all ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

from devices.device import Device
from devices.pci.function import MEMORY_ENABLE, config_register
from devices.registers import Internal

_COMMAND, _BAR, _BARS_END = 0x04, 0x10, 0x28
_NO_BUS = 0x100
"""Stands for a bus that nothing is on."""


class Config(NamedTuple):
    """A configuration access that was decoded."""

    bus: int
    devfn: int
    register: int


class PciHost(Device):
    """A host bridge, itself function 0:0.0 of its bus, and `functions` behind it on bus 0.

    functions  devfn to (output port, {BAR number: bytes}); the machine links the port to the function

    Addresses of `read`, `write` and `route` are physical. A subclass gives `decode`.
    """

    memory: ClassVar[range] = range(0x4000_0000, 0x8000_0000)
    """PCI memory addresses, the same as physical ones."""

    vendor_id = config_register(0x00, 2)
    device_id = config_register(0x02, 2)
    command = config_register(0x04, 2, "rw", mask=0x0006)
    status = config_register(0x06, 2)
    class_code = config_register(0x0A, 2, reset=0x0600, doc="Host bridge.")
    header_type = config_register(0x0E, 1)
    interrupt_line = config_register(0x3C, 1, "rw")

    commands = Internal([])
    bases = Internal([])
    """Per function, in devfn order: its command register; its six BARs."""

    def __init__(self, *, functions: Mapping[int, tuple[str, Mapping[int, int]]] | None = None, **options: Any) -> None:
        self.functions = dict(sorted((functions or {}).items()))
        self._places = {devfn: place for place, devfn in enumerate(self.functions)}
        super().__init__(**options)

    def _clear(self, cold: bool) -> None:
        super()._clear(cold)
        self.commands = [0] * len(self.functions)
        self.bases = [0] * 6 * len(self.functions)

    def decode(self, address: int) -> Config | None:
        """The configuration register at a physical address, None outside the configuration windows."""
        raise NotImplementedError(f"{type(self).__name__} must say where its configuration windows are")

    def route(self, address: int, size: int, written: int | None) -> tuple[str, str, int] | None:
        """(port, space, offset) of an access that goes to a function, `written` being the value of a write.

        None for what the bridge answers itself with `read` and `write`.
        """
        if address in self.memory:
            return self._claimed(address, size)
        config = self.decode(address)
        if config is None or config.bus or config.devfn not in self.functions or size > 4 or config.register % size:
            return None
        if written is not None:
            self._watch(self._places[config.devfn], config.register, size, written)
        return self.functions[config.devfn][0], "config", config.register

    def _claimed(self, address: int, size: int) -> tuple[str, str, int] | None:
        for place, (port, bars) in enumerate(self.functions.values()):
            if self.commands[place] & MEMORY_ENABLE:
                for number, length in bars.items():
                    base = self.bases[6 * place + number]
                    if base and base <= address and address + size <= base + length:
                        return port, f"bar{number}", address - base
        return None

    def _watch(self, place: int, register: int, size: int, value: int) -> None:
        for offset in range(register, register + size):
            byte = value >> 8 * (offset - register) & 0xFF
            if offset == _COMMAND:
                self.commands[place] = byte
            elif _BAR <= offset < _BARS_END:
                number, shift = divmod(offset - _BAR, 4)
                old = self.bases[6 * place + number] & ~(0xFF << 8 * shift)
                length = list(self.functions.values())[place][1].get(number)
                self.bases[6 * place + number] = (old | byte << 8 * shift) & -length if length else 0

    def read(self, address: int, size: int, core: int = 0, space: str = "memory") -> int:
        """The bridge's own configuration; all ones for absent functions and unclaimed addresses."""
        config = self.decode(address)
        if config is None or config.bus or config.devfn or size > 4:
            return (1 << 8 * size) - 1
        return super().read(config.register, size, core, "config")

    def write(self, address: int, size: int, value: int, core: int = 0, space: str = "memory") -> None:
        """The bridge's own configuration; other writes are dropped."""
        config = self.decode(address)
        if config is not None and not config.bus and not config.devfn and size <= 4:
            super().write(config.register, size, value, core, "config")

    def _undecoded(self, kind: str, space: str, offset: int, size: int) -> None:
        """Reserved configuration registers read 0; every kernel looks at some."""


class EcamHost(PciHost):
    """The generic host of the virtual platform: one configuration window, (bus << 20) | (devfn << 12) | register.

    Source: QEMU hw/pci-host/gpex.c for the identity; Linux 6.1 loongson64v_4core_virtio.dts for the windows.
    """

    ecam: ClassVar[range] = range(0x1A00_0000, 0x1C00_0000)

    def on_read_vendor_id(self) -> int:
        return 0x1B36

    def on_read_device_id(self) -> int:
        return 0x0008

    def decode(self, address: int) -> Config | None:
        if address not in self.ecam:
            return None
        offset = address - self.ecam.start
        return Config(offset >> 20, offset >> 12 & 0xFF, offset & 0xFFF)


class Ls7aHost(PciHost):
    """The LS7A's host bridge, with the two configuration windows of a Loongson-3 board.

    Source: Linux 6.1: drivers/pci/controller/pci-loongson.c, arch/mips/loongson64/env.c (the probe of 0:0.0).
    """

    window0: ClassVar[range] = range(0x1A00_0000, 0x1C00_0000)
    window1: ClassVar[range] = range(0xEFE_0000_0000, 0xEFE_2000_0000)

    def on_read_vendor_id(self) -> int:
        return 0x0014

    def on_read_device_id(self) -> int:
        return 0x7A00

    def decode(self, address: int) -> Config | None:
        if address in self.window0:
            offset = address - self.window0.start
            return Config(_bus(offset, 24), offset >> 8 & 0xFF, offset & 0xFF)
        if address in self.window1:
            offset = address - self.window1.start
            return Config(_bus(offset, 28), offset >> 8 & 0xFF, offset & 0xFF | offset >> 16 & 0xF00)
        return None


def _bus(offset: int, type1_bit: int) -> int:
    """The bus at `offset` of a window whose accesses of type 1 have `type1_bit`; of type 0 they have no bus bits."""
    bus = offset >> 16 & 0xFF
    return bus if offset >> type1_bit or not bus else _NO_BUS
