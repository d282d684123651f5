"""Devices on other hosts, over TCP: connecting to a server, and being one.

Whoever connects must know the server's token, and speak its version of the wire. TCP does not hide what is sent, and
the token goes over it as it is: a network between the two must be one that is trusted.
"""

from __future__ import annotations

import os
import secrets
import socket
import socketserver
from collections.abc import Callable

from soc.errors import ConfigurationError
from soc.placement.serve import serve
from soc.placement.stream import Stream
from soc.placement.subprocess import Connection, PlacementError

TOKEN = "SOC_DEVICE_TOKEN"
"""The environment variable that holds the token, on both sides."""
HELLO_S = 10.0
"""How long a client may take to say hello, in seconds of wall time."""


def token() -> bytes:
    """The token of the environment, empty without one."""
    return os.environ.get(TOKEN, "").encode()


def new_token() -> str:
    """A token that nobody guesses."""
    return secrets.token_hex(16)


def connect(host: str, port: int, patience: float) -> Connection:
    """A connection to the server there, within `patience` seconds of wall time. Raises PlacementError."""
    try:
        sock = socket.create_connection((host, port), timeout=patience)
    except OSError as error:
        raise PlacementError(
            f"no device server at {host}:{port}: {error.strerror or error}.\n"
            f"`soc device serve --listen {host}:{port}` starts one."
        ) from error
    sock.settimeout(None)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return Connection(Stream(sock), f"server {host}:{port}")


class Server(socketserver.ForkingTCPServer):
    """Serves devices, each connection in a process of its own."""

    allow_reuse_address = True
    max_children = 256

    def __init__(self, host: str, port: int, allowed: Callable[[str], bool], secret: bytes) -> None:
        """Listen at `host` and `port` (0: any free one). Raises ConfigurationError."""
        self._allowed, self._secret = allowed, secret
        if ":" in host:
            self.address_family = socket.AF_INET6
        try:
            super().__init__((host, port), socketserver.BaseRequestHandler)
        except OSError as error:
            raise ConfigurationError(f"cannot listen at {host}:{port}: {error.strerror or error}") from error

    @property
    def port(self) -> int:
        """Where it listens."""
        return self.server_address[1]

    def finish_request(self, request: socket.socket, client_address: object) -> None:
        request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.close()
        serve(Stream(request, HELLO_S), self._allowed, self._secret)
