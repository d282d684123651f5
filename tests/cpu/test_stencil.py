"""Tier E beside tier T: the same whole state after every random program, whenever blocks become hot, however small the
code buffer, however the host cuts the run; and what a translation leaves in the pool and in the buffer."""

from __future__ import annotations

import mmap
import re
from pathlib import Path
from random import Random

import pytest

from cpu.core import Core, StopKind
from cpu.costs import MOST_CYCLES
from cpu.engine import code_buffer, shared, stencil_tables, stencils, tiers
from cpu.engine import stencil_layout as e
from cpu.engine.code_buffer import CodeBuffer, ExecutableMemoryError, usable
from cpu.engine.micro import OP, OPS
from cpu.memory import Memory
from tests.cpu.core_rig import CODE, KSEG0, MIB, Rig, needs_stencil, physical
from tests.cpu.test_costs import random_costs
from tests.cpu.test_tiers import LIMIT, Program, different, run_whole, whole_state

pytestmark = needs_stencil

COUNTED_LOOP = """
        li      $t0, 1000
1:      daddiu  $t1, $t1, 3
        xor     $t2, $t2, $t1
        addiu   $t0, $t0, -1
        bnez    $t0, 1b
        sll     $t3, $t2, 5
        wait    0
"""


def translated(rig: Rig) -> int:
    return int(rig.memory.shared[shared.BLOCKS_TRANSLATED])


@pytest.mark.parametrize("number", range(500, 530))
def test_both_fast_tiers_leave_the_same_state(number):
    program = Program(number)
    assert different(run_whole(program, "stencil", hot_after=number % 3), run_whole(program, "threaded")) == {}


@pytest.mark.slow
@pytest.mark.parametrize("first", range(1000, 5000, 200))
def test_both_fast_tiers_leave_the_same_state_for_long(first):
    for number in range(first, first + 200):
        program = Program(number)
        ours = run_whole(program, "stencil", hot_after=number % 3)
        assert different(ours, run_whole(program, "threaded")) == {}, number


@pytest.mark.parametrize("number", range(530, 540))
def test_how_the_host_cuts_the_run_changes_nothing(number):
    program = Program(number)
    free = run_whole(program, "threaded")
    random = Random(number)
    for cycles in (1, 100, 1001):
        assert different(free, run_whole(program, "stencil", slice_cycles=cycles)) == {}, cycles
    rig = program.prepare("stencil")
    while rig.core.instructions < LIMIT:
        stop = rig.run(max_insns=min(LIMIT - rig.core.instructions, random.randint(1, 600)))
        if stop.kind is StopKind.DEADLOCK:
            break
    assert different(free, whole_state(rig)) == {}


@pytest.mark.parametrize(("number", "most"), [(540, 3), (541, 40), (542, 40), (543, 2000), (544, MOST_CYCLES)])
def test_instructions_of_any_length_change_nothing(number, most):
    """Blocks whose charge does not fit a stencil stay in tier T."""
    program, costs = Program(number), random_costs(number, most)
    assert different(run_whole(program, "stencil", costs=costs), run_whole(program, "threaded", costs=costs)) == {}


def test_the_random_programs_run_in_translated_code():
    count = 0
    for number in range(500, 510):
        rig = Program(number).prepare("stencil")
        rig.run(max_insns=LIMIT)
        count += translated(rig)
    assert count > 100


def test_a_block_is_translated_when_it_has_run_often_enough():
    for hot_after, expected in ((998, 1), (10_000, 0)):
        rig = Rig("stencil", hot_after=hot_after)
        assert rig.go(COUNTED_LOOP)["t0"] == 0
        assert translated(rig) == expected


def test_a_loop_runs_in_translated_code():
    """The loop's own link leads into host code: it comes back to the run loop for nothing."""
    rig = Rig("stencil", hot_after=0)
    rig.go(COUNTED_LOOP.replace("1000", "30000"))
    block = int(rig.memory.pool[shared.POOL_START + shared.H_PC])
    assert block == CODE - (1 << 64)
    first_words = [int(w) & 0xFFFF for w in rig.memory.pool if int(w) & 0xFFFF == OP["b_native"]]
    assert len(first_words) == translated(rig) == 2


def small_buffer(rig: Rig, size: int) -> None:
    """A buffer that holds a few blocks beyond what is kept free for one."""
    found = stencil_tables.load()
    rig.memory.code_buffer = CodeBuffer(found, len(found.constants) + code_buffer.MARGIN + size)
    rig.memory.code_buffer.attach(rig.memory.shared, hot_after=0)


@pytest.mark.parametrize("number", range(550, 556))
def test_a_full_buffer_is_emptied_and_nothing_else_changes(number):
    program = Program(number)
    rig = program.prepare("stencil")
    small_buffer(rig, 4096)
    rig.run(max_insns=LIMIT)
    assert rig.memory.shared[shared.POOL_FLUSHES] > 0
    assert different(whole_state(rig), run_whole(program, "threaded")) == {}


def test_a_buffer_without_room_for_a_block_is_refused():
    rig = Program(551).prepare("stencil")
    with pytest.raises(ExecutableMemoryError, match="are needed for one block"):
        small_buffer(rig, 0)


