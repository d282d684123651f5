"""The rows of `vz_vectors` on every tier."""

from __future__ import annotations

from functools import cache

import pytest

from cpu import state
from cpu.isa.assembler import assemble
from tests.cpu.core_rig import M64, TIERS
from tests.cpu.vz_rig import GB, GE, HC, VzRig
from tests.cpu.vz_vectors import VECTORS, Vector


def check(read, wanted: dict, what: str) -> None:
    for name, value in wanted.items():
        value, mask = value if isinstance(value, tuple) else (value, M64)
        assert read(name) & mask == value & mask, f"{what} {name} is {read(name):#x}, not {value:#x}"


@cache
def rig_of(tier: str, choices: tuple[tuple[str, int], ...]) -> VzRig:
    """One rig for all rows of a tier and a model; each starts from a reset."""
    return VzRig(tier, vz=dict(choices))


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.number)
def test_vector(vector: Vector, tier: str):
    rig = rig_of(tier, tuple(vector.model.items()))
    rig.core.reset()
    rig.go_guest(vector.run)
    assert rig.core.vz.mode == "root"
    epc = vector.epc
    if vector.exit:
        code, reason = rig.exit
        assert (code, vector.exit[1] if vector.exit[1] is None else reason) == vector.exit
        assert rig.vector == vector.vector
    elif vector.inside:
        code, offset = vector.inside
        assert rig.exit == (GE, HC), "not taken inside the guest"
        assert rig.gcp0("cause") >> 2 & 31 == code
        epc = GB + offset
    else:
        assert rig.exit == (GE, HC)
        epc = vector.run.entry + len(assemble(vector.run.guest).data)
    if epc is not None:
        assert rig.root("epc") == epc
    check(rig.root, vector.root, "root's")
    check(rig.gcp0, vector.gcp0, "the guest's")
    check(rig.reg, vector.gpr, "general register")
    assert {index: rig.tag(0, index) for index in vector.root_tlb} == vector.root_tlb
    assert {index: rig.tag(state.GUEST, index) for index in vector.guest_tlb} == vector.guest_tlb


def test_numbers_are_unique():
    assert len({vector.number for vector in VECTORS}) == len(VECTORS)
