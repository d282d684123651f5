"""The KVM-level vectors, each by its number."""

from __future__ import annotations

import pytest

from tests.kvm import irqchip_vectors  # noqa: F401  adds its vectors
from tests.kvm.vectors import NOT_HERE, VECTORS


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.number)
def test_vector(vector):
    vector.check()


def test_every_vector_of_the_kvm_level_is_run_or_says_why_not():
    known = {vector.number for vector in VECTORS} | set(NOT_HERE)
    assert {str(n) for n in range(110, 147)} <= known
    assert {f"V{n:02}" for n in range(1, 14)} <= known
    assert {f"T{n:02}" for n in range(7, 11)} <= known
    assert not {vector.number for vector in VECTORS} & set(NOT_HERE)
