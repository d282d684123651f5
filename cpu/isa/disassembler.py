"""Words to text, from the instruction table."""

from __future__ import annotations

from functools import cache

from cpu.isa import TABLE, Instruction
from cpu.isa.operands import HAZARD_BARRIER_HINT, format_operands, slots

# What objdump prints by default instead of the plain name: (name, field values that must hold) -> text.
_ALIASES = (
    ("sll", {"rd": 0, "rt": 0, "sa": 0}, "nop", ()),
    ("sll", {"rd": 0, "rt": 0, "sa": 1}, "ssnop", ()),
    ("sll", {"rd": 0, "rt": 0, "sa": 3}, "ehb", ()),
    ("or", {"rt": 0}, "move", ("rd", "rs")),
    ("addiu", {"rs": 0}, "li", ("rt", "imm")),
    ("ori", {"rs": 0}, "li", ("rt", "imm")),
    ("beq", {"rs": 0, "rt": 0}, "b", ("offset",)),
    ("bgezal", {"rs": 0}, "bal", ("offset",)),
    ("beq", {"rt": 0}, "beqz", ("rs", "offset")),
    ("bne", {"rt": 0}, "bnez", ("rs", "offset")),
    ("subu", {"rs": 0}, "negu", ("rd", "rt")),
    ("dsubu", {"rs": 0}, "dnegu", ("rd", "rt")),
    ("nor", {"rt": 0}, "not", ("rd", "rs")),
    ("jalr", {"rd": 31}, "jalr", ("rs",)),
)


@cache
def _by_opcode() -> dict[int, tuple[Instruction, ...]]:
    """Major opcode -> rows, the most specific mask first."""
    found: dict[int, list[Instruction]] = {opcode: [] for opcode in range(64)}
    for row in TABLE.values():
        found[row.match >> 26].append(row)
    return {opcode: tuple(sorted(rows, key=lambda row: -row.mask.bit_count())) for opcode, rows in found.items()}


def decode(word: int) -> Instruction | None:
    """The row that `word` encodes; None when the table has none."""
    for row in _by_opcode()[word >> 26]:
        if word & row.mask == row.match:
            return row
    return None


def disassemble(word: int, pc: int = 0, *, numeric: bool = False, aliases: bool = False) -> str:
    """The text of the 32-bit `word` at address `pc`, in the assembler's own syntax; `.word 0x...` when unknown.

    `numeric` writes `$4` and `$12, 0` instead of `$a0` and `c0_status`; `aliases` writes `nop`, `move`, `li`, `b` and
    the like. Without aliases the text assembles to the same word, except for bits that the instruction ignores.
    """
    row = decode(word)
    if row is None:
        return f".word {word:#010x}"
    values = row.decode(word)
    if aliases:
        for name, wanted, alias, shown in _ALIASES:
            if name == row.name and all(values[field] == value for field, value in wanted.items()):
                return _join(alias, _alias_operands(row, values, shown, pc, numeric))
    name = row.mnemonic
    if values.get("hint") == HAZARD_BARRIER_HINT and "hint" not in row.operands:
        name += ".hb"
    return _join(name, format_operands(row, values, pc, numeric))


def _alias_operands(
    row: Instruction, values: dict[str, int], shown: tuple[str, ...], pc: int, numeric: bool
) -> list[str]:
    texts = dict(zip((s.field for s in slots(row.operands)), format_operands(row, values, pc, numeric), strict=True))
    return [texts[field] for field in shown]


def _join(name: str, operands: list[str]) -> str:
    return f"{name} {', '.join(operands)}" if operands else name
