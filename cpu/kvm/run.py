"""KVM_RUN of a vCPU: its steps, the dispatch of exits, loads and stores of devices.

KVM_RUN is a generator that the host runs (cpu/kvm/host.py): what it yields is where the thread enters the guest, waits
for a device, sleeps, or lets another thread have the core. It may come back on another core from the last two.
Source: Linux 6.1: arch/mips/kvm/mips.c (kvm_arch_vcpu_ioctl_run, kvm_mips_handle_exit), emulate.c.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from enum import Enum, auto
from errno import EINTR
from typing import Any

from cpu.cp0.fields import EXCCODE_CPU, EXCCODE_GE, EXCCODE_INT, EXCCODE_MOD, EXCCODE_MSADIS, EXCCODE_TLBL, EXCCODE_TLBS
from cpu.kvm import emulate, exceptions, interrupt, stats, trace
from cpu.kvm.callback import Resume
from cpu.kvm.errors import KvmError
from cpu.kvm.uapi import ExitReason, Mmio, RunArea
from cpu.words import M64, signed


class Do(Enum):
    """What a vCPU's thread asks the host for, beside an access to a device (emulate.Access)."""

    ENTER = auto()
    """Enter the guest; comes back after the next exit."""
    LOAD = auto()
    """Load the vCPU into this core: KVM_RUN begins."""
    BLOCK = auto()
    """Sleep until an interrupt is pending."""
    HOLD = auto()
    """Sleep until the vCPU is released from reset; comes back with its mailboxes, or with None where it was woken."""
    YIELD = auto()
    """Let another thread have the core, if one waits."""
    STOP = auto()
    """Sleep until somebody wakes the thread: the VMM has stopped the guest."""


Steps = Generator[Any, Any, None]


class Mode(Enum):
    """vcpu->mode: whether a request must come with a kick."""

    OUTSIDE = auto()
    IN_GUEST = auto()


class Point(Enum):
    """Where a vCPU's thread stands in KVM_RUN."""

    OUT = auto()
    """Not in it, or at its beginning."""
    READY = auto()
    """Loaded; the guest has not been entered yet."""
    GUEST = auto()
    DEVICE = auto()
    """A device within the kernel is to answer."""
    ASLEEP = auto()
    BETWEEN = auto()
    """An exit is handled, and the guest goes on."""
    LEAVING = auto()
    """An exit is handled, and KVM_RUN ends."""


@dataclass
class ExitState:
    """Root registers as the exit code saved them (host_cp0_*)."""

    badvaddr: int = 0
    cause: int = 0
    guestctl0: int = 0
    badinstr: int = 0
    badinstrp: int = 0
    gscause: int = 0

    @property
    def exccode(self) -> int:
        """Cause.ExcCode."""
        return self.cause >> 2 & 31

    @property
    def unit(self) -> int:
        """Cause.CE: the coprocessor that is unusable."""
        return self.cause >> 28 & 3

    @property
    def gexccode(self) -> int:
        """GuestCtl0.GExcCode."""
        return self.guestctl0 >> 2 & 31

    @property
    def gsexccode(self) -> int:
        """GSCause.GSExcCode."""
        return self.gscause >> 2 & 31


