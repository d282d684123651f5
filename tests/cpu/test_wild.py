"""Kernels that do anything end in the same state on every tier, and never take the process with them."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.cpu.core_rig import ADEL, MSADIS, RI, TIERS, TLBL
from tests.cpu.wild import Wild, differing, main


@pytest.mark.parametrize("seed", range(1, 13))
def test_a_slice_of_seeds_on_every_tier(seed):
    assert differing(seed, TIERS) == ""


def test_they_get_about():
    wild = Wild(4, "auto")
    seen = Counter()
    for _ in range(6):
        wild.shoot()
        seen.update(wild.core.exceptions)
    assert wild.core.instructions > 6000
    assert {ADEL, MSADIS, RI, TLBL} <= set(seen)


def test_a_difference_shows(monkeypatch):
    def shoot(self, tier=TIERS[0]):
        self.core.set_state({"gpr": [0] * 31 + [int(self.core.tier.name == tier)]})

    monkeypatch.setattr(Wild, "shoot", shoot)
    assert differing(1, TIERS).startswith("seed 1: ")


@pytest.mark.slow
def test_a_thousand_seeds():
    assert main(["--seeds", "1000", "--seed", "1000", "--tiers", *TIERS]) == 0
