"""docs/profiling.md is current: its example runs, and it names every item of the report."""

import re
from pathlib import Path

from cpu.engine.meter import SPANS
from scenarios.library import guest
from soc.profile.profile import GROUPS

PAGE = (Path(__file__).parents[2] / "docs" / "profiling.md").read_text("utf-8")


def test_the_example(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    guest(Path(__file__).with_name("two_functions.S")).to_elf("program.elf")
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(compile(code, "docs/profiling.md", "exec"), {})
    assert capsys.readouterr().out.startswith("hot kernel 7")
    assert {path.name for path in Path("DIR").iterdir()} == {"profile.json", "profile.html"}


def test_it_names_all_items():
    words = {name.partition(":")[0] for name in SPANS.values()} | set(GROUPS)
    assert not {word for word in words if word not in PAGE}
