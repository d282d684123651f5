"""Boots of the fetched kernel by `soc boot`, and what a console says, as data."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from soc.bench.runs import text

SCRIPT = (
    "cat /proc/cpuinfo",
    "uname -a",
    "cat /proc/interrupts",
    'for i in 1 2 3; do echo "loop $i"; done',
    "poweroff -f",
)
TIMEOUT_S = 600
STAMP = re.compile(r"^\[ *\d+\.\d+\] ")
PROMPT = "soc# \x1b[6n"


@dataclass(frozen=True)
class Boot:
    """Exit status, console with line feeds only, and the object of the result line."""

    status: int
    console: str
    result: dict[str, Any]

    @property
    def lines(self) -> list[str]:
        """The console without the kernel's time stamps."""
        return lines(self.console)

    def answer(self, command: str) -> str:
        """What the shell printed for `command`."""
        return answer(self.console, command)


def boot(folder: Path, append: str = "", script: Sequence[str] = SCRIPT, options: Sequence[str] = ()) -> Boot:
    """One `soc boot` with the script, in a process of its own."""
    path = folder / "script"
    path.write_text("\n".join(script) + "\n")
    return _soc(["--script", str(path), "--append", append, *options])


def again(checkpoint: str, options: Sequence[str] = ()) -> Boot:
    """`soc boot --restore`, in a process of its own."""
    return _soc(["--restore", checkpoint, *options])


def _soc(options: Sequence[str]) -> Boot:
    command = [sys.executable, "-m", "soc", "boot", *options]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT_S)
    last = done.stderr.decode().splitlines()[-1]
    assert last.startswith("result: "), done.stderr.decode()
    return Boot(done.returncode, text(done.stdout), json.loads(last.removeprefix("result: ")))


def lines(console: str) -> list[str]:
    """The lines of a console without time stamps and the shell's escape sequences."""
    return [STAMP.sub("", line).replace("\x1b[6n", "").rstrip() for line in console.split("\n")]


def answer(console: str, command: str) -> str:
    """What the shell printed between the echo of `command` and the next prompt."""
    echo = f"{PROMPT}{command}\n"
    assert echo in console, f"{command!r} was never typed; the console ends with {console[-300:]!r}"
    return console.split(echo, 1)[1].split(PROMPT, 1)[0]


def fields(table: str) -> dict[str, str]:
    """The lines "name : value" of a file such as /proc/cpuinfo."""
    pairs = (line.partition(":") for line in table.splitlines() if ":" in line)
    return {name.strip(): value.strip() for name, _, value in pairs}


def interrupts(table: str) -> dict[str, int]:
    """Count by action, of /proc/interrupts with one CPU; ERR counts spurious ones."""
    counts = {}
    for line in table.splitlines()[1:]:
        words = line.split()
        if len(words) >= 2 and words[0].endswith(":"):
            counts["ERR" if words[0] == "ERR:" else words[-1]] = int(words[1])
    return counts
