"""One source, routed to each core in turn. Does every core get its share, and does the way there cost the same?"""

from __future__ import annotations

from scenarios import routes
from scenarios.registry import Run, scenario
from scenarios.table import table

ORIGINS = {"uart": "uart", "pic_htvec": "ls7a_uart0", "pic_eiointc": "ls7a_uart0"}


@scenario(cpus=4, rounds=100, platform="ls7a", path="all", tier="auto")
def irq_affinity(run: Run, cpus: int, rounds: int, platform: str, path: str, tier: str) -> None:
    """`path`: uart (router's routing bytes), pic_htvec (the same behind PCH-PIC and HTVEC), pic_eiointc (COREMAP), all."""
    for name in [n for n in ORIGINS if n in routes.available(platform)] if path == "all" else [path]:
        machine = routes.prepare(platform, cpus, rounds, [name], tier=tier)
        result = machine.run()
        run.expect(result.ended, equals="poweroff", what="the end of the run")
        if not run.ok:
            run.show(result.reason)
            break
        counts = [routes.served(machine, name, core) for core in range(cpus)]
        run.show(f"{name}: {routes.ROUTES[routes.NAMES.index(name)].by}")
        run.show(table(("core", "interrupts"), [(f"cpu{core}", n) for core, n in enumerate(counts)]), "")
        found = machine.machine.trace.latency(ORIGINS.get(name))
        run.show(found.table(), "")
        run.keep(f"latency-{name}.txt", found.table() + "\n")
        run.expect(counts, equals=[rounds] * cpus, what=f"interrupts of each core along {name}")
    run.result(result)
