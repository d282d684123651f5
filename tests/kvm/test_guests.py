"""Guests of several vCPUs on few cores: units never mix, pages written are pages logged."""

from __future__ import annotations

import pytest

from cpu.cp0 import registers
from cpu.kvm import onereg
from cpu.kvm.uapi import MemoryRegion
from tests.kvm.rig import CU1, KSEG0, MIB, STATUS, Bench, P

FPU_LOOP = f"""li t0, {CU1 | STATUS:#x}
        mtc0 t0, c0_status
        dmtc1 a0, $f1
        dmtc1 a0, $f31
1:      add.d $f2, $f1, $f1
        dmfc1 t1, $f31
        bne t1, a0, wrong
        dmfc1 t2, $f1
        bne t2, a0, wrong
        daddiu s0, s0, 1
        b 1b
        nop
wrong:  hypcall 1"""


@pytest.mark.parametrize("cores", [1, 2])
def test_fpu_registers_never_mix(cores):
    bench = Bench(cores=cores, slice_cycles=6_000)
    vcpus = [bench.vcpu(FPU_LOOP if not n else "", pc=P) for n in range(3)]
    for n, vcpu in enumerate(vcpus):
        vcpu.set_one_reg(onereg.gpr(4), 0x3FF0_0000_0000_0000 + n)
    bench.run(300_000)
    assert not bench.exits
    for vcpu in vcpus:
        assert vcpu.stats["cop_unusable"] > 2, "its registers went and came"
        assert vcpu.get_one_reg(onereg.gpr(16)) > 1_000


LASX_LOOP = f"""li t0, {CU1 | STATUS:#x}
        mtc0 t0, c0_status
        dli t0, 0x08000001
        mtc0 t0, c0_config5
        mfc0 t0, c0_config
        lui t1, 8
        or t0, t0, t1
        mtc0 t0, c0_config
        dmtc1 a0, $f1
        insert.d $w2[1], a0
        xinsert.d $w3[2], a0
        xinsert.d $w31[3], a0
1:      dmfc1 t1, $f1
        bne t1, a0, wrong
        copy_s.d t1, $w2[1]
        bne t1, a0, wrong
        xvcopy_s.d t1, $w3[2]
        bne t1, a0, wrong
        xvcopy_s.d t1, $w31[3]
        bne t1, a0, wrong
        daddiu s0, s0, 1
        b 1b
        nop
wrong:  hypcall 1"""


@pytest.mark.parametrize("cores", [1, 2])
def test_256_bit_registers_never_mix(cores):
    bench = Bench(cores=cores, slice_cycles=6_000, backend="ls3acomp", lasx=True)
    vcpus = [bench.vcpu(LASX_LOOP if not n else "", pc=P) for n in range(3)]
    for n, vcpu in enumerate(vcpus):
        vcpu.set_one_reg(onereg.gpr(4), 0x3FF0_0000_0000_0000 + n)
    bench.run(300_000)
    assert not bench.exits, bench.vm.messages
    for vcpu in vcpus:
        assert vcpu.stats["cop_unusable"] + vcpu.stats["msa_disabled"] + vcpu.stats["lasx_disabled"] > 2
        assert vcpu.get_one_reg(onereg.gpr(16)) > 1_000


def test_256_bit_registers_come_and_go_alike_on_every_tier():
    seen = []
    for tier in ("auto", "threaded", "reference"):
        bench = Bench(tier=tier, slice_cycles=6_000, backend="ls3acomp", lasx=True)
        for n in range(2):
            bench.vcpu(LASX_LOOP if not n else "", pc=P).set_one_reg(onereg.gpr(4), n)
        events = []
        bench.kvm.tracer.listen(events.append, "kvm_aux")
        bench.run(40_000)
        seen.append((tuple(events), bench.cluster.cores[0].digest()))
    assert seen[0] == seen[1] == seen[2]
    assert {event.values[1:] for event in seen[0][0]} >= {(0, 1), (1, 7)}, "restored for the FPU, saved with all"


def test_an_integer_guest_never_pays_for_the_fpu():
    bench = Bench(slice_cycles=6_000)
    vcpus = [bench.vcpu("1: daddiu s0, s0, 1\n b 1b\n nop" if not n else "", pc=P) for n in range(2)]
    bench.run(200_000)
    assert [vcpu.stats["cop_unusable"] for vcpu in vcpus] == [0, 0]
    assert all(vcpu.stats["load"] > 5 for vcpu in vcpus)


def test_threads_share_a_core_fairly():
    bench = Bench(slice_cycles=8_000)
    vcpus = [bench.vcpu("1: daddiu s0, s0, 1\n b 1b\n nop" if not n else "", pc=P) for n in range(4)]
    bench.run(1_600_000)
    done = [vcpu.get_one_reg(onereg.gpr(16)) for vcpu in vcpus]
    assert min(done) > 0.8 * max(done)


