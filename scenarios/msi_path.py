"""From an MSI to its handler, through HTVEC and the router, or through EIOINTC: which way is shorter, and why?"""

from __future__ import annotations

from statistics import median_low
from typing import Any

from scenarios import debian, routes
from scenarios.library import Loaded, loaded, within
from scenarios.registry import Run, scenario
from scenarios.table import spreads
from soc.errors import ConfigurationError, choose
from soc.firmware.cmdline import FAST

TRAFFIC = ("doorbell", "virtio", "linux")
READ = "dd if=/dev/hwrng of=/dev/null bs=64 count={rounds}"
SEED = 1


@scenario(cpus=4, rounds=100, traffic="doorbell", tier="auto")
def msi_path(run: Run, cpus: int, rounds: int, traffic: str, tier: str) -> None:
    """`traffic`: doorbell (core 0 stores to it), virtio (a small driver of a virtio-rng), linux (Debian's)."""
    if traffic not in TRAFFIC:
        raise ConfigurationError(choose("traffic", traffic, TRAFFIC))
    if traffic == "linux":
        linux(run, cpus, rounds, tier)
        return
    times = {}
    for way in ("htvec", "eiointc"):
        name = f"msi_{way}"
        machine = prepare(traffic, way, cpus, rounds, tier)
        result = machine.run()
        run.trace(machine.machine, result, way)
        run.expect(result.ended, equals="poweroff", what="the end of the run")
        if not run.ok:
            run.show(machine.machine.console.decode("utf-8", "replace"), result.reason)
            break
        if traffic == "virtio":
            path = machine.machine.trace.latency("virtio_rng")
            counts = [machine.counters(core)[0] for core in range(cpus)]
        else:
            path = routes.latency(machine, name)
            counts = [routes.served(machine, name, core) for core in range(cpus)]
        run.show(f"{traffic}, by {way}", f"interrupts of each core: {counts}", path.table(), "")
        run.keep(f"latency-{name}.txt", path.table() + "\n")
        times[f"{traffic}, {way}"] = path.totals
        run.expect(counts, equals=[rounds] * cpus, what=f"interrupts of each core by {way}")
    if run.ok:
        run.show(spreads("from the write to the end of interrupt", times), "")
        run.expect(
            median_low(times[f"{traffic}, eiointc"]),
            below=median_low(times[f"{traffic}, htvec"]),
            what="p50 by eiointc",
        )
    run.result(result, machine.machine)


def prepare(traffic: str, way: str, cpus: int, rounds: int, tier: str = "auto") -> Loaded:
    """The machine for `rounds` interrupts at each core, by a store or by a virtio-rng, through htvec or eiointc."""
    if traffic == "doorbell":
        return routes.prepare("ls7a", cpus, rounds, [f"msi_{way}"], tier=tier)
    within("cpus", cpus, 1, 4)
    within("rounds", rounds, 1, 1_000_000)
    options = {"tier": tier, "devices": {"virtio_rng": {"seed": SEED}}}
    return loaded("virtio_rng.S", "ls7a", cpus, options, rounds=rounds * cpus, extended=int(way == "eiointc"))


def linux(run: Run, cpus: int, rounds: int, tier: str) -> None:
    """Debian's driver reads `rounds` times 64 bytes from a virtio-rng with MSI-X, through HTVEC."""
    from soc import PoweredOff

    machine = boot(debian.material(), cpus, rounds, tier)
    result = machine.run(until=PoweredOff, max_virtual="120 s")
    run.keep("console.log", machine.console)
    run.expect(result.ended, equals="poweroff", what="the end of the run")
    if run.ok:
        path = machine.trace.latency("virtio_rng")
        run.show("virtio-rng under Linux, hop by hop", path.table(), "", path.histogram(), "")
        run.keep("latency.txt", path.table() + "\n")
        run.expect(len(path.complete), above=rounds - 1, what="interrupts of the virtio-rng")
    else:
        run.show(machine.console[-2000:].decode("utf-8", "replace"), result.reason)
    run.result(result, machine)


def boot(material: Any, cpus: int, rounds: int, tier: str = "auto") -> Any:
    """A machine ls7a with a virtio-rng, Debian on it, and the command to read it."""
    from soc import Machine

    if material.modules is None:
        raise ConfigurationError("the cache has no kernel modules.\n`soc fetch debian --refresh` gets them.")
    machine = Machine("ls7a", cpus=cpus, tier=tier, trace=True, devices={"virtio_rng": {"seed": SEED}})
    drivers = material.initrd.read_bytes() + material.modules.read_bytes()
    machine.load(material.kernel, initrd=drivers, append=FAST, kind="linux")
    machine.script([READ.format(rounds=rounds), "poweroff -f"])
    return machine
