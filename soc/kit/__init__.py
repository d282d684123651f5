"""The device test kit, a pytest plugin (soc/kit/plugin.py): see docs/test-kit.md. Names are loaded on first use."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOME = {
    "assert_latency": "soc.kit.latency",
    "check_device": "soc.kit.properties",
    "run_vectors": "soc.kit.vectors",
}

__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'soc.kit' has no attribute {name!r}; it offers {', '.join(_HOME)}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value
