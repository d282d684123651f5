"""The irqchip ioctls beside their vectors (V04 to V13): every refusal, the images, and a guest on platform ls7a."""

from __future__ import annotations

import errno
from dataclasses import replace

import pytest

from cpu.kvm.errors import KvmError
from cpu.kvm.uapi import (
    IRQ_ROUTING_IRQCHIP,
    IRQ_ROUTING_MSI,
    IRQFD_DEASSIGN,
    IRQFD_RESAMPLE,
    Cap,
    Ioctl,
    Irqchip,
    IrqchipId,
    Irqfd,
    IrqLevel,
    IrqRouting,
    IrqRoutingEntry,
    Msi,
)
from scenarios.library import loaded
from soc import Machine
from soc.platforms import find
from tests.kvm.rig import Bench, IrqchipBench

LINE = 4 << 24
LS7A, IPI, HTVEC, ROUTER, EXTIRQ, IPMASK = IrqchipId
REFUSED = {
    "a line without a type": (Ioctl.IRQ_LINE, IrqLevel(16, 1), "EINVAL", "EINVAL"),
    "a line": (Ioctl.IRQ_LINE, IrqLevel(LINE | 16, 1), "ENXIO", None),
    "a line at pin 64": (Ioctl.IRQ_LINE, IrqLevel(LINE | 64, 1), "ENXIO", "EINVAL"),
    "a line of vCPU 1": (Ioctl.IRQ_LINE, IrqLevel(LINE | 1 << 16, 1), "ENXIO", "EINVAL"),
    "get": (Ioctl.GET_IRQCHIP, Irqchip(LS7A), "ENXIO", None),
    "get chip 6": (Ioctl.GET_IRQCHIP, Irqchip(6), "ENXIO", "EINVAL"),
    "set chip 6": (Ioctl.SET_IRQCHIP, Irqchip(6), "ENXIO", "EINVAL"),
    "set a short one": (Ioctl.SET_IRQCHIP, Irqchip(LS7A, chip=bytearray(512)), "ENXIO", "EINVAL"),
    "a message": (Ioctl.SIGNAL_MSI, Msi(100), "EINVAL", None),
    "a message with flags": (Ioctl.SIGNAL_MSI, Msi(100, flags=1), "EINVAL", "EINVAL"),
    "vector 256": (Ioctl.SIGNAL_MSI, Msi(256), "EINVAL", "EINVAL"),
    "an irqfd": (Ioctl.IRQFD, Irqfd(7, 16), "EAGAIN", None),
    "an irqfd with flags": (Ioctl.IRQFD, Irqfd(7, 16, 4), "EINVAL", "EINVAL"),
    "an irqfd of no descriptor": (Ioctl.IRQFD, Irqfd(0xFFFFFFFF, 16), "EAGAIN", "EBADF"),
    "an irqfd that resamples nothing": (Ioctl.IRQFD, Irqfd(7, 16, IRQFD_RESAMPLE, 0xFFFFFFFF), "EAGAIN", "EBADF"),
    "an irqfd of GSI 4096": (Ioctl.IRQFD, Irqfd(7, 4096), "EAGAIN", "EINVAL"),
    "the end of no irqfd": (Ioctl.IRQFD, Irqfd(7, 16, IRQFD_DEASSIGN), None, None),
    "the end of no descriptor": (Ioctl.IRQFD, Irqfd(-1, 16, IRQFD_DEASSIGN), "EBADF", "EBADF"),
}


def errno_of(vm, request, argument) -> str | None:
    try:
        assert vm.ioctl(request, argument) == 0
    except KvmError as error:
        return errno.errorcode[error.errno]
    return None


@pytest.mark.parametrize("call", REFUSED)
def test_what_is_refused_before_and_after_the_irqchip_is_made(call):
    request, argument, before, after = REFUSED[call]
    bench = IrqchipBench()
    bench.vm.create_vcpu(0)
    assert errno_of(bench.vm, request, argument) == before
    bench.vm.ioctl(Ioctl.CREATE_IRQCHIP)
    assert errno_of(bench.vm, request, argument) == after


