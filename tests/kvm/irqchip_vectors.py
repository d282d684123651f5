"""KVM-level test vectors of the Loongson tree's interrupts, irqchip (V..) and stable timer (T..); see vectors.py.

Sources are in the Loongson 4.19 tree, arch/mips/kvm: K-CORE mips.c and interrupt.c, K-VZ ls3acomp-vz.c, K-PIC
ls7a_irq.c, K-FD ls7a_irqfd.c, K-TMR stable_timer.c; K-UAPI is include/uapi/asm/kvm.h.
"""

from __future__ import annotations

import errno

from cpu.kvm import onereg
from cpu.kvm.uapi import (
    IRQ_ROUTING_MSI,
    IRQ_TYPE_IOAPIC,
    IRQ_TYPE_SHIFT,
    IRQFD_DEASSIGN,
    IRQFD_RESAMPLE,
    ExitReason,
    Ioctl,
    Irqchip,
    IrqchipId,
    Irqfd,
    IrqLevel,
    IrqRouting,
    IrqRoutingEntry,
)
from tests.kvm.rig import COSTS, GB, IE, KX, UNCACHED, Bench, IrqchipBench, P
from tests.kvm.vectors import END, M64, pending_lines, refused, vector


@vector("V01", "KVM_INTERRUPT {-1, 3}, run, {-1, -3}, run", "K-CORE, K-VZ")
def _():
    bench = Bench()
    vcpu = bench.vcpu("1: b 1b\n nop")
    vip = []
    for number in (3, -3):
        vcpu.interrupt(number)
        bench.host.interrupt(vcpu)
        bench.run(40_000)
        vip.append(bench.cluster.cores[0].vz.c0("guestctl2") >> 11 & 1)
    assert vip == [1, 0]


@vector("V02", "KVM_INTERRUPT 5, 0, 7", "K-CORE")
def _():
    vcpu = Bench(backend="ls3acomp").vm.create_vcpu(0)
    for number in (5, 0, 7):
        refused(errno.EINVAL, vcpu.interrupt, number)


@vector("V03", "KVM_INTERRUPT 4: success, no pin changes", "K-VZ")
def _():
    assert pending_lines("ls3acomp", 4) == (0, 0)


PIC = IrqchipBench.PIC
PIN, LINE = 16, IRQ_TYPE_IOAPIC << IRQ_TYPE_SHIFT | 16
SPIN = "1: b 1b\n nop"


def irqchip(text: str = SPIN) -> IrqchipBench:
    """A VM of the Loongson tree with its irqchip and one vCPU: pin n has vector n, which the EIOINTC, set up as the
    tree's guest kernel does, brings to IP3."""
    bench = IrqchipBench()
    bench.vcpu(text)
    bench.vm.ioctl(Ioctl.CREATE_IRQCHIP)
    board = bench.board
    board.write("ls7a_irq", 0x200 + PIN, 1, PIN)
    for quad in range(4):
        board.write("ls3a_ext_irq", 0x1600 + 8 * quad, 8, M64, space="csr")
    board.write("ls3a_ext_irq", 0x14C0, 8, 0x0202020202020202, space="csr")
    for first in range(0, 256, 8):
        board.write("ls3a_ext_irq", 0x1C00 + first, 8, 0x0101010101010101, space="csr")
    return bench


