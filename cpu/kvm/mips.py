"""KVM and its VMs: the system and VM ioctls.

Source: Linux 6.1: virt/kvm/kvm_main.c, arch/mips/kvm/mips.c. A refused call raises KvmError with the kernel's errno.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from errno import EEXIST, EINVAL, ENOENT, ENOMEM, ENOTTY
from typing import TYPE_CHECKING, Any

import numpy as np

from cpu.kvm.backend import Backend
from cpu.kvm.errors import KvmError
from cpu.kvm.ls3acomp_vz import Ls3acompVz
from cpu.kvm.mmu import GpaTable, Slot
from cpu.kvm.run import Mode
from cpu.kvm.trace import Tracer
from cpu.kvm.trap_emul import TrapEmul
from cpu.kvm.uapi import (
    API_VERSION,
    MAX_SLOT_PAGES,
    MAX_VCPUS,
    MEM_LOG_DIRTY_PAGES,
    MEM_READONLY,
    PAGE_SHIFT,
    PAGE_SIZE,
    USER_MEM_SLOTS,
    VCPU_MMAP_SIZE,
    VM_TYPE_AUTO,
    Cap,
    Ioctl,
    MemoryRegion,
)
from cpu.kvm.vcpu import Vcpu
from cpu.kvm.vz import Vz
from cpu.vz import account
from soc.errors import ConfigurationError, choose

if TYPE_CHECKING:
    from cpu.kvm.host import Host
    from cpu.kvm.irqchip import Controllers

BACKENDS: dict[str, type[Backend]] = {"vz": Vz, "ls3acomp": Ls3acompVz, "te": TrapEmul}
"""Back-ends by name: Linux 6.1's, the Loongson tree's for the 3A4000, and trap and emulate of Linux 5.10."""


def find_backend(name: str) -> type[Backend]:
    """The back-end of that name. ConfigurationError for another."""
    if name not in BACKENDS:
        raise ConfigurationError(choose("KVM back-end", name, BACKENDS))
    return BACKENDS[name]


@dataclass
class VmArch:
    """struct kvm_arch, as far as only the Loongson tree has it."""

    cpucfg_lasx: bool = False
    """The host has LASX."""
    use_stable_timer: bool = False
    """The host's timer interrupt is the stable timer's (Config6.EXTIMER)."""
    stablecounter_gftoffset: int = 0
    """What the guest's stable counter has more than the host's, ticks modulo 2^64."""
    nodecounter_offset: int = 0
    """Likewise for the node counter."""
    online_vcpus: int = 0
    is_migrate: int = 0
    """What SET_VCPU_STATE said: the VM came from another host."""


class Kvm:
    """/dev/kvm of a host. `backend`: one of BACKENDS; `is_memory(address, size)` says what user memory there is;
    `pages` are root physical addresses of pages that are the kernel's own: trap and emulate takes one for a vCPU."""

    def __init__(
        self,
        host: Host,
        backend: str = "vz",
        is_memory: Callable[[int, int], bool] | None = None,
        pages: Iterable[int] = (),
    ) -> None:
        self.host = host
        self.callbacks = find_backend(backend)()
        self.is_memory = is_memory or (lambda address, size: True)
        self._pages = list(pages)
        self.tracer = Tracer(host.look_in)
        self.vms: list[Vm] = []

    def ioctl(self, request: int, argument: Any = None) -> Any:
        """The system ioctl `request` (uapi.Ioctl). ENOTTY for one that there is not."""
        if request == Ioctl.GET_API_VERSION or request == Ioctl.GET_VCPU_MMAP_SIZE:
            if argument:
                raise KvmError(EINVAL, f"ioctl {request:#x} takes no argument, got {argument!r}")
            return API_VERSION if request == Ioctl.GET_API_VERSION else VCPU_MMAP_SIZE
        calls = {Ioctl.CREATE_VM: self.create_vm, Ioctl.CHECK_EXTENSION: self.check_extension}
        if request not in calls:
            raise KvmError(ENOTTY, f"/dev/kvm has no ioctl {request:#x}")
        return calls[request](argument)

    def check_extension(self, number: int) -> int:
        """KVM_CHECK_EXTENSION: 0 for what is not there."""
        cpus = min(MAX_VCPUS, max(1, len(self.host.cpus)))
        known = {
            Cap.NR_VCPUS: cpus, Cap.MAX_VCPUS: MAX_VCPUS, Cap.MAX_VCPU_ID: MAX_VCPUS, Cap.SYNC_MMU: 1,
            Cap.ENABLE_CAP: 1, Cap.ONE_REG: 1, Cap.READONLY_MEM: 1, Cap.IMMEDIATE_EXIT: 1, Cap.MIPS_FPU: 1,
            Cap.MIPS_MSA: 1,
        }  # fmt: skip
        return known.get(number, self.callbacks.check_extension(number))

    def create_vm(self, kind: int = VM_TYPE_AUTO) -> Vm:
        """KVM_CREATE_VM. EINVAL for a type other than AUTO and the back-end's. The first VM enables the hardware of
        every core."""
        own = self.callbacks.vm_type
        if kind not in (VM_TYPE_AUTO, own):
            raise KvmError(EINVAL, f"VM type {kind}; 0 (AUTO) and {own} ({self.callbacks.name}) are possible")
        if not self.vms:
            for core in self.host.cores:
                self.callbacks.hardware_enable(core)
        vm = Vm(self)
        self.vms.append(vm)
        return vm

    def take_page(self) -> int:
        """Root physical address of a page of the kernel's. ENOMEM when there is none left."""
        if not self._pages:
            raise KvmError(ENOMEM, "no page of the host kernel's own is left; trap and emulate needs one for a vCPU")
        return self._pages.pop(0)


