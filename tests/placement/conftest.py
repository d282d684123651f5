"""A device server on loopback, and machines whose processes are seen to end."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from soc.placement.socket import TOKEN

ROOT = Path(__file__).parents[2]


def children() -> set[int]:
    """Processes whose parent is this one, zombies included."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == os.getpid():
                found.add(int(entry.name))
    return found


def sockets() -> set[str]:
    """The sockets this process holds."""
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        try:
            target = os.readlink(entry)
        except OSError:
            continue
        if target.startswith("socket:"):
            found.add(target)
    return found


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """No test leaves a process, a zombie or a socket behind once its machines are gone."""
    before = children(), sockets()
    yield
    if children() - before[0] or sockets() - before[1]:
        gc.collect()
    assert (children() - before[0], sockets() - before[1]) == (set(), set())


@pytest.fixture
def server(monkeypatch) -> Iterator[Callable[..., str]]:
    """Starts `soc device serve` on loopback and returns its place, tcp://127.0.0.1:PORT."""
    monkeypatch.setenv(TOKEN, "a token of the tests")
    running = []

    def start(*options: str) -> str:
        command = [sys.executable, "-m", "soc", "device", "serve", "--listen", "127.0.0.1:0", *options]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT)
        running.append(process)
        port = process.stderr.readline().rpartition(":")[2].strip()
        return f"tcp://127.0.0.1:{port}"

    yield start
    for process in running:
        process.terminate()
        process.wait(10)
        process.stderr.close()
