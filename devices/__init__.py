"""Device models. Each declares its registers once and can be used alone; see docs/adding-a-device.md.

`device_class` finds a class by the module's name or by the name its users give it; nothing is imported before that.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from devices.device import Device

CLASSES = {
    "ls3a_router_irq": "Ls3aRouterIrq",
    "ls3a_ipi": "Ls3aIpi",
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
    "uart": "uart16550",
    "goldfish_rtc": "rtc",
}
"""Name in common use -> module."""


def device_class(name: str) -> type[Device]:
    """The class for a module name or an alias. Raises UnknownDevice, listing the names there are."""
    module = ALIASES.get(name, name)
    if module not in CLASSES:
        from devices.errors import UnknownDevice

        available = sorted([*CLASSES, *(alias for alias, target in ALIASES.items() if target in CLASSES)])
        what = "is not built yet in this version" if module in ALIASES.values() else "is not a device"
        raise UnknownDevice(f"{name!r} {what}; available: {', '.join(available)}")
    return getattr(importlib.import_module(f"devices.{module}"), CLASSES[module])


def __getattr__(name: str) -> Any:
    if name == "Device":
        from devices.device import Device

        return Device
    for module, cls in CLASSES.items():
        if name == cls:
            return device_class(module)
    raise AttributeError(f"module 'devices' has no attribute {name!r}")
