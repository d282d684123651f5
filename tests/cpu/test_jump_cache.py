"""Jumps to any number: what the jump cache keeps in an empty entry is no pc that leads anywhere."""

from __future__ import annotations

import numpy as np
import pytest

from cpu.engine import jump_cache
from cpu.engine.softmmu_layout import JUMP_CACHE_OFFSET, TABLE_BYTES
from tests.cpu.core_rig import ADEL, CODE, EXL, M64, STATUS, on_both_tiers

rig = on_both_tiers()

JUMPS = """
        la      $t0, 2f
1:      {jump}
        nop
2:      addiu   $s0, $s0, -1
        bgtz    $s0, 1b
        nop
        b       1b
        move    $t0, $a0
"""


@pytest.fixture
def table():
    words = np.zeros(TABLE_BYTES // 8, np.int64)
    jump_cache.clear(words.ctypes.data)
    return words


def tags(words: np.ndarray) -> list[int]:
    return words[JUMP_CACHE_OFFSET // 8 :: 2].tolist()


@pytest.mark.parametrize("jump", ["jr $t0", "jalr $t0"])
@pytest.mark.parametrize("target", [M64, M64 - 1, 1, (1 << 63) - 1, CODE + 2])
def test_a_jump_to_no_instruction(rig, jump, target):
    """After enough jumps that lead somewhere for the block to be translated."""
    end = rig.go(JUMPS.format(jump=jump), s0=5, a0=target)
    assert (end.code, end.vector, end.epc, end.badvaddr) == (ADEL, 0x180, target, target)


def test_an_exception_returns_to_no_instruction(rig):
    end = rig.go("eret", status=STATUS | EXL, cp0={"epc": M64})
    assert (end.code, end.badvaddr) == (ADEL, M64)


def test_an_empty_entry_has_no_pc_of_its_place(table):
    assert all(jump_cache.find(table.ctypes.data, tag) == 0 for tag in tags(table))


def test_what_is_kept_is_found_until_it_is_forgotten(table):
    at, pcs = table.ctypes.data, (0, -4, CODE - (1 << 64), CODE - (1 << 64) + 0x3FFC, (1 << 63) - 4)
    for pc in pcs:
        empty = tags(table)
        jump_cache.keep(at, pc, 64)
        assert jump_cache.find(at, pc) == 64
        assert jump_cache.find(at, pc ^ 1 << 40) == 0
        jump_cache.forget(at, pc ^ 1 << 40)
        assert jump_cache.find(at, pc) == 64
        jump_cache.forget_page(at, (pc ^ 1 << 40) & ~0xFFF)
        assert jump_cache.find(at, pc) == 64
        jump_cache.forget_page(at, pc & ~0xFFF)
        assert tags(table) == empty
        jump_cache.keep(at, pc, 64)
        jump_cache.forget(at, pc)
        assert tags(table) == empty
