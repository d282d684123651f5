"""docs/lasx.md is current: its examples run, and its encodings are the table's."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cpu.isa import TABLE

PAGE = (Path(__file__).parents[2] / "docs" / "lasx.md").read_text("utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
ROWS = re.findall(r"^\| `(xv?\w+\.\w) [^|]*\| `([^`]+)` \|", PAGE, re.MULTILINE)


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_the_examples_run(example):
    exec(compile(example, "docs/lasx.md", "exec"), {})


def literals(pattern: str) -> list[str]:
    return [token for token in pattern.split() if set(token) <= {"0", "1"}]


def test_its_encodings_are_those_of_the_table():
    modelled = {name for name, row in TABLE.items() if row.unit == "lasx" and row.meaning}
    assert {name for name, _ in ROWS} == modelled
    for name, pattern in ROWS:
        assert literals(pattern) == literals(TABLE[name].pattern), name
