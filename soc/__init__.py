"""Discrete-event simulator of a Loongson-3A4000 machine.

Names are loaded on first use (PEP 562): `import devices` and `import cpu`, which need only the ground floor of this
package, load neither simpy nor numba.
"""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False  # True to a type checker; to import typing for that takes longer than all else here.
if TYPE_CHECKING:
    from typing import Any

_HOME = {
    "Machine": "soc.machine",
    "Result": "soc.result",
    "PoweredOff": "soc.machine",
    "Timing": "soc.timing",
    "Trace": "soc.trace",
    "SocError": "soc.errors",
    "ConfigurationError": "soc.errors",
}

__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'soc' has no attribute {name!r}; it offers {', '.join(_HOME)}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
