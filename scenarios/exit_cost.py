"""What does each exit to KVM cost a guest, in cycles, exits and messages?"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from scenarios.kvm import each, in_vm, reasons, refills
from scenarios.library import within
from scenarios.registry import Run, scenario
from scenarios.table import table

MOST_ROUNDS = 4096
"""So many pages of 16 KiB are touched for the first time."""
OPERATIONS = (
    ("nothing", "the loop alone"),
    ("privileged_read", "MFC0 of PRId"),
    ("cpucfg", "CPUCFG 0"),
    ("cache_index", "CACHE by index"),
    ("field_change", "MTC0 Status, RP changed"),
    ("kernel_read", "load of the router: KVM's own device"),
    ("kernel_write", "store to it"),
    ("user_read", "load of the UART: the VMM's device"),
    ("user_write", "store to it"),
    ("first_load", "first load of a page"),
    ("first_store", "first store to a page"),
    ("root_refill", "128 loads of known pages, all out of the root TLB"),
    ("float", "FPU used after leaving for user space"),
    ("hypercall", "HYPCALL 0"),
)
"""Name and what it is, in the order of the guest's table."""


class Cost(NamedTuple):
    """One operation's: `cycles` of the core, exits by reason and root refills of all rounds, messages of all rounds."""

    cycles: float
    exits: Counter[str]
    refills: int
    messages: int


@scenario(rounds=200, kvm="vz", tier="auto")
def exit_cost(run: Run, rounds: int, kvm: str, tier: str) -> None:
    """One vCPU on one core does each operation `rounds` times; `kvm` is the back-end: vz or ls3acomp."""
    within("rounds", rounds, 2, MOST_ROUNDS)
    costs: dict[str, Cost] = {}
    for kind, (name, _) in enumerate(OPERATIONS):
        guest = in_vm("exit_cost.S", 1, 1, {"tier": tier, "kvm": kvm}, rounds=rounds, kind=kind)
        result = guest.run()
        run.trace(guest.machine, result, name)
        run.expect(result.ended, equals="poweroff", what=f"the end of {name}")
        if not run.ok:
            run.show(result.reason)
            return
        cycles = guest.words("ticks")[0] * guest.machine.timing.count_divider / rounds
        costs[name] = Cost(cycles, reasons(guest.machine), refills(guest.machine), result.details["messages"])
    alone = costs["nothing"]
    head = ("operation", "cycles", "messages", "root refills", "exits", "what it is")
    rows = [
        (name, f"{cost.cycles - alone.cycles:.1f}", f"{(cost.messages - alone.messages) / rounds:g}",
         f"{(cost.refills - alone.refills) / rounds:.1f}", each(cost.exits - alone.exits, rounds), what)
        for (name, what), cost in zip(OPERATIONS, costs.values(), strict=True)
    ]  # fmt: skip
    text = table(head, rows)
    run.show("Each operation, less the loop around it", text, "")
    run.keep("costs.txt", text + "\n")
    run.result(result, guest.machine)
    timing = guest.machine.timing
    for name, handler in (("privileged_read", "gpsi"), ("field_change", "gsfc"), ("hypercall", "hc")):
        run.expect((costs[name].exits - alone.exits)[f"vz_{handler}"], equals=rounds, what=f"exits of {name}")
        bare = timing.kvm_exit + getattr(timing, f"kvm_handle_{handler}") + timing.kvm_entry
        run.expect(costs[name].cycles - alone.cycles, above=bare - 3, below=bare + 4, what=f"cycles of {name}")
    run.expect(costs["user_read"].cycles, above=costs["kernel_read"].cycles, what="cycles of a load in user space")
    known = (costs["root_refill"].exits - alone.exits).total()
    run.expect(known, below=129, what="exits of refills of known pages, beyond the 128 first loads")
