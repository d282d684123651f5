"""The example of docs/adding-a-scenario.md works as printed."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from scenarios import library
from scenarios.library import FOLDER

PAGE = Path(__file__).parents[2] / "docs" / "adding-a-scenario.md"
TEXT = PAGE.read_text(encoding="utf-8")


@pytest.fixture
def loop(tmp_path, monkeypatch):
    """The scenario of the page, its guest in a copy of the guests' folder."""
    (assembly,) = re.findall(r"```asm\n(.*?)```", TEXT, re.DOTALL)
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    shutil.copytree(FOLDER, tmp_path / "guests")
    (tmp_path / "guests" / "loop.S").write_text(assembly)
    monkeypatch.setattr(library, "FOLDER", tmp_path / "guests")
    names: dict = {"__name__": "scenarios.first_light"}
    exec(compile(code, str(PAGE), "exec"), names)
    return names["loop"]


def test_the_scenario_on_the_page_runs(loop, tmp_path):
    run = loop(rounds=400, out=tmp_path / "out")
    assert run.ok, run.failures
    assert run.shown[0].endswith("Count ticks per round")
    assert (tmp_path / "out" / "result.json").exists()


def test_every_routine_on_the_page_is_in_common():
    common = (FOLDER / "common.S").read_text()
    for cell in re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", TEXT, re.MULTILINE):
        for name in re.findall(r"`(\w+)`", cell):
            assert re.search(rf"^{name}:", common, re.MULTILINE), name
