"""One run of one contestant as a process of its own: what it printed and how long it took."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from soc.bench.errors import BenchError

TIMEOUT_S = 900


@dataclass(frozen=True)
class Outcome:
    """`wall_s` is of the whole process, from before its start until after its end, in s of the host's clock.

    `result` is the JSON object of the result line of a `soc` command, empty for other programs.
    """

    wall_s: float
    output: str
    result: Mapping[str, Any]


def run(command: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> Outcome:
    """Runs `command` to its end with nothing on its standard input. Raises BenchError unless it exits with status 0."""
    words = [str(word) for word in command]
    began = time.perf_counter()
    try:
        done = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=TIMEOUT_S,
            env={**os.environ, **(environment or {})},
        )
    except subprocess.TimeoutExpired as cause:
        raise BenchError(
            f"`{' '.join(words)}` did not end within {TIMEOUT_S} s.\nRun it by hand to see why."
        ) from cause
    wall = time.perf_counter() - began
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()[:2]
        raise BenchError(f"`{' '.join(words)}` ended with status {done.returncode}: {' '.join(said) or 'no message'}")
    return Outcome(wall, text(done.stdout), _result(done.stderr))


def soc(*words: str | Path, environment: Mapping[str, str] | None = None) -> Outcome:
    """Runs this project's own command in a fresh process."""
    return run([sys.executable, "-m", "soc", *words], environment)


def text(data: bytes) -> str:
    """Console bytes as lines of text."""
    return data.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "")


def _result(stderr: bytes) -> Mapping[str, Any]:
    last = stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
    return json.loads(last.removeprefix("result: ")) if last.startswith("result: ") else {}
