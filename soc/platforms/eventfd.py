"""The host's hand in the machine: event descriptors that a program outside signals, and those signalled back to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from devices.device import Device
from devices.errors import DeviceError
from devices.ports import EventIn, EventOut, check_event
from soc.time import duration

if TYPE_CHECKING:
    from soc.machine import Machine


class Eventfd(Device):
    """Event descriptors as the outside has them. Signals leave with their own model time, so that they can be replayed.

    signalled    (time in ps, descriptor, count) of every signal given, in the order in which they were given
    resampled    (time in ps, descriptor) of every resample
    on_resample  called with a descriptor when the guest has handled its interrupt
    """

    host_side = True

    out = EventOut("To ls7a_irqfd.")
    resample = EventIn("From ls7a_irqfd: the guest has handled it.")

    def __init__(self, **options: Any) -> None:
        self.signalled: list[tuple[int, int, int]] = []
        self.resampled: list[tuple[int, int]] = []
        self.on_resample: Callable[[int], None] | None = None
        super().__init__(**options)

    def signal(self, descriptor: int, at: int, count: int = 1) -> None:
        """Signal `descriptor` (0 to 2**32 - 1) at model time `at` ps; `soc.platforms.eventfd.signal` knows "now".

        Before a run, between runs, or from `on_resample`. Raises DeviceError, and SocError for a time that has passed.
        """
        check_event(self.name, descriptor, count)
        self.outside.event_at("out", at, descriptor, count)
        self.signalled.append((at, descriptor, count))

    def save(self) -> dict[str, Any]:
        return {
            **super().save(),
            "signalled": [list(signal) for signal in self.signalled],
            "resampled": [list(resample) for resample in self.resampled],
        }

    def restore(self, saved: dict[str, Any]) -> None:
        super().restore(saved)
        self.signalled = [tuple(signal) for signal in saved["signalled"]]
        self.resampled = [tuple(resample) for resample in saved["resampled"]]

    def on_event_resample(self, descriptor: int, count: int) -> None:
        self.resampled.append((self.outside.now, descriptor))
        if self.on_resample is not None:
            self.on_resample(descriptor)


def signal(machine: Machine, descriptor: int, at: int | str | None = None, count: int = 1) -> None:
    """Signal an event descriptor of `machine` at model time `at` (ps or text; None: now).

    The machine's platform has an `eventfd`, and its ls7a_irqfd says where the descriptor leads. Raises DeviceError for
    a descriptor, count or time that cannot be.
    """
    time = machine.now if at is None else duration(at)
    if time < machine.now:
        raise DeviceError(f"a signal for {time} ps; the machine has reached {machine.now} ps: that time or a later one")
    _host(machine).signal(descriptor, time, count)


def replay(machine: Machine, signalled: Iterable[tuple[int, int, int]]) -> None:
    """Signal what another run has in `signalled`, at the same times. Before `run`, and with no `on_resample` set."""
    for time, descriptor, count in signalled:
        signal(machine, descriptor, time, count)


def _host(machine: Machine) -> Eventfd:
    found = machine.devices.get("eventfd")
    if found is None:
        raise DeviceError(f"platform {machine.platform.name} has no event descriptors; ls7a has")
    return found