def test_three_threads_on_two_cores_move_about():
    bench = Bench(cores=2, slice_cycles=8_000)
    vcpus = [bench.vcpu("1: daddiu s0, s0, 1\n b 1b\n nop" if not n else "", pc=P) for n in range(3)]
    bench.run(800_000)
    assert sum(vcpu.stats["migration"] for vcpu in vcpus) > 5
    done = [vcpu.get_one_reg(onereg.gpr(16)) for vcpu in vcpus]
    assert min(done) > 0.6 * max(done)


OWN = {"random", "count", "pgd", "lladdr", "gscause", "nestedexc", "nestedepc"}
"""Guest registers that do not go with a vCPU as they are: counters, views, the link, what an exception leaves for an
instant, and what Linux 6.1 does not know."""


def test_every_register_of_the_guest_goes_with_its_vcpu():
    bench = Bench(cores=2)
    mine, other = bench.vcpu("1: b 1b\n nop"), bench.vcpu("")
    here, there = bench.cluster.cores
    names = {r.name for r in registers.REGISTERS.values() if r.modelled and r.guest not in ("", "H")} - OWN
    mine.load(here)
    for name in names - {"compare", "cause", "status"}:
        here.vz.set_gc0(name, 0x5A5A_A5A5_0000_1234 & (1 << registers.register(name).width) - 1)
    held = {name: here.vz.gc0(name) for name in names}
    mine.put()
    other.load(here)
    other.put()
    other.load(there)
    other.put()
    mine.load(there)
    assert {name: there.vz.gc0(name) for name in names} == held


WRITER = f"""dli t0, {KSEG0 + 0x400000:#x}
1:      # a pseudo-random page of 128, a word in it
        dsll t1, a0, 13
        xor a0, a0, t1
        dsrl t1, a0, 7
        xor a0, a0, t1
        dsll t1, a0, 17
        xor a0, a0, t1
        andi t2, a0, 0x7f
        dsll t2, t2, 14
        daddu t2, t2, t0
        daddiu s0, s0, 1
        sd s0, 8(t2)
        dsrl t3, a0, 30
        andi t3, t3, 0x7f
        dsll t3, t3, 14
        daddu t3, t3, t0
        ld v0, 16(t3)
        andi v1, s0, 0x1f
        bnez v1, 1b
        nop
        # now and then it rests
        li a1, 4000
2:      bnez a1, 2b
        addiu a1, a1, -1
        b 1b
        nop"""


@pytest.mark.parametrize("cores", [1, 2, 4])
def test_the_dirty_log_is_what_was_written(cores):
    bench = Bench(cores=cores, slice_cycles=20_000)
    for n in range(4):
        vcpu = bench.vcpu(WRITER if not n else "", pc=P)
        vcpu.set_one_reg(onereg.gpr(4), 0x9E3779B9 * (n + 1))
        vcpu.set_one_reg(onereg.gpr(16), n << 32)
    bench.run(50_000)
    bench.vm.set_user_memory_region(MemoryRegion(0, 0, 8 * MIB, bench.base, flags=1))
    before = bench.memory.read(bench.base, 8 * MIB)
    written = 0
    for _ in range(12):
        bench.run(25_000)
        bitmap = int.from_bytes(bench.vm.get_dirty_log(0), "little")
        now = bench.memory.read(bench.base, 8 * MIB)
        size = 1 << 14
        changed = {n for n in range(512) if now[n * size : (n + 1) * size] != before[n * size : (n + 1) * size]}
        logged = {n for n in range(512) if bitmap >> n & 1}
        # A store that has faulted and not yet been repeated is logged ahead of time, and will be again.
        faulted = {int(vcpu.gprs[14]) >> 14 & 511 for vcpu in bench.vm.vcpus}
        assert changed <= logged <= changed | faulted
        before, written = now, written + len(changed)
    assert written > 100


def test_a_page_that_user_space_takes_away_is_another_at_the_next_access():
    """The canonical flush: unmap, remap, and every vCPU sees the new page."""
    bench = Bench(cores=2)
    text = f"dli t0, {KSEG0 + 0x700000:#x}\n1: ld s0, 0(t0)\n b 1b\n nop"
    vcpus = [bench.vcpu(text if not n else "", pc=P) for n in range(2)]
    bench.memory.write(bench.base + 0x700000, (1).to_bytes(8, "little"))
    bench.memory.write(0, (2).to_bytes(8, "little"))
    bench.run(40_000)
    bench.vm.set_user_memory_region(MemoryRegion(0, 0, 0))
    bench.vm.set_user_memory_region(MemoryRegion(0, 0, 7 * MIB, bench.base))
    bench.vm.set_user_memory_region(MemoryRegion(1, 7 * MIB, MIB, 0))
    for vcpu in vcpus:
        bench.host.interrupt(vcpu)
    bench.run(40_000)
    for vcpu in vcpus:
        bench.host.interrupt(vcpu)
    bench.run(2_000)
    assert [vcpu.get_one_reg(onereg.gpr(16)) for vcpu in vcpus] == [2, 2]
