"""KVM on a few cores without a machine: guests in assembler, a VMM in the test's hands, devices as a dictionary."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cpu.cluster import Cluster
from cpu.core import StopKind
from cpu.cp0.fields import CONFIG6_EXTIMER
from cpu.isa.assembler import assemble
from cpu.kvm import onereg
from cpu.kvm.emulate import Access
from cpu.kvm.errors import KvmError
from cpu.kvm.host import Host
from cpu.kvm.mips import Kvm
from cpu.kvm.run import Steps
from cpu.kvm.uapi import PAGE_SIZE, Cap, ExitReason, MemoryRegion
from cpu.kvm.vcpu import Vcpu
from cpu.memory import Memory
from devices.board import Board
from soc.irqchip import PlatformControllers
from soc.time import Clock
from soc.timing import Timing

MIB = 1 << 20
KSEG0 = 0xFFFFFFFF80000000
P = KSEG0 + 0x100000
"""Where a guest's code begins."""
GB = KSEG0 + 0x200000
"""The guest's EBase."""
DEVICE = 0x1000_0000
UNCACHED = 0x9000000000000000
CU1, CU0, FR, KX, IE = 1 << 29, 1 << 28, 1 << 26, 1 << 7, 1
STATUS = FR | KX
WINDOW, LATENCY = 80, 160
GPR_T0, GPR_V0, GPR_A0 = 8, 2, 4
TIMING = Timing()
COSTS = {name: value for name, value, unit, _ in TIMING.rows() if name.startswith("kvm_") and unit == "cycle"}


class Bench:
    """`cores` physical cores with one VM whose slot 0 is all of RAM, at guest physical 0 and root physical `base`."""

    def __init__(
        self,
        cores: int = 1,
        backend: str = "vz",
        tier: str = "auto",
        base: int = 8 * MIB,
        slice_cycles: int = 40_000,
        lasx: bool = False,
        stable_timer: bool = False,
    ) -> None:
        """`stable_timer`: the host has Config6.EXTIMER set."""
        self.memory = Memory(16 * MIB)
        self.cluster = Cluster(self.memory, cores, tier, WINDOW, vz=True, lasx=lasx)
        self.host = Host(self.cluster.cores, Clock(TIMING.core_clock), COSTS, self, slice_cycles)
        for core in self.cluster.cores if stable_timer else ():
            core.vz.set_c0("config6", core.vz.c0("config6") | CONFIG6_EXTIMER)
        self.kvm = Kvm(self.host, backend, pages=range(0, base, PAGE_SIZE))
        self.vm = self.kvm.create_vm()
        self.base = base
        self.vm.set_user_memory_region(MemoryRegion(0, 0, 8 * MIB, base))
        self.device: dict[int, int] = {}
        """What loads of guest physical addresses give; what was stored there."""
        self.accesses: list[Access] = []
        self.exits: list[ExitReason | str] = []
        self.on_exit: Any = None
        """on_exit(vcpu) -> True where the VMM's thread ends there."""

    # Outside of the host.

    def kick(self, core: int, cycle: int) -> None:
        self.cluster.line(core, cycle + LATENCY, 6, 1)

    def arrives(self, core: int, cycle: int) -> None:
        self.cluster.line(core, cycle, 6, 1)

    def access(self, vcpu: int, cycle: int, access: Access) -> None:
        self.accesses.append(access)
        if access.is_store:
            self.device[access.address] = access.value
        self.cluster.answer(self.host.answer_core(vcpu), cycle + LATENCY, self.device.get(access.address, 0))

    # The guest.

    def vcpu(self, text: str = "", pc: int = P, fpu: bool = True, **cp0: int) -> Vcpu:
        """A further vCPU that begins with `text` at `pc`, in kernel mode with interrupts off."""
        vcpu = self.vm.create_vcpu(len(self.vm.vcpus))
        if fpu:
            vcpu.enable_cap(Cap.MIPS_FPU)
            vcpu.enable_cap(Cap.MIPS_MSA)
            self.set(vcpu, "config1", self.get(vcpu, "config1") | 1)
            self.set(vcpu, "config3", self.get(vcpu, "config3") | 1 << 28 | 1 << 13)
        for name, value in {"status": STATUS, "ebase": GB, **cp0}.items():
            self.set(vcpu, name, value)
        if text:
            self.write(pc, text)
        vcpu.set_one_reg(onereg.PC, pc)
        self.host.add(vcpu, self._thread(vcpu))
        return vcpu

    def write(self, address: int, text: str) -> None:
        """Assembles guest code at an unmapped address of the guest."""
        program = assemble(text, address)
        self.memory.write(self.base + (address & 0x1FFFFFFF), program.data)

    def _thread(self, vcpu: Vcpu) -> Steps:
        run = vcpu.kvm_run
        while True:
            try:
                yield from vcpu.run()
            except KvmError as error:
                self.exits.append(f"errno {error.errno}")
            else:
                self.exits.append(run.exit_reason)
            if self.on_exit is not None and self.on_exit(vcpu):
                return
            if run.exit_reason is ExitReason.MMIO:
                mmio = run.mmio
                mmio.data = yield Access(mmio.phys_addr, mmio.len, mmio.is_write, mmio.data)
            elif run.exit_reason not in (ExitReason.INTR, ExitReason.IRQ_WINDOW_OPEN):
                return

    def run(self, cycles: int = 100_000, ends: tuple[StopKind, ...] = ()) -> None:
        """Runs all cores for that many cycles, or until nothing is left to do, or one of `ends`."""
        target = self.cluster.grid + cycles // WINDOW * WINDOW
        while True:
            stop = self.cluster.run(target)
            if stop.kind is StopKind.EXIT:
                self.host.exit(stop.core)
            elif stop.kind is not StopKind.SLICE:
                assert stop.kind in (StopKind.HORIZON, StopKind.DEADLOCK, *ends), stop
                return

    @staticmethod
    def get(vcpu: Vcpu, name: str) -> int:
        return vcpu.get_one_reg(onereg.cp0(name))

    @staticmethod
    def set(vcpu: Vcpu, name: str, value: int) -> None:
        vcpu.set_one_reg(onereg.cp0(name), value)

    def word(self, gpa: int, size: int = 8) -> int:
        """Guest memory."""
        return int.from_bytes(self.memory.read(self.base + gpa, size), "little")


