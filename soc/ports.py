"""Ports: what a device sees of the outside, and how ports are named.

A port is named within its component, `irq`, `mmio`, `input[10]`, and from outside with its component before it,
`ls3a_router_irq.input[10]`. In the wiring of a machine every port also gets a number, which is what messages carry.
"""

from __future__ import annotations

import re
from typing import Protocol

from soc.errors import ConfigurationError

_PORT = re.compile(r"([a-z][a-z0-9_]*)\.([a-z][a-z0-9_]*(?:\[\d+\])?)")


class Outside(Protocol):
    """All that a device may know about the machine around it."""

    @property
    def now(self) -> int:
        """Model time, ps since reset."""
        ...

    def line(self, port: str, level: int) -> None:
        """An output line of this device changed to `level` (0 or 1)."""
        ...

    def vector(self, port: str, vector: int) -> None:
        """Send an interrupt vector (HT message or MSI) out of `port`."""
        ...

    def mailbox(self, port: str, box: int, value: int) -> None:
        """Send a 64-bit value into mailbox `box` of what is wired to `port`."""
        ...

    def output(self, port: str, data: bytes) -> None:
        """Bytes leave a stream port, such as the transmit side of a UART."""
        ...

    def after(self, delay_ps: int, token: str) -> None:
        """Call the device's on_timer(token) `delay_ps` from now (0: later at this time); arming again replaces it."""
        ...

    def cancel(self, token: str) -> None:
        """Forget the timer `token`; nothing happens when it is not armed."""
        ...

    def stop(self, reason: str) -> None:
        """Ask the machine to stop: `poweroff` or `reset`."""
        ...


def split(name: str) -> tuple[str, str]:
    """`"uart.irq"` -> `("uart", "irq")`.

    Raises ConfigurationError when `name` is not component.port with an optional [index].
    """
    match = _PORT.fullmatch(name)
    if match is None:
        raise ConfigurationError(
            f"{name!r} is no port; write component.port or component.port[index], as in 'uart.irq'"
        )
    return match[1], match[2]