def pending(bench: IrqchipBench) -> list[int]:
    """The vectors that the EIOINTC holds."""
    return [vector for vector in range(256) if bench.board.devices["ls3a_ext_irq"].isr[vector // 64] >> vector % 64 & 1]


def pic(bench: IrqchipBench) -> tuple[int, int]:
    """INTIRR and INTISR of the pin."""
    device = bench.board.devices["ls7a_irq"]
    return device.intirr >> PIN & 1, device.intisr >> PIN & 1


def signal(bench: IrqchipBench, descriptor: int) -> None:
    bench.board.event("ls7a_irqfd.signal", descriptor)
    bench.settle()


@vector("V04", "KVM_IRQ_LINE 0x04000010, level 1: vector[16] is delivered", "K-CORE, K-PIC")
def _():
    bench = irqchip()
    bench.run(20_000)
    bench.vm.ioctl(Ioctl.IRQ_LINE, IrqLevel(0x04000010, 1))
    assert (pending(bench), pic(bench)) == ([PIN], (1, 1))
    bench.run(20_000)
    assert bench.cluster.cores[0].vz.c0("guestctl2") >> 11 & 1, "at IP3 of the vCPU"
    bench.vm.ioctl(Ioctl.IRQ_LINE, IrqLevel(0x04000010, 0))
    assert (pending(bench), pic(bench)) == ([PIN], (0, 0)), "nothing is withdrawn behind the PCH-PIC"


@vector("V05", "KVM_IRQ_LINE 0x02000001: a type that is not IOAPIC", "K-CORE")
def _():
    refused(errno.EINVAL, irqchip().vm.ioctl, Ioctl.IRQ_LINE, IrqLevel(0x02000001, 1))


@vector("V06", "KVM_IRQ_LINE of vCPU 9, of four", "K-CORE")
def _():
    bench = irqchip()
    for number in (1, 2, 3):
        bench.vm.create_vcpu(number)
    refused(errno.EINVAL, bench.vm.ioctl, Ioctl.IRQ_LINE, IrqLevel(LINE | 9 << 16, 1))
    assert bench.vm.ioctl(Ioctl.IRQ_LINE, IrqLevel(LINE | 3 << 16, 1)) == 0


@vector("V07", "KVM_CREATE_IRQCHIP twice", "K-CORE")
def _():
    refused(errno.EEXIST, irqchip().vm.ioctl, Ioctl.CREATE_IRQCHIP)


@vector("V08", "KVM_GET_IRQCHIP of HTVEC: the payload as it was passed in", "K-CORE")
def _():
    chip = Irqchip(IrqchipId.LS3A_HT_IRQ, chip=bytearray(b"\x5a" * 1024))
    assert irqchip().vm.ioctl(Ioctl.GET_IRQCHIP, chip) == 0
    assert chip.chip == b"\x5a" * 1024


@vector("V09", "INT_MASK 0x1234 is at offset 8 of the PCH-PIC's payload", "K-PIC, K-UAPI")
def _():
    bench = irqchip(f"dli t0, {UNCACHED + PIC:#x}\n li t1, 0x1234\n sd t1, 0x20(t0)\n {END}")
    bench.run()
    chip = Irqchip(IrqchipId.LS7A_IOAPIC, chip=bytearray(b"\x5a" * 1024))
    bench.vm.ioctl(Ioctl.GET_IRQCHIP, chip)
    assert chip.chip[:16] == (0x1F_0001_0700_0000).to_bytes(8, "little") + (0x1234).to_bytes(8, "little")
    assert chip.chip[232:] == b"\x5a" * (1024 - 232), "the image has 232 bytes"


@vector("V10", "a plain irqfd on GSI 16: the vector stays, the pin does not", "K-FD")
def _():
    bench = irqchip()
    bench.vm.ioctl(Ioctl.IRQFD, Irqfd(7, PIN))
    signal(bench, 7)
    assert (pending(bench), pic(bench)) == ([PIN], (0, 0))


@vector("V11", "a resampling irqfd: INTCLR lowers the pin and signals, once, without a new vector", "K-FD, K-PIC")
def _():
    bench = irqchip(f"dli t0, {UNCACHED + PIC:#x}\n li t1, {1 << PIN:#x}\n sd t1, 0x80(t0)\n {END}")
    bench.vm.ioctl(Ioctl.IRQFD, Irqfd(7, PIN, IRQFD_RESAMPLE, 8))
    signal(bench, 7)
    assert (pending(bench), pic(bench)) == ([PIN], (1, 1))
    bench.board.write("ls3a_ext_irq", 0x1800, 8, 1 << PIN, space="csr")
    bench.run()
    assert bench.exits == [ExitReason.INTERNAL_ERROR], "no exit to user space"
    assert (pending(bench), pic(bench)) == ([], (0, 0))
    events = bench.board.devices["ls7a_irqfd"].outside.events
    assert [value for _, kind, _, value in events if kind == "event"] == [(8, 1)]


@vector("V12", "the same descriptor assigned twice", "K-FD")
def _():
    bench = irqchip()
    bench.vm.ioctl(Ioctl.IRQFD, Irqfd(7, PIN))
    refused(errno.EBUSY, bench.vm.ioctl, Ioctl.IRQFD, Irqfd(7, 17))


@vector("V13", "an MSI route with data 100: vector 100, whatever the address", "K-FD")
def _():
    bench = irqchip()
    for address in (0, 0x2FF00000, M64):
        entry = IrqRoutingEntry(64, IRQ_ROUTING_MSI, address=address, data=100)
        bench.vm.ioctl(Ioctl.SET_GSI_ROUTING, IrqRouting((entry,)))
        bench.vm.ioctl(Ioctl.IRQFD, Irqfd(7, 64))
        signal(bench, 7)
        assert pending(bench) == [100]
        bench.board.write("ls3a_ext_irq", 0x1808, 8, 1 << 100 - 64, space="csr")
        bench.vm.ioctl(Ioctl.IRQFD, Irqfd(7, 64, IRQFD_DEASSIGN))


MICROSECOND = 800
"""Core cycles."""
TIMER_CFG, ENABLE, PERIODIC = 0x1060, 1 << 61, 1 << 62
TICKS_LOG = 0x3000
"""Guest physical: where the handler of `COUNTS_TICKS` notes the stable counter, first the one at the start."""
COUNTS_TICKS = f"""dli s1, {UNCACHED + TICKS_LOG:#x}
        li a0, {TIMER_CFG:#x}
        dli a1, {1 << 63 | PERIODIC | ENABLE | 10_000:#x}
        li t0, {1 << 15 | KX | IE:#x}
        mtc0 $0, c0_compare
        mtc0 t0, c0_status
        dwrcsr a1, a0
        rdhwr t1, $30
        sd t1, 0(s1)
1:      b 1b
        nop
        .org {GB + 0x180 - P:#x}
        rdhwr t1, $30
        daddiu s1, s1, 8
        sd t1, 0(s1)
        mtc0 $0, c0_compare
        eret"""
"""A guest with a periodic stable timer of 100 us (vector T02). KVM loads a vCPU's first timer with one tick, whose
interrupt the write of Compare takes back."""


@vector("T07", "a periodic timer of a guest preempted from 150 to 160 us: one-shot of 4000 ticks, then none", "K-VZ")
def _():
    bench = Bench(backend="ls3acomp", stable_timer=True)
    vcpu = bench.vcpu(COUNTS_TICKS)
    core = bench.cluster.cores[0]
    bench.run(20 * MICROSECOND)
    start = bench.word(TICKS_LOG)
    at = lambda microseconds: start * 8 + microseconds * MICROSECOND  # noqa: E731
    cfg = []

    def pause(vcpu):
        core.vz.charge(at(160) - core.cycles - COSTS["kvm_load"])

    bench.on_exit = pause
    bench.kvm.tracer.listen(lambda event: cfg.append(core.vz.guest_timer[0]), "kvm_enter")
    bench.run(at(150) - core.cycles)
    assert vcpu.stats["exits"] <= 4, "the timer is the guest's own"
    bench.host.interrupt(vcpu)
    bench.run(at(350) - core.cycles)
    assert [value >> 48 for value in cfg] == [0x2000], "enabled, neither periodic nor with bit 63"
    assert abs((cfg[0] & 0xFFFFFFFFFFFF) - 4000) <= 1
    log = [bench.word(TICKS_LOG + 8 * n) - start for n in range(1, 4)]
    assert 10_000 <= log[0] < 10_200, "at 100 us, and the time to map the handler's page"
    assert abs(log[1] - 20_000) <= 1, "at 200 us"
    assert log[2] == -start, "none at 300 us"


@vector("T08", "COUNT_HZ <- 0, 10^9 + 1, 50 000 000 in the stable timer's mode", "K-TMR")
def _():
    vcpu = Bench(backend="ls3acomp", stable_timer=True).vm.create_vcpu(0)
    assert vcpu.get_one_reg(onereg.COUNT_HZ) == 100_000_000
    refused(errno.EINVAL, vcpu.set_one_reg, onereg.COUNT_HZ, 0)
    refused(errno.EINVAL, vcpu.set_one_reg, onereg.COUNT_HZ, 1_000_000_001)
    vcpu.set_one_reg(onereg.COUNT_HZ, 50_000_000)
    assert vcpu.get_one_reg(onereg.COUNT_HZ) == 50_000_000


@vector("T09", "COUNT_RESUME <- now + 1 s", "K-TMR")
def _():
    for options in ({}, {"backend": "ls3acomp", "stable_timer": True}):
        vcpu = Bench(**options).vm.create_vcpu(0)
        refused(errno.EINVAL, vcpu.set_one_reg, onereg.COUNT_RESUME, 1_000_000_000)


@vector("T10", "COUNT_CTL <- 2", "K-TMR")
def _():
    for options in ({}, {"backend": "ls3acomp", "stable_timer": True}):
        vcpu = Bench(**options).vm.create_vcpu(0)
        refused(errno.EINVAL, vcpu.set_one_reg, onereg.COUNT_CTL, 2)
        vcpu.set_one_reg(onereg.COUNT_CTL, 1)
        assert vcpu.get_one_reg(onereg.COUNT_CTL) == 1
