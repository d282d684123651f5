"""Status.FR = 0 on every tier: sixteen registers of 64 bits, of which an odd number is the upper half."""

from __future__ import annotations

import pytest

from cpu import state
from cpu.core import StopKind
from cpu.engine.blocks import flush_pool
from cpu.isa import TABLE
from tests.cpu.core_rig import CODE, CU1, FR, KSEG1, KX, M64, MIB, RI, SX, TIERS, UX, XKPHYS, Rig, on_both_tiers

rig = on_both_tiers()
WIDE = UX | SX | KX
HALVES = WIDE | CU1
DATA = XKPHYS + 4 * MIB
ONE, TWO, THREE, SIX = 0x3F800000, 0x40000000, 0x40400000, 0x40C00000
ONE_D, THREE_D = 0x3FF0000000000000, 0x4008000000000000


def run(rig, text: str, **start):
    return rig.go(text + "\nwait 0", **{"status": HALVES, "a0": DATA, **start})


def fill(rig, **singles: int) -> None:
    """Registers by name, each 32 bits."""
    for name, value in singles.items():
        run(rig, f"mtc1 $t0, ${name}", t0=value)


def fpr(rig, number: int) -> int:
    return int(rig.S[state.FPR + state.FPR_STRIDE * number]) & M64


def test_an_odd_register_is_the_upper_half(rig):
    end = run(rig, "mtc1 $t0, $f4\nmtc1 $t1, $f5\nmfc1 $v0, $f5\ndmfc1 $v1, $f4\nmfhc1 $a1, $f4", t0=1, t1=0x8000_0002)
    assert end["v0"] == 0xFFFF_FFFF_8000_0002
    assert end["v1"] == fpr(rig, 4) == 0x8000_0002_0000_0001
    assert end["a1"] == 0xFFFF_FFFF_8000_0002
    run(rig, "mthc1 $t0, $f4", t0=7)
    assert run(rig, "mfc1 $v0, $f5")["v0"] == 7 and fpr(rig, 4) & 0xFFFF_FFFF == 1


def test_singles_and_doubles_of_any_register(rig):
    fill(rig, f0=0, f1=ONE, f2=0, f3=TWO, f6=THREE, f7=THREE)
    end = run(rig, "add.s $f1, $f1, $f3\nmul.s $f5, $f1, $f3\nmfc1 $v0, $f1\nmfc1 $v1, $f5\nmfc1 $a1, $f0")
    assert (end["v0"], end["v1"], end["a1"]) == (THREE, SIX, 0)
    end = run(rig, "cvt.d.s $f8, $f1\ndmfc1 $v0, $f8\ncvt.s.d $f9, $f8\nmfc1 $v1, $f9\nmfc1 $a1, $f8")
    assert (end["v0"], end["v1"], end["a1"]) == (THREE_D, THREE, 0), "a half is written, the other stays"
    end = run(rig, "c.eq.s $fcc1, $f1, $f7\nmovt.s $f11, $f7, $fcc1\nmfc1 $v0, $f11")
    assert end["v0"] == THREE


def test_memory(rig):
    rig.memory.write(4 * MIB, ONE_D.to_bytes(8, "little") + TWO.to_bytes(4, "little") + bytes(20))
    end = run(rig, "ldc1 $f2, 0($a0)\nlwc1 $f5, 8($a0)\nswc1 $f3, 16($a0)\nsdc1 $f4, 24($a0)\nmfc1 $v0, $f5")
    assert end["v0"] == TWO
    assert rig.memory.read(4 * MIB + 16, 4) == (ONE_D >> 32).to_bytes(4, "little")
    assert rig.memory.read(4 * MIB + 28, 4) == TWO.to_bytes(4, "little")
    run(rig, "ldxc1 $f2, $t1($a0)\nlwxc1 $f7, $t0($a0)\nswxc1 $f7, $t1($a0)", t0=8, t1=0x18)
    assert rig.memory.read(4 * MIB + 0x18, 4) == TWO.to_bytes(4, "little")
    run(rig, "lwc1 $f7, 0xffe($a0)\nswc1 $f7, 0x1ffe($a0)")
    assert rig.memory.read(4 * MIB + 0x1FFE, 4) == bytes(4), "across a page"


