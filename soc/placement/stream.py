"""Messages on a byte stream: each in a frame that says how long it is and what its bytes add up to.

A frame is 4 bytes length and 4 bytes CRC-32 of the message, both little-endian, and the message. The check makes a byte
changed on the way an error instead of a wrong value.
"""

from __future__ import annotations

import socket
import struct
from time import monotonic
from zlib import crc32

from soc.errors import MessageError, ProtocolError
from soc.messages import MAX_BYTES

_HEADER = struct.Struct("<II")
_PIECE = 1 << 16
HEADER = _HEADER.size


class StreamClosed(ProtocolError):
    """The other side has closed the connection, or it broke."""


class StreamTimeout(ProtocolError):
    """The other side did not take or send what it had to within the watchdog's wall time."""


def frame(payload: bytes) -> bytes:
    """`payload` with its header."""
    return _HEADER.pack(len(payload), crc32(payload)) + payload


class Stream:
    """Frames over a connected socket, which it owns.

    `watchdog` is the most wall time in seconds for what follows one `send`, None for ever; the system's clock rounds it
    up to twice that at most. `limit` is the longest message taken.
    """

    def __init__(self, sock: socket.socket, watchdog: float | None = None, limit: int = MAX_BYTES) -> None:
        self.limit = limit
        self._socket = sock
        self._buffer = bytearray()
        self._at = 0
        self._deadline = 0.0
        self._garbled: int | None = None
        self.set_watchdog(watchdog)

    def set_watchdog(self, watchdog: float | None) -> None:
        """Change the watchdog."""
        self._watchdog = watchdog
        whole, part = divmod(watchdog or 0, 1)
        # The system's own time-outs: Python's would add a poll to each call.
        span = struct.pack("ll", int(whole), int(part * 1_000_000))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, span)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, span)

    def send(self, frames: bytes) -> None:
        """Send frames. Raises StreamClosed, StreamTimeout."""
        self._deadline = 0.0
        try:
            self._socket.sendall(frames)
        except BlockingIOError:
            raise StreamTimeout(f"did not take {len(frames)} bytes within {self._watchdog:g} s") from None
        except OSError as error:
            raise StreamClosed(f"connection lost while sending: {error.strerror or error}") from None

    def receive(self) -> bytes:
        """The next message's bytes. Raises StreamClosed, StreamTimeout, MessageError for a frame that cannot be."""
        buffer = self._buffer
        while True:
            at = self._at
            have = len(buffer) - at
            if have >= HEADER:
                length, check = _HEADER.unpack_from(buffer, at)
                if length > self.limit:
                    raise MessageError(f"a frame of {length} bytes; at most {self.limit} are taken here")
                end = at + HEADER + length
                if len(buffer) >= end:
                    payload = bytes(buffer[at + HEADER : end])
                    if end == len(buffer):
                        buffer.clear()
                        self._at = 0
                    else:
                        self._at = end
                    if crc32(payload) != check:
                        raise MessageError(f"a frame of {length} bytes whose CRC-32 is not {check:#010x}")
                    return payload
            if at:
                del buffer[:at]
                self._at = 0
            if self._watchdog is not None:
                now = monotonic()
                if now > (deadline := self._deadline or now + self._watchdog):
                    raise StreamTimeout(f"has not finished its answer after {self._watchdog:g} s")
                self._deadline = deadline
            try:
                data = self._socket.recv(_PIECE)
            except BlockingIOError:
                raise StreamTimeout(f"no answer for {self._watchdog:g} s") from None
            except OSError as error:
                raise StreamClosed(f"connection lost: {error.strerror or error}") from None
            if not data:
                raise StreamClosed("closed the connection" + (" in the middle of a message" if buffer else ""))
            buffer += data
            if self._garbled is not None:
                place, bit = divmod(self._garbled % (8 * len(data)), 8)
                buffer[place - len(data)] ^= 1 << bit
                self._garbled = None

    @property
    def pending(self) -> bool:
        """True when bytes have come that nobody has taken."""
        return bool(self._buffer)

    def garble(self, bit: int) -> None:
        """Change a bit of what comes next, as a fault on the way would: number `bit`, modulo how many there are."""
        self._garbled = bit

    def shut(self) -> None:
        """Break the connection, as a fault of the network would."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            # It is broken already.
            pass

    def close(self) -> None:
        """Close the socket. May be called again."""
        self._socket.close()
