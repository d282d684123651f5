"""Code that changes, moves and crosses pages: what the blocks of the fast tier must not show, on both tiers.

A store into code takes effect at the next instruction: also in the running block, also when a stop cuts it.
"""

from __future__ import annotations

import pytest

from cpu.core import StopKind
from cpu.engine import shared
from cpu.isa.assembler import assemble
from tests.cpu.core_rig import (
    CODE,
    IBE,
    KSEG0,
    KSEG1,
    MIB,
    STATUS,
    SYS,
    TLBL,
    XKPHYS,
    D,
    G,
    Rig,
    V,
    lo,
    on_both_tiers,
    physical,
)

rig = on_both_tiers()


def word(text: str) -> int:
    return assemble(text).words[0]


NEW = word("addiu $v0, $v0, 100")


@pytest.mark.parametrize("between", [0, 1, 5, 40, 70])
@pytest.mark.parametrize("pieces", [None, 1, 2, 3])
def test_a_store_a_few_instructions_ahead(rig, between, pieces):
    """In the same block, or the next one; run freely or stopped after every few instructions."""
    fill = "addiu $v1, $v1, 1\n" * between
    program = rig.load(f"la $a0, 1f\nsw $a1, 0($a0)\n{fill}1: addiu $v0, $v0, 1\nwait 0")
    rig.set(pc=CODE, a1=NEW)
    while (stop := rig.run(max_insns=pieces)).kind is StopKind.LIMIT:
        pass
    assert stop.kind is StopKind.DEADLOCK
    assert (rig.core.regs[2], rig.core.regs[3]) == (100, between)
    assert rig.core.instructions == 5 + between
    assert program.words[3 + between] == word("addiu $v0, $v0, 1")


LOOPS = {
    "its own block": "1: sw $t0, 0($a0)\ntarget: addiu $v0, $v0, 1\naddiu $s0, $s0, -1\nbgtz $s0, 1b\nnop\nwait 0",
    "the block before": "1: b target\nnop\n.balign 256\n2: sw $t0, 0($a0)\naddiu $s0, $s0, -1\n"
    "bgtz $s0, 1b\nnop\nwait 0\n"
    ".balign 256\ntarget: addiu $v0, $v0, 1\nb 2b\nnop",
    "another page": "1: jal f\nnop\nsw $t0, 0($a0)\naddiu $s0, $s0, -1\nbgtz $s0, 1b\nnop\nwait 0\n.org 0x3000\n"
    "f: nop\ntarget: addiu $v0, $v0, 1\njr $ra\nnop",
    "a delay slot": "1: sw $t0, 0($a0)\nb 2f\ntarget: addiu $v0, $v0, 1\n"
    "2: addiu $s0, $s0, -1\nbgtz $s0, 1b\nnop\nwait 0",
    "from a delay slot": "1: b 2f\nsw $t0, 0($a0)\n2: nop\ntarget: addiu $v0, $v0, 1\n"
    "addiu $s0, $s0, -1\nbgtz $s0, 1b\n"
    "nop\nwait 0",
    "a far branch's target": "1: bgtz $s0, target\nsw $t0, 0($a0)\nwait 0\n.org 0x1000\n"
    "target: addiu $v0, $v0, 1\nb 1b\n"
    "addiu $s0, $s0, -1",
    "behind a far likely": "b 1f\nnop\n.org 0xff4\n1: sw $t0, 0($a0)\nbltzl $s0, 1b\nnop\ntarget: addiu $v0, $v0, 1\n"
    "addiu $s0, $s0, -1\nbgtz $s0, 1b\nnop\nwait 0",
    "a delay slot in the next page": "b 1f\nnop\n.org 0xff4\n1: sw $t0, 0($a0)\nnop\nb 2f\ntarget: addiu $v0, $v0, 1\n"
    "2: addiu $s0, $s0, -1\n"
    "bgtz $s0, 1b\nnop\nwait 0",
}  # fmt: skip


