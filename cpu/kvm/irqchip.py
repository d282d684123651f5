"""The irqchip within the kernel: the VM ioctls that make it, drive it, route to it and move it.

Source: Loongson 4.19 tree: arch/mips/kvm/mips.c, ls7a_irq.c, ls7a_irqfd.c; virt/kvm/eventfd.c, irqchip.c. The chips are
the machine's own controllers, which the VMM hands in as `Vm.controllers`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from errno import EAGAIN, EBADF, EBUSY, EEXIST, EINVAL, ENODEV, ENXIO
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from cpu.kvm.errors import KvmError
from cpu.kvm.uapi import (
    IRQ_ROUTING_IRQCHIP,
    IRQ_ROUTING_MSI,
    IRQ_TYPE_IOAPIC,
    IRQ_TYPE_SHIFT,
    IRQ_VCPU_SHIFT,
    IRQCHIP_BYTES,
    IRQFD_DEASSIGN,
    IRQFD_RESAMPLE,
    MAX_IRQ_ROUTES,
    Ioctl,
    Irqchip,
    IrqchipId,
    Irqfd,
    IrqLevel,
    IrqRouting,
    IrqRoutingEntry,
    Msi,
)
from soc.nodes import CORES

if TYPE_CHECKING:
    from cpu.kvm.mips import Vm

PINS, VECTORS = 64, 256
INT_MAX = (1 << 31) - 1

State = dict[str, int | list[int]]
"""Registers of a controller by name."""
Route = tuple[int, str, int]
"""A GSI, "pin" or "msi", and the pin or vector it leads to."""


class Controllers(Protocol):
    """PCH-PIC, inter-processor block and EIOINTC of a machine."""

    def set_pin(self, pin: int, level: bool) -> None:
        """Drive input `pin` (0 to 63) of the PCH-PIC."""

    def message(self, vector: int) -> None:
        """Send `vector` (0 to 255) as a message-signalled interrupt."""

    def set_routes(self, routes: Sequence[Route]) -> None:
        """Replace the routing of GSIs."""

    def irqfds(self) -> Mapping[int, int]:
        """The event descriptors assigned, and their GSIs."""

    def assign(self, descriptor: int, gsi: int, resamplefd: int | None) -> None:
        """Let `descriptor` signal `gsi`; with `resamplefd` it holds its pin until the guest acknowledges."""

    def deassign(self, descriptor: int, gsi: int) -> None:
        """Undo `assign`."""

    def state(self, chip: IrqchipId) -> list[State]:
        """The registers of the devices that are `chip`, node by node: all that its image has."""

    def load(self, chip: IrqchipId, states: Sequence[State]) -> None:
        """Overwrite the registers given, of those that there are. No line is looked at anew."""


class Field(NamedTuple):
    """`count` registers of `size` bytes in a chip's image; those without a name read 0 and are not written."""

    name: str
    size: int
    count: int = 1


IMAGES = {
    IrqchipId.LS7A_IOAPIC: (
        Field("int_id", 8), Field("int_mask", 8), Field("htmsi_en", 8), Field("intedge", 8), Field("", 8),
        Field("auto_ctrl0", 8), Field("auto_ctrl1", 8), Field("route_entry", 1, 64), Field("htmsi_vector", 1, 64),
        Field("intisr_chip0", 8), Field("intisr_chip1", 8), Field("", 8), Field("intirr", 8), Field("intisr", 8),
        Field("int_polarity", 8),
    ),
    IrqchipId.LS3A_EXTIRQ: (
        Field("en", 8, 4), Field("bounce", 8, 4), Field("isr", 8, 4), Field("", 8, 16), Field("ipmap", 1, 8),
        Field("coremap", 1, 256), Field("node_type", 2, 16), Field("other_func", 8),
    ),
    IrqchipId.LS3A_IPMASK: (Field("ip_mask", 2, 16), Field("", 2, 48)),
}  # fmt: skip
"""What KVM copies (arch/mips/kvm/*.h), which for the PCH-PIC is not what the interface's header declares: int_id comes
first. The EIOINTC's pending vectors of each core are not in its image; node 0 alone has one."""
GIPI_CORE = (Field("status", 4), Field("enable", 4), Field("", 4, 2), Field("mailbox", 8, 4))


def ioctls(vm: Vm) -> dict[int, Callable[[Any], int]]:
    """The VM ioctls of this module."""
    calls = {
        Ioctl.CREATE_IRQCHIP: create_irqchip,
        Ioctl.IRQ_LINE: irq_line,
        Ioctl.GET_IRQCHIP: get_irqchip,
        Ioctl.SET_IRQCHIP: set_irqchip,
        Ioctl.SET_GSI_ROUTING: set_gsi_routing,
        Ioctl.IRQFD: irqfd,
        Ioctl.SIGNAL_MSI: signal_msi,
    }
    return {number: lambda argument, call=call: call(vm, argument) for number, call in calls.items()}


