"""The assembler's language, its errors, the disassembler's text and the ELF file."""

from __future__ import annotations

import io
import random
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from cpu.isa import TABLE, expressions
from cpu.isa.assembler import KSEG0, AssemblerError, assemble, assemble_file, load_constant
from cpu.isa.disassembler import decode, disassemble
from cpu.isa.errors import TableError

M64 = (1 << 64) - 1


def words(text: str, base: int = KSEG0) -> list[int]:
    return assemble(text, base).words


def test_labels_reach_backwards_and_forwards():
    made = words("1: nop\n beq $0, $0, 1b\n nop\n b 1f\n nop\nend: nop\n1: b end\n nop")
    assert [made[1] & 0xFFFF, made[3] & 0xFFFF, made[6] & 0xFFFF] == [0xFFFE, 2, 0xFFFE]


def test_a_label_on_the_line_of_its_branch_is_before_it():
    assert words("1: b 1b") == [0x1000FFFF]


@pytest.mark.parametrize(
    "text, same",
    [
        ("addu a0, a1, t0", "addu $4, $5, $12"),
        ("addu $a4, $s8, $fp", "addu $8, $30, $30"),
        ("addiu a0, 4", "addiu $4, $4, 4"),
        ("jalr a0", "jalr $31, $4"),
        ("lw a0, (sp)", "lw $4, 0($29)"),
        ("mfc0 a0, c0_ebase", "mfc0 $4, $15, 1"),
        ("mfc0 a0, $15", "mfc0 $4, $15, 0"),
        ("dmtc0 a0, c0_config5", "dmtc0 $4, $16, 5"),
        ("bc1t . + 8", "bc1t 0, . + 8"),
        ("bc1t $fcc3, . + 8", "bc1t 3, . + 8"),
        ("sync", "sync 0"),
        ("syscall", "syscall 0"),
        ("teq a0, a1", "teq $4, $5, 0"),
        ("di", "di $0"),
        ("div $0, a0, a1", "div $4, $5"),
        ("rdhwr v1, hwr_ulr", "rdhwr $3, $29"),
        ("dext a0, a1, 3, 40", "dextm $4, $5, 3, 40"),
        ("dext a0, a1, 40, 3", "dextu $4, $5, 40, 3"),
        ("dins a0, a1, 30, 10", "dinsm $4, $5, 30, 10"),
        ("dins a0, a1, 40, 3", "dinsu $4, $5, 40, 3"),
        ("dsll a0, a1, 40", "dsll32 $4, $5, 8"),
        ("move a0, a1", "or $4, $5, $0"),
        ("beqz a0, . + 8", "beq $4, $0, . + 8"),
        ("nop; ehb // two", "sll $0, $0, 0\n sll $0, $0, 3"),
        ("lui a0, 0xffff", "lui $4, -1"),
        ("lui a0, %hi(0x12348000)", "lui $4, 0x1235"),
        ("lw a0, %lo(0x12348000)(a0)", "lw $4, -32768($4)"),
    ],
)
def test_these_are_the_same(text, same):
    assert words(text) == words(same)


def test_data_directives():
    made = assemble(
        """
        .byte 1, -1, 'A'
        .half 0x1234
        .align 3            # 5 bytes used
        .dword here, -2
here:   .ascii "a;#\\n\\x41", "b"
        .asciz "c"
        .space 2, 0xee
        .org 0x40
        .word here - 0x10
        """,
        KSEG0,
    )
    assert made.data[:8] == bytes([1, 0xFF, 65, 0x34, 0x12, 0, 0, 0])
    assert made.data[8:24] == (KSEG0 + 24).to_bytes(8, "little") + (M64 - 1).to_bytes(8, "little")
    assert made.data[24:34] == b"a;#\nAbc\0\xee\xee"
    assert made.data[0x40:] == (0x80000008).to_bytes(4, "little")


def test_macros_repetition_and_constants():
    made = words(
        """
        .equ STEP, 3
        DOUBLE = STEP * 2
        .macro add_all register, first, second=DOUBLE
        addiu \\register, \\register, \\first
1\\@:   addiu \\register, \\register, \\second
        .endm
        add_all s0, STEP
        add_all s1, STEP, 7
        .macro guard label, text:vararg
        \\text
        .endm
        guard x, addu a0, a1, a2
        .rept 2
        nop
        .endr
        """.replace("1\\@:", "mark\\@:")
    )
    same = words("addiu s0, 3\naddiu s0, 6\naddiu s1, 3\naddiu s1, 7\naddu a0, a1, a2\nnop\nnop")
    assert made == same


