"""Which channel waited for which device, in wall time: where a separation costs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

HOST = "the host"


class Wait(NamedTuple):
    """What the kernel waited for one device because of the messages of one channel."""

    device: str
    channel: str
    """The link a message came over; the name of the timer port for ticks."""
    told: int
    total_ns: int
    longest_ns: int


def waits(components: Iterable[Any], wiring: Any, ports: Mapping[str, int]) -> list[Wait]:
    """The waits for every device in another process, longest first."""
    names = {number: name for name, number in ports.items()}
    found = []
    for component in components:
        for (source, destination), entry in component.supervisor.waits.channels.items():
            link = wiring.channels.get((source, destination))
            channel = link.name if link is not None else names.get(source, HOST)
            found.append(Wait(component.name, channel, *entry))
    return sorted(found, key=lambda wait: -wait.total_ns)


def table(found: Iterable[Wait], components: Iterable[Any]) -> str:
    """The waits as text: one line a channel, one line a device."""
    lines = [f"{'waited for':20} {'because of':56} {'told':>8} {'ms':>9} {'mean us':>8} {'max us':>8}"]
    for wait in found:
        mean = wait.total_ns / wait.told / 1e3
        lines.append(
            f"{wait.device:20} {wait.channel:56} {wait.told:8} {wait.total_ns / 1e6:9.1f} {mean:8.1f} "
            f"{wait.longest_ns / 1e3:8.0f}"
        )
    for component in components:
        seen = component.supervisor.waits
        told = sum(entry[0] for entry in seen.channels.values())
        total = sum(entry[1] for entry in seen.channels.values())
        lines.append(
            f"{component.name:20} {component.place.where:20} {told} told ({seen.told_bytes} bytes), {seen.answers} "
            f"answered ({seen.answer_bytes} bytes), {total / 1e6:.1f} ms"
        )
    return "\n".join(lines)
