"""A small gdb of our own: a client of the remote protocol, and a machine that runs under its eyes."""

from __future__ import annotations

import socket
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from soc import Machine, PoweredOff
from soc.gdb import GdbServer
from soc.gdb.protocol import Reader, Token, frame

PATIENCE_S = 30


class Client:
    """One connection. `ask` sends a packet and gives the answer, text of the console left out."""

    def __init__(self, address: str) -> None:
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), PATIENCE_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.reader, self.found = Reader(), deque()
        self.console = ""

    def send(self, body: bytes | str) -> None:
        self.raw(frame(body.encode("latin-1") if isinstance(body, str) else body))

    def raw(self, data: bytes) -> None:
        self.socket.sendall(data)

    def next(self) -> bytes | Token:
        """The next packet or token."""
        while not self.found:
            data = self.socket.recv(1 << 16)
            if not data:
                raise EOFError
            self.found += self.reader.feed(data)
        return self.found.popleft()

    def answer(self) -> str:
        while True:
            found = self.next()
            if isinstance(found, Token):
                assert found is Token.ACK
                continue
            self.raw(b"+")
            text = found.decode("latin-1")
            if text[:1] != "O" or text == "OK":
                return text
            self.console += bytes.fromhex(text[1:]).decode()

    def ask(self, body: bytes | str) -> str:
        self.send(body)
        return self.answer()

    def monitor(self, line: str) -> str:
        """What a monitor command shows."""
        self.console = ""
        assert self.ask(f"qRcmd,{line.encode().hex()}") == "OK"
        return self.console

    def register(self, number: int) -> int:
        return int.from_bytes(bytes.fromhex(self.ask(f"p{number:x}")), "little")

    def set_register(self, number: int, value: int) -> str:
        return self.ask(f"P{number:x}={(value & (1 << 64) - 1).to_bytes(8, 'little').hex()}")

    def pc(self) -> int:
        return self.register(37)

    def interrupt(self) -> str:
        """Ctrl-C; the stop that comes of it."""
        self.raw(b"\x03")
        return self.answer()

    def is_alone(self) -> bool:
        """Whether the server has closed the connection."""
        try:
            while True:
                self.next()
        except (EOFError, ConnectionError):
            return True

    def close(self) -> None:
        self.socket.close()


class Run:
    """A machine that runs in a thread of its own, under gdb."""

    def __init__(self, machine: Machine, until: Any = PoweredOff, **limits: Any) -> None:
        self.machine, self.server = machine, GdbServer()
        limits = {"until": until, "max_virtual": "1 s"} | limits
        self.result: Any = None
        self._thread = threading.Thread(target=self._run, args=(limits,), daemon=True)
        self._thread.start()

    def _run(self, limits: dict[str, Any]) -> None:
        with self.server:
            self.result = self.machine.run(debugger=self.server, **limits)

    def client(self) -> Client:
        return Client(self.server.address)

    def end(self) -> Any:
        """The result of the run, which ends by itself."""
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive(), "the run hangs"
        return self.result


@contextmanager
def debugged(machine: Machine, **limits: Any) -> Iterator[tuple[Run, Client]]:
    """A run and a gdb that it waits for."""
    run = Run(machine, **limits)
    client = run.client()
    try:
        yield run, client
    finally:
        client.close()
        machine.interrupt()
        run.end()
