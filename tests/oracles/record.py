"""What a random run leaves for its reader: `python -m tests.oracles.record docs/differential-testing.json`.

A record is the result of one run of tests/oracles/agreement.py; a record file is a list of them. The tables of
docs/differential-testing.md are made from it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from cpu.isa import TABLE, Instruction, system
from tests.oracles.lockstep import Coverage
from tests.oracles.sequences import BRANCHES, JUMPS

Record = dict[str, Any]


def group_of(row: Instruction) -> str:
    """The line of the coverage table that a row counts in."""
    if row.unit == "lasx":
        return "LASX, reserved here"
    if row.unit == "msa":
        return "MSA"
    if row.unit == "fpu":
        return "FPU, paired singles" if ".ps" in row.name else "FPU"
    if row.flow in BRANCHES + JUMPS:
        return "branches and jumps"
    if row.helper:
        return "CP0 and system"
    if row.meaning and row.meaning.__module__ == system.__name__:
        return "traps"
    return "loads and stores" if "base" in row.operands else "integer"


def why_not(name: str) -> str:
    """Why no sequence holds a row."""
    row = TABLE[name]
    if row.helper == "not_modelled":
        return "not modelled: executing it ends the run"
    if row.helper:
        return "carried out by a helper on the system's state; tests/cpu/test_tiers.py and test_stencil.py run them"
    return "no case came up"


def never(coverage: Coverage) -> dict[str, list[str]]:
    """The rows of the table that did not run, under the reason."""
    reasons: dict[str, list[str]] = {}
    for name in TABLE:
        if name not in coverage.ran:
            reasons.setdefault(why_not(name), []).append(name)
    return reasons


def summary(coverage: Coverage) -> dict[str, dict[str, Any]]:
    """Of each group: rows, instructions carried out, the rarest row, exceptions raised."""
    groups: dict[str, dict[str, Any]] = {}
    for name, ran in coverage.ran.items():
        of = groups.setdefault(group_of(TABLE[name]), {"rows": 0, "ran": 0, "rarest": [name, ran], "raised": 0})
        of["rows"] += 1
        of["ran"] += ran
        of["rarest"] = min(of["rarest"], [name, ran], key=lambda pair: (pair[1], pair[0]))
        of["raised"] += sum(coverage.raised.get(name, {}).values())
    return dict(sorted(groups.items()))


def rows_text(coverage: Coverage) -> str:
    """A line for each row: how often it ran, how often it raised what; for one that did not run, why."""
    lines = []
    for name in TABLE:
        if name in coverage.ran:
            codes = ", ".join(f"{code} {count}" for code, count in sorted(coverage.raised.get(name, {}).items()))
            lines.append(f"{name:<12} {coverage.ran[name]:>10} {codes}".rstrip())
        else:
            lines.append(f"{name:<12} {'-':>10} {why_not(name)}")
    return "\n".join(lines)


def text(records: Sequence[Record]) -> str:
    """A record file: JSON with a line for each item of a record."""
    items = (",\n".join(f" {json.dumps(key)}: {json.dumps(value)}" for key, value in r.items()) for r in records)
    return "[{\n" + "\n}, {\n".join(items) + "\n}]\n"


def page(records: Sequence[Record]) -> str:
    """The tables in Markdown: all runs; then, of the first, exceptions, groups of rows, rows that never ran."""
    first = records[0]
    raised = ", ".join(f"{code} {count:,}" for code, count in first["exceptions"].items())
    text = [
        f"Of the run with seed {first['seed']}: tier E translated {first['blocks translated']:,} blocks.",
        f"Sequences that ended in an exception: {raised}.",
    ]
    missing = ["Rows that no sequence holds:"]
    parts = (_table(_runs(records)), text, _table(_groups(first)), missing, _table(_never(first)))
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def _runs(records: Sequence[Record]) -> Iterator[Sequence[Any]]:
    yield (
        "seed", "sequences on T, E and arrays", "on reference", "instructions", "differences", "processes", "minutes",
        "sources",
    )  # fmt: skip
    for r in records:
        counts = (f"{r[key]:,}" for key in ("sequences", "on reference", "instructions", "differences"))
        yield r["seed"], *counts, r["jobs"], f"{r['seconds'] / 60:.0f}", f"`{r['source']}`"


def _groups(of: Record) -> Iterator[Sequence[Any]]:
    yield "rows", "how many", "carried out", "rarest", "raised"
    for name, group in of["groups"].items():
        rarest, count = group["rarest"]
        yield name, group["rows"], f"{group['ran']:,}", f"`{rarest}` {count:,}", f"{group['raised']:,}"


def _never(of: Record) -> Iterator[Sequence[Any]]:
    yield "why", "rows"
    for why, names in of["never"].items():
        yield why, ", ".join(f"`{name}`" for name in names)


def _table(rows: Iterator[Sequence[Any]]) -> list[str]:
    heads, *others = ([str(cell) for cell in row] for row in rows)
    return ["| " + " | ".join(row) + " |" if row else "|" + "---|" * len(heads) for row in (heads, [], *others)]


if __name__ == "__main__":
    print(page(json.loads(Path(sys.argv[1]).read_text())), end="")
