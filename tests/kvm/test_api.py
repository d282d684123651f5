"""The KVM API without a guest: capabilities, ids, register lists, and the errno of every refusal."""

from __future__ import annotations

import errno

import pytest

from cpu.kvm import onereg
from cpu.kvm.callback import Callbacks
from cpu.kvm.errors import KvmError
from cpu.kvm.mips import BACKENDS, Kvm, find_backend
from cpu.kvm.uapi import Cap, ExitReason, Ioctl, MemoryRegion, VcpuState
from soc.errors import ConfigurationError
from tests.kvm.rig import DEVICE, KSEG0, MIB, UNCACHED, Bench, P

PAGE = 1 << 14
M64 = (1 << 64) - 1


@pytest.fixture
def bench():
    return Bench()


@pytest.fixture
def vcpu(bench):
    return bench.vm.create_vcpu(0)


def refused(number, call, *arguments):
    with pytest.raises(KvmError) as caught:
        call(*arguments)
    assert errno.errorcode[caught.value.errno] == number


@pytest.mark.parametrize(
    ("cap", "value"),
    [
        (Cap.IRQCHIP, 0), (Cap.NR_VCPUS, 1), (Cap.MAX_VCPUS, 16), (Cap.MAX_VCPU_ID, 16), (Cap.SYNC_MMU, 1),
        (Cap.IOEVENTFD, 1), (Cap.ENABLE_CAP, 1), (Cap.ONE_REG, 1), (Cap.READONLY_MEM, 1), (Cap.IMMEDIATE_EXIT, 1),
        (Cap.SIGNAL_MSI, 0), (Cap.MIPS_FPU, 1), (Cap.MIPS_MSA, 1), (Cap.MIPS_VZ, 1), (Cap.MIPS_TE, 0),
        (Cap.MIPS_64BIT, 2), (999, 0),
    ],
)  # fmt: skip
def test_capabilities_of_linux(bench, cap, value):
    assert bench.kvm.ioctl(Ioctl.CHECK_EXTENSION, cap) == value
    assert bench.vm.ioctl(Ioctl.CHECK_EXTENSION, cap) == value


def test_the_loongson_tree_has_an_irqchip():
    assert Bench(backend="ls3acomp").kvm.check_extension(Cap.IRQCHIP) == 1


def test_trap_and_emulate_says_so():
    bench = Bench(backend="te")
    capabilities = {Cap.MIPS_TE: 1, Cap.MIPS_VZ: 0, Cap.MIPS_64BIT: 0, Cap.IOEVENTFD: 1, Cap.MIPS_FPU: 1}
    assert {cap: bench.kvm.check_extension(cap) for cap in capabilities} == capabilities
    assert bench.kvm.ioctl(Ioctl.CREATE_VM, 2) in bench.kvm.vms
    refused("EINVAL", bench.kvm.ioctl, Ioctl.CREATE_VM, 1)


def test_the_registers_of_trap_and_emulate():
    vcpu = Bench(backend="te").vm.create_vcpu(3)
    ids = vcpu.get_reg_list()
    assert len(ids) == vcpu.num_regs() == 35 + 35
    reset = {"prid": 0x19300, "ebase": 0x40000003, "status": 0x400004, "intctl": 0xFC000000, "config7": 0x80000400}
    assert {name: vcpu.get_one_reg(onereg.cp0(name)) for name in reset} == reset
    assert vcpu.get_one_reg(onereg.PC) == 0x5FC00000
    assert vcpu.get_one_reg(onereg.COUNT_HZ) == 100_000_000
    before = {number: vcpu.get_one_reg(number) for number in ids}
    for name in ("config", "config2", "config7", "intctl"):
        vcpu.set_one_reg(onereg.cp0(name), 0)
        assert vcpu.get_one_reg(onereg.cp0(name)) == before[onereg.cp0(name)], "takes no value"
    vcpu.set_one_reg(onereg.cp0("ebase"), 0xFFFFFFFF)
    assert vcpu.get_one_reg(onereg.cp0("ebase")) == 0x5FFFF3FF, "in the guest's kseg0"
    for name in ("kscratch1", "kscratch6", "epc"):
        vcpu.set_one_reg(onereg.cp0(name), M64)
        assert vcpu.get_one_reg(onereg.cp0(name)) == M64
    refused("EINVAL", vcpu.get_one_reg, onereg.cp0("pwbase"))


