"""The debugger's side of a machine: a server for GDB's remote protocol. See docs/debugging.md."""

from soc.gdb.server import GdbServer

__all__ = ["GdbServer"]
