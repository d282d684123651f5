"""The keyboard in raw mode and the console writer."""

import os
import pty
import subprocess
import sys
import termios
import threading
import time

import pytest

from soc.commands import terminal


@pytest.fixture
def keyboard_at(monkeypatch):
    master, slave = pty.openpty()
    stdin = os.fdopen(slave, "rb", buffering=0)
    monkeypatch.setattr(sys, "stdin", stdin)
    yield master, slave
    stdin.close()
    os.close(master)


def wait_for(event: threading.Event) -> None:
    assert event.wait(5), "nothing was typed within 5 s"


def test_keys_reach_the_guest_raw_and_the_terminal_is_restored(keyboard_at):
    master, slave = keyboard_at
    before = termios.tcgetattr(slave)
    typed, quits = [], threading.Event()
    with terminal.keyboard(typed.append, quits.set):
        raw = termios.tcgetattr(slave)
        assert not raw[3] & (termios.ICANON | termios.ECHO | termios.ISIG)
        os.write(master, b"ls\r\x03\x1d")
        wait_for(quits)
    assert b"".join(typed) == b"ls\r\x03"
    assert termios.tcgetattr(slave) == before


def test_the_terminal_is_restored_after_an_error(keyboard_at):
    _, slave = keyboard_at
    before = termios.tcgetattr(slave)
    with pytest.raises(RuntimeError, match="inside"), terminal.keyboard(lambda data: None, lambda: None):
        raise RuntimeError("inside")
    assert termios.tcgetattr(slave) == before


def test_a_reader_that_goes_away_ends_the_run():
    program = (
        "import sys\n"
        "from soc.commands.terminal import ConsoleWriter\n"
        "closed = []\n"
        "writer = ConsoleWriter(sys.stdout.buffer, lambda: closed.append(1))\n"
        "sys.stdin.read()\n"
        "writer(b'x'); writer(b'y'); writer(b'z')\n"
        "sys.exit(40 + len(closed))\n"
    )
    command = [sys.executable, "-c", program]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    time.sleep(0.05)
    process.stdin.close()
    error = process.stderr.read()
    process.stderr.close()
    assert (process.wait(20), error) == (41, b"")