RESERVED = (
    "add.d $f1, $f2, $f4", "add.d $f2, $f1, $f4", "add.d $f2, $f4, $f1", "c.eq.d $f1, $f2", "cvt.s.d $f2, $f1",
    "cvt.d.s $f1, $f2", "ldc1 $f1, 0($a0)", "sdc1 $f3, 0($a0)", "dmfc1 $v0, $f1", "dmtc1 $v0, $f1", "mthc1 $v0, $f1",
    "cvt.l.s $f2, $f4", "cvt.s.l $f2, $f4", "round.l.d $f2, $f4", "add.ps $f2, $f4, $f6", "cvt.ps.s $f2, $f4, $f6",
    "luxc1 $f2, $v0($a0)", "madd.d $f2, $f4, $f6, $f9",
)  # fmt: skip


@pytest.mark.parametrize("text", RESERVED)
def test_what_needs_an_even_register_or_fr(rig, text):
    for before in ("", "b .+8\n"):
        end = run(rig, before + text)
        assert (end.code, end.epc, end.bd) == (RI, CODE, bool(before))
    assert rig.go(text + "\nwait 0", status=HALVES | FR, a0=DATA, v0=0).vector is None


def test_the_same_code_under_both_modes(rig):
    """In a loop that changes FR each time, so that blocks of both kinds stand at the same addresses."""
    text = f"""
        dli     $s0, {HALVES:#x}
        dli     $s1, {FR:#x}
        li      $s2, 40
1:      mtc0    $s0, $12
        ehb
        jal     2f
        nop
        xor     $s0, $s0, $s1
        addiu   $s2, $s2, -1
        bnez    $s2, 1b
        nop
        wait    0
2:      mtc1    $s2, $f3
        jr      $ra
        mtc1    $0, $f2
    """
    rig.go(text, status=HALVES)
    assert fpr(rig, 3) & 0xFFFF_FFFF == 1, "the last time with FR"
    assert fpr(rig, 2) == 2 << 32, "the last time without"


def test_a_device_into_an_odd_register(rig):
    rig.devices = {0x1FE0_0120: THREE}
    after = "\nmfc1 $v0, $f3\nmfc1 $v1, $f2\nswc1 $f3, 0x128($a0)"
    for text in ("lwc1 $f3, 0x120($a0)", "b .+8\nlwc1 $f3, 0x120($a0)"):
        fill(rig, f2=ONE, f3=0)
        end = run(rig, text + after, a0=KSEG1 + 0x1FE0_0000)
        assert (end["v0"], end["v1"]) == (THREE, ONE)
        assert rig.written.pop() == (0x1FE0_0128, 4, THREE)


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("other", TIERS)
def test_a_snapshot_inside_such_an_access(tier, other):
    """Taken up by another core, of any tier, and with the pool filled anew."""
    first = Rig(tier)
    fill(first, f2=ONE, f3=0)
    first.load("lwc1 $f3, 0($a0)\nmfc1 $v0, $f3\nwait 0")
    first.set(pc=CODE, status=HALVES, a0=KSEG1 + 0x1FE0_0120)
    assert first.core.run(None).kind is StopKind.MMIO_READ
    second = Rig(other)
    second.memory.write(0x10000, first.memory.read(0x10000, 64))
    second.core.restore(first.core.save())
    if other != "reference":
        flush_pool(second.memory.shared)
    second.core.finish_read(THREE, second.core.cycles)
    assert second.core.run(None).kind is StopKind.DEADLOCK
    assert second.core.regs[2] == THREE and fpr(second, 2) == THREE << 32 | ONE


def test_msa_is_reserved_then(rig):
    end = run(rig, ".word 0x7846188e", cp0={"config5": 1 << 27})  # addv.w
    assert end.code == RI


def test_which_fields_are_wide():
    """By the names of the formats."""
    assert [f.name for f in TABLE["cvt.d.s"].narrow] == ["fs"] and [f.name for f in TABLE["cvt.s.d"].narrow] == ["fd"]
    assert [f.name for f in TABLE["trunc.w.d"].narrow] == ["fd"] and not TABLE["add.d"].narrow
    assert len(TABLE["madd.s"].narrow) == 4 and [f.name for f in TABLE["swc1"].narrow] == ["ft"]
    reserved = {row.name for row in TABLE.values() if row.fr1}
    assert {name for name in TABLE if name.endswith(".ps") or ".l." in name or name.startswith("cvt.s.p")} <= reserved