@pytest.mark.parametrize("name", LOOPS)
def test_the_first_round_changes_what_the_loop_runs(rig, name):
    """Where the store comes first, every round adds 100; else the first round still adds 1."""
    program = rig.load(LOOPS[name])
    rig.set(pc=CODE, a0=program.symbols["target"], t0=NEW, s0=12)
    old_first = name in ("the block before", "another page")
    assert rig.finish()["v0"] == 12 * 100 - 99 * old_first


@pytest.mark.parametrize("size", [1, 2, 4, 8])
def test_stores_of_every_size_and_alias_reach_the_code(rig, size):
    """A free loop calls f and then changes one byte of it, through another address of the same memory each time."""
    text = """
1:      jal     f
        nop
        {store} $s2, 0($a0)
        jal     f
        nop
        {store} $s3, 0($a1)
        addiu   $s0, $s0, -1
        bgtz    $s0, 1b
        nop
        wait    0
        .org    0x2000
f:      addiu   $v0, $v0, 1
        jr      $ra
        nop
    """.format(store={1: "sb", 2: "sh", 4: "sw", 8: "sd"}[size])
    tail = word("jr $ra")
    for alias in (KSEG0, KSEG1, XKPHYS, XKPHYS | 0x8000_0000, 0x9000_0000_8000_0000):
        program = rig.load(text)
        f = physical(program.symbols["f"])
        assert rig.memory.read(f + 4, 4) == tail.to_bytes(4, "little")
        both = NEW | tail << 32, word("addiu $v0, $v0, 1") | tail << 32
        rig.set(pc=CODE, a0=alias + f, a1=alias + f, s0=5, s2=both[0], s3=both[1], v0=0)
        assert rig.finish()["v0"] == 5 * 101


def test_an_unaligned_store_across_the_pages_of_two_functions(rig):
    text = """
1:      jal     f
        nop
        jal     g
        nop
        sd      $s2, 0($a0)
        addiu   $s0, $s0, -1
        bgtz    $s0, 1b
        nop
        wait    0
        .org    0x1ff0
f:      b       1f
        nop
        .org    0x1ffc
        nop
g:      nop
        .org    0x2ffc
1:      jr      $ra
        addiu   $v0, $v0, 1
    """
    program = rig.load(text)
    # The store replaces the delay slot, in the third page, by itself plus 99; and its neighbour.
    at = program.symbols["g"] - 4 + 0x1000
    value = word("jr $ra") | NEW << 32
    rig.load("jr $ra\nnop", program.symbols["g"])
    rig.set(pc=CODE, a0=at, s0=3, s2=value, v0=0)
    assert rig.finish()["v0"] == 1 + 100 + 100


def test_a_delay_slot_in_a_page_whose_other_blocks_went_is_still_watched(rig):
    """Dropping page P+1 must not lose that a block of P-1 has its delay slot in P."""
    text = """
        .org    0xffc
f:      b       2f                      # slot in the page after
        addiu   $v0, $v0, 1
2:      jr      $ra
        nop
        .org    0x1ff8
g:      jr      $ra                     # its own page, so that page P is dropped with the one after
        nop
        .org    0x2000
h:      jr      $ra
        nop
        .org    0x3000
top:    jal     f
        nop
        jal     g
        nop
        jal     h
        nop
        sw      $s3, 0($a1)             # into h, in P+1
        sw      $s2, 0($a0)             # into f's slot, in P
        jal     f
        nop
        wait    0
    """
    program = rig.load(text)
    f, h = program.symbols["f"], program.symbols["h"]
    rig.set(pc=program.symbols["top"], a0=f + 4, a1=h + 4, s2=NEW, s3=0)
    assert rig.finish()["v0"] == 101


