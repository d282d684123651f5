"""What does it cost a vCPU to go on on another core?"""

from __future__ import annotations

from scenarios.kvm import field, in_vm, kvm_counter, refills
from scenarios.library import within
from scenarios.registry import Run, scenario
from scenarios.table import table

PAGES = 64
COUNTERS = ("load", "restore_all", "migration", "guestid_change", "map_fast", "map_slow")


@scenario(vcpus=3, cpus=2, rounds=4000, work=50, tick="100 us", tier="auto")
def vcpu_migration(run: Run, vcpus: int, cpus: int, rounds: int, work: int, tick: str, tier: str) -> None:
    """`vcpus` vCPUs take turns on `cpus` cores, `tick` at a time, and beside it each has a core of its own."""
    within("cpus", cpus, 1, 16)
    within("vcpus", vcpus, cpus, 16)
    within("rounds", rounds, 1, 1_000_000)
    rows, left, moved = [], [], 0
    for cores in (vcpus, cpus):
        options = {"tier": tier, "timing": {"kvm_slice": tick}}
        guest = in_vm("pages.S", cores, vcpus, options, rounds=rounds, pages=PAGES, work=work)
        result = guest.run()
        run.trace(guest.machine, result, f"{cores}-cores")
        run.expect(result.ended, equals="poweroff", what=f"the end on {cores} cores")
        if not run.ok:
            run.show(result.reason)
            return
        machine = guest.machine
        for vcpu in machine.hypervisor.vcpus:
            rows.append((f"{cores} cores, vCPU {vcpu.number}", *(vcpu.stats[name] for name in COUNTERS), ""))
        sums = (kvm_counter(machine, name) for name in COUNTERS)
        rows.append((f"{cores} cores, all", *sums, refills(machine)))
        left.append(field(guest, PAGES))
        moved = kvm_counter(machine, "migration")
        renamed = kvm_counter(machine, "guestid_change")
        if cores == vcpus:
            run.expect(moved, equals=0, what="migrations of vCPUs with cores of their own")
            peace = refills(machine)
    text = table(("", *COUNTERS, "root refills"), rows)
    run.show(text, "")
    if moved:
        run.show(f"{(refills(machine) - peace) / moved:.1f} more root refills per migration", "")
    run.keep("migrations.txt", text + "\n")
    run.result(result, guest.machine)
    run.expect(left[0] == left[1], equals=True, what="the same result in memory")
    if 1 < cpus < vcpus:
        run.expect(moved, above=0, what="migrations")
        run.expect(renamed, above=moved, what="new GuestIDs, one for each migration and each vCPU's first")