@pytest.mark.parametrize(
    "routing",
    [
        IrqRouting((), flags=1),
        IrqRouting((IrqRoutingEntry(0, IRQ_ROUTING_IRQCHIP),) * 4097),
        IrqRouting((IrqRoutingEntry(4096, IRQ_ROUTING_MSI),)),
        IrqRouting((IrqRoutingEntry(0, IRQ_ROUTING_IRQCHIP, flags=1),)),
        IrqRouting((IrqRoutingEntry(0, IRQ_ROUTING_IRQCHIP, pin=64),)),
        IrqRouting((IrqRoutingEntry(0, IRQ_ROUTING_IRQCHIP, irqchip=1),)),
        IrqRouting((IrqRoutingEntry(0, IRQ_ROUTING_MSI, data=256),)),
        IrqRouting((IrqRoutingEntry(0, 3),)),
        IrqRouting((IrqRoutingEntry(0, IRQ_ROUTING_IRQCHIP, pin=1), IrqRoutingEntry(0, IRQ_ROUTING_MSI))),
    ],
)
def test_a_bad_table_of_routes_is_refused_and_changes_nothing(routing):
    bench = IrqchipBench()
    bench.vm.ioctl(Ioctl.CREATE_IRQCHIP)
    before = bench.vm.controllers.routes()
    assert errno_of(bench.vm, Ioctl.SET_GSI_ROUTING, routing) == "EINVAL"
    assert bench.vm.controllers.routes() == before == [(pin, "pin", pin) for pin in range(64)]


def test_the_routes_are_replaced():
    bench = IrqchipBench()
    bench.vm.ioctl(Ioctl.CREATE_IRQCHIP)
    table = (IrqRoutingEntry(5, IRQ_ROUTING_IRQCHIP, pin=9), IrqRoutingEntry(70, IRQ_ROUTING_MSI, data=33))
    bench.vm.ioctl(Ioctl.SET_GSI_ROUTING, IrqRouting(table))
    assert bench.vm.controllers.routes() == [(5, "pin", 9), (70, "msi", 33)]


@pytest.mark.parametrize(
    "request_", ["CREATE_IRQCHIP", "IRQ_LINE", "GET_IRQCHIP", "SET_IRQCHIP", "SET_GSI_ROUTING", "IRQFD", "SIGNAL_MSI"]
)
def test_linux_has_none_of_them(request_):
    assert errno_of(Bench().vm, Ioctl[request_], None) == "ENOTTY"


def test_the_capabilities():
    kvm = IrqchipBench().kvm
    assert [kvm.check_extension(cap) for cap in (Cap.IRQCHIP, Cap.SIGNAL_MSI)] == [1, 1]


def test_a_machine_without_controllers_has_no_irqchip():
    vm = Bench(backend="ls3acomp").vm
    assert errno_of(vm, Ioctl.CREATE_IRQCHIP, None) == "ENODEV"
    assert errno_of(vm, Ioctl.SET_GSI_ROUTING, IrqRouting()) == "ENXIO"


SIZES = {LS7A: 232, IPI: 4 * 48, HTVEC: 0, ROUTER: 0, EXTIRQ: 528, IPMASK: 128}


@pytest.mark.parametrize("chip", IrqchipId)
def test_an_image_is_as_long_as_the_kernels_and_comes_back_as_it_was_set(chip):
    source, target = IrqchipBench(), IrqchipBench()
    for bench in (source, target):
        bench.vcpu()
        bench.vm.ioctl(Ioctl.CREATE_IRQCHIP)
    board = source.board
    board.write("ls7a_irq", 0x210, 1, 100)
    board.write("ls7a_irq", 0x060, 8, 1 << 40)
    for offset, value in ((0x1608, 1 << 36), (0x14C0, 0x0202020202020202), (0x1C64, 0x01010101)):
        board.write("ls3a_ext_irq", offset, 8 if value >> 32 else 4, value, space="csr")
    board.write("ls3a_ipi", 0x120, 8, 0x1122334455667788)
    board.write("ls3a_ipi", 0x208, 4, 6)
    source.vm.ioctl(Ioctl.IRQ_LINE, IrqLevel(LINE | 16, 1))
    assert source.board.devices["ls3a_ext_irq"].ip_mask[1], "vector 100 holds IP3 of core 0"
    image = Irqchip(chip, chip=bytearray(b"\xa5" * 1024))
    source.vm.ioctl(Ioctl.GET_IRQCHIP, image)
    assert image.chip[SIZES[chip] :] == b"\xa5" * (1024 - SIZES[chip])
    blank = Irqchip(chip)
    target.vm.ioctl(Ioctl.GET_IRQCHIP, blank)
    assert (blank.chip[: SIZES[chip]] == image.chip[: SIZES[chip]]) is not bool(SIZES[chip])
    target.vm.ioctl(Ioctl.SET_IRQCHIP, image)
    again = Irqchip(chip, chip=bytearray(b"\xa5" * 1024))
    target.vm.ioctl(Ioctl.GET_IRQCHIP, again)
    assert again.chip == image.chip


