"""Every encoding of the table against GNU as, ld and objdump: one process of each for all rows."""

from __future__ import annotations

import random
import re
import shutil
import subprocess

import pytest

from cpu.isa import TABLE, Flow
from cpu.isa.assembler import Program, assemble
from cpu.isa.disassembler import disassemble
from cpu.isa.expressions import evaluate

PREFIX = "mips64el-linux-gnuabi64-"
BASE = 0xFFFFFFFF80000000
WORDS_PER_ROW = 8
CPU_OPTIONS = ("-march=mips64r5", "-mloongson-ext", "-mloongson-ext2", "-mmsa", "-mvirt", "-meva")

# Rows that binutils 2.40 does not know, and why.
UNKNOWN_TO_BINUTILS = {
    "cpucfg": "Loongson-3A4000 instruction, in binutils under no name",
    "drdtime": "Loongson-3A4000 instruction, in binutils under no name",
    "rdcsr": "Loongson-3A4000 instruction, in binutils under no name",
    "wrcsr": "Loongson-3A4000 instruction, in binutils under no name",
    "drdcsr": "Loongson-3A4000 instruction, in binutils under no name",
    "rdgcsr": "Loongson-3A4000 instruction, in binutils under no name",
    "wrgcsr": "Loongson-3A4000 instruction, in binutils under no name",
    "drdgcsr": "Loongson-3A4000 instruction, in binutils under no name",
    "dwrgcsr": "Loongson-3A4000 instruction, in binutils under no name",
    "dwrcsr": "Loongson-3A4000 instruction, in binutils under no name",
    "lddir": "Loongson-3A4000 instruction, in binutils under no name",
    **dict.fromkeys(
        ("xvld.b", "xvst.b", "xvcopy_s.d", "xinsert.d", "xvseli.d", "xvsd"), "of LASX, which binutils has not"
    ),
    "ldpte": "Loongson-3A4000 instruction, in binutils under no name",
}

missing = [tool for tool in ("as", "ld", "objdump") if shutil.which(PREFIX + tool) is None]
pytestmark = [
    pytest.mark.binutils,
    pytest.mark.skipif(bool(missing), reason=f"GNU binutils for mips64el are not installed ({PREFIX}{missing})"),
]


def is_catch_all(row) -> bool:
    """A row for a group of instructions that are not modelled yet: all it shows is a code of 21 bits or more."""
    return row.helper == "not_modelled" and len(row.fields) == 1 and row.fields[0].width >= 21


def legal(row, values: dict[str, int]) -> bool:
    """False for field values that no assembler can write: the manual calls them unpredictable or reserved."""
    if "msb" in values or "msbu" in values:
        return values.get("msb", values.get("msbu")) >= values.get("lsb", values.get("lsbu"))
    if row.name in ("ext", "dextm", "dextu"):
        return values.get("lsb", values.get("lsbu")) + values.get("msbd", values.get("msbdm")) <= 31
    return True


def random_word(row, source: random.Random) -> int:
    """Random values in the fields that the syntax shows; corner values now and then."""
    while True:
        values = {}
        for field in row.fields:
            if not re.search(rf"\b{field.name}\b", row.operands):
                if field.name == "hint" and row.mnemonic in ("jr", "jalr"):
                    values[field.name] = source.choice((0, 16))
                continue
            least = -(1 << (field.width - 1)) if field.signed else 0
            most = least + (1 << field.width) - 1
            values[field.name] = source.choice((least, most, source.randint(least, most), source.randint(least, most)))
        if row.mnemonic in ("clz", "clo", "dclz", "dclo"):
            values["rt"] = values["rd"]
        if (values.get("rd") if row.mnemonic == "jalr" else row.link) == values.get("rs", -1):
            continue  # GNU as refuses a link into the source register: not restartable
        if legal(row, values):
            return row.encode(**values)


@pytest.fixture(scope="module")
def sample() -> list[tuple[str, int, int]]:
    """(row name, address, word) of all rows, laid out one after the other."""
    source = random.Random(1)
    found = []
    for row in TABLE.values():
        if row.name in UNKNOWN_TO_BINUTILS or is_catch_all(row):
            continue
        for _ in range(WORDS_PER_ROW):
            found.append((row.name, BASE + 4 * len(found), random_word(row, source)))
    return found