class IrqchipBench(Bench):
    """A bench of the Loongson tree with that tree's irqchip: PCH-PIC, inter-processor block, EIOINTC, irqfd."""

    PIC = 0x1000_0000

    def __init__(self, cores: int = 1) -> None:
        super().__init__(cores, "ls3acomp")
        board = self.board = Board()
        for name, kind in (("ls7a_irq", "ls7a_irq_kvm"), ("ls3a_ext_irq", "ls3a_ext_irq_kvm")):
            board.add(name, kind)
        board.add("ls3a_ipi", "ls3a_ipi_kvm")
        board.add("ls7a_irqfd", "ls7a_irqfd")
        for pin in range(64):
            board.wire(f"ls7a_irqfd.pin[{pin}]", f"ls7a_irq.input[{pin}]")
        board.wire("ls7a_irq.lo", "ls3a_ext_irq.message")
        board.wire("ls7a_irq.cleared", "ls7a_irqfd.cleared")
        board.wire("ls7a_irqfd.msi", "ls3a_ext_irq.message")
        self.vm.controllers = PlatformControllers(board.devices, self._reach)
        self.vm.add_kernel_device(self.PIC, 0x1000)
        self._pins = 0

    def _reach(self, name: str, call: Callable[..., Any], *arguments: Any) -> None:
        call(*arguments)
        self.settle()

    def settle(self) -> None:
        """What the devices do arrives, also at the vCPUs' pins."""
        self.board.settle()
        pins = self.board.devices["ls3a_ext_irq"].pin.levels
        for place in range(4 * len(self.vm.vcpus)):
            if (pins ^ self._pins) >> place & 1:
                now = max(core.cycles for core in self.cluster.cores)
                self.host.line(place // 4, now, 2 + place % 4, bool(pins >> place & 1))
        self._pins = pins

    def access(self, vcpu: int, cycle: int, access: Access) -> None:
        offset = access.address - self.PIC
        if access.is_store:
            self.board.write("ls7a_irq", offset, access.size, access.value)
        else:
            self.device[access.address] = self.board.read("ls7a_irq", offset, access.size)
        self.settle()
        super().access(vcpu, cycle, access)


def run(text: str, cycles: int = 100_000, backend: str = "vz", **options: Any) -> tuple[Bench, Vcpu]:
    """A guest of one vCPU, run until KVM_RUN ends for good, or for `cycles`."""
    bench = Bench(backend=backend)
    vcpu = bench.vcpu(text, **options)
    bench.run(cycles)
    return bench, vcpu
