"""docs/debugging.md is current: it names the monitor commands, and its example runs."""

from __future__ import annotations

import re
import threading
from pathlib import Path

from soc.gdb import GdbServer
from soc.gdb.monitor import COMMANDS
from soc.gdb.server import SLICE
from tests.gdb.client import PATIENCE_S, Client
from tests.gdb.programs import guest

PAGE = (Path(__file__).parents[2] / "docs" / "debugging.md").read_text("utf-8")


def test_it_names_the_commands_and_figures():
    commands = re.findall(r"`([a-z0-9]+)[^`|]*`", " ".join(re.findall(r"^\| (`.*?) \|", PAGE, re.MULTILINE)))
    assert set(commands) - {"monitor"} == set(COMMANDS)
    assert f"{SLICE:,} cycles" in PAGE


def test_the_example(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    guest().to_elf("prog.elf")
    with GdbServer() as free:
        address = free.address
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names = {}
    code = compile(code.replace("127.0.0.1:1234", address), "docs/debugging.md", "exec")
    thread = threading.Thread(target=exec, args=(code, names), daemon=True)
    thread.start()
    gdb = None
    while gdb is None:
        assert thread.is_alive()
        try:
            gdb = Client(address)
        except ConnectionRefusedError:
            thread.join(0.02)
    assert gdb.ask("D") == "OK"
    thread.join(PATIENCE_S)
    assert names["result"].ended == "poweroff"
