"""Experiments: one module each, run by `soc scenario run NAME`. Their guests are in `scenarios/guests`."""

from scenarios.library import guest
from scenarios.registry import Run, Scenario, list_scenarios, load, scenario

__all__ = ["Run", "Scenario", "guest", "list_scenarios", "load", "scenario"]
