"""A device in an OS process of its own on this host, at the other end of a pair of connected sockets.

The pair has no name in any file system, so nobody else can connect. The process ends when its socket closes, however
the kernel's process ends; it ignores the terminal's interrupt, which is meant for the kernel.
"""

from __future__ import annotations

import signal
import socket
import subprocess
import weakref

from soc.errors import SocError
from soc.placement.stream import Stream
from soc.process import python

PATIENCE_S = 2.0
"""How long a process may take to end after its socket has closed, in seconds of wall time."""


class PlacementError(SocError):
    """A device's process or host that cannot be started or reached."""


class Connection:
    """A stream to a peer, and the process behind it where it is ours. Closed at the latest when nobody holds it."""

    def __init__(self, stream: Stream, where: str, process: subprocess.Popen[bytes] | None = None) -> None:
        self.stream, self.where, self.process = stream, where, process
        self.close = weakref.finalize(self, _close, stream, process)
        """Close the stream and see the process end. May be called again."""

    def abandon(self) -> None:
        """Close the stream and end the process at once: it is no longer trusted to end by itself."""
        if self.process is not None:
            self.process.kill()
        self.close()

    def fate(self, patience: float) -> str:
        """What became of the process, in words; empty when that is not known. An end is waited for `patience` s."""
        if self.process is None:
            return ""
        try:
            status = self.process.wait(patience)
        except subprocess.TimeoutExpired:
            return "its process is still there"
        if status < 0:
            return f"its process was killed by {signal.Signals(-status).name}"
        return f"its process ended with status {status}"


def _close(stream: Stream, process: subprocess.Popen[bytes] | None) -> None:
    stream.close()
    if process is not None:
        try:
            process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            # It hangs, or somebody stopped it: SIGKILL ends that too.
            process.kill()
            process.wait()


def spawn() -> Connection:
    """Start a device server in a process of its own. Raises PlacementError."""
    ours, theirs = socket.socketpair()
    command = ["-m", "soc", "device", "serve", "--fd", str(theirs.fileno())]
    try:
        process = python(*command, pass_fds=(theirs.fileno(),))
    except OSError as error:
        ours.close()
        raise PlacementError(f"cannot start a device process: {error}") from error
    finally:
        theirs.close()
    return Connection(Stream(ours), f"process {process.pid}", process)