VECTOR, PIN = 0x46, 16
PIC = 0x1000_0000


def injected(tier: str = "auto"):
    """The guest of the injection scenario on platform ls7a, which gets the same vector in three ways: as a message, by
    a pin of the PCH-PIC, and by an event descriptor."""
    options = {"hypervisor": "kvm", "vcpus": 1, "kvm": "ls3acomp", "tier": tier}
    told = loaded("inject.S", "ls7a", 1, options, rounds=3)
    machine, vm = told.machine, told.machine.hypervisor.vm
    assert vm.irqchip is not None
    machine.run(max_virtual="500 us")
    vm.ioctl(Ioctl.SIGNAL_MSI, Msi(VECTOR))
    machine.run(max_virtual="60 us")
    assert told.counters(0)[0] == 1
    for offset, size, value in ((0x200 + PIN, 1, VECTOR), (0x40, 8, 1 << PIN), (0x20, 8, ~(1 << PIN) & (1 << 64) - 1)):
        machine.bus.write(PIC + offset, size, value)
    vm.ioctl(Ioctl.IRQ_LINE, IrqLevel(LINE | PIN, 1))
    machine.run(max_virtual="60 us")
    assert told.counters(0)[0] == 2
    assert machine.devices["ls7a_irq"].intisr == 1 << PIN
    vm.ioctl(Ioctl.SET_GSI_ROUTING, IrqRouting((IrqRoutingEntry(70, IRQ_ROUTING_MSI, data=VECTOR),)))
    vm.ioctl(Ioctl.IRQFD, Irqfd(9, 70))
    machine.signal(9)
    return told, machine.run(max_virtual="1 ms")


def test_a_guest_is_reached_by_message_pin_and_descriptor():
    told, result = injected()
    assert (result.ended, told.counters(0)[0]) == ("poweroff", 3)
    assert result.details["kvm mmio_kernel"] > 0
    assert injected("reference")[1].trace_hash == result.trace_hash


def test_the_ip_mask_of_bare_controllers_follows_from_what_they_hold():
    machine = Machine("ls7a", hypervisor="kvm", kvm="ls3acomp")
    vm, image = machine.hypervisor.vm, Irqchip(IPMASK)
    vm.ioctl(Ioctl.GET_IRQCHIP, image)
    assert not any(image.chip)
    machine.components["ls3a_ext_irq"].access(hold_vector_100, machine.devices["ls3a_ext_irq"])
    machine.components["ls3a_router_irq"].access(hold_source_5, machine.devices["ls3a_router_irq"])
    vm.ioctl(Ioctl.GET_IRQCHIP, image)
    held = [int.from_bytes(image.chip[2 * place : 2 * place + 2], "little") for place in range(16)]
    assert {place: mask for place, mask in enumerate(held) if mask} == {4 + 1: 2 << 100 // 64, 2: 1}
    assert vm.ioctl(Ioctl.SET_IRQCHIP, image) == 0


def hold_vector_100(device):
    """At IP3 of core 1."""
    for offset, size, value in ((0x420, 8, 1 << 48), (0x1608, 8, 1 << 36), (0x14C0, 8, 0x0202020202020202),
                                (0x1C64, 1, 2), (0x1140, 4, 100)):  # fmt: skip
        device.write(offset, size, value)


def hold_source_5(device):
    """At IP4 of core 0, by an edge."""
    device.write(0x05, 1, 0x41)
    device.write(0x34, 4, 1 << 5)
    device.on_line_input(5, 1)
    device.write(0x28, 4, 1 << 5)


@pytest.mark.parametrize(
    ("platform", "options"),
    [
        ("ls7a", {"kvm": "vz"}),
        ("ls7a", {"kvm": "ls3acomp", "irqchip": "user"}),
        ("ls7a", {"kvm": "ls3acomp", "placement": {"ls7a_irq": "process"}}),
        ("virt", {"kvm": "ls3acomp"}),
    ],
)
def test_who_has_no_irqchip(platform, options):
    machine = Machine(platform, hypervisor="kvm", **options)
    assert machine.hypervisor.vm.irqchip is None
    machine.close()


def test_routes_that_the_platform_gives_stay():
    plain = find("ls7a")
    part = next(part for part in plain.parts if part.name == "ls7a_irqfd")
    given = part._replace(options=lambda timing: {"routes": [(64, "msi", VECTOR)]})
    machine = Machine(replace(plain, parts=(*plain.parts, given)), hypervisor="kvm", kvm="ls3acomp")
    assert machine.hypervisor.vm.irqchip.routes()[64:] == [(64, "msi", VECTOR)]
