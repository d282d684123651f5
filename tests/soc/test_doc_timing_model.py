"""docs/timing-model.md is current: its table is the one of soc/timing.py, and its example runs.

`python -m tests.soc.test_doc_timing_model` writes the table anew.
"""

from __future__ import annotations

import re
from pathlib import Path

from soc.timing import Timing

PAGE = Path(__file__).parents[2] / "docs" / "timing-model.md"
HEADING = "## The table\n\n"


def table() -> str:
    """Every constant with its default, unit and source."""
    rows = ["| constant | default | unit | source |", "| --- | ---: | --- | --- |"]
    rows += [f"| `{name}` | {value:,} | {unit} | {source} |" for name, value, unit, source in Timing().rows()]
    return "\n".join(rows) + "\n"


def test_the_table_on_the_page_is_the_one_of_the_code():
    assert PAGE.read_text("utf-8").split(HEADING, 1)[1] == table()


def test_the_example_works_and_gives_the_window_it_says():
    (example,) = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    names: dict = {}
    exec(compile(example, str(PAGE), "exec"), names)
    machine = names["m"]
    assert (machine.timing.core_window, machine.timing.irq_line) == (50_000, 25_000)
    assert len(machine.cpu) == 2


def test_every_constant_that_is_named_on_the_page_exists():
    text = PAGE.read_text("utf-8").split(HEADING, 1)[0]
    known = {name for name, *_ in Timing().rows()}
    named = {word for word in re.findall(r"`([a-z]+_[a-z_]+)`", text)} - {"max_insns"}
    assert named and named <= known


if __name__ == "__main__":
    PAGE.write_text(PAGE.read_text("utf-8").split(HEADING, 1)[0] + HEADING + table(), "utf-8")