def test_without_a_page_of_the_hosts_there_is_no_vcpu_for_trap_and_emulate():
    bench = Bench(backend="te", base=1 << 14)
    bench.vm.create_vcpu(0)
    refused("ENOMEM", bench.vm.create_vcpu, 1)


EXIT_CODES = {"vz": set(), "ls3acomp": {16, 19, 20}, "te": {4, 5, 8, 9, 10, 13, 14, 15}}
"""ExcCodes that not every back-end has a handler for."""


@pytest.mark.parametrize("name", BACKENDS)
def test_a_back_end_has_the_callbacks_of_its_source(name):
    backend = find_backend(name)()
    assert isinstance(backend, Callbacks)
    assert set(backend.more_handlers) == EXIT_CODES[name]


def test_an_unknown_back_end_is_named(bench):
    with pytest.raises(ConfigurationError, match="ls3acomp"):
        Kvm(bench.host, "trap_emul")


def test_system_ioctls(bench):
    assert bench.kvm.ioctl(Ioctl.GET_API_VERSION) == 12
    refused("EINVAL", bench.kvm.ioctl, Ioctl.GET_API_VERSION, 1)
    assert bench.kvm.ioctl(Ioctl.GET_VCPU_MMAP_SIZE) > 0
    refused("ENOTTY", bench.kvm.ioctl, 0x99)


@pytest.mark.parametrize(("kind", "refusal"), [(0, None), (1, None), (2, "EINVAL"), (3, "EINVAL")])
def test_vm_types(bench, kind, refusal):
    if refusal:
        refused(refusal, bench.kvm.ioctl, Ioctl.CREATE_VM, kind)
    else:
        assert bench.kvm.ioctl(Ioctl.CREATE_VM, kind) in bench.kvm.vms


def test_vcpu_ids(bench, vcpu):
    refused("EEXIST", bench.vm.create_vcpu, 0)
    refused("EINVAL", bench.vm.create_vcpu, 16)
    assert bench.vm.ioctl(Ioctl.CREATE_VCPU, 15).number == 15


def test_what_vms_and_vcpus_have_no_ioctl_for(bench, vcpu):
    refused("ENOTTY", bench.vm.ioctl, 0x77)
    refused("ENOTTY", bench.vm.ioctl, Ioctl.CREATE_IRQCHIP)
    for request in (
        Ioctl.CHECK_EXTENSION,
        Ioctl.SET_GUEST_DEBUG,
        Ioctl.GET_VCPU_STATE,
        Ioctl.SET_VCPU_STATE,
        0xB8,
        0xBB,
    ):
        refused("ENOTTY", vcpu.ioctl, request)
    refused("EINVAL", vcpu.ioctl, Ioctl.RUN, 1)


REGION = MemoryRegion(1, 16 * MIB, MIB, 0)


