"""A core parked at a slow device keeps its place while the others fill the pool of blocks again and again."""

import cpu.memory
from cpu.engine import shared
from tests.cpu import cluster_rig
from tests.cpu.cluster_rig import Smp
from tests.cpu.test_cluster import PATCH

READER = """
        .align 8
reader: dli $s1, 0x900000001fe00000
        {access}
        .rept 20
        addiu $v0, $v0, 1
        .endr
        wait 0
"""


def flushes_while_parked(access: str, monkeypatch) -> tuple[int, int]:
    monkeypatch.setattr(cpu.memory, "POOL_WORDS", 32_000)
    monkeypatch.setattr(cluster_rig, "LATENCY", 2_000_000)
    monkeypatch.setattr(cluster_rig, "RUNAWAY", 50_000_000)
    m = Smp(3, "threaded")
    m.load(PATCH + READER.format(access=access))
    m.start(0, a0=0, a1=20_000)
    m.start(1, a0=1, a1=20_000)
    m.start(2, "reader")
    m.run()
    return m.memory.shared[shared.POOL_FLUSHES], m.reg(2, "v0")


def test_a_parked_load_survives_flushes(monkeypatch):
    flushes, count = flushes_while_parked("lw $t0, 0($s1)", monkeypatch)
    assert flushes >= 3 and count == 20


def test_a_parked_store_in_a_delay_slot_survives_flushes(monkeypatch):
    flushes, count = flushes_while_parked("b 1f\n sw $t0, 0($s1)\n nop\n1:", monkeypatch)
    assert flushes >= 3 and count == 20
