"""Is a guest's timer on time while the guest exits, sleeps and waits for its core?"""

from __future__ import annotations

from scenarios.kvm import each, in_vm, reasons
from scenarios.library import Loaded, loaded, within
from scenarios.registry import Run, scenario
from scenarios.table import spreads, table
from scenarios.timer_jitter import LOADS, MOST_ROUNDS, counted

FEW_TICKS = 100
"""How far a guest's Count may be from host time when the run ends: KVM rounds at each change of its timer."""


@scenario(cpus=2, rounds=100, tick="100 us", tier="auto")
def timer_across_exit(run: Run, cpus: int, rounds: int, tick: str, tier: str) -> None:
    """Every vCPU takes `rounds` interrupts of its Compare under each load of timer_jitter: bare, in a VM with a core
    for each vCPU, and with twice as many vCPUs as cores, `tick` being the host's time slice."""
    within("cpus", cpus, 1, 8)
    within("rounds", rounds, 1, MOST_ROUNDS)
    late: dict[str, list[int]] = {}
    exits, drift = [], {}
    for way, vcpus in (("bare", cpus), ("VM", cpus), ("shared", 2 * cpus)):
        for load in LOADS:
            jitter = _prepare(way, load, cpus, vcpus, rounds, tick, tier)
            result = jitter.run()
            name = f"{way}, {load}"
            run.trace(jitter.machine, result, f"{way}-{load}")
            run.expect(result.ended, equals="poweroff", what=f"the end of {name}")
            if not run.ok:
                run.show(result.reason)
                return
            late[name] = [ps for core in range(vcpus) for ps in counted(jitter, core, rounds)]
            if way != "bare":
                exits.append((name, each(reasons(jitter.machine), vcpus * rounds)))
                drift[name] = max(clock_drift(jitter), key=abs)
    text = "\n\n".join(
        (spreads("from Compare to the handler's read of Count", late), table(("", "exits per interrupt"), exits))
    )
    run.show(text, "")
    farthest = max(drift.values(), key=abs)
    run.show(f"the guests' Count is at most {abs(farthest)} ticks from host time in the end", "")
    run.keep("timer.txt", text + "\n")
    run.result(result, jitter.machine)
    for name, samples in late.items():
        # A negative difference would be a number of ticks near 2^32.
        run.expect(max(samples), below=(1 << 31) * jitter.tick, what=f"an interrupt before its deadline, {name}")
    run.expect(abs(farthest), below=FEW_TICKS, what="drift of a guest's Count")


def _prepare(way: str, load: str, cpus: int, vcpus: int, rounds: int, tick: str, tier: str) -> Loaded:
    words = {"rounds": rounds, "load": LOADS.index(load), "least": 20_000}
    if way == "bare":
        return loaded("timer_jitter.S", "virt", cpus, {"tier": tier}, **words)
    return in_vm("timer_jitter.S", cpus, vcpus, {"tier": tier, "timing": {"kvm_slice": tick}}, **words)


def clock_drift(jitter: Loaded) -> list[int]:
    """Count of each vCPU less what host time says, in ticks: both began at 0."""
    found = []
    for vcpu in jitter.machine.hypervisor.vcpus:
        wanted = vcpu.now * vcpu.timer.hz // 1_000_000_000
        found.append((vcpu.timer.read() - wanted + (1 << 31)) % (1 << 32) - (1 << 31))
    return found
