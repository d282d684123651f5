"""A virtual CPU: its state outside guest mode, its place on a core, its ioctls and registers by id.

Source: Linux 6.1: arch/mips/kvm/mips.c. What it does in KVM_RUN is in cpu/kvm/run.py.
"""

from __future__ import annotations

from errno import EINVAL, ENOTTY
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from cpu import state
from cpu.cp0 import registers
from cpu.cp0.fields import CAUSE_DC, CONFIG1_FP, CONFIG3_MSA, CONFIG5_MSAEN
from cpu.kvm import emulate, fpu, interrupt, onereg, register_access, stats, tlb
from cpu.kvm.errors import KvmError
from cpu.kvm.run import ExitState, KvmRun, Mode, Point
from cpu.kvm.uapi import Cap, ExitReason, Hypercall, Ioctl, Mmio
from cpu.vz import account
from cpu.words import M32, M64, signed

if TYPE_CHECKING:
    from cpu.core import Core
    from cpu.kvm.mips import Vm
    from cpu.kvm.shadow import Shadow

_COMPARE, _CAUSE = onereg.number("compare"), onereg.number("cause")
_WIDE = frozenset(("maari", "xcontextconfig", "kscratch4", "kscratch5", "kscratch6"))
"""Registers of 64 bits that the core's own table lacks."""
_PLAIN = (
    "pc", "hi", "lo", "fpu_enabled", "msa_enabled", "timer_expires", "timer_active", "timer_came_at", "injected",
    "last_sched_core", "last_exec_core", "flush_requested", "signal", "running", "running_guest", "is_hypcall",
    "_io_pc", "_stale", "guest_debug", "core_ext_ioisr",
)  # fmt: skip
"""Attributes of a vCPU that a checkpoint has as they are."""


