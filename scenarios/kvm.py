"""What the scenarios under the KVM model share: guests in a VM, counters, figures per operation."""

from __future__ import annotations

from collections import Counter
from typing import Any

from scenarios.library import Loaded, loaded

PAGE_SHIFT = 14
FIELD = 16 << 20
"""Physical address of the pages of pages.S."""


def in_vm(name: str, cpus: int, vcpus: int, options: dict[str, Any], platform: Any = "virt", **words: int) -> Loaded:
    """The guest `name` in a VM of `vcpus` virtual CPUs on `cpus` cores."""
    return loaded(name, platform, cpus, {"hypervisor": "kvm", "vcpus": vcpus, **options}, **words)


def reasons(machine: Any) -> Counter[str]:
    """Exits of all vCPUs by reason, by KVM's names; none on a bare machine."""
    from cpu.kvm.stats import REASONS

    counted: Counter[str] = Counter()
    for vcpu in machine.hypervisor.vcpus if machine.hypervisor is not None else ():
        counted.update({name: vcpu.stats[name] for name in REASONS if vcpu.stats[name]})
    return counted


def kvm_counter(machine: Any, name: str) -> int:
    """One of KVM's counters (cpu/kvm/stats.py), summed over the vCPUs."""
    return sum(vcpu.stats[name] for vcpu in machine.hypervisor.vcpus)


def refills(machine: Any) -> int:
    """Root TLB refills of all cores: none of them left the compiled loop."""
    return sum(core.vz.refills for core in machine.cpu)


def each(counted: Counter[str], times: int) -> str:
    """Counters per operation, in words: "2 tlbmiss_st, 0.5 int"; what came less than once in a hundred is left out."""
    shown = [(name, count / times) for name, count in counted.most_common() if count * 100 >= times]
    return ", ".join(f"{share:.2f}".rstrip("0").rstrip(".") + f" {name}" for name, share in shown) or "-"


def field(found: Loaded, pages: int) -> bytes:
    """What a run of pages.S has left in its pages."""
    return found.machine.memory.read(FIELD, pages << PAGE_SHIFT)
