"""All cores send interrupts to all others at once. Does each arrive, and how much later than in peace?"""

from __future__ import annotations

from scenarios.library import loaded, within
from scenarios.registry import Run, scenario
from scenarios.table import table


@scenario(cpus=4, rounds=100, platform="virt", tier="auto")
def ipi_storm(run: Run, cpus: int, rounds: int, platform: str, tier: str) -> None:
    """Every core sends `rounds` interrupts to every other core; up to 16 cores on four nodes."""
    within("cpus", cpus, 2, 16)
    within("rounds", rounds, 1, 1_000_000)
    storm = loaded("ipi_storm.S", platform, cpus, {"tier": tier}, rounds=rounds)
    result = storm.run()
    run.expect(result.ended, equals="poweroff", what="the end of the run")
    if run.ok:
        sent = rounds * (cpus - 1)
        rows = []
        for core in range(cpus):
            actions, taken = storm.counters(core)[:2]
            rows.append((f"cpu{core}", sent, actions, taken, f"{actions / taken:.2f}"))
            run.expect(actions, equals=sent, what=f"what core {core} got")
        run.show(table(("core", "sent", "received", "interrupts", "a piece"), rows), "")
        path = storm.machine.trace.latency()
        run.show("From the pin to the end of interrupt", path.table(), "", path.histogram(), "")
        run.keep("latency.txt", path.table() + "\n")
    run.result(result, storm.machine)