class Vcpu(KvmRun):
    """One vCPU of a VM. Made by `Vm.create_vcpu`."""

    def __init__(self, vm: Vm, number: int) -> None:
        super().__init__()
        self.vm, self.number = vm, number
        self.stats = stats.counters()
        self.pc = 0
        self.gprs = np.zeros(32, np.int64)
        self.hi = self.lo = 0
        self.account = vm.open_account()
        self.words = self.account.data
        """The same as Python's own integers."""
        self.account_address = self.account.ctypes.data
        self.image = self.account[: account.IMAGE_WORDS]
        """cop0.reg: the guest's CP0 while it is not in a core, and always what only software has; 8 * rd + sel."""
        self.written: set[str] = set()
        """Registers that user space wrote into the image since the last load: they go in by MTGC0."""
        self.shadow: Shadow | None = None
        """What trap and emulate has in place of the hardware's guest TLB."""
        self.context = fpu.Context()
        self.fpu_enabled = self.msa_enabled = False
        self.pending = interrupt.Pending()
        self.timer: Any = None
        self.timer_active = False
        self.timer_came_at = 0
        """Core cycle at which Count last reached Compare, as far as it is not in a core."""
        self.injected: dict[int, int] = {}
        """Cause.IP bit to the core cycle at which it was last made pending in the guest."""
        self.guestids: dict[int, int] = {}
        """vzguestid: core number to version and id."""
        self.wired: list[Any] = []
        self.maar = [0] * onereg.MAARS
        self.guest_debug = 0
        self.core_ext_ioisr = [0, 0, 0, 0]
        """Of the Loongson tree: flags of SET_GUEST_DEBUG; vectors pending at the vCPU where no device holds them."""
        self.last_sched_core = self.last_exec_core = -1
        self.core: Core | None = None
        """The core whose guest CP0 this vCPU owns now (between load and put)."""
        self.flush_requested = False
        vm.callbacks.vcpu_init(self)
        vm.callbacks.vcpu_setup(self)

    # CP0 of the guest, wherever it is.

    def gc0(self, name: str) -> int:
        """A guest CP0 register, unsigned: from the core while loaded, else from the image; software's own always."""
        if self.core is not None and name in self.vm.callbacks.in_hardware:
            return self.core.vz.gc0(name)
        return self.soft(name)

    @property
    def compare(self) -> int:
        """Guest.Compare."""
        return self._stored(_COMPARE) & M32

    @property
    def count_stopped(self) -> bool:
        """Whether Guest.Cause.DC is set."""
        return bool(self._stored(_CAUSE) & CAUSE_DC)

    def _stored(self, index: int) -> int:
        """A register that reads as it is stored; 8 * rd + sel."""
        if self.core is None or self.shadow is not None:
            return int(self.image[index])
        return self.core.words[state.GCP0 + index]

    def set_gc0(self, name: str, value: int) -> None:
        """Write one; in the core by MTGC0, with the core's mask."""
        if name == "cause":
            value &= ~self.vm.callbacks.cause_unkept
        if self.core is not None and name in self.vm.callbacks.in_hardware:
            self.core.vz.set_gc0(name, value)
        else:
            self.set_soft(name, value)
            self.written.add(name)

    def soft(self, name: str) -> int:
        """The image's value, unsigned."""
        index, values = _place(name)
        return int(self.image[index]) & values

    def set_soft(self, name: str, value: int) -> None:
        index, values = _place(name)
        self.image[index] = signed(value & values)

    # The host: time, timer, sleep, trace.

    @property
    def timer_expires(self) -> int:
        """Host time, ns, at which the host timer goes off; a cancelled one keeps its time."""
        return self.words[account.EXPIRES]

    @timer_expires.setter
    def timer_expires(self, value: int) -> None:
        self.words[account.EXPIRES] = value

    @property
    def now(self) -> int:
        """Host time in ns (ktime_get)."""
        return self.vm.host.now(self.core)

    def start_timer(self, expires: int) -> None:
        """Have the host timer go off at `expires` ns."""
        self.timer_expires, self.timer_active = expires, True
        self.vm.host.timer_changed(self)

    def cancel_timer(self) -> None:
        self.timer_active = False
        self.vm.host.timer_changed(self)

    def timer_came(self) -> None:
        """The host timer went off (kvm_mips_comparecount_wakeup)."""
        self.start_timer(self.timer_expires + self.timer.expired())
        self.wake()

    def queue_timer_int(self) -> None:
        self.timer_came_at = self.vm.host.clock.tick_at_or_after(self.timer_expires * 1000)
        self.vm.callbacks.queue_timer_int(self)

    def dequeue_timer_int(self) -> None:
        self.vm.callbacks.dequeue_timer_int(self)

    def move_compare(self, compare: int, ack: bool, forward: bool) -> None:
        """Write Guest.Compare so that Guest.Count, parked just behind it, never crosses it."""
        self.vm.callbacks.move_compare(self, compare, ack, forward)

    def wake(self) -> None:
        """Wake the thread if it sleeps."""
        self.vm.host.wake(self)

    def charge(self, name: str) -> None:
        """The handler took the time that the timing table has for `name`."""
        if self.core is not None:
            self.core.vz.charge(self.vm.host.cost(name))

    def emit(self, name: str, *values: Any) -> None:
        """A trace event."""
        tracer = self.vm.tracer
        if name in tracer.wanted:
            tracer.emit(self.core.cycles if self.core is not None else 0, self.number, name, *values)

    @property
    def runnable(self) -> bool:
        """kvm_arch_vcpu_runnable"""
        return self.pending.set != 0

    @property
    def undisturbed(self) -> bool:
        """Nothing waits for the vCPU's next exit, and nobody follows its exits."""
        asked = self.pending.set or self.pending.clear or self.signal or self.flush_requested
        return not (asked or self.vm.tracer.wanted)

    @property
    def sends_itself(self) -> bool:
        """Whether a load or store of a device in user space is nothing but that: KVM_RUN is left and called again, with
        no registers of units or wired entries to save, none to restore, and the timer a soft one of the hardware's
        rate."""
        if self.context.in_use or self.written or self.wired or self.kvm_run.immediate_exit:
            return False
        vm, timer = self.vm, self.timer
        return not vm.arch.use_stable_timer and timer.hz == vm.host.count_hz and not timer.ctl

    def count_answered(self) -> None:
        """Adds the exits that the core has answered since the last call (cpu/vz/short_exit.py, short_access.py)."""
        answered = self.core.vz.answered()
        if answered:
            for name in ("exits", "vz_gpsi", "cache"):
                self.stats[name] += answered
        words = self.words
        loads, stores = words[account.LOADS], words[account.STORES]
        if loads or stores:
            words[account.LOADS] = words[account.STORES] = 0
            self.stats["tlbmiss_ld"] += loads
            self.stats["tlbmiss_st"] += stores
            for name in ("exits", "mmio_user", "put", "load"):
                self.stats[name] += loads + stores
            self._show_last(words[account.SIZE])

    def _show_last(self, size: int) -> None:
        """kvm_run, and what the next partial store finds, after the last access that the core has carried out."""
        run, words, mask = self.kvm_run, self.words, (1 << 8 * size) - 1
        self._stale = words[account.STALE] & mask
        answer = words[account.ANSWER] & mask
        run.mmio = Mmio(words[account.ADDRESS], answer, size, bool(words[account.IS_STORE]))
        run.exit_reason = ExitReason.MMIO

    # Loading and putting, by the host's scheduler.

    def load(self, core: Core) -> None:
        """The thread runs on `core` from now on."""
        self.stats["load"] += 1
        self.core = core
        self.charge("kvm_load")
        self.vm.callbacks.vcpu_load(self, core)

    def put(self) -> None:
        """The thread leaves its core."""
        self.stats["put"] += 1
        self.charge("kvm_put")
        self.vm.callbacks.vcpu_put(self, self.core)
        self.core = None

    def get_state(self) -> dict[str, Any]:
        """Every register, unsigned, wherever it is now; the keys are those of `Core.get_state`."""
        S = self.core.S if self.mode is Mode.IN_GUEST and self.core is not None else None
        gprs = self.gprs if S is None else S[state.GPR : state.GPR + 32]
        hi, lo, pc = (self.hi, self.lo, self.pc) if S is None else S[[state.HI, state.LO, state.PC]].tolist()
        control = self.context.fcr31, self.context.msacsr
        if S is not None and self.context.in_use:
            control = S[[state.FCSR, state.MSACSR]].tolist()
        places = [(register_access.lane_of(self, n, 0), register_access.lane_of(self, n, 1)) for n in range(32)]
        lanes = [[int(array[at]) & M64 for array, at in pair] for pair in places]
        msa = {"config5_msaen": int(self.gc0("config5") & CONFIG5_MSAEN != 0)}
        return {
            "pc": pc & M64,
            "gpr": [int(v) & M64 for v in gprs],
            "hi": hi & M64,
            "lo": lo & M64,
            "fpr": [low for low, _ in lanes],
            "msa": [tuple(pair) for pair in lanes],
            "fcsr": control[0] & M32,
            "msacsr": control[1] & M32,
            "cp0": {name: self.gc0(name) for name in sorted(self.vm.callbacks.shown)} | msa,
        }

    def digest(self) -> bytes:
        """Its registers as bytes, for the trace hash. What is live in a core stands in the core's own digest."""
        area, context, timer = self.mode is not Mode.IN_GUEST, self.context, self.timer
        words = [self.pc, self.hi, self.lo, context.fcr31, context.msacsr] if area else []
        words += [self.pending.set, self.pending.clear, *timer.save(), *self.maar]
        parts = [self.gprs] if area else []
        parts += [self.image, context.registers, np.array([word & M64 for word in words], np.uint64)]
        shadow = b"" if self.shadow is None else self.shadow.digest()
        return shadow + b"".join(part.tobytes() for part in parts)

    # Snapshots.

    def save(self) -> dict[str, Any]:
        """All of the vCPU for a checkpoint, as msgpack types; `point` says where its KVM_RUN goes on."""
        run = self.kvm_run
        return {
            **{name: getattr(self, name) for name in _PLAIN},
            "gprs": self.gprs.tolist(),
            "exit": list(vars(self.exit).values()),
            "image": self.image.tobytes(),
            "written": sorted(self.written),
            "registers": self.context.registers.tobytes(),
            "context": [self.context.fcr31, self.context.msacsr, self.context.in_use],
            "pending": [self.pending.set, self.pending.clear],
            "timer": self.timer.save(),
            "guestids": dict(self.guestids),
            "wired": [list(entry) for entry in self.wired],
            "shadow": None if self.shadow is None else self.shadow.save(),
            "maar": list(self.maar),
            "core": None if self.core is None else self.core.number,
            "mode": self.mode.value,
            "point": self.point.value,
            "mmio": None if self._mmio is None else list(self._mmio),
            "run": [int(run.exit_reason), run.immediate_exit, run.ready_for_interrupt_injection],
            "run_mmio": list(vars(run.mmio).values()),
            "run_hypercall": [run.hypercall.nr, list(run.hypercall.args), run.hypercall.ret],
            "stats": dict(self.stats),
        }

    def restore(self, saved: dict[str, Any]) -> None:
        """What `save` gave, into a vCPU that has not run."""
        for name in _PLAIN:
            setattr(self, name, saved[name])
        self.gprs[:] = saved["gprs"]
        self.exit = ExitState(*saved["exit"])
        self.image[:] = np.frombuffer(saved["image"], np.int64)
        self.written = set(saved["written"])
        self.context.registers.reshape(-1)[:] = np.frombuffer(saved["registers"], np.int64)
        self.context.fcr31, self.context.msacsr, self.context.in_use = saved["context"]
        self.pending.set, self.pending.clear = saved["pending"]
        self.timer.load(saved["timer"])
        self.guestids = dict(saved["guestids"])
        self.wired = [tlb.Entry(*entry) for entry in saved["wired"]]
        self.maar = list(saved["maar"])
        if self.shadow is not None:
            self.shadow.restore(saved["shadow"])
        self.core = None if saved["core"] is None else self.vm.host.cores[saved["core"]]
        self.mode, self.point = Mode(saved["mode"]), Point(saved["point"])
        self._mmio = None if saved["mmio"] is None else emulate.Access(*saved["mmio"])
        run = self.kvm_run
        reason, run.immediate_exit, run.ready_for_interrupt_injection = saved["run"]
        run.exit_reason, run.mmio = ExitReason(reason), Mmio(*saved["run_mmio"])
        number, arguments, answer = saved["run_hypercall"]
        run.hypercall = Hypercall(number, tuple(arguments), answer)
        self.stats.update(saved["stats"])

    # ioctls of the vCPU.

    def ioctl(self, request: int, argument: Any = None) -> Any:
        """The ioctl `request` (uapi.Ioctl) other than RUN. ENOTTY for one that a vCPU does not have."""
        calls = {
            Ioctl.GET_REGS: lambda _: self.get_regs(),
            Ioctl.SET_REGS: lambda regs: self.set_regs(*regs),
            Ioctl.INTERRUPT: self.interrupt,
            Ioctl.ENABLE_CAP: self.enable_cap,
            Ioctl.GET_ONE_REG: self.get_one_reg,
            Ioctl.SET_ONE_REG: lambda pair: self.set_one_reg(*pair),
            Ioctl.GET_REG_LIST: self.get_reg_list,
            **self.vm.callbacks.vcpu_ioctls(self),
        }
        if request == Ioctl.RUN and argument:
            raise KvmError(EINVAL, f"KVM_RUN takes no argument, got {argument!r}")
        if request not in calls:
            raise KvmError(ENOTTY, f"a vCPU has no ioctl {request:#x}")
        return calls[request](argument)

    def interrupt(self, irq: int) -> None:
        """KVM_INTERRUPT on this vCPU; does not wait for a KVM_RUN under way."""
        interrupt.interrupt(self, irq)

    def get_regs(self) -> tuple[list[int], int, int, int]:
        """KVM_GET_REGS: (gpr[32], hi, lo, pc), unsigned."""
        return [int(v) & M64 for v in self.gprs], self.hi & M64, self.lo & M64, self.pc & M64

    def set_regs(self, gpr: list[int], hi: int, lo: int, pc: int) -> None:
        """KVM_SET_REGS."""
        if len(gpr) != 32:
            raise KvmError(EINVAL, f"{len(gpr)} general registers; 32 are needed")
        self.gprs[1:] = [signed(v) for v in gpr[1:]]
        self.hi, self.lo, self.pc = signed(hi), signed(lo), pc & M64

    def enable_cap(self, cap: int, flags: int = 0, argument: int = 0) -> None:
        """KVM_ENABLE_CAP: MIPS_FPU or MIPS_MSA. EINVAL for what the host has not, or with flags or arguments."""
        if flags or argument or not self.vm.kvm.check_extension(cap):
            raise KvmError(EINVAL, f"capability {cap} with flags {flags} and argument {argument}")
        if cap == Cap.MIPS_FPU:
            self.fpu_enabled = True
        elif cap == Cap.MIPS_MSA:
            self.msa_enabled = True
        else:
            raise KvmError(EINVAL, f"capability {cap} cannot be enabled: MIPS_FPU and MIPS_MSA can")

    # Registers by id.

    @property
    def has_fpu(self) -> bool:
        """Enabled by the capability, and present in the guest's Config1."""
        return self.fpu_enabled and bool(self.gc0("config1") & CONFIG1_FP)

    @property
    def has_msa(self) -> bool:
        return self.msa_enabled and bool(self.gc0("config3") & CONFIG3_MSA)

    @property
    def has_lasx(self) -> bool:
        """By the capability MSA and the host's CPUCFG; there is no bit of the guest's for it."""
        return self.vm.callbacks.has_lasx(self)

    def num_regs(self) -> int:
        """The number KVM_GET_REG_LIST reports."""
        return register_access.count(self)

    def get_reg_list(self, room: int | None = None) -> list[int]:
        """KVM_GET_REG_LIST: all ids. E2BIG where the caller has `room` for fewer than `num_regs`."""
        return register_access.ids(self, room)

    def get_one_reg(self, number: int) -> int:
        """KVM_GET_ONE_REG, unsigned. EINVAL for an id that this vCPU has not."""
        return register_access.get(self, number)

    def set_one_reg(self, number: int, value: int) -> None:
        """KVM_SET_ONE_REG. Vector registers take their value and drop it, as the kernel's do."""
        register_access.put(self, number, value)


@cache
def _place(name: str) -> tuple[int, int]:
    """Where the image has a register, and its values."""
    found = registers.REGISTERS.get(name)
    wide = found.width == 64 if found is not None else name in _WIDE
    return onereg.number(name), M64 if wide else M32
