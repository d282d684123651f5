"""The KVM model in a machine: its cores' root mode, its guests' wires, and the VMM that owns them.

The wiring of the platform leads to virtual CPUs: `cpu0` to `cpuV-1` are theirs. What a line or a reply does reaches the
physical core on which the vCPU's thread is; the host's reschedule interrupts are messages of their own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from cpu.cp0.fields import CONFIG1_FP, CONFIG3_MSA, CONFIG3_ULRI
from cpu.kvm import onereg
from cpu.kvm.count import CTL_DC
from cpu.kvm.emulate import Access
from cpu.kvm.errors import KvmError
from cpu.kvm.host import Host
from cpu.kvm.mips import Kvm, find_backend
from cpu.kvm.run import Do, Steps
from cpu.kvm.stats import REASONS
from cpu.kvm.threads import Thread, ThreadState
from cpu.kvm.uapi import MEM_READONLY, PAGE_SIZE, Cap, ExitReason, Ioctl, MemoryRegion
from cpu.kvm.vcpu import Vcpu
from soc.cluster import RELEASE_REGISTERS
from soc.irqchip import controllers
from soc.messages import InterruptLevel
from soc.ram import HIGH_BASE, LOW_BYTES, ROM_BASE

if TYPE_CHECKING:
    from cpu.core import Core
    from soc.cluster import ClusterComponent, CorePort
    from soc.link import Link, Source
    from soc.timing import Timing
    from soc.trace import Trace

CONFIG3_GUEST = CONFIG3_MSA | CONFIG3_ULRI
IP6 = 6


class At(Enum):
    """Where the VMM's thread of a vCPU is."""

    HELD = auto()
    """The vCPU is at reset."""
    OUTSIDE = auto()
    """In front of a KVM_RUN."""
    KVM_RUN = auto()
    DEVICE = auto()
    """A device of user space is to answer."""
    STOPPED = auto()
    END = auto()


