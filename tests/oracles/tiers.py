"""Our sides of a differential run: the int backend, and the tiers of the core."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tests.oracles.compare import Side
from tests.oracles.interpreter import run_case
from tests.oracles.layout import Layout, Result
from tests.oracles.sequences import Case


def _int(layout: Layout) -> Side:
    def run(cases: Sequence[Case]) -> list[Result]:
        return [run_case(case) for case in cases]

    return run


TIERS: dict[str, Callable[[Layout], Side]] = {"int": _int}


def open_tier(name: str, layout: Layout) -> Side:
    """The side that runs cases of `layout` on tier `name`."""
    return TIERS[name](layout)
