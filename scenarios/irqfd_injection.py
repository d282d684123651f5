"""Something outside the machine injects interrupts through event descriptors. When does a handler run?"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from devices.device import Device
from devices.ports import EventIn, EventOut
from devices.registers import Internal
from scenarios.library import Loaded, loaded, within
from scenarios.registry import Run, scenario
from scenarios.table import spreads
from soc.time import PS_PER_SECOND, duration

PINS, MESSAGES = 0, 1
PIN, MSI_VECTOR = 20, 0x46
LEVEL, MESSAGE = 7, 8
"""Descriptors: a resampling one at the pin, a plain one at the vector."""
FIRST = 50_000_000
"""When the first signal leaves, in ps: the guest is ready."""


class Peer(Device):
    """Stands for a program outside the machine: it signals both descriptors every `interval` ps, `rounds` times.

    The level descriptor stands for a line: it is signalled again only after its resample.
    """

    host_side = True

    signalled = Internal([])
    """When the level descriptor was signalled, in ps; then when its resample came."""
    resampled = Internal([])
    left = Internal([0, 0])

    signal = EventOut("To the machine.")
    resample = EventIn("From the machine: the guest has handled it.")

    def __init__(self, *, rounds: int = 1, interval: int = 1, **options: Any) -> None:
        self.rounds, self.interval = rounds, interval
        super().__init__(**options)

    def on_reset(self) -> None:
        self.left = [self.rounds, self.rounds]
        self.after(FIRST, "level")
        self.after(FIRST + self.interval // 2, "message")

    def on_timer_level(self) -> None:
        self.left[0] -= 1
        self.signalled.append(self.outside.now)
        self.signal.send(LEVEL)

    def on_timer_message(self) -> None:
        self.left[1] -= 1
        self.signal.send(MESSAGE)
        if self.left[1]:
            self.after(self.interval, "message")

    def on_event_resample(self, descriptor: int, count: int) -> None:
        self.resampled.append(self.outside.now)
        if self.left[0]:
            self.after(self.interval, "level")


@scenario(cpus=4, rounds=200, interval="2 us", pin_core=1, msi_core=2, tier="auto")
def irqfd_injection(run: Run, cpus: int, rounds: int, interval: str, pin_core: int, msi_core: int, tier: str) -> None:
    """A resampling descriptor at a level pin, to core `pin_core`; a plain one at an MSI vector, to core `msi_core`."""
    machine = prepare(cpus, rounds, duration(interval), pin_core, msi_core, tier)
    result = machine.run()
    run.expect(result.ended, equals="poweroff", what="the end of the run")
    if run.ok:
        peer = machine.machine.devices["peer"]
        path = machine.machine.trace.latency("peer")
        run.show("From the injected signal to the end of interrupt", path.table(), "")
        back = [after - before for before, after in zip(peer.signalled, peer.resampled, strict=True)]
        run.show(spreads("as the outside sees it", {"signal to resample": back}), "")
        run.keep("latency.txt", path.table() + "\n")
        run.expect(machine.counters(pin_core)[PINS], equals=rounds, what="interrupts from the pin")
        run.expect(machine.counters(msi_core)[MESSAGES], equals=rounds, what="interrupts from messages")
        run.expect(len(back), equals=rounds, what="resamples")
    run.result(result, machine.machine)


def prepare(cpus: int, rounds: int, interval: int, pin_core: int, msi_core: int, tier: str = "auto") -> Loaded:
    """The machine: platform ls7a with ls7a_irqfd at a pin and at the HT controller, and a peer that signals it."""
    within("cpus", cpus, 1, 4)
    within("rounds", rounds, 1, 1_000_000)
    within("interval", interval, 1, PS_PER_SECOND)
    within("pin_core", pin_core, 0, cpus - 1)
    within("msi_core", msi_core, 0, cpus - 1)
    from soc.platforms import Part, Wire, find

    platform = find("ls7a")
    irqfd = {"routes": [(64, "msi", MSI_VECTOR)], "assigned": [(LEVEL, PIN, True), (MESSAGE, 64, False)]}
    parts = (
        Part("ls7a_irqfd", "devices.ls7a_irqfd:Ls7aIrqfd", options=lambda timing: irqfd),
        Part("peer", f"{__name__}:Peer", options=lambda timing: {"rounds": rounds, "interval": interval}),
    )
    lines = (
        Wire("peer.signal", "ls7a_irqfd.signal", "irq_line"),
        Wire("ls7a_irqfd.resample", "peer.resample", "irq_line"),
        Wire(f"ls7a_irqfd.pin[{PIN}]", f"ls7a_irq.input[{PIN}]", "irq_line"),
        Wire("ls7a_irq.cleared", "ls7a_irqfd.cleared", "irq_line"),
        Wire("ls7a_irqfd.msi", "ls3a_ht_irq.message", "ht_vector"),
    )
    outside = replace(platform, parts=(*platform.parts, *parts), wires=lambda count: (*platform.wires(count), *lines))
    return loaded("irqfd.S", outside, cpus, {"tier": tier}, rounds=rounds, pin_core=pin_core, msi_core=msi_core)