def value_of(text: list[str]) -> int:
    """What a sequence of lui, ori, addiu and dsll leaves in its register."""
    registers = [0] * 32
    for word in words("\n".join(text)):
        row = decode(word)
        f = row.decode(word)
        match row.name:
            case "lui":
                registers[f["rt"]] = f["imm"] << 16
            case "ori":
                registers[f["rt"]] = registers[f["rs"]] | f["imm"]
            case "addiu" | "daddiu":
                registers[f["rt"]] = registers[f["rs"]] + f["imm"]
            case "dsll":
                registers[f["rd"]] = registers[f["rt"]] << f["sa"]
            case "dsll32":
                registers[f["rd"]] = registers[f["rt"]] << (f["sa"] + 32)
            case other:
                raise AssertionError(other)
    return registers[4] & M64


def test_constants_are_built_right():
    source = random.Random(3)
    special = [0, 1, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 63, M64, KSEG0, 1 << 32]
    for value in special + [source.getrandbits(64) >> source.randrange(64) for _ in range(500)]:
        text = load_constant("$4", value)
        assert value_of(text) == value, text
        assert len(text) <= 6


def test_li_is_a_signed_32_bit_constant_and_dli_a_64_bit_one():
    assert value_of(["li $4, 0x80000000"]) == 0xFFFFFFFF80000000
    assert value_of(["dli $4, 0x80000000"]) == 0x80000000


@pytest.mark.parametrize("where", [0x12345678, 0x1234FFF8, 0xFFFFFFFF8000FFFC])
def test_dla_builds_any_address(where):
    assert value_of([f"dla $4, {where:#x}"]) == where


@pytest.mark.parametrize(
    "text, message",
    [
        ("nop\n addu a0", "2: addu has 1 operands"),
        ("adu a0, a1, a2", "unknown instruction 'adu'; similar: addu"),
        ("addu a0, a1, 3", "'3' is no general register"),
        ("addiu a0, a1, 0x8000", "allowed: -32768 to 32767"),
        ("sll a0, a1, 32", "allowed: 0 to 31"),
        ("add.s $f0, $f1, $31", "no FPU register"),
        ("lw a0, 4", "not of the form offset(base)"),
        ("b nowhere", "symbol 'nowhere' is not defined"),
        ("b 1f", "no label 1: after this line"),
        ("b . + 0x40000", "from the delay slot"),
        ("b . + 2", "multiples of 4"),
        ("j 0x1000", "256 MB"),
        ("x: nop\nx: nop", "2: symbol 'x' is defined twice"),
        ("ext a0, a1, 30, 3", "allowed: 1 to 2"),
        ("dext a0, a1, 40, 30", "allowed"),
        ("li a0, 0x123456789", "use dli"),
        ("li a0, later\nlater: nop", "not yet"),
        ("la a0, 0x9000000000000000", "use dla"),
        (".byte 256", "does not fit 1 bytes"),
        (".byte 1\n nop", ".align 2"),
        (".bite 1", "unknown directive .bite"),
        (".set reorder", ".set reorder is not possible"),
        (".macro m\nnop", ".macro without .endm"),
        (".ascii hello", "no string"),
        (".word 1 +", "a value is missing"),
        (".word 1 2", "is not expected there"),
        (".word 7 / 0", "divides by zero"),
        (".word (1", "')' is missing"),
        (".word ?", "is no expression"),
        (".word 09", "is no expression"),
        ('.include "x.S"', "has no folder"),
        (".macro m\nm\n.endm\nm", "nested more than 40 deep"),
        ("mfc0 a0, c0_ebase, 2", "leave '2' out"),
    ],
)
def test_errors_name_the_line_and_what_is_allowed(text, message):
    with pytest.raises(AssemblerError) as caught:
        assemble(text, name="guest.S")
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"guest.S:{caught.value.line}: ")


def test_damaged_text_is_assembled_or_refused_and_nothing_else_happens():
    source = random.Random(7)
    lines = (Path(__file__).parents[2] / "scenarios" / "guests" / "common.S").read_text().split("\n")
    refused = 0
    for _ in range(3000):
        text = list("\n".join(source.choice(lines) for _ in range(2)))
        for _ in range(source.randint(0, 4)):
            at = source.randrange(len(text) + 1)
            text[at : at + source.randint(0, 1)] = source.choice("(),$%.:;\"'\\#x09a -+*<>~\n\té٣") * source.randint(
                0, 1
            )
        try:
            assemble("".join(text))
        except AssemblerError:
            refused += 1
    assert 0 < refused < 3000


