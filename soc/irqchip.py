"""The interrupt controllers of a platform as the KVM model's irqchip ioctls reach them (cpu.kvm.irqchip.Controllers).

What is injected goes in through ls7a_irqfd, whose wires lead to the PCH-PIC and to where messages go. A call is made
between runs, or in answer to a resample: what it causes leaves at that time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cpu.kvm.irqchip import Route, State
from cpu.kvm.uapi import IrqchipId
from devices.device import Device
from devices.ls7a_irqfd import Ls7aIrqfd
from soc.nodes import MAX_NODES
from soc.platforms import of_node

PARTS = {
    IrqchipId.LS7A_IOAPIC: ("ls7a_irq",),
    IrqchipId.LS3A_GIPI: tuple(of_node("ls3a_ipi", node) for node in range(MAX_NODES)),
    IrqchipId.LS3A_EXTIRQ: ("ls3a_ext_irq",),
    IrqchipId.LS3A_IPMASK: ("ls3a_ext_irq",),
}
"""The devices whose registers a chip's image has, node by node."""
INJECTOR, ROUTER, EXTIRQ = "ls7a_irqfd", "ls3a_router_irq", "ls3a_ext_irq"
NEEDED = {INJECTOR, "ls7a_irq", "ls3a_ipi", EXTIRQ}
PINS = 16
"""Inputs of the four cores, IP2 to IP5 of each."""
QUADS, QUAD_VECTORS, QUAD_MASK = 4, 64, (1 << 64) - 1


def controllers(components: Mapping[str, Any]) -> PlatformControllers | None:
    """Those of a machine's components; None where one is missing, or in another process, where no call reaches it."""
    names = {INJECTOR, ROUTER, *(name for parts in PARTS.values() for name in parts)}
    found = {name: components[name] for name in sorted(names) if name in components}
    if not found.keys() >= NEEDED or any(component.remote for component in found.values()):
        return None
    devices = {name: component.device for name, component in found.items()}
    return PlatformControllers(devices, lambda name, call, *arguments: found[name].access(call, *arguments))


class PlatformControllers:
    """Controllers among `devices`, which has NEEDED; `access(name, call, *arguments)` makes a call on a device."""

    def __init__(self, devices: Mapping[str, Device], access: Callable[..., Any]) -> None:
        self._devices, self._access = devices, access
        self._injector: Ls7aIrqfd = devices[INJECTOR]

    def set_pin(self, pin: int, level: bool) -> None:
        self._access(INJECTOR, self._injector.set_pin, pin, level)

    def message(self, vector: int) -> None:
        self._access(INJECTOR, self._injector.msi.send, vector)

    def set_routes(self, routes: Sequence[Route]) -> None:
        self._access(INJECTOR, self._injector.set_routes, routes)

    def routes(self) -> list[Route]:
        """The routing of GSIs now."""
        return [(gsi, target, number) for gsi, target, number in self._injector.routes]

    def irqfds(self) -> dict[int, int]:
        return {descriptor: gsi for descriptor, gsi, *_ in self._injector.assigned}

    def assign(self, descriptor: int, gsi: int, resamplefd: int | None) -> None:
        self._access(INJECTOR, self._injector.assign, descriptor, gsi, resamplefd is not None, resamplefd)

    def deassign(self, descriptor: int, gsi: int) -> None:
        self._access(INJECTOR, self._injector.deassign, descriptor, gsi)

    def state(self, chip: IrqchipId) -> list[State]:
        saved = [self._devices[name].save() for name in self._parts(chip)]
        found = [{**each["registers"], **each["internals"]} for each in saved]
        if chip is IrqchipId.LS3A_IPMASK and "ip_mask" not in found[0]:
            found[0]["ip_mask"] = self._ip_mask()
        return found

    def load(self, chip: IrqchipId, states: Sequence[State]) -> None:
        for name, state in zip(self._parts(chip), states, strict=True):
            saved = self._devices[name].save()
            for part in ("registers", "internals"):
                saved[part] |= {key: value for key, value in state.items() if key in saved[part]}
            self._access(name, self._devices[name].restore, saved)

    def _ip_mask(self) -> list[int]:
        """What KVM's own controllers keep, of the hardware's, which do not: per core and pin, bit 0 while the router
        holds it, bit quad+1 while a vector of that group of 64 does."""
        router = self._devices.get(ROUTER)
        mask = []
        for place in range(PINS):
            vectors = self._devices[EXTIRQ].behind(f"pin[{place}]")
            quads = sum(2 << quad for quad in range(QUADS) if vectors >> QUAD_VECTORS * quad & QUAD_MASK)
            mask.append(quads | (router is not None and router.behind(f"pin[{place}]") != 0))
        return mask

    def _parts(self, chip: IrqchipId) -> list[str]:
        return [name for name in PARTS[chip] if name in self._devices]
