"""From an MSI to its handler, through HTVEC and the router, or through EIOINTC: which way is shorter, and why?"""

from __future__ import annotations

from typing import Any

from scenarios import routes
from scenarios.registry import Run, scenario
from scenarios.table import spreads
from soc.errors import ConfigurationError, choose

TRAFFIC = ("doorbell", "virtio")
READ = "dd if=/dev/hwrng of=/dev/null bs=64 count={rounds}"


@scenario(cpus=4, rounds=100, traffic="doorbell", tier="auto")
def msi_path(run: Run, cpus: int, rounds: int, traffic: str, tier: str) -> None:
    """`traffic`: doorbell (core 0 stores to it), or virtio (Linux reads a virtio-rng, by HTVEC)."""
    if traffic == "doorbell":
        doorbell(run, cpus, rounds, tier)
    elif traffic == "virtio":
        virtio(run, cpus, rounds, tier)
    else:
        raise ConfigurationError(choose("traffic", traffic, TRAFFIC))


def doorbell(run: Run, cpus: int, rounds: int, tier: str) -> None:
    """A core stores to the doorbell, for each core in turn, along both ways."""
    times = {}
    for name in ("msi_htvec", "msi_eiointc"):
        machine = routes.prepare("ls7a", cpus, rounds, [name], tier=tier)
        result = machine.run()
        run.expect(result.ended, equals="poweroff", what="the end of the run")
        if not run.ok:
            run.show(result.reason)
            break
        path = routes.latency(machine, name)
        run.show(routes.route(name).by, path.table(), "")
        run.keep(f"latency-{name}.txt", path.table() + "\n")
        times[name] = path.totals
        counts = [routes.served(machine, name, core) for core in range(cpus)]
        run.expect(counts, equals=[rounds] * cpus, what=f"interrupts of each core along {name}")
    if run.ok:
        run.show(spreads("from the store to the end of interrupt", times), "")
        run.expect(max(times["msi_eiointc"]), below=min(times["msi_htvec"]), what="the longest way through EIOINTC")
    run.result(result)


def virtio(run: Run, cpus: int, rounds: int, tier: str) -> None:
    """Debian's driver reads `rounds` times 64 bytes from a virtio-rng with MSI-X."""
    from scenarios.debian import material

    machine = boot(material(), cpus, rounds, tier)
    result = machine.run(until=_powered_off(), max_virtual="120 s")
    run.keep("console.log", machine.console)
    run.expect(result.ended, equals="poweroff", what="the end of the run")
    if run.ok:
        path = machine.trace.latency("virtio_rng")
        run.show("virtio-rng, MSI-X, hop by hop", path.table(), "", path.histogram(), "")
        run.keep("latency.txt", path.table() + "\n")
        run.expect(len(path.complete), above=rounds - 1, what="interrupts of the virtio-rng")
    else:
        run.show(machine.console[-2000:].decode("utf-8", "replace"), result.reason)
    run.result(result)


def boot(material: Any, cpus: int, rounds: int, tier: str = "auto") -> Any:
    """A machine ls7a with a virtio-rng, Debian on it, and the command to read it."""
    from soc import Machine

    if material.modules is None:
        raise ConfigurationError("the cache has no kernel modules.\n`soc fetch debian --refresh` gets them.")
    machine = Machine("ls7a", cpus=cpus, tier=tier, trace=True, devices={"virtio_rng": {"seed": 1}})
    drivers = material.initrd.read_bytes() + material.modules.read_bytes()
    machine.load(material.kernel, initrd=drivers, append="nokaslr cryptomgr.notests", kind="linux")
    machine.script([READ.format(rounds=rounds), "poweroff -f"])
    return machine


def _powered_off() -> type:
    from soc import PoweredOff

    return PoweredOff
