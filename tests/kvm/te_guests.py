"""Guests for trap and emulate: kernels in the window at 0x40000000, and programs in their user mode."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from cpu.kvm.vcpu import Vcpu
from tests.kvm.rig import DEVICE, Bench

KERNEL = 0x40100000
"""Where a guest's code begins: in its kseg0."""
VECTORS = 0x40200000
"""The guest's EBase."""
UART = 0x40000000 + DEVICE
END = "hypcall 1"
"""Ends KVM_RUN with INTERNAL_ERROR."""

USER_PAGE = 0x10000
GPA_OF_USER_PAGE = 0x300000
LO = GPA_OF_USER_PAGE >> 6 | 3 << 3 | 0b110
"""EntryLo of it: cacheable, D and V."""
USER = 0x10
"""Status.KSU of user mode."""
MAP = f"""li k0, 0x6000
        mtc0 k0, c0_pagemask
        li k0, {USER_PAGE:#x}
        mtc0 k0, c0_entryhi
        li k0, {{lo:#x}}
        mtc0 k0, c0_entrylo0
        mtc0 zero, c0_entrylo1
        {{write}}
"""
GO_USER = f"""li k0, {USER | 2:#x}            # and EXL
        mtc0 k0, c0_status
        li k0, {USER_PAGE:#x}
        mtc0 k0, c0_epc
        eret
"""
REPORT = f"mfc0 s2, c0_cause\n mfc0 s3, c0_badvaddr\n mfc0 s4, c0_epc\n mfc0 s5, c0_status\n {END}"
"""A handler that ends with Cause, BadVAddr, EPC and Status in s2 to s5."""
LW_T1_STATUS, MFC0_T1_STATUS = 0x8C0D4300, 0x400D6000
"""lw t1, 0x4300(zero), and what it stands for."""


def guest(
    text: str, tier: str = "auto", handlers: Iterable[tuple[int, str]] = (), cycles: int = 200_000,
    dyntrans: bool = True, **options: Any,
) -> tuple[Bench, Vcpu]:  # fmt: skip
    """A guest of one vCPU with `text`, and (vector, code) of its handlers, run to its end."""
    bench = Bench(backend="te", tier=tier)
    bench.vm.callbacks.dyntrans = dyntrans
    options = {"pc": KERNEL, "status": 0, "ebase": VECTORS, **options}
    vcpu = bench.vcpu(text, **options)
    for vector, code in handlers:
        bench.write(VECTORS + vector, code)
    bench.run(cycles)
    return bench, vcpu


def user_program(code: str, **options: Any) -> tuple[Bench, Vcpu]:
    """`code` in user mode, in a page that TLB entry 5 maps; every exception but a miss leads to an end."""
    bench = Bench(backend="te", **options)
    text = f"li k0, 5\n mtc0 k0, c0_index\n {MAP.format(lo=LO, write='tlbwi')} {GO_USER}"
    vcpu = bench.vcpu(text, pc=KERNEL, status=0, ebase=VECTORS)
    for vector, handler in {0x000: REPORT, 0x180: REPORT}.items():
        bench.write(VECTORS + vector, handler)
    bench.write(GPA_OF_USER_PAGE, code)
    bench.run(300_000)
    return bench, vcpu
