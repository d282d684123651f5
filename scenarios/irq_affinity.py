"""One source, routed to each core in turn. Does every core get its share, and does the way there cost the same?"""

from __future__ import annotations

from scenarios import routes
from scenarios.registry import Run, scenario

PATHS = ("uart", "pic_htvec", "pic_eiointc", "msi_htvec", "msi_eiointc")


@scenario(cpus=4, rounds=100, platform="ls7a", path="all", tier="auto")
def irq_affinity(run: Run, cpus: int, rounds: int, platform: str, path: str, tier: str) -> None:
    """`path`: uart, pic_htvec, msi_htvec (routed by the router), pic_eiointc, msi_eiointc (by COREMAP), or all."""
    for name in [way for way in PATHS if way in routes.available(platform)] if path == "all" else [path]:
        machine = routes.prepare(platform, cpus, rounds, [name], tier=tier)
        result = machine.run()
        run.trace(machine.machine, result, name)
        run.expect(result.ended, equals="poweroff", what="the end of the run")
        if not run.ok:
            run.show(result.reason)
            break
        counts = [routes.served(machine, name, core) for core in range(cpus)]
        found = routes.latency(machine, name)
        run.show(f"{name}: {routes.route(name).by}", f"interrupts of each core: {counts}")
        run.show(found.table(per_core=True), "")
        run.keep(f"latency-{name}.txt", found.table() + "\n")
        run.expect(counts, equals=[rounds] * cpus, what=f"interrupts of each core along {name}")
    run.result(result, machine.machine)