class Vm:
    """A VM: memory slots, the GPA table, vCPUs."""

    def __init__(self, kvm: Kvm) -> None:
        self.kvm, self.host, self.callbacks, self.tracer = kvm, kvm.host, kvm.callbacks, kvm.tracer
        self.slots: dict[int, Slot] = {}
        self.gpa = GpaTable(self.find_slot)
        self.vcpus: list[Vcpu] = []
        self.messages: list[str] = []
        """What the kernel would have logged."""
        self.controllers: Controllers | None = None
        """The machine's, which the VMM hands in."""
        self.irqchip: Controllers | None = None
        """The same, once KVM_CREATE_IRQCHIP has made them the VM's irqchip."""
        self._own = account.own_table(())
        self._kernel_devices: list[tuple[int, int]] = []
        self._in_kernel: dict[int, bool] = {}
        """Addresses that were asked for, and whether such a device has them."""
        self._found: Slot | None = None
        self.arch = VmArch()
        self.callbacks.init_vm(self)

    def log(self, text: str) -> None:
        """A line of the kernel's log."""
        self.messages.append(text)
        logging.getLogger("kvm").info(text)

    def ioctl(self, request: int, argument: Any = None) -> Any:
        """The VM ioctl `request` (uapi.Ioctl). ENOTTY for one that this back-end has not."""
        calls = {
            Ioctl.CHECK_EXTENSION: self.kvm.check_extension,
            Ioctl.CREATE_VCPU: self.create_vcpu,
            Ioctl.SET_USER_MEMORY_REGION: self.set_user_memory_region,
            Ioctl.GET_DIRTY_LOG: self.get_dirty_log,
            **self.callbacks.vm_ioctls(self),
        }
        if request not in calls:
            raise KvmError(ENOTTY, f"a VM has no ioctl {request:#x}")
        return calls[request](argument)

    def create_vcpu(self, number: int) -> Vcpu:
        """KVM_CREATE_VCPU. EINVAL for an id of 16 or more, EEXIST for one there is."""
        if not 0 <= number < MAX_VCPUS:
            raise KvmError(EINVAL, f"vCPU id {number}; 0 to {MAX_VCPUS - 1}")
        if any(vcpu.number == number for vcpu in self.vcpus):
            raise KvmError(EEXIST, f"there is a vCPU {number}")
        vcpu = Vcpu(self, number)
        self.vcpus.append(vcpu)
        self.arch.online_vcpus = number + 1
        return vcpu

    # Devices within the kernel.

    def add_kernel_device(self, base: int, size: int) -> None:
        """Guest physical [base, base + size) belongs to a device that KVM serves without leaving the kernel."""
        self.host.look_in()
        self._kernel_devices.append((base, base + size))
        self._in_kernel.clear()
        self._describe()

    def in_kernel(self, gpa: int) -> bool:
        """Whether such a device has the address."""
        known = self._in_kernel.get(gpa)
        if known is None:
            known = self._in_kernel[gpa] = any(base <= gpa < end for base, end in self._kernel_devices)
        return known

    def open_account(self) -> np.ndarray:
        """The account of a vCPU of this VM."""
        return account.open_account(self.host.cost, self.host.clock, self._own, self.callbacks.saved_table)

    def _describe(self) -> None:
        """Slots or devices in the kernel have changed."""
        slots = ((slot.base_gfn << PAGE_SHIFT, slot.end_gfn << PAGE_SHIFT) for slot in self.slots.values())
        self._own = account.own_table([*slots, *self._kernel_devices])
        for vcpu in self.vcpus:
            vcpu.words[account.OWN] = self._own.ctypes.data

    # Memory.

    def find_slot(self, gfn: int) -> Slot | None:
        """The memory slot that holds a page."""
        found = self._found
        if found is not None and found.base_gfn <= gfn < found.end_gfn:
            return found
        for slot in self.slots.values():
            if slot.base_gfn <= gfn < slot.end_gfn:
                self._found = slot
                return slot
        return None

    def set_user_memory_region(self, region: MemoryRegion) -> None:
        """KVM_SET_USER_MEMORY_REGION: make, delete (size 0), move, or change the flags of a slot.

        EINVAL for what is misaligned, out of range or changes size, EEXIST for an overlap.
        """
        self._check(region)
        self.host.look_in()
        old = self.slots.get(region.slot)
        self._found = None
        if not region.memory_size:
            if old is None:
                raise KvmError(EINVAL, f"slot {region.slot} is not there to be deleted")
            del self.slots[region.slot]
            self._flush_slot(old)
            self._describe()
            return
        new = Slot(
            region.slot, region.guest_phys_addr >> PAGE_SHIFT, region.memory_size >> PAGE_SHIFT, region.userspace_addr,
            region.flags & MEM_READONLY,
        )  # fmt: skip
        if old is not None:
            same_memory = (old.npages, old.userspace_addr) == (new.npages, new.userspace_addr)
            if not same_memory or old.read_only != new.read_only:
                raise KvmError(EINVAL, f"slot {region.slot} may move or change its logging, nothing else")
        moved = old is None or old.base_gfn != new.base_gfn
        if moved:
            for other in self.slots.values():
                if other is not old and other.base_gfn < new.end_gfn and new.base_gfn < other.end_gfn:
                    raise KvmError(EEXIST, f"slot {region.slot} overlaps slot {other.number}")
        logging_now = bool(region.flags & MEM_LOG_DIRTY_PAGES)
        if not moved:
            self._change_logging(old, logging_now)
            return
        if old is not None:
            del self.slots[region.slot]
            self._flush_slot(old)
        new.log(logging_now)
        self.slots[region.slot] = new
        self._describe()

    def _check(self, region: MemoryRegion) -> None:
        if region.flags & ~(MEM_LOG_DIRTY_PAGES | MEM_READONLY):
            raise KvmError(EINVAL, f"flags {region.flags:#x}; LOG_DIRTY_PAGES (1) and READONLY (2) there are")
        for name in ("guest_phys_addr", "memory_size", "userspace_addr"):
            if getattr(region, name) & (PAGE_SIZE - 1):
                raise KvmError(EINVAL, f"{name} {getattr(region, name):#x} is no multiple of {PAGE_SIZE:#x}")
        if not 0 <= region.slot < USER_MEM_SLOTS:
            raise KvmError(EINVAL, f"slot {region.slot}; 0 to {USER_MEM_SLOTS - 1}")
        if region.guest_phys_addr + region.memory_size >= 1 << 64 or region.memory_size >> PAGE_SHIFT > MAX_SLOT_PAGES:
            raise KvmError(EINVAL, f"{region.memory_size:#x} bytes from {region.guest_phys_addr:#x} are too many")
        if region.memory_size and not self.kvm.is_memory(region.userspace_addr, region.memory_size):
            raise KvmError(EINVAL, f"{region.memory_size:#x} bytes from {region.userspace_addr:#x} are not all memory")

    def _flush_slot(self, slot: Slot) -> None:
        if self.gpa.flush(slot.base_gfn, slot.end_gfn - 1):
            self.flush_remote_tlbs()

    def _change_logging(self, slot: Slot, logging_now: bool) -> None:
        if logging_now == bool(slot.flags & MEM_LOG_DIRTY_PAGES):
            return
        slot.log(logging_now)
        if logging_now and self.gpa.mkclean(slot.base_gfn, slot.end_gfn - 1):
            self.flush_remote_tlbs()

    def get_dirty_log(self, number: int) -> bytes:
        """KVM_GET_DIRTY_LOG: the bitmap of pages written since the last call, which the next stores will mark anew.

        EINVAL for a slot number out of range, ENOENT where nothing is logged.
        """
        if not 0 <= number < USER_MEM_SLOTS:
            raise KvmError(EINVAL, f"slot {number}; 0 to {USER_MEM_SLOTS - 1}")
        slot = self.slots.get(number)
        if slot is None or slot.dirty is None:
            raise KvmError(ENOENT, f"slot {number} does not log")
        bitmap, slot.dirty = bytes(slot.dirty), bytearray(len(slot.dirty))
        changed = False
        for word in range(0, len(bitmap), 8):
            mask = int.from_bytes(bitmap[word : word + 8], "little")
            if mask:
                changed |= self.gpa.mkclean_masked(slot.base_gfn + 8 * word, mask)
        if changed:
            self.flush_remote_tlbs()
        return bitmap

    def flush_remote_tlbs(self) -> None:
        """Every vCPU takes a new GuestID, or without VZ new ASIDs, before it runs again; those in guest mode are kicked
        out of it.

        The kernel waits until they have answered. Here the entries of a vCPU in guest mode are dropped at once, so that
        nothing is done under them meanwhile.
        """
        self.host.look_in()
        for vcpu in self.vcpus:
            vcpu.flush_requested = True
            if vcpu.mode is Mode.IN_GUEST:
                self.callbacks.flush_now(vcpu)
                self.host.kick(vcpu)

    # Snapshots.

    def save(self) -> dict[str, Any]:
        """All of the VM but its memory for a checkpoint, as msgpack types."""
        return {
            "backend": self.callbacks.save(),
            "slots": [list(vars(slot).values()) for slot in self.slots.values()],
            "gpa": self.gpa.save(),
            "vcpus": [vcpu.save() for vcpu in self.vcpus],
            "arch": vars(self.arch),
            "irqchip": self.irqchip is not None,
            "messages": list(self.messages),
        }

    def restore(self, saved: dict[str, Any]) -> None:
        """What `save` gave, into a VM with as many vCPUs whose guest has not run."""
        self.slots = {
            row[0]: Slot(*row[:-1], None if row[-1] is None else bytearray(row[-1])) for row in saved["slots"]
        }
        self._found = None
        self._describe()
        self.gpa.restore(saved["gpa"])
        for vcpu, state in zip(self.vcpus, saved["vcpus"], strict=True):
            vcpu.restore(state)
        self.callbacks.restore(saved["backend"], self.vcpus)
        self.arch = VmArch(**saved["arch"])
        self.irqchip = self.controllers if saved["irqchip"] else None
        self.messages = list(saved["messages"])

    # The MMU notifier: what the host's memory management says of user space's memory, by its address there.

    def unmap_hva_range(self, address: int, size: int) -> None:
        """[address, address + size) is unmapped: the next guest access faults, and finds what is mapped then."""
        if self.gpa.unmap_range(self.slots.values(), address, address + size):
            self.flush_remote_tlbs()

    def change_pte(self, address: int, page: int) -> None:
        """The page at `address` is the one at root physical `page` now, until it is unmapped."""
        if self.gpa.change_pte(self.slots.values(), address, page):
            self.flush_remote_tlbs()

    def age_hva(self, address: int, size: int) -> bool:
        """Whether the guest has used [address, address + size) since the last call."""
        young = self.gpa.age(self.slots.values(), address, address + size)
        if young:
            self.flush_remote_tlbs()
        return young

    def test_age_hva(self, address: int) -> bool:
        """What `age_hva` would say of the page at `address`, which stays as it is."""
        return self.gpa.test_age(self.slots.values(), address)
