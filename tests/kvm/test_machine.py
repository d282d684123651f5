"""Guests on a machine: registers, cores, controllers in either place, moving. What guests compute: tests/scenarios."""

from __future__ import annotations

import msgpack
import pytest

from cpu.engine import tiers
from cpu.isa.assembler import assemble
from cpu.kvm import mips, onereg
from cpu.kvm.errors import KvmError
from scenarios.library import guest, loaded
from soc import ConfigurationError, Machine, PoweredOff, migration, options


def run(name, **options):
    machine = Machine("virt", **options)
    machine.load(guest(name).to_elf())
    result = machine.run(until=PoweredOff, max_virtual="2 s")
    assert result.ended == "poweroff", result.reason
    return machine, result


def test_the_registers_are_those_of_the_bare_program():
    """All but pc: at the end one stands at the store that switches off, the other is behind it."""
    states = [
        run("memory.S")[0].cpu[0].get_state(),
        run("memory.S", hypervisor="kvm")[0].hypervisor.vcpus[0].get_state(),
    ]
    for key in ("gpr", "hi", "lo", "fpr", "fcsr"):
        assert states[0][key] == states[1][key], key
    for name in ("status", "ebase", "epc"):
        assert states[0]["cp0"][name] == states[1]["cp0"][name], name


def test_the_hash_depends_on_neither_tier_nor_slice():
    hashes = set()
    for tier, sliced in (("auto", None), ("auto", 1_000), ("reference", None)):
        machine = Machine("virt", hypervisor="kvm", vcpus=2, cpus=1, tier=tier)
        machine.load(guest("first_light.S", rounds=5).to_elf())
        hashes.add(machine.run(until=PoweredOff, max_virtual="1 s", slice=sliced).trace_hash)
    assert len(hashes) == 1


def test_user_space_costs_time():
    _, kernel = run("first_light.S", hypervisor="kvm", irqchip="kernel")
    _, user = run("first_light.S", hypervisor="kvm", irqchip="user")
    assert kernel.details["kvm mmio_kernel"] > 0
    assert "kvm mmio_kernel" not in user.details
    assert user.virtual_s > kernel.virtual_s


@pytest.mark.parametrize("backend", ["vz", "ls3acomp"])
@pytest.mark.parametrize("cores", [1, 2, 4])
def test_vcpus_on_fewer_and_as_many_cores(cores, backend):
    options = {"hypervisor": "kvm", "vcpus": 4, "kvm": backend}
    told = loaded("ipi_pingpong.S", cpus=cores, options=options, cores=4, rounds=20)
    result = told.run()
    assert result.ended == "poweroff", result.reason
    ran = {vcpu.last_exec_core for vcpu in told.machine.hypervisor.vcpus}
    assert ran <= set(range(cores)) and -1 not in ran


def test_the_options_name_the_back_ends_and_tiers_that_there_are():
    assert set(options.BACKENDS) == set(mips.BACKENDS)
    assert set(options.TIERS) == {"auto", *tiers.TIERS}


def test_options_that_make_no_sense():
    with pytest.raises(ConfigurationError, match="without a hypervisor"):
        Machine("virt", vcpus=2)
    with pytest.raises(ConfigurationError, match="kvm"):
        Machine("virt", hypervisor="xen")
    with pytest.raises(ConfigurationError, match="user"):
        Machine("virt", hypervisor="kvm", irqchip="none")
    with pytest.raises(ConfigurationError, match="ls3acomp"):
        Machine("virt", hypervisor="kvm", kvm="svm")


@pytest.mark.parametrize("unimplemented", ["stop", "ri"])
@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("hypcall 3", "HYPCALL 3"),
        ("cache 5, 0(zero)", "CACHE operation 0x5"),
        ("li t0, 0xffffffffb0000000\n jr t0\n nop", "a load KVM does not emulate"),  # of what BadInstr still has
        ("li t0, 0xffffffffb0000000\n ll t1, 0(t0)", "a load KVM does not emulate"),
    ],
)
def test_exits_that_kvm_does_not_handle_end_the_run(text, why, unimplemented):
    machine = Machine("virt", hypervisor="kvm", unimplemented=unimplemented)
    machine.load(assemble(text).to_elf())
    result = machine.run(max_virtual="1 ms")
    assert result.ended == "error"
    assert "INTERNAL_ERROR" in result.reason and why in result.reason


@pytest.mark.parametrize("at", ["100 us", "777 us"])
def test_a_guest_moves_to_another_machine(at):
    whole, _ = run("first_light.S", hypervisor="kvm")
    source = Machine("virt", hypervisor="kvm")
    source.load(guest("first_light.S").to_elf())
    source.run(max_virtual=at)
    source.hypervisor.stop_guest()
    assert source.run().reason == "the guest has stopped"
    source.run(max_virtual="1 us")
    saved = msgpack.unpackb(msgpack.packb(migration.leave(source)), strict_map_key=False)
    assert not migration.beyond(saved), "registers by id, memory and devices are all of it"
    target = Machine("virt", hypervisor="kvm")
    migration.arrive(target, saved)
    result = target.run(until=PoweredOff, max_virtual="1 s")
    assert result.ended == "poweroff", result.reason
    assert source.console + target.console == whole.console
    assert result.details["refill root"] > 0, "nothing of its translations came along"


def test_a_guest_moves_only_to_a_machine_like_its_own():
    saved = migration.leave(Machine("virt", hypervisor="kvm", ram="16 MiB"))
    with pytest.raises(KvmError, match="vCPUs \\('vz', 1\\); this machine is for \\('vz', 2\\)"):
        migration.arrive(Machine("virt", hypervisor="kvm", vcpus=2, ram="16 MiB"), saved)
    with pytest.raises(KvmError, match="this machine is for \\('ls3acomp', 1\\)"):
        migration.arrive(Machine("virt", hypervisor="kvm", kvm="ls3acomp", ram="16 MiB"), saved)


def test_the_hash_covers_a_vcpu_that_is_on_no_core():
    def stopped(change) -> bytes:
        machine = Machine("virt", hypervisor="kvm", vcpus=2, cpus=1)
        machine.load(guest("first_light.S").to_elf())
        machine.run(max_virtual="20 us")
        machine.hypervisor.stop_guest()
        machine.run()
        vcpu = machine.hypervisor.vcpus[1]
        assert vcpu.core is None
        change(vcpu)
        return machine.digest()

    same = stopped(lambda vcpu: None)
    assert same == stopped(lambda vcpu: None)
    for number in (onereg.gpr(5), onereg.HI, onereg.PC, onereg.cp0("epc"), onereg.fpr_64(2), onereg.FCR_CSR):
        assert stopped(lambda vcpu, number=number: vcpu.set_one_reg(number, 0x1000)) != same, f"{number:#x}"


def test_a_stopped_guest_goes_on():
    machine = Machine("virt", hypervisor="kvm")
    machine.load(guest("first_light.S").to_elf())
    for _ in range(3):
        machine.run(max_virtual="300 us")
        machine.hypervisor.stop_guest()
        machine.run()
        machine.hypervisor.resume_guest()
    assert machine.run(until=PoweredOff, max_virtual="1 s").ended == "poweroff"
    assert b"timer interrupts 100, UART transmit interrupts 100" in machine.console
