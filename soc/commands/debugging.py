"""`--gdb` of `soc run` and `soc boot`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from soc.commands.output import say

if TYPE_CHECKING:
    from soc.gdb import GdbServer


@contextmanager
def listening(address: str | None) -> Iterator[GdbServer | None]:
    """The server at `address`, or none; says where gdb is to connect. Raises ConfigurationError."""
    if address is None:
        yield None
        return
    from soc.gdb import GdbServer

    with GdbServer(address) as server:
        say(f"soc: waiting for gdb: target remote {server.address}")
        yield server
