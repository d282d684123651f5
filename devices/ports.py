"""Ports of a device that carry messages: interrupt vectors, events, mail, and writes to configuration registers.

Declared as class attributes, like lines. An output is sent with ``self.lo.send(8)``. An input calls a handler:
``on_vector_<name>(vector)`` or ``on_event_<name>(descriptor, count)``. Arrays are of outputs only; their elements are
``node[3]``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from devices.errors import DeviceError

if TYPE_CHECKING:
    from devices.device import Device

VECTORS = 256
"""Interrupt vectors that a message can carry."""


class Port:
    """A named place where something enters or leaves a device or, with `count`, an array of them."""

    def __init__(self, doc: str = "", *, count: int | None = None) -> None:
        self.name = ""
        self.doc = doc
        self.count = count

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @property
    def ports(self) -> list[str]:
        """Names of the port, or of all elements of the array."""
        return [self.name] if self.count is None else [f"{self.name}[{i}]" for i in range(self.count)]


class VectorIn(Port):
    """Interrupt vectors arrive here, 0 <= vector < `vectors`."""

    def __init__(self, doc: str = "", *, vectors: int = VECTORS) -> None:
        super().__init__(doc)
        self.vectors = vectors


class VectorOut(Port):
    """Interrupt vectors leave here."""


class VectorOuts(VectorOut):
    """`count` ports of vectors: ``self.node[3].send(vector)``."""

    def __init__(self, count: int, doc: str = "") -> None:
        super().__init__(doc, count=count)


class EventIn(Port):
    """Event descriptors are signalled here from outside the machine."""


class EventOut(Port):
    """Event descriptors are signalled here to the outside of the machine."""


class MailOut(Port):
    """What is written to the mailboxes of a core leaves here."""


class MailOuts(MailOut):
    """`count` ports of mail: ``self.mail[2].send(0, value)``."""

    def __init__(self, count: int, doc: str = "") -> None:
        super().__init__(doc, count=count)


class CsrOut(Port):
    """Writes to the configuration registers of a core leave here."""


def check_event(where: str, descriptor: int, count: int) -> None:
    """Raises DeviceError for a descriptor or a count that no event has."""
    if type(descriptor) is not int or not 0 <= descriptor < 1 << 32:
        raise DeviceError(f"{where}: descriptor {descriptor!r}; allowed are 0 to 2**32 - 1")
    if type(count) is not int or not 1 <= count < 1 << 64:
        raise DeviceError(f"{where}: count {count!r}; allowed are 1 to 2**64 - 1")


def index(port: str) -> int:
    """The number of an element's port, as in ``pin[5]``; 0 for a single one."""
    _, bracket, number = port.partition("[")
    return int(number[:-1]) if bracket else 0


class _Sender:
    __slots__ = ("_device", "_port")

    def __init__(self, device: Device, port: str) -> None:
        self._device = device
        self._port = port


class VectorSender(_Sender):
    """Sends from a VectorOut."""

    def send(self, vector: int) -> None:
        """An interrupt message with `vector` leaves."""
        self._device.outside.vector(self._port, vector)


class EventSender(_Sender):
    """Sends from an EventOut."""

    def send(self, descriptor: int, count: int = 1) -> None:
        """`count` is added to the event `descriptor`."""
        self._device.outside.event(self._port, descriptor, count)


class MailSender(_Sender):
    """Sends from a MailOut."""

    def send(self, box: int, value: int) -> None:
        """Mailbox `box` of the core now holds the 64-bit `value`."""
        self._device.outside.mailbox(self._port, box, value)


class CsrSender(_Sender):
    """Sends from a CsrOut."""

    def send(self, core: int, offset: int, size: int, value: int) -> None:
        """Write `size` bytes (1, 2, 4, 8) at configuration register `offset`, as `core` sees it."""
        self._device.outside.csr_write(self._port, core, offset, size, value)


SENDERS: dict[type[Port], type[_Sender]] = {
    VectorOut: VectorSender,
    EventOut: EventSender,
    MailOut: MailSender,
    CsrOut: CsrSender,
}


def sender(device: Device, declared: Port) -> _Sender | list[_Sender]:
    """What an instance holds under the name of an output port."""
    kind = next(made for kind, made in SENDERS.items() if isinstance(declared, kind))
    made = [kind(device, port) for port in declared.ports]
    return made[0] if declared.count is None else made
