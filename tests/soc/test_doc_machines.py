"""docs/machines.md: its examples run, and its tables have every option, ending and key that there is."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from soc.machine import Machine
from soc.options import Options
from soc.result import EXIT_STATUS, Result

PAGE = (Path(__file__).parents[2] / "docs/machines.md").read_text("utf-8")
BLOCKS = dict(re.findall(r'```\w+ title="(\S+)"\n(.*?)```', PAGE, re.DOTALL))
CELLS = re.findall(r"^\| (.*?) \|", PAGE, re.MULTILINE)
FIRST_COLUMN = {word for cell in CELLS for word in re.findall(r"`(\w+)", cell)}


def test_the_program_runs():
    exec(compile(BLOCKS["small.py"], "small.py", "exec"), {})


def test_the_file_is_a_machine(tmp_path):
    (tmp_path / "small.toml").write_text(BLOCKS["small.toml"])
    with Machine(tmp_path / "small.toml", cpus=2) as machine:
        assert (machine.platform.name, len(machine.cpu), machine.ram) == ("ls7a", 2, 256 << 20)
        assert machine.timing.irq_line == 15_000 and machine.components["ls7a_irq"].remote


@pytest.mark.parametrize("what", [Options, Result])
def test_the_tables_have_every_option_and_every_key(what):
    assert {"faults" if entry.name == "fault" else entry.name for entry in fields(what)} <= FIRST_COLUMN


def test_the_table_of_ends_has_every_end():
    assert set(EXIT_STATUS) <= FIRST_COLUMN