@pytest.mark.parametrize(
    ("region", "refusal"),
    [
        (MemoryRegion(1, 16 * MIB, MIB + 4096, 0), "EINVAL"),
        (MemoryRegion(1, 16 * MIB + 4096, MIB, 0), "EINVAL"),
        (MemoryRegion(1, 16 * MIB, MIB, 8), "EINVAL"),
        (MemoryRegion(16, 16 * MIB, MIB, 0), "EINVAL"),
        (MemoryRegion(1, 16 * MIB, MIB, 0, flags=4), "EINVAL"),
        (MemoryRegion(1, (1 << 64) - MIB, MIB, 0), "EINVAL"),
        (MemoryRegion(1, 8 * MIB - PAGE, MIB, 0), "EEXIST"),
        (MemoryRegion(1, 0, 0, 0), "EINVAL"),
        (MemoryRegion(0, 0, 4 * MIB, 8 * MIB), "EINVAL"),
        (MemoryRegion(0, 0, 8 * MIB, 0), "EINVAL"),
        (MemoryRegion(0, 0, 8 * MIB, 8 * MIB, flags=2), "EINVAL"),
    ],
)
def test_memory_regions_that_are_refused(bench, region, refusal):
    refused(refusal, bench.vm.ioctl, Ioctl.SET_USER_MEMORY_REGION, region)


def test_memory_regions_come_move_and_go(bench):
    bench.vm.set_user_memory_region(REGION)
    assert slot_at(bench, 16 * MIB) == 1
    bench.vm.set_user_memory_region(MemoryRegion(1, 32 * MIB, MIB, 0))
    assert (slot_at(bench, 16 * MIB), slot_at(bench, 32 * MIB)) == (None, 1)
    bench.vm.set_user_memory_region(MemoryRegion(1, 32 * MIB, 0))
    assert slot_at(bench, 32 * MIB) is None


