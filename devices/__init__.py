"""Device models. Each declares its registers once and can be used alone; see docs/adding-a-device.md.

`device_class` finds a class by the module's name, by the name its users give it, or by where it is (devices/models.py);
nothing is imported before that.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from devices.device import Device

CLASSES = {
    "ls7a_irq": "Ls7aIrq",
    "ls7a_irq_kvm": "Ls7aIrqKvm",
    "ls7a_msi": "Ls7aMsi",
    "ls7a_irqfd": "Ls7aIrqfd",
    "ls7a_config": "Ls7aConfig",
    "ls7a_pm": "Ls7aPm",
    "ls3a_config": "Ls3aConfig",
    "ls3a_ext_irq": "Ls3aExtIrq",
    "ls3a_ext_irq_kvm": "Ls3aExtIrqKvm",
    "ls3a_ht_irq": "Ls3aHtIrq",
    "ls3a_ht_irq_kvm": "Ls3aHtIrqKvm",
    "ls3a_router_irq": "Ls3aRouterIrq",
    "ls3a_router_irq_kvm": "Ls3aRouterIrqKvm",
    "ls3a_ipi": "Ls3aIpi",
    "ls3a_ipi_kvm": "Ls3aIpiKvm",
    "stable_timer": "StableTimer",
    "uart16550": "Uart16550",
    "rtc": "GoldfishRtc",
    "power": "Power",
}
"""Module in this package -> class in it."""

ALIASES = {
    "liointc": "ls3a_router_irq",
    "pchpic": "ls7a_irq",
    "eiointc": "ls3a_ext_irq",
    "htvec": "ls3a_ht_irq",
    "ipi": "ls3a_ipi",
    "pchmsi": "ls7a_msi",
    "irqfd": "ls7a_irqfd",
    "uart": "uart16550",
    "goldfish_rtc": "rtc",
}
"""Name in common use -> module."""


def device_class(name: str) -> type[Device]:
    """The class for a module name, an alias, `module:Class` or `file.py:Class`.

    Raises UnknownDevice, listing the names there are.
    """
    if ":" in name:
        from devices.models import load

        return load(name)
    module = ALIASES.get(name, name)
    if module not in CLASSES:
        from devices.errors import UnknownDevice

        raise UnknownDevice(f"{name!r} is not a device; available: {', '.join(sorted([*CLASSES, *ALIASES]))}")
    return getattr(importlib.import_module(f"devices.{module}"), CLASSES[module])


def __getattr__(name: str) -> Any:
    if name == "Device":
        from devices.device import Device

        return Device
    for module, cls in CLASSES.items():
        if name == cls:
            return device_class(module)
    raise AttributeError(f"module 'devices' has no attribute {name!r}")
