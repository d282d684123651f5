"""docs/performance.md shows the figures of its result file, and nothing else."""

from __future__ import annotations

from pathlib import Path

from soc.bench.contest import Pair, Program
from soc.bench.page import page
from soc.bench.results import Results, read
from soc.bench.sections import SECTIONS

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_the_tables_are_those_of_the_result_file_and_no_section_is_missing():
    results = read(DOCS / "performance.json")
    assert page(results) in (DOCS / "performance.md").read_text()
    assert list(results.sections) == list(SECTIONS)


def test_a_run_without_qemu_has_no_ratios():
    host = {"processor": "x", "processors": 2, "load": 0.0, "python": "3", "numba": "0", "llvmlite": "0"}
    ours = Program("threaded", 11, [3.0], [1.0], [3.0], [1.0], 1_600_000_000)
    shown = page(Results(host, 1, sections={"compute": [Pair("calls", ours)]}))
    assert "no QEMU" in shown and "geometric" not in shown
    assert "| calls | threaded | 1600 M | 800 |  |  |  |  |" in shown