class Hypervisor:
    """KVM on the cores of a cluster, with one VM of `vcpus` vCPUs.

    `backend` is that of cpu.kvm.mips; `stop(ended, reason)` ends the run.
    """

    def __init__(
        self,
        component: ClusterComponent,
        memory: Any,
        timing: Timing,
        source: Source,
        trace: Trace,
        vcpus: int,
        backend: str,
        stop: Callable[[str, str], None],
    ) -> None:
        self._component, self._cluster, self._clock = component, component.cluster, timing.core
        self._source, self._stop = source, stop
        self._kicks: dict[int, Link] = {}
        self._stopping = False
        self.released: set[int] = set()
        """vCPUs that have taken the registers in their mailboxes, here or before they were moved here."""
        self._at: dict[int, At] = {}
        costs = {name: value for name, value, unit, _ in timing.rows() if name.startswith("kvm_") and unit == "cycle"}
        slice_cycles = timing.core.ticks(timing.kvm_slice)
        self.host = Host(self._cluster.cores, timing.core, costs, self, slice_cycles, timing.count_divider)
        ram = memory.ram_bytes - vcpus * find_backend(backend).host_pages * PAGE_SIZE
        pages = range(HIGH_BASE + ram, HIGH_BASE + memory.ram_bytes, PAGE_SIZE)
        self.kvm = Kvm(self.host, backend, lambda address, size: _is_memory(memory, address, size), pages)
        self.vm = self.kvm.create_vm()
        for slot, (base, size, flags) in enumerate((
            (0, min(ram, LOW_BYTES), 0), (HIGH_BASE, ram, 0), (ROM_BASE, memory.rom_bytes, MEM_READONLY),
        )):  # fmt: skip
            self.vm.set_user_memory_region(MemoryRegion(slot, base, size, base, flags))
        self.vcpus = [self._vcpu(number) for number in range(vcpus)]
        self._trace = trace
        component.hypervisor = self._exit if trace.keeps else self.host.exit
        component.note_taken = self._note_taken
        component.let_send = self.host.let_send

    def _vcpu(self, number: int) -> Vcpu:
        """A vCPU as a VMM makes it: FPU and MSA enabled and shown to the guest."""
        vcpu = self.vm.create_vcpu(number)
        vcpu.enable_cap(Cap.MIPS_FPU)
        vcpu.enable_cap(Cap.MIPS_MSA)
        for name, bits in (("config1", CONFIG1_FP), ("config3", CONFIG3_GUEST)):
            number = onereg.cp0(name)
            vcpu.set_one_reg(number, vcpu.get_one_reg(number) | bits)
        self._at[vcpu.number] = At.HELD if vcpu.number else At.OUTSIDE
        self.host.add(vcpu, self._thread(vcpu))
        return vcpu

    def serve_in_kernel(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Guest physical (base, size) of devices that KVM serves without leaving the kernel."""
        for base, size in ranges:
            self.vm.add_kernel_device(base, size)

    def control(self, components: Mapping[str, Any], in_kernel: bool) -> None:
        """The machine's components are there: hand KVM the controllers among them. `in_kernel`: they are the VM's
        irqchip, with the routes they have, if the back-end knows such a thing."""
        given = self.vm.controllers = controllers(components)
        if given is not None and in_kernel and self.kvm.check_extension(Cap.IRQCHIP):
            routes = given.routes()
            self.vm.ioctl(Ioctl.CREATE_IRQCHIP)
            given.set_routes(routes)

    # The VMM's thread of a vCPU.

    def _thread(self, vcpu: Vcpu) -> Steps:
        """What the thread does, from `at` on: anew, or where a checkpoint found it."""
        at, number = self._at, vcpu.number
        while at[number] is not At.END:
            if at[number] is At.HELD:
                self._released_by(vcpu, (yield Do.HOLD))
            elif at[number] is At.STOPPED:
                yield Do.STOP
                self._stay_stopped(vcpu)
            elif at[number] is At.DEVICE:
                mmio = vcpu.kvm_run.mmio
                mmio.data = yield Access(mmio.phys_addr, mmio.len, mmio.is_write, mmio.data)
                at[number] = At.OUTSIDE
            elif at[number] is At.OUTSIDE and self._stopping:
                yield from self._complete(vcpu)
                vcpu.set_one_reg(onereg.COUNT_CTL, CTL_DC)
                self._stay_stopped(vcpu)
            else:
                again, at[number] = at[number] is At.KVM_RUN, At.KVM_RUN
                try:
                    yield from vcpu.run(again)
                except KvmError:
                    # A signal: the guest is to stop, or nothing.
                    at[number] = At.OUTSIDE
                else:
                    self._returned(vcpu)

    def _released_by(self, vcpu: Vcpu, mailboxes: Sequence[int] | None) -> None:
        """What a held thread wakes up with: the mailboxes that release it, or nothing."""
        if mailboxes is None:
            self._tell_stopped(vcpu)
            return
        if vcpu.number not in self.released:
            gpr, hi, lo, _ = vcpu.get_regs()
            for register, value in zip(RELEASE_REGISTERS, mailboxes[1:], strict=True):
                gpr[register] = value
            vcpu.set_regs(gpr, hi, lo, mailboxes[0])
            self.released.add(vcpu.number)
        self._at[vcpu.number] = At.OUTSIDE

    def _returned(self, vcpu: Vcpu) -> None:
        """KVM_RUN has ended as kvm_run says."""
        self.host.charge(vcpu, "kvm_user")
        run, at = vcpu.kvm_run, At.OUTSIDE
        if run.exit_reason is ExitReason.MMIO:
            at = At.DEVICE
        elif run.exit_reason is ExitReason.HYPERCALL:
            run.hypercall.ret = -1
        elif run.exit_reason is not ExitReason.IRQ_WINDOW_OPEN:
            said = self.vm.messages[-1] if self.vm.messages else ""
            self._stop("error", f"KVM_RUN of vCPU {vcpu.number}: {run.exit_reason.name} ({said})")
            at = At.END
        self._at[vcpu.number] = at

    @staticmethod
    def _complete(vcpu: Vcpu) -> Steps:
        """The answer to an MMIO exit is there; KVM_RUN takes it and comes back at once."""
        if vcpu.mmio_needed:
            vcpu.kvm_run.immediate_exit = True
            with suppress(KvmError):
                yield from vcpu.run()
            vcpu.kvm_run.immediate_exit = False

    def _stay_stopped(self, vcpu: Vcpu) -> None:
        """The guest is to stop, or to go on: its Count too."""
        if self._stopping:
            self._at[vcpu.number] = At.STOPPED
            self._tell_stopped(vcpu)
        else:
            self._at[vcpu.number] = At.OUTSIDE
            vcpu.set_one_reg(onereg.COUNT_CTL, 0)

    def _tell_stopped(self, vcpu: Vcpu) -> None:
        """`vcpu` is about to sleep: ends the run where all others of a guest that is to stop do so already."""
        asleep = (thread.state is ThreadState.BLOCKED or thread.vcpu is vcpu for thread in self.host.threads)
        if self._stopping and all(asleep):
            self._stop("until", "the guest has stopped")

    # Stopping and moving the guest.

    def stop_guest(self) -> None:
        """Have every vCPU leave KVM_RUN; the run that follows ends where all have."""
        self._stopping = True
        for vcpu in self.vcpus:
            self.host.interrupt(vcpu)

    def resume_guest(self) -> None:
        """Let the vCPUs of a stopped guest go on with the next run."""
        self._stopping = False
        for vcpu in self.vcpus:
            vcpu.signal = False
            self.host.wake(vcpu)

    @property
    def ports(self) -> Sequence[CorePort]:
        """The vCPUs as the wiring sees them."""
        return self._component.ports

    @property
    def time(self) -> int:
        """The grid point the cores have reached, in ps."""
        return self._component.time

    # Snapshots.

    def save(self) -> dict[str, Any]:
        """KVM, its VM and the VMM's threads for a checkpoint, as msgpack types."""
        return {
            "vm": self.vm.save(),
            "host": self.host.save(),
            "at": [self._at[vcpu.number].value for vcpu in self.vcpus],
            "stopping": self._stopping,
            "released": sorted(self.released),
        }

    def restore(self, saved: dict[str, Any]) -> None:
        """What `save` gave, with the cores as they were then."""
        self._stopping, self.released = saved["stopping"], set(saved["released"])
        self._at = {vcpu.number: At(at) for vcpu, at in zip(self.vcpus, saved["at"], strict=True)}
        self.vm.restore(saved["vm"])
        self.host.restore(saved["host"])

    def digest(self) -> bytes:
        """The registers of every vCPU, for the trace hash."""
        return b"".join(vcpu.digest() for vcpu in self.vcpus)

    def load(self, state: dict[str, Any]) -> None:
        """Registers of vCPU 0 from a state dictionary of a core: pc, gpr, cp0."""
        vcpu = self.vcpus[0]
        _, hi, lo, _ = vcpu.get_regs()
        vcpu.set_regs(state["gpr"], hi, lo, state["pc"])
        for name, value in state.get("cp0", {}).items():
            vcpu.set_one_reg(onereg.cp0(name), value)

    # Pins: what the wiring brings to a vCPU.

    def line(self, core: int, time: int, ip: int, level: bool) -> None:
        self.host.line(core, self._clock.tick_at_or_after(time), ip, level)
        self._component.look()

    def answer(self, core: int, time: int, value: int | None) -> None:
        self._cluster.answer(self.host.answer_core(core), self._clock.tick_at_or_after(time), value)
        self._component.look()

    def release(self, core: int, time: int, mailboxes: list[int]) -> None:
        self.host.release(core, self._clock.tick_at_or_after(time), mailboxes)
        self._component.look()

    # Outside: what the host reaches.

    def connect(self, core: int, link: Link) -> None:
        """The way of reschedule interrupts to a core."""
        self._kicks[core] = link

    def kicked(self, core: int) -> Callable[[Any], None]:
        """The handler for reschedule interrupts that arrive at a core."""
        return lambda message: self._component.line(core, message.time, IP6, 1)

    def arrives(self, core: int, cycle: int) -> None:
        self._cluster.line(core, cycle, IP6, 1)

    def kick(self, core: int, cycle: int) -> None:
        sent = max(self._clock.time(cycle), self._component.time)
        self._kicks[core].send(InterruptLevel, sent, self._source.new_cause(), 1)

    def access(self, vcpu: int, cycle: int, access: Access) -> None:
        self._component.exits += 1
        core = self.host.answer_core(vcpu)
        self._component.ports[vcpu].send(
            access.is_store, self._clock.time(cycle), access.address, access.size, access.value,
            self._cluster.cores[core].instructions,
        )  # fmt: skip

    # Looking.

    def _exit(self, number: int) -> None:
        """An exit, in front of which the core's guest is still the one that took what the core has noted."""
        self._note_taken(self._cluster.cores[number])
        self.host.exit(number)

    def _note_taken(self, core: Core) -> None:
        time = self._clock.time
        for cycle, mask, came_due in core.drain_irq_log():
            vcpu = self.host.cpus[core.number].thread.vcpu
            injected = [(ip, time(at)) for ip, at in vcpu.injected.items() if mask >> ip & 1]
            self._trace.taken(vcpu.number, time(cycle), mask, time(came_due), injected)

    def details(self) -> dict[str, int]:
        """Exits by reason and KVM's other counters, summed over the vCPUs, and root refills."""
        counted: Counter[str] = Counter()
        for vcpu in self.vcpus:
            if vcpu.core is not None:
                vcpu.count_answered()
            counted.update({f"{'exit' if name in REASONS else 'kvm'} {name}": n for name, n in vcpu.stats.items() if n})
        counted["refill root"] = sum(core.vz.refills for core in self._cluster.cores)
        return dict(counted)

    def waits_for(self) -> str:
        """What the threads do, in words."""
        return "; ".join(_shown(thread) for thread in self.host.threads)


def _shown(thread: Thread) -> str:
    vcpu = thread.vcpu
    return f"vCPU {vcpu.number} {thread.state.name.lower()} at pc {vcpu.pc:#018x}"


def _is_memory(memory: Any, address: int, size: int) -> bool:
    first = memory.offset(address)
    return first >= 0 and memory.offset(address + size - 1) == first + size - 1
