"""Does KVM's dirty log name exactly the pages that a guest writes, and what does the logging cost it?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from scenarios.kvm import PAGE_SHIFT, field, in_vm, kvm_counter, reasons, refills
from scenarios.library import Loaded, within
from scenarios.registry import Run, scenario
from scenarios.table import table
from soc.result import Result

RAM = "32 MiB"
SLOTS = (0, 1)
"""Memory slots of the VM that hold RAM: the low part, and all of it once more at its high address."""
MOST_POLLS = 1000


@scenario(vcpus=4, cpus=4, rounds=400, pages=256, work=20, interval="20 us", tick="100 us", tier="auto")
def dirty_logging(
    run: Run, vcpus: int, cpus: int, rounds: int, pages: int, work: int, interval: str, tick: str, tier: str
) -> None:
    """The vCPUs store to `pages` pages in pseudo-random order; the VMM takes the log every `interval` of model time and
    compares it with memory. `tick`: the host's time slice, where there are fewer cores than vCPUs."""
    within("vcpus", vcpus, 1, 16)
    within("cpus", cpus, 1, vcpus)
    within("rounds", rounds, 1, 1_000_000)
    within("pages", pages, 1, 512)
    plain = prepare(vcpus, cpus, rounds, pages, work, tick, tier)
    without = plain.run()
    run.expect(without.ended, equals="poweroff", what="the end without logging")
    run.trace(plain.machine, without, "without")
    guest = prepare(vcpus, cpus, rounds, pages, work, tick, tier)
    rows, unlogged, early, named, changed_ever, ends = [], 0, 0, set(), set(), []
    for number, poll in enumerate(polls(guest, interval)):
        ends.append(poll.result)
        more = poll.logged - poll.changed
        rows.append((f"poll {number}", f"{guest.machine.now / 1e6:.0f} us", len(poll.logged), len(poll.changed),
                     len(more), len(poll.changed - poll.logged)))  # fmt: skip
        unlogged += len(poll.changed - poll.logged)
        early += len(more - poll.under_way)
        named |= poll.logged
        changed_ever |= poll.changed
    text = table(("", "at", "logged", "changed", "under way", "not logged"), rows)
    run.show(text, "")
    run.keep("polls.txt", text + "\n")
    costs = [("without", f"{without.virtual_s * 1e6:.0f} us", *_cost(plain.machine)),
             ("with", f"{guest.machine.now / 1e6:.0f} us", *_cost(guest.machine))]  # fmt: skip
    run.show(table(("logging", "time", "tlbmod", "map_fast", "map_slow", "int", "root refills"), costs), "")
    result = Result.of_parts(ends)
    run.result(result, guest.machine)
    run.expect(result.ended, equals="poweroff", what="the end of the run")
    run.expect(unlogged, equals=0, what="pages that changed and were not in the log")
    run.expect(early, equals=0, what="pages in the log that nobody has changed or is about to")
    run.expect(named == changed_ever, equals=True, what="the pages of all logs are those that changed")
    run.expect(field(guest, pages) == field(plain, pages), equals=True, what="the same result with logging")


class Poll(NamedTuple):
    """One look at the log; pages are numbered by their place in RAM, 16 KiB each.

    `under_way`: pages that KVM has made writable, and logged, for a store that its vCPU has not repeated yet.
    """

    result: Any
    logged: set[int]
    changed: set[int]
    under_way: set[int]


def prepare(vcpus: int, cpus: int, rounds: int, pages: int, work: int, tick: str, tier: str = "auto") -> Loaded:
    """The VM, not logging yet."""
    return in_vm(
        "pages.S",
        cpus,
        vcpus,
        {"tier": tier, "ram": RAM, "timing": {"kvm_slice": tick}},
        rounds=rounds,
        pages=pages,
        work=work,
    )


def polls(guest: Loaded, interval: str) -> Iterator[Poll]:
    """Runs the guest with logging, and compares the log with memory after each `interval` of model time."""
    from cpu.kvm.uapi import MEM_LOG_DIRTY_PAGES

    machine = guest.machine
    regions(machine, MEM_LOG_DIRTY_PAGES)
    before = contents(machine)
    for _ in range(MOST_POLLS):
        result = guest.run(max_virtual=interval)
        now = contents(machine)
        changed = set(np.nonzero((now != before).any(axis=1))[0].tolist())
        under_way = {vcpu.exit.badvaddr >> PAGE_SHIFT for vcpu in machine.hypervisor.vcpus}
        yield Poll(result, dirty(machine), changed, under_way)
        before = now
        if result.ended != "limit":
            return


def regions(machine: Any, flags: int) -> None:
    """KVM_SET_USER_MEMORY_REGION of the RAM slots with `flags`."""
    from cpu.kvm.uapi import MemoryRegion

    for number in SLOTS:
        slot = machine.hypervisor.vm.slots[number]
        size = slot.npages << PAGE_SHIFT
        region = MemoryRegion(number, slot.base_gfn << PAGE_SHIFT, size, slot.userspace_addr, flags)
        machine.hypervisor.vm.set_user_memory_region(region)


def dirty(machine: Any) -> set[int]:
    """Pages in the logs of the RAM slots."""
    found = set()
    for number in SLOTS:
        bitmap = np.frombuffer(machine.hypervisor.vm.get_dirty_log(number), np.uint8)
        found |= set(np.nonzero(np.unpackbits(bitmap, bitorder="little"))[0].tolist())
    return found


def contents(machine: Any) -> np.ndarray:
    """RAM, a row of words for each page."""
    return np.frombuffer(machine.memory.read(0, machine.ram), np.uint64).reshape(-1, (1 << PAGE_SHIFT) // 8)


def _cost(machine: Any) -> list[int]:
    taken = reasons(machine)
    return [
        taken["tlbmod"],
        *(kvm_counter(machine, name) for name in ("map_fast", "map_slow")),
        taken["int"],
        refills(machine),
    ]
