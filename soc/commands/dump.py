"""`--dump-state`: the registers of every core as JSON, each as text: `0x` and 16 digits, or 8 for one of 32 bits."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from soc.errors import ConfigurationError

SHOWN_WIDE = frozenset(("pagemask", "gtoffset", "lladdr", "taglo", "datalo", "taghi", "datahi"))
"""CP0 registers that have 32 bits here and may have 64 by MIPS64 PRA, volume III, chapter 9: shown with 16 digits."""


def dump(states: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """What the file holds, from the state dictionaries of all cores."""
    return {"cpus": [_core(state) for state in states]}


def _core(state: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "pc": _wide(state["pc"]),
        "gpr": [_wide(value) for value in state["gpr"]],
        "hi": _wide(state["hi"]),
        "lo": _wide(state["lo"]),
        "fpr": [_wide(value) for value in state["fpr"]],
        "msa": [[_wide(low), _wide(high)] for low, high in state["msa"]],
        "fcsr": _narrow(state["fcsr"]),
        "msacsr": _narrow(state["msacsr"]),
        "cp0": {
            name: _wide(value) if _is_wide(name) else _narrow(value) for name, value in sorted(state["cp0"].items())
        },
    }


def _is_wide(name: str) -> bool:
    from cpu.cp0.registers import REGISTERS

    return name in SHOWN_WIDE or (name in REGISTERS and REGISTERS[name].width == 64)


def _wide(value: int) -> str:
    return f"{value & 0xFFFF_FFFF_FFFF_FFFF:#018x}"


def _narrow(value: int) -> str:
    return f"{value & 0xFFFF_FFFF:#010x}"


def write_dump(path: str | Path, states: Iterable[Mapping[str, Any]]) -> None:
    """Writes the dump of `states` to `path`. Raises ConfigurationError when it cannot."""
    try:
        Path(path).write_text(json.dumps(dump(states), indent=1) + "\n", "utf-8")
    except OSError as cause:
        raise ConfigurationError(f"cannot write --dump-state {path}: {cause.strerror}.\nGive another file.") from cause
