"""docs/kvm.md is current: its examples run, and what it names exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from soc.timing import Timing

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "kvm.md").read_text("utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_the_examples_run(example):
    exec(compile(example, "docs/kvm.md", "exec"), {})


def test_its_table_names_every_module():
    table = PAGE.split("## Modules")[1].split("## ")[0]
    named = set(re.findall(r"`(\w+\.py)`", table))
    assert named == {path.name for path in (ROOT / "cpu" / "kvm").glob("*.py")} - {"__init__.py"}


def test_the_constants_it_names_exist():
    assert set(re.findall(r"`(kvm_[a-z]+)`", PAGE)) <= {name for name, *_ in Timing().rows()}
