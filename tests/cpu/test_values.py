"""Tier E's values: what stays in them, who may take them over, and what is known before a stencil is placed."""

from __future__ import annotations

from random import Random

import pytest

from cpu.engine import held, shared
from cpu.engine import stencil_layout as e
from cpu.engine.known import Sum, Term
from cpu.engine.micro import OP
from cpu.engine.stencils import COMMUTING, HELD, Shape
from tests.cpu.core_rig import CODE, M64, RI, Rig, needs_stencil

pytestmark = needs_stencil

FIELDS = {"ext": (32, 0, 0), "dext": (63, 0, 0), "dextm": (64, 0, 32), "dextu": (64, 32, 0), "ins": (32, 0, 0)}


def blocks(rig: Rig) -> dict[int, int]:
    """Blocks of the pool that are translated, by offset of their pc from CODE."""
    M, pool, found = rig.memory.shared, rig.memory.pool, {}
    for k in range(shared.POOL_START, int(M[shared.POOL_NEXT])):
        block = k - shared.HEADER
        if int(pool[k]) & 0xFFFF == OP["b_native"] and block >= shared.POOL_START:
            found[(int(pool[block + shared.H_PC]) & M64) - CODE] = block
    return found


def jump_target(rig: Rig, block: int, number: int) -> int:
    """Where the jump that goes with a link of a block leads."""
    jump = int(rig.memory.pool[block + shared.H_JUMP1 + number])
    at = jump - int(rig.memory.shared[shared.CODE])
    return jump + 4 + int.from_bytes(rig.memory.code_buffer.code[at : at + 4].tobytes(), "little", signed=True)


def test_a_loop_of_two_blocks_keeps_its_registers_in_values():
    """Each of the two jumps enters its target behind the fetches."""
    rig = Rig("stencil", hot_after=0)
    rig.go("""
        li      $t0, 3000
1:      daddiu  $t1, $t1, 3
        bnez    $t3, 2f
        addiu   $t0, $t0, -1
        xor     $t2, $t2, $t1
        bnez    $t0, 1b
        nop
        wait    0
2:      wait    0
""")
    found, pool = blocks(rig), rig.memory.pool
    first, second = found[4], found[16]
    for block, number, target in ((first, 1, second), (second, 0, first)):
        inner = int(pool[target + shared.H_INNER])
        assert jump_target(rig, block, number) == inner
        assert inner > int(pool[target + shared.HEADER]) >> 16
        assert int(pool[target + shared.H_BEGINS]) != 0


def test_a_jump_that_brings_other_values_enters_before_the_fetches():
    assert held.covers(0x0302, 0x0300)
    assert held.covers(0x0302, 0)
    assert not held.covers(0x0302, 0x0203)
    assert not held.covers(0, 0x0300)


def test_what_only_values_know_is_stored_where_tier_t_takes_over():
    text = """
        li      $t0, 40
        dla     $t1, 3f
1:      addu    $t2, $t2, $t0
        xor     $t3, $t3, $t2
        movz    $t1, $zero, $s0             # the last load is from address 0, where no translation is
        ld      $v0, 0($t1)
        addiu   $t0, $t0, -1
        bnez    $t0, 1b
        addiu   $s0, $t0, -1
2:      wait    0
        .balign 8
3:      .dword  5
"""
    results = {tier: Rig(tier, hot_after=0).go(text, s0=1) for tier in ("stencil", "threaded", "reference")}
    first = results.pop("reference")
    assert first["t0"] == 1
    for result in results.values():
        assert result.gpr == first.gpr
        assert result.instructions == first.instructions


@pytest.mark.parametrize("name", sorted(COMMUTING))
def test_operands_that_share_a_variant_may_change_places(name):
    if name.startswith("b"):
        text = f"{name} $a0, $a1, 1f\n nop\n li $v0, 7\n1: wait 0"
    elif "mult" in name:
        text = f"{name} $a0, $a1\n mflo $v0\n mfhi $v1\n wait 0"
    else:
        text = f"{name} $v0, $a0, $a1\n wait 0"
    for a, b in ((3, 5), (7, 7), (M64, 2), (1 << 63, M64), (0x7FFF_FFFF, 0x7FFF_FFFF)):
        one, other = (Rig("reference").go(text, a0=x, a1=y) for x, y in ((a, b), (b, a)))
        assert (one["v0"], one["v1"]) == (other["v0"], other["v1"])


def test_variants_that_differ_in_the_order_of_operands_share_code():
    form = Shape((24, 32), 16, commutes=True)
    variants, originals = list(form.variants()), form.originals()
    for (reads, into), original in zip(variants, originals, strict=True):
        assert variants[original] == (tuple(sorted(reads)), into)
    assert len(set(originals)) == e.VALUES * (e.VALUES + 1) * (e.VALUES + 2) // 2
    assert COMMUTING <= HELD


def test_the_name_of_a_sum_says_what_it_is():
    fields = Sum(63, (Term(-1, "U", 40, 5), Term(65536, "I", 32, 16)))
    assert Sum.named(fields.name) == fields
    assert fields.fits
    assert not fields.times(2).fits
    assert fields.plus(fields, -1).constant == 0


@pytest.mark.parametrize("name", FIELDS)
def test_bit_fields_of_every_size_are_the_same_in_host_code(name):
    random, (width, above, more) = Random(name), FIELDS[name]
    lines = []
    for _ in range(40):
        position = random.randint(0, 31)
        size = more + random.randint(1, min(32, width - above - position - more))
        lines.append(f"{name} $v0, $a0, {above + position}, {size}\n xor $v1, $v1, $v0\n drotr $v1, $v1, 7")
    text = "li $t0, 3\n1:" + "\n".join(lines) + "\n addiu $t0, $t0, -1\n bnez $t0, 1b\n nop\n wait 0"
    results = [Rig(tier, hot_after=0).go(text, a0=0x8123_4567_89AB_CDEF)["v1"] for tier in ("stencil", "reference")]
    assert results[0] == results[1] != 0


def test_an_impossible_bit_field_is_left_to_tier_t():
    """ext with lsb 20 and size 20, in a loop that is translated before it is reached."""
    word = 0x7C00_0000 | 4 << 21 | 2 << 16 | 19 << 11 | 20 << 6
    text = f"li $t0, 9\n1: addiu $t0, $t0, -1\n bnez $t0, 1b\n addiu $t1, $t1, 2\n addiu $t1, $t1, 1\n .word {word:#x}"
    for tier in ("stencil", "threaded", "reference"):
        result = Rig(tier, hot_after=0).go(text + "\n wait 0")
        assert (result["t1"], result.code) == (19, RI)