def run(tool: str, *arguments: str) -> str:
    done = subprocess.run([PREFIX + tool, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[:4000]
    return done.stdout


def branch_relative(line: str, row, pc: int) -> str:
    """GNU as takes a number as a branch target for an external address: write it relative to the instruction."""
    if row.flow not in (Flow.BRANCH, Flow.LIKELY):
        return line
    return re.sub(r"0x([0-9a-f]+)$", lambda match: f".{int(match[1], 16) - pc:+#x}", line)


def gnu_words(text: str, folder) -> list[int]:
    """What as and ld make of `text`, placed at BASE."""
    header = ".set noreorder\n.set noat\n.set nomacro\n.text\n"
    (folder / "t.s").write_text(header + text)
    run("as", *CPU_OPTIONS, "-mabi=64", "-mno-fix-loongson3-llsc", "-o", str(folder / "t.o"), str(folder / "t.s"))
    run("ld", "-Ttext", hex(BASE), "-e", hex(BASE), "-o", str(folder / "t.elf"), str(folder / "t.o"))
    run("objcopy", "-O", "binary", "-j", ".text", str(folder / "t.elf"), str(folder / "t.bin"))
    return Program(BASE, (folder / "t.bin").read_bytes(), {}).words


def test_our_text_gives_the_same_words_in_gnu_as_and_in_our_assembler(sample, tmp_path):
    lines = [branch_relative(disassemble(word, pc, numeric=True), TABLE[name], pc) for name, pc, word in sample]
    ours = assemble("\n".join(lines), BASE).words
    theirs = gnu_words("\n".join(lines) + "\n", tmp_path)
    wrong = [
        f"{name}: {line!r}: word {word:#010x}, ours {a:#010x}, GNU as {b:#010x}"
        for (name, _, word), line, a, b in zip(sample, lines, ours, theirs, strict=False)
        if not word == a == b
    ]
    assert not wrong, "\n".join(wrong[:40])
    assert len(ours) == len(sample) <= len(theirs)


@pytest.mark.parametrize("options", ["cp0-names=numeric", "reg-names=numeric"])
def test_objdump_text_assembles_to_the_same_words(sample, tmp_path, options):
    program = Program(BASE, b"".join(word.to_bytes(4, "little") for _, _, word in sample), {})
    program.to_elf(tmp_path / "sample.elf")
    raw = run(
        "objdump",
        "-d",
        "-z",
        "-m",
        "mips:isa64r5",
        "-M",
        f"loongson-ext,msa,no-aliases,{options}",
        str(tmp_path / "sample.elf"),
    )
    lines = dict(re.findall(r"^\s*([0-9a-f]{16}):\s+[0-9a-f]{8}\s+(.*?)(?:\s+<.*>)?$", raw, re.MULTILINE))
    wrong = []
    for name, pc, word in sample:
        line = re.sub(r"^dli\s+(\S+),0x", r"ori \1,$0,0x", lines[f"{pc:016x}"])  # an alias that it prints all the same
        line = re.sub(r"\b(f{8}[0-9a-f]{8})$", r"0x\1", line)
        try:
            made = assemble(line, pc).words
        except Exception as error:
            made = [str(error)]
        if made != [word]:
            wrong.append(f"{name}: {line!r}: word {word:#010x}, ours {made}")
    assert not wrong, f"{len(wrong)} of {len(sample)}\n" + "\n".join(wrong[:40])


def test_listed_rows_are_really_unknown_to_binutils(tmp_path):
    for name in UNKNOWN_TO_BINUTILS:
        word = random_word(TABLE[name], random.Random(2))
        (tmp_path / "t.s").write_text(disassemble(word, BASE, numeric=True) + "\n")
        arguments = [f"{PREFIX}as", *CPU_OPTIONS, "-mabi=64", "-o", str(tmp_path / "t.o"), str(tmp_path / "t.s")]
        done = subprocess.run(arguments, capture_output=True, text=True)
        assert "unrecognized opcode" in done.stderr, f"{name}: binutils knows it now; take it off the list"


EXPRESSIONS = (
    "1+2*3", "1<<4+1", "(1<<4)+1", "6|1+2", "12/5%3", "-7/2", "-7%3", "~5&0xff", "0x10 - -3", "1 | 6 & 3 ^ 9", "017",
    "0b101", "'A'", "'\\n'", "-(3+4)*2", "1-2-3", "100/7/2",
)  # fmt: skip


def test_expressions_have_the_values_of_gnu_as(tmp_path):
    words = gnu_words("".join(f".dword {text}\n" for text in EXPRESSIONS), tmp_path)
    for text, low, high in zip(EXPRESSIONS, words[::2], words[1::2], strict=False):
        assert evaluate(text, lambda name: 0) & (1 << 64) - 1 == low | high << 32, text
