"""Interrupts injected from outside the machine: event descriptors routed to pins of the PCH-PIC or to MSI vectors."""

from collections.abc import Iterable
from typing import Any

from devices.device import Device
from devices.errors import DeviceError
from devices.lines import LineOuts
from devices.ls7a_irq import PINS
from devices.ports import VECTORS, EventIn, EventOut, VectorIn, VectorOut
from devices.registers import Internal

GSIS = 4096
TARGETS = {"pin": PINS, "msi": VECTORS}


class Ls7aIrqfd(Device):
    """Signals become interrupts. A descriptor is assigned to an interrupt number (GSI), and a route leads from there to
    a pin or to a vector. GSI n leads to pin n at first, n = 0..63.

    routes     more routes: (gsi, "pin" or "msi", pin or vector)
    assigned   descriptors from the start: (descriptor, gsi, resample)

    A plain signal pulses its pin: what is edge triggered latches it. A resampling one holds the pin until the guest
    writes the pin's bit to INTCLR, which arrives at `cleared`: then the pin falls and the descriptor is signalled at
    `resample`, for the device to signal again if it still wants to. Like any INTCLR, one without need is told too.
    A signal for a descriptor that is not assigned is kept until it is. Pins are not ORed with a device on the same pin:
    the last change counts. A reset of the machine leaves routes, descriptors and raised pins as they are.

    Source: Loongson 4.19 KVM: ls7a_irqfd.c, virt/kvm/eventfd.c, virt/kvm/irqchip.c.
    """

    routes = Internal([], kept=True)
    """[gsi, target, number], one per GSI that has a route."""
    assigned = Internal([], kept=True)
    """[descriptor, gsi, resample, descriptor that a resample signals] in the order of assignment."""
    waiting = Internal([], kept=True)
    """Descriptors that were signalled before they were assigned."""
    raised = Internal(0, kept=True)

    signal = EventIn("Descriptors signalled from outside.")
    cleared = VectorIn("A pin whose INTCLR bit the guest wrote.", vectors=PINS)
    pin = LineOuts(PINS, "To the pins of the PCH-PIC.")
    msi = VectorOut("To the HT-lo controller.")
    resample = EventOut("Descriptors whose interrupt the guest has handled.")

    def __init__(
        self,
        *,
        routes: Iterable[tuple[int, str, int]] = (),
        assigned: Iterable[tuple[int, int, bool]] = (),
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.routes = [[gsi, "pin", gsi] for gsi in range(PINS)]
        for route in routes:
            self.route(*route)
        for descriptor, gsi, resample in assigned:
            self.assign(descriptor, gsi, resample)

    def route(self, gsi: int, target: str, number: int) -> None:
        """Let `gsi` (0 to 4095) lead to pin or vector `number`; `target` is "pin" or "msi". DeviceError if not."""
        self.set_routes([*(route for route in self.routes if route[0] != gsi), (gsi, target, number)])

    def set_routes(self, routes: Iterable[tuple[int, str, int]]) -> None:
        """Let these be all routes, one per GSI. DeviceError for one that cannot be; then all stay as they are."""
        made = {}
        for gsi, target, number in routes:
            self._check_gsi(gsi)
            if target not in TARGETS or not 0 <= number < TARGETS[target]:
                known = ", ".join(f"{name} 0 to {count - 1}" for name, count in TARGETS.items())
                raise DeviceError(f"{self.name}: route of GSI {gsi} to {target} {number}; allowed are {known}")
            if gsi in made:
                raise DeviceError(f"{self.name}: two routes of GSI {gsi}; give one")
            made[gsi] = [gsi, target, number]
        self.routes = [made[gsi] for gsi in sorted(made)]

    def set_pin(self, pin: int, level: bool) -> None:
        """Hold `pin` (0 to 63) high, or let it fall whoever raised it. DeviceError for another pin."""
        if not 0 <= pin < PINS:
            raise DeviceError(f"{self.name}: pin {pin}; allowed are 0 to {PINS - 1}")
        self.raised = self.raised & ~(1 << pin) | bool(level) << pin
        self.settle()

    def assign(self, descriptor: int, gsi: int, resample: bool = False, resamplefd: int | None = None) -> None:
        """Let `descriptor` (0 to 2**32 - 1) signal `gsi`; a resample signals `resamplefd`, or else itself.

        DeviceError when it is assigned already.
        """
        self._check_gsi(gsi)
        resamplefd = descriptor if resamplefd is None else resamplefd
        for number in (descriptor, resamplefd):
            if not 0 <= number < 1 << 32:
                raise DeviceError(f"{self.name}: descriptor {number}; allowed are 0 to 2**32 - 1")
        if (entry := self._entry(descriptor)) is not None:
            raise DeviceError(f"{self.name}: descriptor {descriptor} is busy with GSI {entry[1]}; deassign it first")
        self.assigned = [*self.assigned, [descriptor, gsi, bool(resample), resamplefd]]
        if descriptor in self.waiting:
            self.waiting = [other for other in self.waiting if other != descriptor]
            self.on_event_signal(descriptor, 1)
            self.settle()

    def deassign(self, descriptor: int, gsi: int) -> None:
        """Undo `assign`; a pin that the descriptor's GSI holds falls. DeviceError when they are not assigned so."""
        entry = self._entry(descriptor)
        if entry is None or entry[1] != gsi:
            raise DeviceError(f"{self.name}: descriptor {descriptor} is not assigned to GSI {gsi}")
        self.assigned = [other for other in self.assigned if other is not entry]
        target, number = self._target(gsi)
        if entry[2] and target == "pin" and not any(o[1] == gsi and o[2] for o in self.assigned):
            self.raised &= ~(1 << number)
        self.settle()

    def on_event_signal(self, descriptor: int, count: int) -> None:
        entry = self._entry(descriptor)
        if entry is None:
            self.waiting = sorted({*self.waiting, descriptor})
            return
        target, number = self._target(entry[1])
        if target == "msi":
            self.msi.send(number)
        elif target == "pin" and entry[2]:
            self.raised |= 1 << number
        elif target == "pin":
            self.pin.levels |= 1 << number
            self.raised &= ~(1 << number)

    def on_vector_cleared(self, pin: int) -> None:
        held_by = [e for e in self.assigned if e[2] and self._target(e[1]) == ("pin", pin)]
        if held_by:
            self.raised &= ~(1 << pin)
            self.settle()
        for *_, resamplefd in held_by:
            self.resample.send(resamplefd)

    def settle(self) -> None:
        self.pin.levels = self.raised

    def _entry(self, descriptor: int) -> list | None:
        return next((entry for entry in self.assigned if entry[0] == descriptor), None)

    def _target(self, gsi: int) -> tuple[str, int]:
        return next(((target, number) for other, target, number in self.routes if other == gsi), ("none", 0))

    def _check_gsi(self, gsi: int) -> None:
        if not 0 <= gsi < GSIS:
            raise DeviceError(f"{self.name}: GSI {gsi}; allowed are 0 to {GSIS - 1}")
