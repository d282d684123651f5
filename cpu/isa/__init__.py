"""The instruction set. Importing `cpu.isa` fills `TABLE`; one file per chapter of the manual."""

from __future__ import annotations

from importlib import import_module

from cpu.isa.table import TABLE, Flow, Instruction

for _chapter in ("integer", "memory", "branches", "system", "fpu", "msa", "loongson"):
    import_module(f"cpu.isa.{_chapter}")

__all__ = ["TABLE", "Flow", "Instruction"]