def test_include_is_relative_to_the_file(tmp_path):
    (tmp_path / "shared.S").write_text("helper: jr ra\n nop\n")
    (tmp_path / "main.S").write_text('.include "shared.S"\n_start: b helper\n nop\n')
    program = assemble_file(tmp_path / "main.S", KSEG0)
    assert program.entry == KSEG0 + 8
    assert program.lines[0].file == "shared.S" and program.lines[2].file == "main.S"


def test_parameters_replace_words():
    program = assemble("nop\n nop\nrounds: .dword 1\nshort: .word 1", KSEG0)
    assert program.with_values(rounds=-2).data[8:16] == (M64 - 1).to_bytes(8, "little")
    with pytest.raises(TableError, match="it has: rounds, short"):
        program.with_values(round=1)
    with pytest.raises(TableError, match=r"declare it by \.dword"):
        program.with_values(short=1)


def test_listing_shows_addresses_bytes_and_source():
    text = assemble("_start: nop\n addiu a0, a0, 1 # one\n", KSEG0).listing()
    assert "ffffffff80000004  24840001" in text and "addiu a0, a0, 1 # one" in text


def test_elf_file():
    program = assemble('nop\n_start: nop\n .asciz "x"', KSEG0 + 0x1000)
    elf = ELFFile(io.BytesIO(program.to_elf()))
    (segment,) = elf.iter_segments()
    assert (elf.elfclass, elf.little_endian, elf["e_machine"], elf["e_type"]) == (64, True, "EM_MIPS", "ET_EXEC")
    assert elf["e_entry"] == KSEG0 + 0x1004
    assert (segment["p_vaddr"], segment.data()) == (KSEG0 + 0x1000, program.data)
    (symbol,) = elf.get_section_by_name(".symtab").get_symbol_by_name("_start")
    assert symbol["st_value"] == KSEG0 + 0x1004


def test_every_row_survives_disassembly_and_assembly():
    source = random.Random(5)
    for row in TABLE.values():
        for _ in range(5):
            word = row.match | source.getrandbits(32) & ~row.mask & 0xFFFFFFFF
            again = decode(word)
            line = disassemble(word, KSEG0 + 0x8000000)
            if again.name.removesuffix("m").removesuffix("u") in ("ext", "dext", "ins", "dins"):
                continue  # positions and sizes that do not fit together have no text; test_binutils has the others
            made = decode(words(line, KSEG0 + 0x8000000)[0])
            assert made.name == again.name, (line, made.name, again.name)
            shown = {f.name for f in again.fields if f.name in again.operands}
            before, after = again.decode(word), made.decode(words(line, KSEG0 + 0x8000000)[0])
            assert {n: before[n] for n in shown} == {n: after[n] for n in shown}, line


def test_no_two_rows_of_equal_rank_share_a_word():
    rows = list(TABLE.values())
    for at, a in enumerate(rows):
        for b in rows[at + 1 :]:
            overlap = (a.match ^ b.match) & a.mask & b.mask == 0
            nested = a.mask & b.mask in (a.mask, b.mask)
            assert not overlap or (nested and a.mask != b.mask), f"{a.name} and {b.name} encode the same words"


@pytest.mark.parametrize(
    "word, text",
    [
        (0x00000000, "nop"),
        (0x03E00008, "jr $ra"),
        (0x03E00408, "jr.hb $ra"),
        (0x00A02025, "move $a0, $a1"),
        (0x24040005, "li $a0, 5"),
        (0x1000FFFF, "b 0xffffffff80000000"),
        (0x40086000, "mfc0 $a4, c0_status"),
        (0x42000020, "wait"),
        (0xFC000000 | 0x1FFFFFF, "sd $ra, -1($t3)"),
    ],
)
def test_aliases(word, text):
    assert disassemble(word, KSEG0, aliases=True) == text


def test_unknown_words_are_shown_as_data():
    assert disassemble(0x00000035) == ".word 0x00000035"
    assert words(disassemble(0x00000035)) == [0x35]


def test_parts_of_an_address_add_up():
    source = random.Random(4)
    for value in [0x7FFF, 0x8000, 0x7FFF8000, 0x80008000] + [source.getrandbits(64) for _ in range(200)]:
        highest, higher, hi, lo = (expressions.PARTS[p](value) for p in ("%highest", "%higher", "%hi", "%lo"))
        assert ((highest << 48) + (higher << 32) + (hi << 16) + lo) & M64 == value
