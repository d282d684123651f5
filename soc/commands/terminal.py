"""The person at the console: raw keyboard input for the guest, and the guest's bytes on standard output."""

import contextlib
import os
import select
import sys
import termios
import threading
import tty
from collections.abc import Callable, Iterator
from typing import BinaryIO

QUIT = b"\x1d"  # Ctrl-]
POLL_S = 0.1


class ConsoleWriter:
    """Writes the guest's bytes, unchanged and at once, to standard output, and to `copy`.

    When the reader of a pipe goes away, or the host refuses the bytes, `closed` is called and what follows is dropped
    there.
    """

    def __init__(self, stream: BinaryIO, closed: Callable[[], None], copy: BinaryIO | None = None) -> None:
        self._stream: BinaryIO | None = stream
        self._closed, self._copy = closed, copy
        self.refused = ""
        """What the host said when it did not take the bytes."""
        self.at_line_start = True
        """Whether the last byte ended a line: a status line may be shown."""
        self.before: Callable[[], None] = lambda: None
        """Called before bytes are written, to take a status line away."""

    def __call__(self, data: bytes) -> None:
        if self._copy is not None and not self._taken(self._copy, data):
            self._copy = None
        if self._stream is None or not data:
            return
        self.before()
        self.at_line_start = data.endswith(b"\n")
        if not self._taken(self._stream, data):
            self._stream = None
            # The interpreter flushes standard output once more on exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    def _taken(self, stream: BinaryIO, data: bytes) -> bool:
        try:
            stream.write(data)
            stream.flush()
        except BrokenPipeError:
            pass
        except OSError as cause:
            self.refused = f"cannot write the guest's console to {stream.name}: {cause.strerror}."
        else:
            return True
        self._closed()
        return False


def interactive() -> bool:
    """True when a person types: standard input and output are terminals."""
    return sys.stdin.isatty() and sys.stdout.isatty()


@contextlib.contextmanager
def keyboard(type_bytes: Callable[[bytes], None], quit_run: Callable[[], None]) -> Iterator[None]:
    """Raw mode and a thread that passes on what is typed; Ctrl-] calls `quit_run`. The terminal is restored on exit."""
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            if not select.select([descriptor], [], [], POLL_S)[0]:
                continue
            data = os.read(descriptor, 1024)
            typed, escape, _ = data.partition(QUIT)
            if typed:
                type_bytes(typed)
            if escape or not data:
                quit_run()
                return

    thread = threading.Thread(target=read, name="keyboard", daemon=True)
    tty.setraw(descriptor)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(2 * POLL_S)
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