def create_irqchip(vm: Vm, argument: None = None) -> int:
    """KVM_CREATE_IRQCHIP: GSI n leads to pin n. EEXIST for a second, ENODEV where the machine has no controllers."""
    if vm.irqchip is not None:
        raise KvmError(EEXIST, "the VM has its irqchip")
    if vm.controllers is None:
        raise KvmError(ENODEV, "no controllers: the platform has no PCH-PIC, or it is in another process")
    vm.irqchip = vm.controllers
    vm.irqchip.set_routes([(pin, "pin", pin) for pin in range(PINS)])
    return 0


def irq_line(vm: Vm, line: IrqLevel) -> int:
    """KVM_IRQ_LINE. ENXIO without an irqchip, EINVAL for another type than IOAPIC, a vCPU or pin there is not."""
    kind, vcpu, pin = line.irq >> IRQ_TYPE_SHIFT & 0xFF, line.irq >> IRQ_VCPU_SHIFT & 0xFF, line.irq & 0xFFFF
    if kind != IRQ_TYPE_IOAPIC:
        raise KvmError(EINVAL, f"line {line.irq:#010x} of type {kind}; {IRQ_TYPE_IOAPIC} (IOAPIC) is possible")
    chip = _irqchip(vm)
    if vcpu >= len(vm.vcpus):
        raise KvmError(EINVAL, f"line {line.irq:#010x} of vCPU {vcpu}; there are {len(vm.vcpus)}")
    if pin >= PINS:
        raise KvmError(EINVAL, f"line {line.irq:#010x} at pin {pin}; 0 to {PINS - 1}")
    chip.set_pin(pin, bool(line.level))
    return 0


def get_irqchip(vm: Vm, chip: Irqchip) -> int:
    """KVM_GET_IRQCHIP: the image goes into `chip.chip`, whose rest stays.

    HTVEC and router have no image in this tree. ENXIO without an irqchip, EINVAL for another id.
    """
    controllers, number = _irqchip(vm), _chip_id(chip)
    if number in (IrqchipId.LS3A_HT_IRQ, IrqchipId.LS3A_ROUTE):
        return 0
    states = controllers.state(number)
    if number is IrqchipId.LS3A_GIPI:
        image = b"".join(_pack(GIPI_CORE, core) for state in states for core in _cores(state))
    else:
        image = _pack(IMAGES[number], states[0])
    chip.chip[: len(image)] = image
    return 0


def set_irqchip(vm: Vm, chip: Irqchip) -> int:
    """KVM_SET_IRQCHIP: the registers of an image. No line is looked at anew. Errors as of KVM_GET_IRQCHIP."""
    controllers, number = _irqchip(vm), _chip_id(chip)
    if number in (IrqchipId.LS3A_HT_IRQ, IrqchipId.LS3A_ROUTE):
        return 0
    states = controllers.state(number)
    if number is IrqchipId.LS3A_GIPI:
        size = sum(field.size * field.count for field in GIPI_CORE)
        cores = [_unpack(GIPI_CORE, chip.chip[size * n : size * (n + 1)]) for n in range(CORES * len(states))]
        loaded = [_node(cores[first : first + CORES]) for first in range(0, len(cores), CORES)]
    else:
        loaded = [_unpack(IMAGES[number], chip.chip)]
    controllers.load(number, loaded)
    return 0


def set_gsi_routing(vm: Vm, routing: IrqRouting) -> int:
    """KVM_SET_GSI_ROUTING: the whole table. ENXIO where the machine has no controllers, EINVAL for a bad entry.

    An MSI's address counts for nothing, its data is the vector.
    """
    if routing.flags or len(routing.entries) > MAX_IRQ_ROUTES:
        raise KvmError(EINVAL, f"flags {routing.flags:#x}, {len(routing.entries)} routes; 0 and up to {MAX_IRQ_ROUTES}")
    routes = [_route(entry) for entry in routing.entries]
    gsis = [gsi for gsi, _, _ in routes]
    if len(set(gsis)) < len(gsis):
        raise KvmError(EINVAL, f"GSI {next(gsi for gsi in gsis if gsis.count(gsi) > 1)} has two routes")
    if vm.controllers is None:
        raise KvmError(ENXIO, "the machine has no controllers to route to")
    vm.controllers.set_routes(routes)
    return 0