class KvmRun:
    """The KVM_RUN half of a vCPU."""

    def __init__(self) -> None:
        self.kvm_run = RunArea()
        self.exit = ExitState()
        self.mode = Mode.OUTSIDE
        self.point = Point.OUT
        self.running = False
        """Inside KVM_RUN."""
        self.running_guest = False
        """Between the first entry of a KVM_RUN and its end (PF_VCPU)."""
        self.signal = False
        """A signal is pending for the thread: KVM_RUN ends with EINTR."""
        self.is_hypcall = False
        """The last exit was a hypercall that user space is to answer."""
        self._mmio: emulate.Access | None = None
        """The load or store of a device that is still to be answered."""
        self._io_pc = 0
        """Where the guest goes on behind the last load of a device."""
        self._stale = 0
        """What the last access left in kvm_run.mmio.data: a partial store puts its bytes into it."""

    def run(self, again: bool = False) -> Steps:
        """KVM_RUN: until `kvm_run.exit_reason` says why not. Raises KvmError (EINTR) for a signal or immediate_exit.

        A second call while one runs would wait for the vCPU's mutex; here it is refused with EINTR, which is what a
        signal makes of such a wait. `again`: what is left of one that a checkpoint caught, from its `point` on.
        """
        if self.running and not again:
            raise KvmError(EINTR, f"vCPU {self.number} is in KVM_RUN already, and its mutex held")
        self.running = True
        try:
            yield from self._run()
        finally:
            self.running, self.point = False, Point.OUT
            if self.core is not None:
                self.put()

    def _run(self) -> Steps:
        """The steps of a KVM_RUN. Between two of them `point` says all about where it is."""
        if self.point is Point.OUT:
            yield Do.LOAD
            self._complete()
            if self.kvm_run.immediate_exit:
                raise KvmError(EINTR, "immediate_exit is set")
            self.point = Point.READY
        if self.point is Point.READY:
            yield Do.YIELD
            self.emit("kvm_enter", self.pc)
            self.mode = Mode.IN_GUEST
            self.vm.callbacks.vcpu_run(self)
            self.point = Point.GUEST
        while True:
            if self.point is Point.GUEST:
                yield Do.ENTER
                self.point = self._came_out()
            if self.point is Point.DEVICE:
                self._finish((yield self._mmio))
                self.point = Point.BETWEEN
            elif self.point is Point.ASLEEP:
                yield Do.BLOCK
                self.point = self._asleep()
                continue
            yield Do.YIELD
            if self.point is Point.LEAVING:
                break
            self.vm.callbacks.acquire_timer(self)
            interrupt.deliver(self)
            if self.signal:
                self.signal = False
                self.stats["signal"] += 1
                self.kvm_run.exit_reason = ExitReason.INTR
                self.emit("kvm_exit", self.pc, trace.EXIT_SIGNAL)
                self._leave()
                raise KvmError(EINTR, "a signal is pending")
            self.emit("kvm_reenter", self.pc)
            self.mode = Mode.IN_GUEST
            self.vm.callbacks.vcpu_reenter(self)
            self.point = Point.GUEST
        self._leave()

    def _came_out(self) -> Point:
        """The exit is handled; what comes of it."""
        resume = self._handle_exit()
        if resume is Resume.ACCESS:
            self.stats["mmio_kernel"] += 1
            return Point.DEVICE
        if resume is Resume.BLOCK:
            self.stats["halt_wakeup"] += 1
            return self._asleep()
        return Point.LEAVING if resume is Resume.HOST else Point.BETWEEN

    def _asleep(self) -> Point:
        """kvm_vcpu_halt: it sleeps (on) where nothing is pending. Then the guest goes on, except where its WAIT came as
        "coprocessor unusable": user space is told of that."""
        if not (self.runnable or self.signal):
            return Point.ASLEEP
        self.kvm_run.exit_reason = ExitReason.IRQ_WINDOW_OPEN
        return Point.LEAVING if self.exit.exccode == EXCCODE_CPU else Point.BETWEEN

    def _leave(self) -> None:
        self.vm.callbacks.vcpu_leave(self)
        self.emit("kvm_out", self.pc)

    def _complete(self) -> None:
        """What the last exit left for user space to answer."""
        if self._mmio is not None:
            self._finish(self.kvm_run.mmio.data)
        elif self.is_hypcall:
            self.gprs[2] = signed(self.kvm_run.hypercall.ret)
            self.is_hypcall = False

    def _finish(self, data: int) -> None:
        """The device has answered."""
        access, self._mmio = self._mmio, None
        if access.is_store:
            return
        self._stale = data
        if access.register:
            self.gprs[access.register] = emulate.complete(access, int(self.gprs[access.register]), data)
        self.pc = self._io_pc

    def _handle_exit(self) -> Resume:
        """kvm_mips_handle_exit"""
        code = self.exit.exccode
        self.mode = Mode.OUTSIDE
        run = self.kvm_run
        run.exit_reason = ExitReason.UNKNOWN
        run.ready_for_interrupt_injection = True
        if code != EXCCODE_GE:
            self.emit("kvm_exit", self.pc, code)
            self.stats[stats.BY_EXCCODE.get(code, "other")] += 1
        backend = self.vm.callbacks
        if backend.checks_privilege and exceptions.refuse(self):
            self.charge("kvm_handle_gpsi")
            return Resume.GUEST
        if code == EXCCODE_INT:
            self.charge("kvm_handle_int")
            return Resume.GUEST
        if code == EXCCODE_GE:
            return backend.handle_guest_exit(self)
        if code in (EXCCODE_TLBL, EXCCODE_TLBS, EXCCODE_MOD):
            self.charge("kvm_handle_fault")
            return (backend.handle_tlb_mod, backend.handle_tlb_ld_miss, backend.handle_tlb_st_miss)[code - 1](self)
        if code == EXCCODE_CPU:
            return backend.handle_cop_unusable(self)
        if code == EXCCODE_MSADIS:
            self.charge("kvm_handle_aux")
            return backend.handle_msa_disabled(self)
        handler = backend.more_handlers.get(code)
        if handler is not None:
            return handler(self)
        return self.internal_error(f"exit with ExcCode {code} that nothing handles")

    def internal_error(self, why: str) -> Resume:
        """KVM_EXIT_INTERNAL_ERROR; `why` is what the kernel would log."""
        self.kvm_run.exit_reason = ExitReason.INTERNAL_ERROR
        self.vm.log(f"vCPU {self.number} at pc {self.pc & M64:#018x}: {why}")
        return Resume.HOST

    # For the handlers.

    def next_pc(self) -> int:
        """Where the guest goes on; KvmError where KVM cannot tell. A branch that links does so."""
        where, link = emulate.after(self.pc & M64, self.exit.cause, self.exit.badinstrp, self.gprs)
        if link is not None and link[0]:
            self.gprs[link[0]] = signed(link[1])
        return where

    @property
    def is_fetch_fault(self) -> bool:
        """Whether the exit's BadVAddr looks like that of an instruction fetch (kvm_is_ifetch_fault)."""
        pc, bad = self.pc & M64, self.exit.badvaddr
        return bad == pc or bool(self.exit.cause >> 31 and 0 <= bad - pc <= 4)

    def advance(self) -> None:
        """Go on behind the instruction (update_pc)."""
        self.pc = self.next_pc()

    def load_mmio(self) -> Resume:
        """The exit is a load of a device: kvm_mips_emulate_load."""
        try:
            access = emulate.load(self.exit.badinstr, self.exit.badvaddr)
            self._io_pc = self.next_pc()
        except KvmError as error:
            return self.internal_error(str(error))
        return self._device(access)

    def store_mmio(self) -> Resume:
        """The exit is a store to a device: kvm_mips_emulate_store. The pc moves on before the access."""
        before = self.pc
        try:
            self.advance()
            access = emulate.store(self.exit.badinstr, self.exit.badvaddr, self.gprs, self._stale)
        except KvmError as error:
            self.pc = before
            return self.internal_error(str(error))
        self._stale = access.value
        return self._device(access)

    def _device(self, access: emulate.Access) -> Resume:
        self._mmio = access
        self.charge("kvm_handle_mmio")
        if self.vm.in_kernel(access.address):
            return Resume.ACCESS
        self.stats["mmio_user"] += 1
        run = self.kvm_run
        run.mmio = Mmio(access.address, access.value, access.size, access.is_store)
        run.exit_reason = ExitReason.MMIO
        return Resume.HOST

    @property
    def mmio_needed(self) -> bool:
        """A load or store of user space waits to be completed by the next KVM_RUN."""
        return self._mmio is not None
