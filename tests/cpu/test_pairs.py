"""Loongson's loads and stores of two registers, beyond what tests/cpu/test_differential.py compares with QEMU."""

from __future__ import annotations

import pytest

from cpu.core import StopKind
from tests.cpu.core_rig import CODE, CPU, CU1, FR, KSEG0, KSEG1, MIB, RI, WIDE, on_both_tiers

rig = on_both_tiers()

DATA = KSEG0 + 4 * MIB
PAIR = bytes(range(0x10, 0x20))
LOW, HIGH = (int.from_bytes(half, "little") for half in (PAIR[:8], PAIR[8:]))


def test_the_first_register_has_the_higher_address(rig):
    rig.memory.write(4 * MIB + 32, PAIR)
    end = rig.go("gslq $v1, $v0, 32($a0)\ngssq $v0, $v1, -16($a0)\nwait 0", a0=DATA)
    assert (end["v0"], end["v1"]) == (LOW, HIGH)
    assert rig.memory.read(4 * MIB - 16, 16) == PAIR[8:] + PAIR[:8]


def test_the_base_and_r0_as_targets(rig):
    rig.memory.write(4 * MIB, PAIR)
    for targets, name, value in (
        ("$a0, $v0", "a0", HIGH),
        ("$v0, $a0", "a0", LOW),
        ("$v0, $v0", "v0", HIGH),
        ("$v0, $0", "v0", HIGH),
        ("$0, $v0", "v0", LOW),
    ):
        end = rig.go(f"gslq {targets}, 0($a0)\nwait 0", a0=DATA)
        assert (end[name], end["zero"]) == (value, 0), targets


def test_any_address_and_across_a_page(rig):
    rig.go("gssq $t1, $t0, 0($a0)\ngssqc1 $f3, $f2, 16($a0)\nwait 0", a0=DATA + 0xFF3, t0=LOW, t1=HIGH)
    assert rig.memory.read(4 * MIB + 0xFF3, 16) == PAIR
    end = rig.go("gslqc1 $f3, $f2, 16($a0)\ndmfc1 $v0, $f2\ndmfc1 $v1, $f3\nwait 0", a0=DATA + 0xFE3)
    assert (end["v0"], end["v1"]) == (LOW, HIGH)


def test_what_the_fpu_asks_for(rig):
    assert rig.go("gslqc1 $f3, $f2, 0($a0)", status=WIDE | FR, a0=DATA).code == CPU
    assert rig.go("gslqc1 $f3, $f2, 0($a0)", status=WIDE | CU1, a0=DATA).code == RI, "an odd register of 64 bits"
    assert rig.go("gslqc1 $f4, $f2, 0($a0)\nwait 0", status=WIDE | CU1, a0=DATA).vector is None


@pytest.mark.parametrize("text", ["gslq $v1, $v0, 0($a0)", "gssq $v1, $v0, 0($a0)"])
def test_an_access_to_a_device_ends_the_run(rig, text):
    rig.load(text)
    rig.set(pc=CODE, a0=KSEG1 + 0x1FE0_0120)
    stop = rig.run()
    assert stop.kind is StopKind.UNMODELLED and text.split()[0] in str(stop)