def test_the_host_writes_code_between_and_inside_runs(rig):
    text = "1: jal f\nnop\nlw $t0, 0($a0)\naddiu $v1, $v1, 1\nb 1b\nnop\n.org 0x100\nf: addiu $v0, $v0, 1\njr $ra\nnop"
    program = rig.load(text)
    rig.set(pc=CODE, a0=KSEG1 + 0x1FE0_0000)
    rig.run(max_insns=8 * 10)
    before = rig.core.regs[2]
    rig.memory.write(physical(program.symbols["f"]), NEW.to_bytes(4, "little"))
    rig.run(max_insns=8)
    assert rig.core.regs[2] == before + 100
    # While an access is under way, the instruction right behind it.
    stop = rig.core.run(None)
    assert stop.kind is StopKind.MMIO_READ
    count = rig.core.regs[3]
    rig.memory.write(physical(CODE) + 12, word("addiu $v1, $v1, 50").to_bytes(4, "little"))
    rig.core.finish_read(0, stop.cycle)
    rig.run(max_insns=2)
    assert rig.core.regs[3] == count + 50


def test_one_physical_page_at_two_virtual_addresses(rig):
    """The same words, other branch targets and links."""
    for k, base in enumerate((0x10000, 0x40000)):
        rig.tlb(k, base, lo(0x40_0000, V | G), lo(0x40_1000, V | G))
    rig.load("bal 1f\nnop\n1: daddu $v0, $v0, $ra\nmove $t0, $ra\njr $t9\nnop", KSEG0 + 0x40_0000)
    text = (
        "li $s0, 4\n1: dla $t9, 2f\njr $a0\nnop\n2: dla $t9, 3f\njr $a1\nnop\n3: addiu $s0, $s0, -1\n"
        "bgtz $s0, 1b\nnop\nwait 0"
    )
    end = rig.go(text, a0=0x10000, a1=0x40000)
    assert (end.vector, end["v0"]) == (None, 4 * (0x10008 + 0x40008))


def test_other_code_behind_the_same_virtual_address(rig):
    """Two pages of code under one address by ASID: also by branches that leave the page before."""
    for k, frame in enumerate((0x40_0000, 0x50_0000)):
        rig.load(f"addiu $v0, $v0, {1 if k == 0 else 1000}\njr $ra\nnop", KSEG0 + frame)
        rig.tlb(k, 0x11000, lo(0, 0), lo(frame, V), asid=k + 1)
    # A shared page before them, from which a conditional branch goes across.
    rig.load("beq $0, $0, .+0x1000\nnop", KSEG0 + 0x60_0000)
    for k, frame in enumerate((0x40_0000, 0x50_0000)):
        rig.tlb(8 + k, 0x20000, lo(0x60_0000, V), lo(frame, V), asid=k + 1)
    text = """
        li      $s0, 5
1:      li      $t0, 1
        dmtc0   $t0, $entryhi
        jalr    $a0
        nop
        jalr    $a1
        nop
        li      $t0, 2
        dmtc0   $t0, $entryhi
        jalr    $a0
        nop
        jalr    $a1
        nop
        addiu   $s0, $s0, -1
        bgtz    $s0, 1b
        nop
        wait    0
    """
    end = rig.go(text, a0=0x11000, a1=0x20000)
    assert (end.vector, end["v0"]) == (None, 5 * 2 * 1001)


def test_a_remapped_code_page_is_fetched_anew(rig):
    for frame, step in ((0x40_0000, 1), (0x50_0000, 1000)):
        rig.load(f"addiu $v0, $v0, {step}\njr $ra\nnop", KSEG0 + frame)
    text = """
        li      $s0, 6
1:      dmtc0   $a0, $entrylo0
        tlbwi
        jalr    $a2
        nop
        dmtc0   $a1, $entrylo0
        tlbwi
        jalr    $a2
        nop
        addiu   $s0, $s0, -1
        bgtz    $s0, 1b
        nop
        wait    0
    """
    end = rig.go(text, a0=lo(0x40_0000, V), a1=lo(0x50_0000, V), a2=0x10000, cp0={"entryhi": 0x10000})
    assert (end.vector, end["v0"]) == (None, 6 * 1001)


