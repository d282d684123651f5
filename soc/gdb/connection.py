"""The wire to one gdb: packets in and out, with their acknowledgments. Whatever goes wrong with it, gdb is gone."""

from __future__ import annotations

import select
import socket
from collections import deque

from soc.gdb.protocol import Reader, Token, frame

PATIENCE_S = 10.0
"""How long gdb may take to accept what is sent."""
CHUNK = 1 << 16


class Connection:
    """A connected socket."""

    def __init__(self, connection: socket.socket) -> None:
        connection.settimeout(PATIENCE_S)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.is_gone = False
        """gdb is not there any more."""
        self.acknowledges = True
        """Whether packets are still acknowledged, which gdb may switch off."""
        self._socket, self._reader, self._last = connection, Reader(), b""
        self._waiting: deque[bytes | Token] = deque()

    def send(self, body: bytes) -> None:
        """Sends a packet."""
        self._last = frame(body)
        self._put(self._last)

    def receive(self, patience_s: float) -> bytes | Token | None:
        """The next packet's body, Token.INTERRUPT or Token.TOO_LONG; None when none comes in time."""
        while not self.is_gone and (self._waiting or self._take_in(patience_s)):
            if self._waiting and (found := self._acknowledged(self._waiting.popleft())) is not None:
                return found
        return None

    def asks_for_a_stop(self) -> bool:
        """Whether gdb has sent Ctrl-C, or anything else that only a machine that stands can answer."""
        while not self.is_gone and self._take_in(0.0):
            pass
        return any(found is Token.INTERRUPT or isinstance(found, bytes) for found in self._waiting)

    def close(self) -> None:
        """Ends it. May be called again."""
        self.is_gone = True
        self._socket.close()

    def _acknowledged(self, found: bytes | Token) -> bytes | Token | None:
        """`found`, acknowledged, if it is any business of the session's."""
        if found is Token.INTERRUPT:
            return found
        if found is Token.TOO_LONG or not isinstance(found, Token):
            if self.acknowledges:
                self._put(b"+")
            return found
        if self.acknowledges and found is Token.NACK:
            self._put(self._last)
        elif self.acknowledges and found is Token.DAMAGED:
            self._put(b"-")
        return None

    def _take_in(self, patience_s: float) -> bool:
        """Takes in what has come. False: nothing has."""
        if not select.select([self._socket], [], [], patience_s)[0]:
            return False
        try:
            data = self._socket.recv(CHUNK)
        except OSError:
            data = b""
        self.is_gone = not data
        self._waiting += self._reader.feed(data)
        return True

    def _put(self, data: bytes) -> None:
        try:
            self._socket.sendall(data)
        except OSError:
            self.is_gone = True