def slot_at(bench, gpa):
    """The number of the slot that holds a guest physical address."""
    slot = bench.vm.find_slot(gpa // PAGE)
    return slot and slot.number


def test_the_guest_sees_what_the_host_does_with_user_memory(bench):
    page, other = 12 * MIB, 2 * MIB
    bench.memory.write(page, b"\x11")
    bench.memory.write(other, b"\x22")
    bench.vcpu(
        f"""dli t0, {KSEG0 + 4 * MIB:#x}
        dli t1, {UNCACHED + DEVICE:#x}
    1:  lbu v0, 0(t0)
        b 1b
        sb v0, 0(t1)"""
    )

    def reads():
        bench.run(20_000)
        return bench.accesses[-1].value

    assert (reads(), bench.vm.test_age_hva(page)) == (0x11, True)
    bench.vm.change_pte(page, other)
    assert reads() == 0x22
    bench.vm.unmap_hva_range(page, PAGE)
    assert not bench.vm.test_age_hva(page)
    assert reads() == 0x11
    assert bench.vm.age_hva(page, PAGE) and not bench.vm.age_hva(page, PAGE)


def test_memory_outside_the_machine_is_no_memory():
    bench = Bench()
    kvm = Kvm(bench.host, is_memory=lambda address, size: address + size <= 16 * MIB)
    refused("EINVAL", kvm.create_vm().set_user_memory_region, MemoryRegion(0, 0, 32 * MIB, 0))


def test_dirty_log_of_a_slot_that_does_not_log(bench):
    refused("ENOENT", bench.vm.ioctl, Ioctl.GET_DIRTY_LOG, 0)
    refused("ENOENT", bench.vm.get_dirty_log, 5)
    refused("EINVAL", bench.vm.get_dirty_log, 16)


def test_enable_cap(vcpu):
    refused("EINVAL", vcpu.enable_cap, Cap.MIPS_TE)
    refused("EINVAL", vcpu.enable_cap, Cap.MIPS_FPU, 1)
    refused("EINVAL", vcpu.enable_cap, Cap.MIPS_FPU, 0, 1)
    refused("EINVAL", vcpu.enable_cap, Cap.SYNC_MMU)
    vcpu.ioctl(Ioctl.ENABLE_CAP, Cap.MIPS_FPU)
    assert vcpu.fpu_enabled


def test_an_fpu_needs_the_capability_and_the_guests_config(vcpu):
    ids = [onereg.FCR_CSR, onereg.fpr_64(2), onereg.fpr_32(3)]
    for number in ids:
        refused("EINVAL", vcpu.get_one_reg, number)
    vcpu.enable_cap(Cap.MIPS_FPU)
    assert set(ids) <= set(vcpu.get_reg_list())
    for number in ids:
        refused("EINVAL", vcpu.set_one_reg, number, 0)
    vcpu.set_one_reg(onereg.cp0("config1"), vcpu.get_one_reg(onereg.cp0("config1")) | 1)
    vcpu.set_one_reg(onereg.fpr_64(2), 0x1122334455667788)
    assert vcpu.get_one_reg(onereg.fpr_64(2)) == 0x1122334455667788
    assert vcpu.get_one_reg(onereg.fpr_32(2)) == 0x55667788
    assert vcpu.get_one_reg(onereg.fpr_32(3)) == 0x11223344, "FR = 0: an odd single is an upper half"
    refused("EINVAL", vcpu.get_one_reg, onereg.fpr_64(3))
    vcpu.set_one_reg(onereg.FCR_IR, 5)
    assert vcpu.get_one_reg(onereg.FCR_IR) == 0x00770501


def test_registers_by_id(vcpu):
    vcpu.set_one_reg(onereg.gpr(0), 7)
    vcpu.set_one_reg(onereg.gpr(31), 1 << 63)
    assert vcpu.get_one_reg(onereg.gpr(0)) == 0
    assert vcpu.get_regs()[0][31] == 1 << 63
    vcpu.set_one_reg(onereg.PC, P)
    assert vcpu.get_regs()[3] == P
    for unknown in (0, onereg.gpr(35), onereg.maar(0), onereg.cp0("random"), onereg.COUNTER):
        refused("EINVAL", vcpu.get_one_reg, unknown)
    refused("EINVAL", vcpu.set_regs, [0] * 31, 0, 0, 0)


def with_units(**options):
    """A vCPU of the Loongson tree with FPU and MSA, and FR = 1."""
    vcpu = Bench(backend="ls3acomp", **options).vcpu()
    vcpu.set_one_reg(onereg.cp0("status"), 1 << 26)
    return vcpu


def test_256_bit_registers_stand_in_place_of_those_of_128():
    plain, wide = with_units(), with_units(lasx=True)
    assert len(plain.get_reg_list()) == plain.num_regs()
    assert wide.num_regs() == plain.num_regs() + 32
    refused("E2BIG", wide.ioctl, Ioctl.GET_REG_LIST, wide.num_regs() - 1)
    ids = wide.get_reg_list(wide.num_regs())
    assert len(ids) == len(plain.get_reg_list()), "32 fewer than were counted"
    assert onereg.vec_256(31) in ids and onereg.vec_128(31) not in ids


def test_a_256_bit_register_needs_lasx():
    plain, wide = with_units(), with_units(lasx=True)
    refused("EINVAL", plain.get_one_reg, onereg.vec_256(3))
    wide.context.registers[3] = [1, 2, 3, 4]
    assert wide.get_one_reg(onereg.vec_256(3)) == 1 | 2 << 64 | 3 << 128 | 4 << 192
    assert wide.get_one_reg(onereg.vec_128(3)) == 1 | 2 << 64
    wide.ioctl(Ioctl.SET_ONE_REG, (onereg.vec_256(3), 9))
    assert wide.get_one_reg(onereg.vec_256(3)) & 0xF == 1, "taken, and dropped"
    wide.set_one_reg(onereg.cp0("status"), 0)
    refused("EINVAL", wide.get_one_reg, onereg.vec_256(3))


@pytest.mark.parametrize("stable_timer", [False, True])
def test_the_loongson_trees_state_of_a_vcpu(stable_timer):
    bench = Bench(backend="ls3acomp", stable_timer=stable_timer)
    first, second = bench.vm.create_vcpu(0), bench.vm.create_vcpu(1)
    hz = 100_000_000 if stable_timer else 400_000_000
    assert first.ioctl(Ioctl.GET_VCPU_STATE) == VcpuState(online_vcpus=2, is_migrate=1, cpu_freq=hz)
    assert first.ioctl(Ioctl.CHECK_EXTENSION, Cap.MIPS_FPU) == first.ioctl(Ioctl.GET_VCPU_STATE)
    state = VcpuState(2, 1, hz, 1, 1 << 14, 1 << 8, (1, 2, 3, 4))
    for vcpu in (first, second):
        assert vcpu.ioctl(Ioctl.SET_VCPU_STATE, state) == 0
        assert vcpu.ioctl(Ioctl.GET_VCPU_STATE) == state
        vcpu.ioctl(Ioctl.SET_VCPU_STATE, VcpuState(cpu_freq=hz + 1))
    queued = [vcpu.ioctl(Ioctl.GET_VCPU_STATE).pending_exceptions for vcpu in (first, second)]
    assert queued == [1 << 13, 0], "the first vCPU alone hears of another frequency"


def test_other_ioctls_of_the_loongson_trees_vcpu():
    vcpu = Bench(backend="ls3acomp", lasx=True).vm.create_vcpu(0)
    words = vcpu.ioctl(Ioctl.GET_CPUCFG)
    assert (len(words), words[0], words[1] >> 11 & 1) == (16, 0x14C000, 1)
    assert vcpu.ioctl(Ioctl.SET_GUEST_DEBUG, 1) == 0
    refused("EINVAL", vcpu.ioctl, Ioctl.SET_GUEST_DEBUG, 4)
    refused("ENOTTY", vcpu.ioctl, 0xB8)


@pytest.mark.parametrize("stable_timer", [False, True])
def test_the_counter_of_the_board_is_the_first_vcpus_to_set(stable_timer):
    bench = Bench(backend="ls3acomp", stable_timer=stable_timer)
    first, second = bench.vm.create_vcpu(0), bench.vm.create_vcpu(1)
    first.set_one_reg(onereg.COUNTER, 1 << 50)
    second.set_one_reg(onereg.COUNTER, 5)
    assert [vcpu.get_one_reg(onereg.COUNTER) for vcpu in (first, second)] == [1 << 50] * 2


def test_every_listed_register_can_be_read_and_written_back(vcpu):
    vcpu.enable_cap(Cap.MIPS_FPU)
    vcpu.enable_cap(Cap.MIPS_MSA)
    for name, bit in (("config1", 1), ("config3", 1 << 28)):
        vcpu.set_one_reg(onereg.cp0(name), vcpu.get_one_reg(onereg.cp0(name)) | bit)
    vcpu.set_one_reg(onereg.cp0("status"), 1 << 26)
    ids = vcpu.get_reg_list()
    assert len(ids) == len(set(ids)) == vcpu.num_regs()
    for number in ids:
        value = vcpu.get_one_reg(number)
        assert 0 <= value < 1 << 8 * onereg.size(number)
        vcpu.set_one_reg(number, value)
        assert vcpu.get_one_reg(number) == value


def test_config_is_written_through_a_mask(vcpu):
    before = vcpu.get_one_reg(onereg.cp0("config1"))
    vcpu.set_one_reg(onereg.cp0("config1"), 0)
    assert vcpu.get_one_reg(onereg.cp0("config1")) == before & ~(1 << 31), "M alone may change; no FPU is enabled"


def test_the_second_run_of_a_vcpu_is_refused(bench):
    vcpu = bench.vcpu("1: b 1b\n nop")
    bench.run(2_000)
    with pytest.raises(KvmError) as caught:
        next(vcpu.run())
    assert caught.value.errno == errno.EINTR


def test_immediate_exit_comes_before_the_guest(bench):
    vcpu = bench.vcpu("1: b 1b\n nop")
    vcpu.kvm_run.immediate_exit = True
    bench.on_exit = lambda vcpu: True
    bench.run(20_000)
    assert bench.exits == [f"errno {errno.EINTR}"]
    assert vcpu.get_one_reg(onereg.PC) == P
    assert vcpu.kvm_run.exit_reason is ExitReason.UNKNOWN
