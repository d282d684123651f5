"""What do eight vCPUs on two cores cost, when they work alone and when they wait for each other awake?"""

from __future__ import annotations

from scenarios.kvm import field, in_vm, kvm_counter, refills
from scenarios.library import within
from scenarios.registry import Run, scenario
from scenarios.table import table

PAGES = 64


@scenario(vcpus=8, cpus=2, rounds=2000, work=400, every=250, tick="250 us", tier="auto")
def overcommit(run: Run, vcpus: int, cpus: int, rounds: int, work: int, every: int, tick: str, tier: str) -> None:
    """Each vCPU stores `rounds` times with `work` multiplications between; then the same with all of them meeting after
    each `every` stores. `tick`: the host's time slice."""
    within("vcpus", vcpus, 2, 16)
    within("cpus", cpus, 1, vcpus)
    within("rounds", rounds, 1, 1_000_000)
    within("every", every, 1, rounds)
    rows, times, kept = [], {}, set()
    for meeting in (0, every):
        for cores in (vcpus, cpus):
            options = {"tier": tier, "timing": {"kvm_slice": tick}}
            guest = in_vm("pages.S", cores, vcpus, options, rounds=rounds, pages=PAGES, work=work, every=meeting)
            result = guest.run()
            name = f"{'together' if meeting else 'alone'}, {cores} cores"
            run.trace(guest.machine, result, f"{'together' if meeting else 'alone'}-{cores}")
            run.expect(result.ended, equals="poweroff", what=f"the end of {name}")
            if not run.ok:
                run.show(result.reason)
                return
            machine = guest.machine
            times[meeting, cores] = result.virtual_s
            kept.add(field(guest, PAGES))
            rows.append(
                (name, f"{result.virtual_s * 1e3:.3f} ms", f"{times[meeting, cores] / times[meeting, vcpus]:.2f}",
                 f"{result.instructions:,}", kvm_counter(machine, "load"), kvm_counter(machine, "migration"),
                 refills(machine))
            )  # fmt: skip
    text = table(("vCPUs work", "time", "times", "instructions", "loads", "migrations", "root refills"), rows)
    run.show(text, "")
    run.keep("overcommit.txt", text + "\n")
    run.result(result, guest.machine)
    run.expect(len(kept), equals=1, what="different results in memory")
    if cpus < vcpus:
        alone, together = (times[meeting, cpus] / times[meeting, vcpus] for meeting in (0, every))
        run.expect(alone, above=0.9 * vcpus / cpus, what="times the time, for vCPUs that work alone")
        run.expect(together, above=alone, what="times the time, for vCPUs that meet")