def test_code_in_rom(rig):
    rom = KSEG0 + 0x1FC0_2000
    rig.memory.write(0x1FC0_2000, assemble("1: addiu $v0, $v0, 1\nbne $v0, $a0, 1b\nnop\nwait 0", rom).data)
    rig.set(pc=rom, a0=50)
    assert rig.finish()["v0"] == 50
    rig.set(pc=KSEG1 + 0x1FC0_2000, v0=0)
    assert rig.finish().pc == KSEG1 + 0x1FC0_200C


@pytest.mark.parametrize("branch", ["b 1f", "beql $0, $0, 1f", "jal 1f", "jr $a1", "bgtz $a0, 1f", "bgtzl $a0, 1f"])
@pytest.mark.parametrize("lead", [0, 1, 20])
def test_a_branch_in_the_last_word_of_a_page(rig, branch, lead):
    """Unmapped, mapped to other frames than neighbours, and with the next page missing."""
    text = f".org 0x1000 - 4 - 4 * {lead}\nstart: " + "addiu $v1, $v1, 1\n" * lead
    text += f"last: {branch}\naddiu $v0, $v0, 1\naddiu $v0, $v0, 10\n1: addiu $v0, $v0, 100\nwait 0"
    taken = not branch.startswith("bgtz")
    expected = 101 if taken else 110 if branch.startswith("bgtzl") else 111
    count = lead + (4 if taken else 4 if branch.startswith("bgtzl") else 5) - 1
    program = rig.load(text)
    start, last = program.symbols["start"], program.symbols["last"]
    for _ in range(2):
        rig.set(pc=start, a1=last + 12, v0=0, v1=0)
        end = rig.finish()
        assert (end["v0"], end["v1"], end.instructions) == (expected, lead, count)
    # The same, mapped: the second page lies elsewhere in memory.
    base = 0x10000
    program = assemble(text, base)
    rig.memory.write(0x40_0000, program.data[:0x1000])
    rig.memory.write(0x50_0000, program.data[0x1000:])
    rig.tlb(0, base, lo(0x40_0000, V), lo(0x50_0000, V))
    start, last = program.symbols["start"], program.symbols["last"]
    for _ in range(2):
        rig.set(pc=start, a1=last + 12, v0=0, v1=0)
        end = rig.finish()
        assert (end["v0"], end["v1"], end.instructions) == (expected, lead, count)
    # Without the next page the fault is the slot's: EPC is the branch, and nothing of it has happened.
    rig.tlb(0, base, lo(0x40_0000, V), 0)
    rig.set(pc=start, a1=last + 12, v0=0, v1=0, ra=0)
    end = rig.finish()
    assert (end.code, end.bd, end.epc, end.badvaddr) == (TLBL, True, last, base + 0x1000)
    assert (end["v0"], end["v1"], end["ra"], end.instructions) == (0, lead, 0, lead)
    # Now it is mapped, and ERET goes back to the branch.
    rig.tlb(0, base, lo(0x40_0000, V), lo(0x50_0000, V))
    rig.core.set_state({"pc": end.epc, "cp0": {"status": STATUS}})
    assert rig.finish()["v0"] == expected


def test_a_branch_in_the_last_word_of_memory(rig):
    top = rig.ram_bytes - 4
    rig.memory.write(top, assemble("b . - 16").data)
    rig.set(pc=KSEG0 + top)
    end = rig.finish()
    assert (end.code, end.bd, end.epc, end.vector) == (IBE, True, KSEG0 + top, 0x180)
    rig.memory.write(0x1FDF_FFFC, assemble("b . - 16").data)
    rig.set(pc=KSEG0 + 0x1FDF_FFFC)
    end = rig.finish()
    assert (end.code, end.bd, end.epc) == (IBE, True, KSEG0 + 0x1FDF_FFFC)


def test_a_delay_slot_across_the_end_of_kseg0(rig):
    """The last word of kseg0 is the bus's, its neighbour in kseg1 is physical 0: no block may join them."""
    rig.set(pc=KSEG1 - 4)
    assert rig.finish().code == IBE


