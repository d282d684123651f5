"""One status line on a terminal while a machine runs: model time, guest MIPS, exits per second."""

import sys
import time
from typing import Any

from soc.commands.terminal import ConsoleWriter
from soc.time import seconds

EVERY_MS = 250
CLEAR = "\r\x1b[2K"


class Progress:
    """Shown only where standard error is a terminal, and never in the middle of a console line."""

    def __init__(self, writer: ConsoleWriter) -> None:
        from rich.console import Console

        self._console = Console(stderr=True, highlight=False)
        self._writer = writer
        self._shares_terminal = sys.stdout.isatty()
        self._shown = False
        self._last = (time.monotonic(), 0, 0)
        if self._shares_terminal:
            writer.before = self.hide

    def __call__(self, machine: Any) -> None:
        """Shows the state of `machine`; rates are those since the last call."""
        now = time.monotonic()
        instructions, exits = machine.instructions, machine.exits
        then, old_instructions, old_exits = self._last
        self._last = (now, instructions, exits)
        if self._shares_terminal and not self._writer.at_line_start:
            return
        elapsed = max(now - then, 1e-9)
        mips, rate = (instructions - old_instructions) / elapsed / 1e6, (exits - old_exits) / elapsed
        text = f"virtual {seconds(machine.now):.3f} s  {mips:.1f} MIPS  {rate:,.0f} exits/s"
        self._console.file.write(CLEAR)
        self._console.print(text, style="dim", end="", overflow="crop", no_wrap=True)
        self._console.file.flush()
        self._shown = True

    def hide(self) -> None:
        """Takes the line away."""
        if self._shown:
            self._console.file.write(CLEAR)
            self._console.file.flush()
            self._shown = False
