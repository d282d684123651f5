"""Two result files of `soc bench` side by side: what became faster, in MIPS and against QEMU in the same run."""

import json
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

from soc.errors import ConfigurationError

Figures = dict[str, tuple[float, str]]


def read(path: Path) -> Mapping[str, Any]:
    """A result file. Raises ConfigurationError when it is none."""
    try:
        data = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as cause:
        raise ConfigurationError(
            f"cannot read the results {path}: {cause}.\nGive a file of `soc bench --out`."
        ) from cause
    if not isinstance(data, dict) or "host" not in data:
        raise ConfigurationError(f"{path} holds no results of `soc bench`.\nGive a file of `soc bench --out`.")
    return data


def figures(data: Mapping[str, Any]) -> Figures:
    """Name of each figure -> (median, unit); larger is faster, but for seconds."""
    found: Figures = {}
    for result in data.get("program", ()):
        found[f"program, {result['name']}"] = (result["mips"], "MIPS")
    for part in data.get("compute", ()):
        found[f"{part['part']}, {part['ours']['name']}"] = (part["ours"]["mips"], "MIPS")
        if part["ratios"]:
            found[f"{part['part']}, of QEMU"] = (median(part["ratios"]), "times")
    for result in data.get("boot", ()):
        found[f"boot, {result['name']}, {result['command_line'] or 'default'}"] = (median(result["wall_s"]), "s")
    for result in data.get("cores", ()):
        found[f"{result['cores']} busy cores"] = (result["mips"], "MIPS")
    for name, wall in data.get("cold", {}).items():
        found[f"cold {name}"] = (wall, "s")
    return found


def rows(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[tuple[str, str, str, str, str]]:
    """A header, then a row per figure of either file; the last column is above 1 where `after` is faster."""
    old, new = figures(before), figures(after)
    table = [("", "unit", "before", "after", "faster by")]
    for name in [*old, *(name for name in new if name not in old)]:
        unit = (old.get(name) or new[name])[1]
        values = [side[name][0] if name in side else None for side in (old, new)]
        change = ""
        if None not in values:
            ratio = values[1] / values[0]
            change = f"{1 / ratio if unit == 's' else ratio:.3f}"
        table.append((name, unit, *("" if value is None else f"{value:.4g}" for value in values), change))
    return table
