"""Numbers of the KVM interface: ioctls, capabilities, exit reasons, flags, structures.

Source: Linux 6.1: include/uapi/linux/kvm.h, arch/mips/include/uapi/asm/kvm.h; the Loongson 4.19 tree's versions of the
same for what only it has.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum


class Ioctl(IntEnum):
    """ioctl numbers (of magic 0xae)."""

    GET_API_VERSION = 0x00
    CREATE_VM = 0x01
    CHECK_EXTENSION = 0x03
    GET_VCPU_MMAP_SIZE = 0x04
    CREATE_VCPU = 0x41
    GET_DIRTY_LOG = 0x42
    SET_USER_MEMORY_REGION = 0x46
    CREATE_IRQCHIP = 0x60
    IRQ_LINE = 0x61
    GET_IRQCHIP = 0x62
    SET_IRQCHIP = 0x63
    SET_GSI_ROUTING = 0x6A
    IRQFD = 0x76
    IOEVENTFD = 0x79
    RUN = 0x80
    GET_REGS = 0x81
    SET_REGS = 0x82
    INTERRUPT = 0x86
    SET_GUEST_DEBUG = 0x9B
    ENABLE_CAP = 0xA3
    SIGNAL_MSI = 0xA5
    GET_ONE_REG = 0xAB
    SET_ONE_REG = 0xAC
    GET_REG_LIST = 0xB0
    GET_VCPU_STATE = 0xB9
    SET_VCPU_STATE = 0xBA
    GET_CPUCFG = 0xBB


API_VERSION = 12
VCPU_MMAP_SIZE = 3 << 14
"""kvm_run, the coalesced MMIO ring and its slack, in pages of 16 KiB."""

VM_TYPE_AUTO, VM_TYPE_VZ, VM_TYPE_TE = 0, 1, 2


class Cap(IntEnum):
    """Extensions that CHECK_EXTENSION knows here; every other number answers 0."""

    IRQCHIP = 0
    NR_VCPUS = 9
    SYNC_MMU = 16
    IOEVENTFD = 36
    ENABLE_CAP = 54
    MAX_VCPUS = 66
    ONE_REG = 70
    SIGNAL_MSI = 77
    READONLY_MEM = 81
    MIPS_FPU = 111
    MIPS_MSA = 112
    MAX_VCPU_ID = 128
    IMMEDIATE_EXIT = 136
    MIPS_VZ = 137
    MIPS_TE = 138
    MIPS_64BIT = 139


class ExitReason(IntEnum):
    """Why KVM_RUN came back (kvm_run.exit_reason)."""

    UNKNOWN = 0
    HYPERCALL = 3
    DEBUG = 4
    MMIO = 6
    IRQ_WINDOW_OPEN = 7
    INTR = 10
    INTERNAL_ERROR = 17


MEM_LOG_DIRTY_PAGES, MEM_READONLY = 1, 2
MAX_VCPUS = 16
USER_MEM_SLOTS = 16
PAGE_SHIFT = 14
PAGE_SIZE = 1 << PAGE_SHIFT
MAX_SLOT_PAGES = (1 << 31) - 1


@dataclass(frozen=True)
class MemoryRegion:
    """kvm_userspace_memory_region. Addresses and size in bytes, multiples of the page size (16 KiB).

    `userspace_addr` is the address of the memory in the machine, a root physical address: the VMM's address space is
    the machine's.
    """

    slot: int
    guest_phys_addr: int
    memory_size: int
    userspace_addr: int = 0
    flags: int = 0


MAX_IRQ_ROUTES = 4096
IRQ_ROUTING_IRQCHIP, IRQ_ROUTING_MSI = 1, 2
IRQFD_DEASSIGN, IRQFD_RESAMPLE = 1, 2
IRQ_TYPE_SHIFT, IRQ_VCPU_SHIFT = 24, 16
IRQ_TYPE_IOAPIC = 4
"""The Loongson tree's encoding of kvm_irq_level.irq: type, vCPU and, in bits 15:0, pin."""
IRQCHIP_BYTES = 1024


class IrqchipId(IntEnum):
    """kvm_irqchip.chip_id of the Loongson tree."""

    LS7A_IOAPIC = 0
    LS3A_GIPI = 1
    LS3A_HT_IRQ = 2
    LS3A_ROUTE = 3
    LS3A_EXTIRQ = 4
    LS3A_IPMASK = 5


GUESTDBG_ENABLE, GUESTDBG_SINGLESTEP = 1, 2
CPUCFG_WORDS = 16


@dataclass(frozen=True)
class VcpuState:
    """kvm_mips_vcpu_state of the Loongson tree, 64 bytes. `cpu_freq` in Hz; of the exceptions a bit a priority; of
    `core_ext_ioisr` a bit a vector of the EIOINTC pending at the vCPU."""

    online_vcpus: int = 0
    is_migrate: int = 0
    cpu_freq: int = 0
    count_ctl: int = 0
    pending_exceptions: int = 0
    pending_exceptions_clr: int = 0
    core_ext_ioisr: tuple[int, int, int, int] = (0, 0, 0, 0)


@dataclass(frozen=True)
class IrqLevel:
    """kvm_irq_level."""

    irq: int
    level: int


@dataclass
class Irqchip:
    """kvm_irqchip of the Loongson tree, 1032 bytes. `chip` is the union."""

    chip_id: int
    node: int = 0
    chip: bytearray = field(default_factory=lambda: bytearray(IRQCHIP_BYTES))


@dataclass(frozen=True)
class IrqRoutingEntry:
    """kvm_irq_routing_entry: of type IRQ_ROUTING_IRQCHIP with `irqchip` and `pin`, or IRQ_ROUTING_MSI with the rest."""

    gsi: int
    type: int
    flags: int = 0
    irqchip: int = 0
    pin: int = 0
    address: int = 0
    data: int = 0


@dataclass(frozen=True)
class IrqRouting:
    """kvm_irq_routing."""

    entries: tuple[IrqRoutingEntry, ...] = ()
    flags: int = 0


@dataclass(frozen=True)
class Irqfd:
    """kvm_irqfd."""

    fd: int
    gsi: int
    flags: int = 0
    resamplefd: int = 0


@dataclass(frozen=True)
class Msi:
    """kvm_msi."""

    data: int
    address: int = 0
    flags: int = 0


@dataclass
class Mmio:
    """kvm_run.mmio: a load or store that user space carries out. `data` is the value, `len` 1, 2, 4 or 8."""

    phys_addr: int = 0
    data: int = 0
    len: int = 0
    is_write: bool = False


@dataclass
class Hypercall:
    """kvm_run.hypercall."""

    nr: int = 0
    args: tuple[int, ...] = ()
    ret: int = 0


@dataclass
class RunArea:
    """kvm_run: the page that a vCPU shares with user space."""

    exit_reason: ExitReason = ExitReason.UNKNOWN
    immediate_exit: bool = False
    ready_for_interrupt_injection: bool = False
    mmio: Mmio = field(default_factory=Mmio)
    hypercall: Hypercall = field(default_factory=Hypercall)
