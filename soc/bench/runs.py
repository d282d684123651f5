"""One run of one contestant as a process of its own: what it printed, how long it took, how much memory it had."""

import json
import os
import re
import resource
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from soc.bench.errors import BenchError

TIMEOUT_S = 900
LOOK_S = 0.1
"""Memory is looked at so often."""


@dataclass(frozen=True)
class Outcome:
    """`wall_s` is of the whole process, from before its start until after its end, in s of the host's clock.

    `cpu_s` is the time that processors spent on it, where that was asked for.
    `peak_mib` is the most memory that was resident, up to the last look at it; 0 where the host does not say.
    `result` is the JSON object of the result line of a `soc` command, empty for other programs.
    """

    wall_s: float
    output: str
    result: Mapping[str, Any]
    cpu_s: float = 0.0
    peak_mib: float = 0.0


def run(command: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> Outcome:
    """Runs `command` to its end with nothing on its standard input. Raises BenchError unless it exits with status 0."""
    words = [str(word) for word in command]
    began, used, peak = time.perf_counter(), _children(), 0.0
    environment = {**os.environ, **(environment or {})}
    with subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    ) as process:
        while True:
            peak = resident(process.pid) or peak
            try:
                out, err = process.communicate(timeout=LOOK_S)
                break
            except subprocess.TimeoutExpired as cause:
                if time.perf_counter() - began > TIMEOUT_S:
                    process.kill()
                    raise BenchError(
                        f"`{' '.join(words)}` did not end within {TIMEOUT_S} s.\nRun it by hand to see why."
                    ) from cause
    wall = time.perf_counter() - began
    if process.returncode:
        said = err.decode("utf-8", "replace").strip().splitlines()[:2]
        raise BenchError(
            f"`{' '.join(words)}` ended with status {process.returncode}: {' '.join(said) or 'no message'}"
        )
    return Outcome(wall, text(out), _result(err), _children() - used, peak)


def _children() -> float:
    """CPU time of all processes that have been waited for, in s."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def resident(pid: int) -> float:
    """The most memory a process has had resident so far, in MiB; 0 when it is over, or the host does not say."""
    try:
        status = Path(f"/proc/{pid}/status").read_text("ascii", "replace")
    except OSError:
        return 0.0
    found = re.search(r"^VmHWM:\s+(\d+) kB$", status, re.M)
    return int(found[1]) / 1024 if found else 0.0


def soc(*words: str | Path, environment: Mapping[str, str] | None = None) -> Outcome:
    """Runs this project's own command in a fresh process."""
    return run([sys.executable, "-m", "soc", *words], environment)


def text(data: bytes) -> str:
    """Console bytes as lines of text."""
    return data.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "")


def _result(stderr: bytes) -> Mapping[str, Any]:
    last = stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
    return json.loads(last.removeprefix("result: ")) if last.startswith("result: ") else {}
