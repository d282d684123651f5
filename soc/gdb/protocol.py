"""Packets of GDB's remote serial protocol, as bytes.

Source: "Debugging with GDB", appendix "GDB Remote Serial Protocol", sections "Overview" and "Packet Acknowledgment".
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum, auto

PACKET_BYTES = 0x4000
"""The longest body taken, as it is on the wire."""

_START, _END, _ESCAPE, _REPEAT = b"$#}*"
_FLIPPED = 0x20
_CHECKSUM_DIGITS = 2


class Token(Enum):
    """What comes instead of a packet."""

    ACK = auto()
    NACK = auto()
    INTERRUPT = auto()
    """Ctrl-C."""
    DAMAGED = auto()
    """A packet whose checksum is wrong, or that another one cut off."""
    TOO_LONG = auto()
    """A packet of more than PACKET_BYTES, passed over."""


_TOKENS = {ord("+"): Token.ACK, ord("-"): Token.NACK, 3: Token.INTERRUPT}


def checksum(body: bytes) -> int:
    """Of a body as it is on the wire."""
    return sum(body) & 0xFF


def frame(body: bytes) -> bytes:
    """The packet with this body."""
    escaped = bytearray()
    for byte in body:
        escaped += bytes((_ESCAPE, byte ^ _FLIPPED)) if byte in (_START, _END, _ESCAPE, _REPEAT) else bytes((byte,))
    return b"$%b#%02x" % (escaped, checksum(escaped))


class Reader:
    """Finds packets in what arrives, in whatever pieces. Bytes that belong to nothing are passed over."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._passes_over = False
        # Inside a packet that is too long.

    def feed(self, data: bytes) -> Iterator[bytes | Token]:
        """The bodies and tokens that are complete with `data`."""
        self._buffer += data
        while (found := self._next()) is not None:
            yield found

    def _next(self) -> bytes | Token | None:
        buffer = self._buffer
        if self._passes_over and not self._skip():
            return None
        while buffer and buffer[0] != _START:
            token = _TOKENS.get(buffer.pop(0))
            if token is not None:
                return token
        return self._packet() if buffer else None

    def _skip(self) -> bool:
        """Drops the rest of a packet that is too long. False: its end has not come yet."""
        end = self._buffer.find(_END)
        whole = 0 <= end and end + _CHECKSUM_DIGITS < len(self._buffer)
        del self._buffer[: end + 1 + _CHECKSUM_DIGITS if whole else max(len(self._buffer) - _CHECKSUM_DIGITS - 1, 0)]
        self._passes_over = not whole
        return whole

    def _packet(self) -> bytes | Token | None:
        buffer = self._buffer
        end = buffer.find(_END)
        last = len(buffer) if end < 0 else end
        another = buffer.find(_START, 1, last)
        if another > 0:
            del buffer[:another]
            return Token.DAMAGED
        if last > PACKET_BYTES + 1:
            self._passes_over = True
            return Token.TOO_LONG
        if end < 0 or len(buffer) <= end + _CHECKSUM_DIGITS:
            return None
        body, digits = bytes(buffer[1:end]), bytes(buffer[end + 1 : end + 1 + _CHECKSUM_DIGITS])
        del buffer[: end + 1 + _CHECKSUM_DIGITS]
        return _plain(body) if digits.lower() == b"%02x" % checksum(body) else Token.DAMAGED


def _plain(body: bytes) -> bytes | Token:
    """A body without its escapes."""
    first, *pieces = body.split(bytes((_ESCAPE,)))
    if not all(pieces):
        return Token.DAMAGED
    return first + b"".join(bytes((piece[0] ^ _FLIPPED,)) + piece[1:] for piece in pieces)
