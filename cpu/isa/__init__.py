"""The instruction set. Importing `cpu.isa` fills `TABLE`; one file per chapter of the manual."""

from __future__ import annotations

from importlib import import_module

from cpu.isa.table import TABLE, Flow, Instruction

_CHAPTERS = (
    "integer", "memory", "branches", "system", "fpu", "paired_single", "loongson",
    "msa_integer", "msa_bitwise", "msa_compare", "msa_move", "msa_permute", "msa_floating",
    "msa_convert", "lasx",
)  # fmt: skip

for _chapter in _CHAPTERS:
    import_module(f"cpu.isa.{_chapter}")

__all__ = ["TABLE", "Flow", "Instruction"]
