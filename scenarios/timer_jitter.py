"""How late is a timer interrupt, and how much does that vary, by timer and by load?"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from scenarios.library import Loaded, loaded, within
from scenarios.registry import Run, scenario
from scenarios.table import spreads
from soc.errors import ConfigurationError, choose

LOADS = ("asleep", "arithmetic", "memory", "registers")
TIMERS = ("compare", "stable", "both")
MOST_ROUNDS = 4096
"""So many interrupts of each core has timer_jitter.S room for."""


@scenario(cpus=4, rounds=200, load="all", timer="both", tier="auto")
def timer_jitter(run: Run, cpus: int, rounds: int, load: str, timer: str, tier: str) -> None:
    """`load`: asleep, arithmetic, memory, registers or all. `timer`: compare, stable (platform ls7a) or both."""
    within("cpus", cpus, 1, 4)
    within("rounds", rounds, 1, MOST_ROUNDS)
    if load not in (*LOADS, "all"):
        raise ConfigurationError(choose("load", load, (*LOADS, "all")))
    if timer not in TIMERS:
        raise ConfigurationError(choose("timer", timer, TIMERS))
    found: dict[str, list[int]] = {}
    for kind in ("compare", "stable") if timer == "both" else (timer,):
        for name in LOADS if load == "all" else (load,):
            jitter = prepare(kind, name, cpus, rounds, tier)
            result = jitter.run()
            run.trace(jitter.machine, result, f"{kind}-{name}")
            run.expect(result.ended, equals="poweroff", what="the end of the run")
            if not run.ok:
                run.show(result.reason)
                continue
            samples = [late for core in range(cpus) for late in lateness(jitter, kind, core)]
            run.expect(len(samples), equals=cpus * rounds, what=f"interrupts of {kind} under {name}")
            found[f"{kind}, {name}"] = samples
    text = spreads("timer, load: deadline to handler", found)
    run.show(text, "")
    run.keep("jitter.txt", text + "\n")
    run.result(result, jitter.machine)
    for name, samples in found.items():
        run.expect(max(samples), below="2 us", what=f"the latest interrupt of {name}")


def prepare(kind: str, load: str, cpus: int, rounds: int, tier: str = "auto") -> Loaded:
    """The machine for one timer under one load."""
    platform = ls7a_with_stable_timer(cpus) if kind == "stable" else "virt"
    parameters = {"rounds": rounds, "load": LOADS.index(load), "stable": int(kind == "stable")}
    return loaded("timer_jitter.S", platform, cpus, {"tier": tier}, **parameters)


def ls7a_with_stable_timer(cpus: int) -> Any:
    """The platform ls7a with the stable timers wired to IP7 of their cores, where Config6 chooses between timers."""
    from soc.platforms import Wire, find

    platform = find("ls7a")
    lines = [Wire(f"stable_timer.pin[{core}]", f"cpu{core}.ip[7]", "core_pin") for core in range(cpus)]
    there = {wire.source for wire in platform.wires(cpus)}
    added = tuple(line for line in lines if line.source not in there)
    return replace(platform, wires=lambda count: (*platform.wires(count), *added))


def lateness(jitter: Loaded, kind: str, core: int) -> list[int]:
    """Deadline to the handler's first instruction of each interrupt of `core`, in ps, exact."""
    origin = f"cpu{core}.timer" if kind == "compare" else f"stable_timer.pin[{core}]"
    paths = jitter.machine.trace.latency(origin).paths
    return [path.hops[f"cpu{core} handler"] - path.began for path in paths if path.core]


def counted(jitter: Loaded, core: int, rounds: int) -> list[int]:
    """The same by the guest's own Count, to the tick: up to the handler's read of Count, 20 instructions on."""
    return [ticks * jitter.tick for ticks in jitter.words("late", rounds, size=4, start=core * MOST_ROUNDS)]