def test_the_buffer_is_never_written_beyond_its_ends():
    rig = Program(551).prepare("stencil")
    small_buffer(rig, 4096)
    rig.run(max_insns=LIMIT)
    M = rig.memory.shared
    assert M[shared.CODE] < M[shared.CODE_NEXT] <= M[shared.CODE_STUBS] <= M[shared.CODE_LIMIT]


def test_the_longest_block_fits_the_margin():
    """65 instructions with the largest stencils and an exit each."""
    found = stencil_tables.load()
    sizes = found.stencils[:, e.S_SIZE]
    around = e.VALUES * int(sizes[e.FETCH] + 2 * sizes[e.STORE])
    assert 2 * 65 * (int(sizes.max()) + around + code_buffer.STUB_BYTES) + 4096 < code_buffer.MARGIN


def test_dropping_a_page_undoes_the_jumps_into_its_blocks():
    rig = Rig("stencil", hot_after=0)
    rig.go("li $t0, 5\n1: b 2f\n nop\n 2: addiu $t0, $t0, -1\n bnez $t0, 1b\n nop\n wait 0")
    pool = rig.memory.pool
    jumps = [
        int(pool[block + field])
        for block in blocks_of(rig, physical(CODE) >> 12)
        for field in (shared.H_JUMP1, shared.H_JUMP2)
        if pool[block + field]
    ]
    base, code = int(rig.memory.shared[shared.CODE]), rig.memory.code_buffer.code

    def displacement(jump: int) -> int:
        return int.from_bytes(code[jump - base : jump - base + 4].tobytes(), "little")

    assert any(displacement(jump) for jump in jumps)
    rig.memory.write(physical(CODE), bytes(4))
    assert jumps and not any(displacement(jump) for jump in jumps)


def blocks_of(rig: Rig, page: int) -> list[int]:
    block = int(rig.memory._page_blocks[page])
    found = []
    while block:
        found.append(block)
        block = int(rig.memory.pool[block + shared.H_NEXT])
    return found


def test_a_store_into_a_hot_loop_is_seen_at_once():
    """The loop patches its own addition after it has been translated."""
    text = f"""
        la      $s0, 2f
        li      $t0, 40
1:      addiu   $t3, $t0, -20
        bnez    $t3, 2f
        nop
        lui     $a0, {0x2442}               # addiu $v0, $v0, 100
        ori     $a0, $a0, 100
        sw      $a0, 0($s0)
2:      addiu   $v0, $v0, 1
        addiu   $t0, $t0, -1
        bnez    $t0, 1b
        nop
        wait    0
"""
    results = {tier: Rig(tier, hot_after=1).go(text) for tier in ("stencil", "threaded", "reference")}
    assert {r["v0"] for r in results.values()} == {20 + 20 * 100}
    assert len({r.instructions for r in results.values()}) == 1


def test_every_instruction_but_those_that_the_page_names_has_a_stencil():
    rows = stencil_tables.load().ops
    without = {
        op.name
        for op in OPS
        if op.instruction and op.variant not in ("plain", "odd") and rows[op.number, e.O_KIND] == e.K_LEAVE
    }
    page = (Path(__file__).parents[2] / "docs/architecture.md").read_text()
    table = page.partition("| left to tier T |")[2].partition("\n\n")[0]
    assert without == set(re.findall("`([^`]+)`", table))


def test_what_compiled_code_is_made_of_works_on_values():
    assert {OPS[OP[name]].name for name in stencils.HELD} == stencils.HELD
    rows = stencil_tables.load().ops
    assert all(rows[OP[name], e.O_STENCIL] for name in stencils.HELD)


def test_the_stencils_come_from_the_disk_cache():
    stencil_tables.load()
    assert not stencil_tables.load().compiled


def test_auto_is_the_fastest_tier_that_runs_here(monkeypatch):
    assert Core(0, Memory(MIB)).tier.name == "stencil"

    give = mmap.mmap

    def refuse(*arguments, prot=mmap.PROT_READ | mmap.PROT_WRITE, **options):
        if prot & mmap.PROT_EXEC:
            raise PermissionError(13, "Permission denied")
        return give(*arguments, prot=prot, **options)

    monkeypatch.setattr(mmap, "mmap", refuse)
    assert not usable()
    assert tiers.choose("auto").name == "threaded"
    with pytest.raises(ExecutableMemoryError, match="Permission denied"):
        Core(0, Memory(MIB), "stencil")


def test_a_far_jump_leads_to_the_page_that_is_mapped_now():
    """A page is remapped under a hot loop that calls into it."""
    text = """
        li      $s1, 0x400000
        li      $s2, 6
1:      jalr    $s1
        nop
        addiu   $s2, $s2, -1
        bnez    $s2, 1b
        nop
        wait    0
"""
    results = []
    for tier in ("stencil", "threaded", "reference"):
        rig = Rig(tier, hot_after=1)
        rig.load("jr $ra\n addiu $v0, $v0, 1", KSEG0 + 0x30_0000)
        rig.load("jr $ra\n addiu $v0, $v0, 100", KSEG0 + 0x30_2000)
        results.append([])
        for frame in (0x30_0000, 0x30_2000, 0x30_0000):
            rig.tlb(3, 0x40_0000, frame >> 6 | 0x1F, 0x1F)
            results[-1].append(rig.go(text, v0=0)["v0"])
    assert results == [[6, 600, 6]] * 3
