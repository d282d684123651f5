"""What does it cost a guest that a device is served in user space instead of in the kernel?"""

from __future__ import annotations

from scenarios.exit_cost import MOST_ROUNDS, OPERATIONS
from scenarios.kvm import each, in_vm, kvm_counter, reasons
from scenarios.library import loaded, within
from scenarios.registry import Run, scenario
from scenarios.table import table

WAYS = ("bare", "kernel", "user")
NAMES = [name for name, _ in OPERATIONS]


@scenario(rounds=200, kvm="vz", tier="auto")
def mmio_in_kernel_or_user(run: Run, rounds: int, kvm: str, tier: str) -> None:
    """Loads and stores of the interrupt router: on the bare core, with KVM's router, with the VMM's."""
    within("rounds", rounds, 2, MOST_ROUNDS)
    rows, cycles = [], {}
    for way in WAYS:
        for access in ("kernel_read", "kernel_write"):
            words = {"rounds": rounds, "kind": NAMES.index(access)}
            if way == "bare":
                guest = loaded("exit_cost.S", "virt", 1, {"tier": tier}, **words)
            else:
                guest = in_vm("exit_cost.S", 1, 1, {"tier": tier, "kvm": kvm, "irqchip": way}, **words)
            result = guest.run()
            what = access.removeprefix("kernel_")
            run.trace(guest.machine, result, f"{way}-{what}")
            run.expect(result.ended, equals="poweroff", what=f"the end of {way}, {what}")
            if not run.ok:
                run.show(result.reason)
                return
            ticks = guest.words("ticks")[0]
            cycles[way, what] = ticks * guest.machine.timing.count_divider / rounds
            hosted = guest.machine.hypervisor is not None
            rows.append(
                (f"{way}, {what}", f"{cycles[way, what]:.1f}", f"{ticks * guest.tick / rounds / 1e3:.1f} ns",
                 each(reasons(guest.machine), rounds), kvm_counter(guest.machine, "put") if hosted else 0)
            )  # fmt: skip
            if hosted:
                run.expect(kvm_counter(guest.machine, f"mmio_{way}"), above=rounds - 1, what=f"accesses by {way}")
    text = table(("router in, access", "cycles", "time", "exits each", "puts"), rows)
    run.show(text, "")
    run.keep("accesses.txt", text + "\n")
    run.result(result, guest.machine)
    timing = guest.machine.timing
    for what in ("read", "write"):
        added = cycles["user", what] - cycles["kernel", what]
        run.expect(
            added, above=timing.kvm_user, below=timing.kvm_user + 1_000, what=f"what user space adds to a {what}"
        )
