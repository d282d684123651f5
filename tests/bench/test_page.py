"""docs/performance.md shows the figures of its result file, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

from soc.bench.page import page

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_the_tables_are_those_of_the_result_file():
    tables = page(json.loads((DOCS / "performance.json").read_text()))
    assert tables in (DOCS / "performance.md").read_text()


def test_a_run_without_qemu_has_no_ratios():
    program = {"name": "threaded", "mips": 800.0, "whole_mips": 300.0, "short_wall_s": [0.5]}
    host = {"processor": "x", "processors": 2, "load": 0.0, "python": "3", "numba": "0", "llvmlite": "0"}
    data = {
        "host": host, "qemu": None, "rounds": 1, "program": [program],
        "compute": [{"part": "calls", "ours": program, "theirs": None, "ratios": []}],
    }  # fmt: skip
    shown = page(data)
    assert "no QEMU" in shown and "geometric" not in shown
    assert "| calls | threaded | 800 |  |  |  |  |" in shown
