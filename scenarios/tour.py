"""A tour of the machine: interrupts on every path to each of its cores. Where does the time go, hop by hop?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from scenarios import routes
from scenarios.library import Loaded
from scenarios.registry import Run, scenario
from scenarios.table import table
from soc.time import in_ns

OUT = Path("out") / "tour"
SHOWN = "pic_htvec"
"""The path that the picture is of, where the platform has it: the one with the most stations."""


@scenario(cpus=4, rounds=50, platform="ls7a", busy=False, tier="auto")
def tour(run: Run, cpus: int, rounds: int, platform: str, busy: bool, tier: str) -> None:
    """Every path to every core, `rounds` times. Tables, a page and a picture go to `out`, by default out/tour."""
    if run.out is None:
        run.into(OUT)
    paths = routes.available(platform)
    machine = routes.prepare(platform, cpus, rounds, paths, busy, tier=tier)
    result = machine.run()
    run.expect(result.ended, equals="poweroff", what="the end of the run")
    if not run.ok:
        run.show(result.reason, machine.machine.console.decode("utf-8", "replace"))
        return
    found = {name: routes.latency(machine, name) for name in paths}
    run.show(f"{platform}, {cpus} cores: {rounds} interrupts on each path to each core", "")
    run.show(summary(machine, found, cpus), "")
    for name, latency in found.items():
        run.show(f"{name}: {routes.route(name).by}", latency.table(), "")
    for name in paths:
        counts = [routes.served(machine, name, core) for core in range(cpus)]
        run.expect(counts, equals=[rounds] * cpus, what=f"interrupts of each core along {name}")
    shown = SHOWN if SHOWN in paths else paths[0]
    run.show(f"{shown}, edge to end of interrupt", found[shown].histogram(), "")
    run.result(result, machine.machine)
    run.keep_latency(found[shown], result)


def summary(machine: Loaded, found: dict[str, Any], cpus: int) -> str:
    """One line for each path: counts by core, and the medians of its parts."""
    rows = []
    for name, latency in found.items():
        counts = "/".join(str(routes.served(machine, name, core)) for core in range(cpus))
        taken = [(path.hops[f"{path.core} handler"], path) for path in latency.complete]
        to_handler = sorted(time - path.began for time, path in taken)
        in_handler = sorted(path.finish - time for time, path in taken)
        middle = (len(taken) - 1) // 2
        rows.append(
            (
                name,
                counts,
                *(f"{in_ns(each[middle])} ns" for each in (to_handler, in_handler)),
                f"{in_ns(latency.total.p99)} ns",
            )
        )
    return table(("path", "served by core", "to the handler", "to its end", "total, p99"), rows)