def irqfd(vm: Vm, call: Irqfd) -> int:
    """KVM_IRQFD. EINVAL for other flags, EAGAIN without an irqchip, EBADF for no descriptor, EBUSY for one in use.

    To deassign what is not assigned succeeds.
    """
    if call.flags & ~(IRQFD_DEASSIGN | IRQFD_RESAMPLE):
        raise KvmError(EINVAL, f"flags {call.flags:#x}; DEASSIGN (1) and RESAMPLE (2) there are")
    chip = vm.irqchip
    if call.flags & IRQFD_DEASSIGN:
        _check_descriptor(call.fd)
        if chip is not None and chip.irqfds().get(call.fd) == call.gsi:
            chip.deassign(call.fd, call.gsi)
        return 0
    if chip is None:
        raise KvmError(EAGAIN, "the VM has no irqchip yet: KVM_CREATE_IRQCHIP first")
    _check_descriptor(call.fd)
    resamplefd = call.resamplefd if call.flags & IRQFD_RESAMPLE else None
    if resamplefd is not None:
        _check_descriptor(resamplefd)
    if call.fd in chip.irqfds():
        raise KvmError(EBUSY, f"descriptor {call.fd} signals GSI {chip.irqfds()[call.fd]} already")
    if not 0 <= call.gsi < MAX_IRQ_ROUTES:
        raise KvmError(EINVAL, f"GSI {call.gsi}; 0 to {MAX_IRQ_ROUTES - 1} can have a route")
    chip.assign(call.fd, call.gsi, resamplefd)
    return 0


def signal_msi(vm: Vm, msi: Msi) -> int:
    """KVM_SIGNAL_MSI: the vector is `msi.data`. EINVAL without an irqchip, for flags, and for more than 255."""
    if vm.irqchip is None or msi.flags:
        raise KvmError(EINVAL, f"flags {msi.flags:#x}; none, in a VM with an irqchip")
    _check_vector(msi.data)
    vm.irqchip.message(msi.data)
    return 0


def _irqchip(vm: Vm) -> Controllers:
    if vm.irqchip is None:
        raise KvmError(ENXIO, "the VM has no irqchip: KVM_CREATE_IRQCHIP first")
    return vm.irqchip


def _chip_id(chip: Irqchip) -> IrqchipId:
    if chip.chip_id not in list(IrqchipId):
        raise KvmError(EINVAL, f"irqchip {chip.chip_id}; 0 to {max(IrqchipId)}")
    if len(chip.chip) != IRQCHIP_BYTES:
        raise KvmError(EINVAL, f"an irqchip of {len(chip.chip)} bytes; its union has {IRQCHIP_BYTES}")
    return IrqchipId(chip.chip_id)


def _route(entry: IrqRoutingEntry) -> Route:
    if entry.flags or not 0 <= entry.gsi < MAX_IRQ_ROUTES:
        raise KvmError(EINVAL, f"flags {entry.flags:#x}, GSI {entry.gsi}; 0, and 0 to {MAX_IRQ_ROUTES - 1}")
    if entry.type == IRQ_ROUTING_IRQCHIP:
        if entry.irqchip or not 0 <= entry.pin < PINS:
            raise KvmError(EINVAL, f"GSI {entry.gsi} to chip {entry.irqchip}, pin {entry.pin}; 0, and 0 to {PINS - 1}")
        return entry.gsi, "pin", entry.pin
    if entry.type == IRQ_ROUTING_MSI:
        _check_vector(entry.data)
        return entry.gsi, "msi", entry.data
    raise KvmError(EINVAL, f"GSI {entry.gsi} with a route of type {entry.type}; 1 (IRQCHIP) and 2 (MSI) are possible")


def _check_vector(data: int) -> None:
    if not 0 <= data < VECTORS:
        raise KvmError(EINVAL, f"a message with data {data:#x}; vectors are 0 to {VECTORS - 1}")


def _check_descriptor(descriptor: int) -> None:
    if not 0 <= descriptor <= INT_MAX:
        raise KvmError(EBADF, f"descriptor {descriptor}; 0 to {INT_MAX}")


# Images.


def _pack(fields: Sequence[Field], state: State) -> bytes:
    image = bytearray()
    for field in fields:
        value = state[field.name] if field.name else 0
        values = value if isinstance(value, list) else [value] * field.count
        image += b"".join(element.to_bytes(field.size, "little") for element in values)
    return bytes(image)


def _unpack(fields: Sequence[Field], image: bytes | bytearray) -> State:
    state: State = {}
    at = 0
    for field in fields:
        values = [int.from_bytes(image[at + n * field.size :][: field.size], "little") for n in range(field.count)]
        at += field.size * field.count
        if field.name:
            state[field.name] = values if field.count > 1 else values[0]
    return state


def _cores(state: State) -> list[State]:
    """A node's inter-processor block as records of its cores."""
    boxes = len(state["mailbox"]) // CORES
    return [
        {
            "status": state["status"][core],
            "enable": state["enable"][core],
            "mailbox": state["mailbox"][boxes * core : boxes * (core + 1)],
        }
        for core in range(CORES)
    ]


def _node(cores: Sequence[State]) -> State:
    """The block of `_cores`."""
    return {
        "status": [core["status"] for core in cores],
        "enable": [core["enable"] for core in cores],
        "mailbox": [box for core in cores for box in core["mailbox"]],
    }
