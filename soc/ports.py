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

    def mailbox(self, port: str, mailbox: int, value: int) -> None:
        """Send `value` (64 bits) to `mailbox` (0 to 255) of whatever `port` leads to."""
        ...

    def event(self, port: str, descriptor: int, count: int = 1) -> None:
        """Signal an eventfd: add `count` to counter `descriptor` of whatever `port` leads to."""
        ...

    def csr_write(self, port: str, core: int, offset: int, size: int, value: int) -> None:
        """Write a configuration register as `core` sees it, on the node `port` leads to; nothing answers."""
        ...

    def dma_read(self, address: int, size: int, token: str) -> None:
        """Read `size` bytes (1 or more) of memory; device.on_dma(token, bytes) follows, with None on a bus error."""
        ...

    def dma_write(self, address: int, data: bytes, token: str) -> None:
        """Write `data` (1 byte or more); device.on_dma(token, b"") follows when it is in memory, None on a bus error.

        Transfers of one device take effect in the order they were asked for.
        """
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


def is_level(value: object) -> bool:
    """Whether `value` is the level of a line: 0 or 1, or a truth value."""
    return isinstance(value, int) and 0 <= value <= 1


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
