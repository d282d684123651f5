"""Where gdb connects: the socket, and one gdb at a time at one machine's run."""

from __future__ import annotations

import select
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from soc.errors import ConfigurationError
from soc.gdb.connection import Connection
from soc.gdb.session import TURN_S, Mode, Session
from soc.gdb.target import Target
from soc.placement import places

if TYPE_CHECKING:
    from cpu.cluster import ClusterStop
    from soc.cluster import ClusterComponent
    from soc.machine import Machine

HOST = "127.0.0.1"
SLICE = 200_000
"""Cycles after which the cores let the host look whether gdb wants something, unless the run has a slice of its own."""


class GdbServer:
    """For `Machine.run(debugger=...)`: waits for a gdb before the first instruction and obeys it. When it has left,
    another may come. Ends with `close`, or as a context manager."""

    def __init__(self, address: str | int = 0) -> None:
        """`address` is "[HOST:]PORT": port 0 is any, the host 127.0.0.1 unless given. Raises ConfigurationError."""
        try:
            self._listener = socket.create_server(places.address(str(address), HOST))
        except OSError as cause:
            raise ConfigurationError(
                f"gdb {address}: cannot listen there: {cause.strerror or cause}.\nPort 0 takes any that is free."
            ) from cause
        self._session: Session | None = None

    @property
    def address(self) -> str:
        """HOST:PORT, for gdb's `target remote`."""
        host, port, *_ = self._listener.getsockname()
        return f"{host}:{port}"

    @contextmanager
    def around(self, machine: Machine, component: ClusterComponent, end: Callable[[str, str], None]) -> Iterator[None]:
        """A run of the cores in `component`; `end(ended, reason)` has it end with the window in progress."""
        target, host = Target(machine, component), component.host

        def idle() -> bool:
            self._refuse_others()
            return machine.is_interrupted

        def attach() -> None:
            self._session = Session(Connection(self._listener.accept()[0]), target, idle)
            self._with_it(self._session.begin, end)

        def stopped(stop: ClusterStop) -> None:
            if self._session is not None:
                self._with_it(lambda: self._session.stopped(stop), end)

        def between() -> None:
            host()
            if self._session is not None:
                self._with_it(self._session.look, end)
                self._refuse_others()
            elif self._came(0.0):
                attach()

        component.debugger, component.host = stopped, between
        component.slice = component.slice or SLICE
        while not self._came(TURN_S) and not machine.is_interrupted:
            pass
        if not machine.is_interrupted:
            attach()
        try:
            yield
        finally:
            target.release()
            component.debugger, component.host = None, host

    def ended(self, status: int) -> None:
        """Tells gdb that the run has ended, with the command's exit status."""
        if self._session is not None:
            self._session.end(status)
            self._session = None

    def close(self) -> None:
        """No gdb can come any more."""
        if self._session is not None:
            self._session.connection.close()
        self._listener.close()

    def __enter__(self) -> GdbServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _came(self, patience_s: float) -> bool:
        return bool(select.select([self._listener], [], [], patience_s)[0])

    def _refuse_others(self) -> None:
        if self._session is not None and self._came(0.0):
            self._listener.accept()[0].close()

    def _with_it(self, does: Callable[[], None], end: Callable[[str, str], None]) -> None:
        does()
        if self._session.mode is Mode.KILLED:
            end("limit", "gdb killed the run")
        if self._session.mode in (Mode.KILLED, Mode.LEFT):
            self._session = None
