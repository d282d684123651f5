"""The example of docs/adding-an-instruction.md works as printed. In a process of its own: it changes the table."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from cpu.isa.assembler import AssemblerError, assemble

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "adding-an-instruction.md").read_text(encoding="utf-8")


def test_the_code_on_the_page_runs(tmp_path):
    blocks = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    assert len(blocks) >= 4
    (tmp_path / "page.py").write_text("\n".join(blocks))
    done = subprocess.run(
        [sys.executable, str(tmp_path / "page.py")],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "loop.elf").read_bytes().startswith(b"\x7fELF")


def test_the_error_on_the_page_is_the_real_one():
    with pytest.raises(AssemblerError) as caught:
        assemble("nop\naddu a9, a0, a1", name="guest.S")
    assert str(caught.value) in TEXT