def test_links_are_undone_with_their_page(rig):
    """Many blocks that link to each other in a ring, then one of them changes."""
    lines = ["li $s0, 50", "1:"]
    for n in range(12):
        lines += [f"b{n}: bgtz $s0, c{n}", "addiu $v0, $v0, 1", f"c{n}:"]
    lines += ["addiu $s0, $s0, -1", "bgtz $s0, 1b", "nop", "sw $a1, 0($a0)", "li $s0, 1", "addiu $s1, $s1, -1",
              "bgez $s1, 1b", "nop", "wait 0"]  # fmt: skip
    program = assemble("\n".join(lines), CODE)
    rig.memory.write(physical(CODE), program.data)
    rig.set(pc=CODE, a0=program.symbols["b5"] + 4, a1=NEW, s1=1)
    assert rig.finish()["v0"] == 50 * 12 + 11 + 100


def test_the_pool_is_flushed_when_it_is_full(rig):
    """With room for few blocks, a program of many runs as before."""
    rig.memory.shared[shared.POOL_LIMIT] = rig.memory.shared[shared.POOL_NEXT] + 3000
    calls = "".join(f"jal f{n}\nnop\n" for n in range(200))
    functions = "".join(
        f".balign 128\nf{n}: addiu $v0, $v0, 1\nbgtz $v0, 1f\nnop\n1: jr $ra\nnop\n" for n in range(200)
    )
    end = rig.go(f"li $s0, 3\n1: {calls} addiu $s0, $s0, -1\nbgtz $s0, 1b\nnop\nwait 0\n{functions}")
    assert end["v0"] == 600
    if rig.tier == "threaded":
        assert rig.memory.shared[shared.POOL_FLUSHES] >= 1


def test_code_and_data_in_one_page(rig):
    """Stores beside the code do not drop it, stores into it do, and only then."""
    text = (
        "li $s0, 100\n1: sw $s0, 0x800($a0)\nlw $v0, 0x800($a0)\naddu $v1, $v1, $v0\naddiu $s0, $s0, -1\n"
        "bgtz $s0, 1b\nnop\nwait 0"
    )
    assert rig.go(text, a0=CODE)["v1"] == 5050
    assert rig.memory.shared[shared.PAGES_DROPPED] == 0


def test_boundaries_belong_to_addresses_not_to_entries():
    """Entered anywhere, a run of plain instructions ends at the next multiple of 256 bytes."""
    for tier in ("threaded", "reference"):
        rig = Rig(tier)
        rig.load("nop\n" * 256 + "wait 0")
        for skip in range(0, 130, 7):
            rig.set(pc=CODE + 4 * skip)
            start = rig.core.cycles
            stop = rig.core.run(start + 1)
            assert stop.kind is StopKind.HORIZON
            assert rig.core.pc == (CODE + 4 * skip) // 256 * 256 + 256
            assert stop.cycle - start == 64 - skip % 64


def test_syscall_in_user_code_that_was_just_written(rig):
    rig.tlb(0, 0x10000, lo(0x40_0000, V | D), lo(0x40_1000, V | D))
    text = "sw $a1, 8($a0)\nnop\nnop\nbreak 0"
    program = assemble(text, 0x10000)
    rig.memory.write(0x40_0000, program.data)
    rig.set(pc=0x10000, a0=0x10000, a1=word("syscall 0"))
    end = rig.finish()
    assert (end.code, end.epc) == (SYS, 0x10008)


def test_ram_beyond_the_low_window_is_another_page_there():
    """At the top of the low 256 MiB the next page of RAM is not what follows in kseg0."""
    for tier in ("threaded", "reference"):
        rig = Rig(tier, ram_bytes=272 * MIB)
        top = 256 * MIB - 4
        rig.memory.write(top, assemble("b . + 8").data)
        rig.memory.write(0x8000_0000 + 256 * MIB, assemble("li $v0, 1\nwait 0").data)
        rig.set(pc=KSEG0 + top)
        assert rig.finish().code == IBE
        rig.set(pc=XKPHYS + 0x8000_0000 + top, v0=0)
        end = rig.finish()
        assert end["v0"] == 1 and end.vector is None
