"""The public face of one core and of memory: stops, replies, misuse."""

from __future__ import annotations

import errno
import os

import pytest

from cpu.core import Core, CoreError, StopKind
from cpu.engine.tiers import TierError
from cpu.isa.errors import TableError
from cpu.memory import Memory, MemoryRangeError
from tests.cpu.core_rig import CODE, DBE, KSEG1, MIB, STATUS, SYS, Rig, on_both_tiers

rig = on_both_tiers()

DEVICE = KSEG1 + 0x1FE0_0000
CALLS = """
1:      jal     f
        nop
        b       1b
        nop
        .balign 256
f:      addiu   $v0, $v0, 1
        jr      $ra
        nop
"""


def test_a_limit_holds_where_the_jump_cache_knows_the_way(rig):
    """Two instructions too many would be two delay slots; one is allowed."""
    rig.load(CALLS)
    rig.set(pc=CODE)
    for limit in (1000, 1001, 7, 1, 130, 131, 50, 2, 3):
        before = rig.core.instructions
        assert rig.run(max_insns=limit).kind is StopKind.LIMIT
        assert rig.core.instructions - before in (limit, limit + 1), limit


def test_a_limit_holds_after_a_device_access(rig):
    rig.load(CALLS.replace("1:", "1: lbu $t0, 0($a0)\n", 1))
    rig.set(pc=CODE, a0=DEVICE)
    for limit in (1000, 1001, 7, 1, 130, 131, 50):
        before = rig.core.instructions
        assert rig.run(max_insns=limit).kind is StopKind.LIMIT
        assert rig.core.instructions - before in (limit, limit + 1), limit


def test_a_stop_pc_holds_where_the_jump_cache_knows_the_way(rig):
    program = rig.load(CALLS)
    rig.set(pc=CODE)
    rig.run(max_insns=500)
    stop = rig.run(max_insns=500, stop_pcs=(program.symbols["f"] + 4,))
    assert (stop.kind, rig.core.pc) == (StopKind.PC, program.symbols["f"] + 4)
    assert rig.run(max_insns=500).kind is StopKind.LIMIT, "stop pcs last for one run"


def test_a_bus_error_on_a_device_access(rig):
    for text in ("lw $t0, 0($a0)", "b .+8\nlw $t0, 0($a0)", "sw $t0, 0($a0)", "b .+8\nsw $t0, 0($a0)"):
        epc, bd = CODE + 4, text.startswith("b ")
        rig.load("nop\n" + text)
        rig.set(pc=CODE, a0=DEVICE, t0=77)
        stop = rig.core.run(None)
        assert stop.kind in (StopKind.MMIO_READ, StopKind.MMIO_WRITE)
        rig.core.finish_error(stop.cycle + 9)
        end = rig.finish()
        assert (end.code, end.epc, end.bd, end.vector, end["t0"]) == (DBE, epc, bd, 0x180, 77), text


def test_a_reply_to_nothing_is_refused(rig):
    rig.load("lw $t0, 0($a0)\nsw $t0, 0($a0)\nwait 0")
    rig.set(pc=CODE, a0=DEVICE)
    for reply in (
        lambda: rig.core.finish_read(0, 0),
        lambda: rig.core.finish_write(0),
        lambda: rig.core.finish_error(0),
    ):
        with pytest.raises(CoreError, match="is not waiting for"):
            reply()
    stop = rig.core.run(None)
    with pytest.raises(CoreError, match="is not waiting for a write"):
        rig.core.finish_write(stop.cycle)
    with pytest.raises(CoreError, match="a reply at cycle"):
        rig.core.finish_read(0, stop.cycle - 1)
    rig.core.finish_read(0, stop.cycle)
    assert rig.core.run(None).kind is StopKind.MMIO_WRITE


def test_a_slice_is_no_boundary_and_says_so(rig):
    rig.load(CALLS)
    rig.set(pc=CODE)
    stop = rig.core.run(None, slice_cycles=10)
    assert stop.kind is StopKind.SLICE and stop.cycle >= 10


def test_reset_is_a_cold_start(rig):
    rig.tlb(0, 0x4000, 6, 6)
    rig.go("syscall 0")
    rig.core.reset()
    core = rig.core
    assert (core.pc, core.cycles, core.instructions, core.exceptions) == (0xFFFF_FFFF_BFC0_0000, 0, 0, {})
    assert core.cp0("status") == 0x0040_0004 and core.regs == [0] * 32
    assert rig.entry(0)[1] >> 63
    assert rig.go("syscall 0").code == SYS


def test_misuse_of_a_core_is_refused():
    memory = Memory(MIB)
    with pytest.raises(CoreError, match="core 1"):
        Core(1, memory)
    with pytest.raises(TierError, match="no tier 'fast'"):
        Core(0, memory, "fast")
    core = Core(0, memory)
    for ip in (0, 1, 7):
        with pytest.raises(CoreError, match=f"IP{ip}"):
            core.set_line(ip, 1)
    for level in (2, -1, 0.5):
        with pytest.raises(CoreError, match="IP2 at level"):
            core.set_line(2, level)
    with pytest.raises(CoreError, match="'sp'"):
        core.set_state({"sp": 1})
    with pytest.raises(CoreError, match="gpr needs 32 values, got 2"):
        core.set_state({"gpr": [0, 1]})
    with pytest.raises(TableError, match="no CP0 register 'statsu'"):
        core.set_state({"cp0": {"statsu": 1}})
    with pytest.raises(CoreError, match="guestctl0 is not modelled"):
        core.set_state({"cp0": {"guestctl0": 1}})


def test_memory_that_the_host_refuses_is_told(monkeypatch):
    def refuse(*_, **__):
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))

    monkeypatch.setattr("cpu.memory.mmap.mmap", refuse)
    with pytest.raises(MemoryRangeError, match="the host gives no 3 MiB of memory: Cannot allocate memory"):
        Memory(MIB)


def test_misuse_of_memory_is_refused():
    for size in (0, -4096, 4097, 65 << 30):
        with pytest.raises(MemoryRangeError, match="needs a positive multiple"):
            Memory(size)
    memory = Memory(MIB)
    for address, count in ((MIB, 1), (MIB - 1, 2), (0x1FC0_0000 - 1, 2), (0x8000_0000 + MIB, 1), (-1, 1)):
        with pytest.raises(MemoryRangeError, match="are not all memory"):
            memory.read(address, count)
        with pytest.raises(MemoryRangeError, match="are not all memory"):
            memory.write(address, bytes(count))
    assert memory.read(MIB, 0) == b""


def test_memory_is_one_at_both_addresses():
    memory = Memory(MIB)
    memory.write(0x1234, b"abc")
    assert memory.read(0x8000_1234, 3) == b"abc"
    before = memory.digest()
    memory.write(0x8000_1234, b"abd")
    assert memory.digest() != before
    memory.write(0x1234, b"abc")
    assert memory.digest() == before


def test_looking_at_a_core_changes_nothing(rig):
    rig.go("li $v0, 1\nwait 0", status=STATUS)
    before = rig.core.digest()
    assert rig.core.word_at(CODE) is not None and rig.core.word_at(0x4000) is None
    assert rig.core.word_at(DEVICE) is None and rig.core.translate(CODE) == CODE & 0x1FFF_FFFF
    rig.core.get_state()
    assert rig.core.digest() == before


def test_two_machines_do_not_share(rig):
    other = Rig(rig.tier)
    first = rig.go("li $v0, 1\nwait 0")
    second = other.go("li $v0, 2\nwait 0")
    assert (first["v0"], second["v0"]) == (1, 2) and rig.core.regs[2] == 1
