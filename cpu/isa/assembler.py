"""Text to words, from the instruction table. The language is that of GNU as for MIPS, `.set noreorder`, n64 names.

What it knows besides the table: labels (also numeric: `1:`, `1b`, `1f`), expressions (`cpu/isa/expressions.py`), the
directives and macros below, `#`, `//` and `/* */` comments, `;` between statements. It never reorders, never fills a
delay slot and never aligns by itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from cpu.isa import TABLE, Instruction
from cpu.isa.errors import TableError
from cpu.isa.expressions import evaluate
from cpu.isa.operands import HAZARD_BARRIER_HINT, Scope, parse, split
from cpu.isa.program import Program, SourceLine
from cpu.words import M64, signed

KSEG0 = 0xFFFFFFFF80000000
DEFAULT_BASE = KSEG0 + 0x200000

DATA_SIZES = {
    ".byte": 1,
    ".half": 2,
    ".short": 2,
    ".hword": 2,
    ".word": 4,
    ".int": 4,
    ".long": 4,
    ".dword": 8,
    ".quad": 8,
}
TOLERATED = (
    ".global", ".globl", ".text", ".data", ".bss", ".rodata", ".section", ".ent", ".end", ".type", ".size", ".frame",
    ".mask", ".file", ".weak", ".local", ".module",
)  # fmt: skip
TOLERATED_SETTINGS = ("noreorder", "noat", "at", "nomacro", "macro", "push", "pop")

# Macro -> its operands and the instructions it stands for.
MACROS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "nop": ((), ("sll $0, $0, 0",)),
    "ssnop": ((), ("sll $0, $0, 1",)),
    "ehb": ((), ("sll $0, $0, 3",)),
    "pause": ((), ("sll $0, $0, 5",)),
    "move": (("d", "s"), ("or {d}, {s}, $0",)),
    "not": (("d", "s"), ("nor {d}, {s}, $0",)),
    "negu": (("d", "s"), ("subu {d}, $0, {s}",)),
    "neg": (("d", "s"), ("sub {d}, $0, {s}",)),
    "dnegu": (("d", "s"), ("dsubu {d}, $0, {s}",)),
    "dneg": (("d", "s"), ("dsub {d}, $0, {s}",)),
    "b": (("t",), ("beq $0, $0, {t}",)),
    "bal": (("t",), ("bgezal $0, {t}",)),
    "beqz": (("s", "t"), ("beq {s}, $0, {t}",)),
    "bnez": (("s", "t"), ("bne {s}, $0, {t}",)),
    "beqzl": (("s", "t"), ("beql {s}, $0, {t}",)),
    "bnezl": (("s", "t"), ("bnel {s}, $0, {t}",)),
    "blt": (("a", "b", "t"), ("slt $at, {a}, {b}", "bne $at, $0, {t}")),
    "bge": (("a", "b", "t"), ("slt $at, {a}, {b}", "beq $at, $0, {t}")),
    "bgt": (("a", "b", "t"), ("slt $at, {b}, {a}", "bne $at, $0, {t}")),
    "ble": (("a", "b", "t"), ("slt $at, {b}, {a}", "beq $at, $0, {t}")),
    "bltu": (("a", "b", "t"), ("sltu $at, {a}, {b}", "bne $at, $0, {t}")),
    "bgeu": (("a", "b", "t"), ("sltu $at, {a}, {b}", "beq $at, $0, {t}")),
    "bgtu": (("a", "b", "t"), ("sltu $at, {b}, {a}", "bne $at, $0, {t}")),
    "bleu": (("a", "b", "t"), ("sltu $at, {b}, {a}", "beq $at, $0, {t}")),
    "la": (("d", "e"), ("lui {d}, %hi({e})", "addiu {d}, {d}, %lo({e})")),
    "dla": (
        ("d", "e"),
        (
            "lui {d}, %highest({e})",
            "daddiu {d}, {d}, %higher({e})",
            "dsll {d}, {d}, 16",
            "daddiu {d}, {d}, %hi({e})",
            "dsll {d}, {d}, 16",
            "daddiu {d}, {d}, %lo({e})",
        ),
    ),
}

# One written name, several encodings: the first whose ranges hold is taken.
FAMILIES = {"dext": ("dext", "dextm", "dextu"), "dins": ("dins", "dinsm", "dinsu")}
# Other names that GNU binutils uses for a row.
SYNONYMS = {"ror": "rotr", "rorv": "rotrv", "dror": "drotr", "dror32": "drotr32", "drorv": "drotrv"}
SHIFTS_BY_32 = {name: f"{name}32" for name in ("dsll", "dsrl", "dsra", "drotr")}

_STRING = re.compile(r'"((?:\\.|[^"\\])*)"')
_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{1,2}|[0-7]{1,3}|.)")
_LABEL = re.compile(r"\s*(\d+|[A-Za-z_.$][\w.$]*)\s*:(?!:)")
_ASSIGNMENT = re.compile(r"([A-Za-z_.][\w.$]*)\s*=(?!=)\s*(.+)")
_MARKS = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}


class AssemblerError(TableError):
    """A source line that cannot be assembled. The message has file, line and text; `line` is the line's number."""

    def __init__(self, message: str, where: Where):
        super().__init__(f"{where.file}:{where.line}: {message}\n    {where.text.strip()}")
        self.line = where.line


class Where(NamedTuple):
    file: str
    line: int
    text: str


class Item(NamedTuple):
    """Bytes to be made in the second pass, when all symbols are known."""

    where: Where
    address: int
    size: int
    order: int  # position among all statements; numeric labels are found by it
    make: Callable[[Scope], bytes]


def assemble(text: str, base: int = DEFAULT_BASE, name: str = "<text>", folder: Path | None = None) -> Program:
    """Assembles `text` for the virtual address `base` (a multiple of 4). Raises AssemblerError.

    `name` stands in messages; `.include "file"` is looked up in `folder`.
    """
    if base % 4 or not -(1 << 63) <= base < 1 << 64:
        raise TableError(f"base {base:#x} is no instruction address; allowed: multiples of 4 below 2^64")
    return _Assembly(base & M64, folder).assemble(text, name)


def assemble_file(path: str | Path, base: int = DEFAULT_BASE) -> Program:
    """Assembles a source file; `.include` is relative to its folder."""
    path = Path(path)
    return assemble(path.read_text(encoding="utf-8"), base, path.name, path.parent)


@cache
def rows_by_mnemonic() -> dict[str, tuple[Instruction, ...]]:
    found: dict[str, list[Instruction]] = {}
    for row in TABLE.values():
        found.setdefault(row.mnemonic, []).append(row)
    for name, members in FAMILIES.items():
        found[name] = [TABLE[member] for member in members if member in TABLE]
    return {name: tuple(rows) for name, rows in found.items()}


def encode(mnemonic: str, texts: list[str], scope: Scope) -> int:
    """The word of one instruction of the table. Raises TableError (unknown name, wrong operands)."""
    mnemonic = SYNONYMS.get(mnemonic, mnemonic)
    base_name = mnemonic.removesuffix(".hb")
    rows = rows_by_mnemonic().get(mnemonic) or rows_by_mnemonic().get(base_name)
    if rows is None:
        raise TableError(f"unknown instruction {mnemonic!r}{_similar(mnemonic)}")
    texts = list(texts)
    if mnemonic in SHIFTS_BY_32 and len(texts) in (2, 3):
        amount = scope.value(texts[-1])
        if 32 <= amount < 64:
            rows = rows_by_mnemonic()[SHIFTS_BY_32[mnemonic]]
            texts[-1] = str(amount - 32)
    errors = []
    for row in rows:
        try:
            values = parse(row, texts, scope)
        except TableError as error:
            errors.append(error)
            continue
        if mnemonic != row.mnemonic and mnemonic.endswith(".hb"):
            values["hint"] = HAZARD_BARRIER_HINT
        return row.encode(**values)
    raise errors[0]


def _similar(mnemonic: str) -> str:
    from difflib import get_close_matches

    near = get_close_matches(mnemonic, [*rows_by_mnemonic(), *MACROS, "li", "dli"], 3)
    return f"; similar: {', '.join(near)}" if near else ""


def load_constant(register: str, value: int) -> list[str]:
    """The shortest sequence of lui/ori/addiu/dsll that gives `register` the 64-bit `value`."""
    value = signed(value, 64)
    if -0x8000 <= value < 0x8000:
        return [f"addiu {register}, $0, {value}"]
    if 0 <= value < 0x10000:
        return [f"ori {register}, $0, {value}"]
    if -(1 << 31) <= value < 1 << 31:
        low = [f"ori {register}, {register}, {value & 0xFFFF}"] if value & 0xFFFF else []
        return [f"lui {register}, {(value >> 16) & 0xFFFF}", *low]
    shift, low = 0, value & 0xFFFF
    upper = value >> 16
    shift = 16
    if not low:
        while not upper & 0xFFFF:
            upper >>= 16
            shift += 16
    name, amount = ("dsll32", shift - 32) if shift >= 32 else ("dsll", shift)
    text = [*load_constant(register, upper), f"{name} {register}, {register}, {amount}"]
    return [*text, f"ori {register}, {register}, {low}"] if low else text


def string_bytes(text: str) -> bytes:
    """The bytes of string literals separated by commas."""
    made, at = bytearray(), 0
    while at < len(text):
        match = _STRING.match(text, at)
        if match is None:
            raise TableError(f"{text[at:]!r} is no string in double quotes")
        made += _ESCAPE.sub(_unescape, match[1]).encode("utf-8")
        at = match.end()
        rest = re.compile(r"\s*,?\s*").match(text, at)
        at = rest.end()
    return bytes(made)


def _unescape(match: re.Match) -> str:
    body = match[1]
    if body[0] == "x" and len(body) > 1:
        return chr(int(body[1:], 16))
    return chr(int(body, 8)) if body[0] in "01234567" else _MARKS.get(body, body)


def _statements(line: str) -> Iterator[str]:
    """The statements of a line without its comment; quotes are respected."""
    start, quote, at = 0, "", 0
    while at < len(line):
        char = line[at]
        if quote:
            if char == "\\":
                at += 1
            elif char == quote:
                quote = ""
        elif char == '"' or (char == "'" and re.match(r"'(\\.|[^\\])'", line[at:])):
            quote = char
        elif char == "#" or line.startswith("//", at):
            line = line[:at]
            break
        elif char == ";":
            yield line[start:at]
            start = at + 1
        at += 1
    yield line[start:]


class _Assembly:
    def __init__(self, base: int, folder: Path | None):
        self.base, self.folder = base, folder
        self.at = base
        self.symbols: dict[str, int] = {}
        self.numeric: dict[str, list[tuple[int, int]]] = {}
        self.items: list[Item] = []
        self.checks: list[tuple[Where, int, str]] = []
        self.macros: dict[str, tuple[list[tuple[str, str]], list[Where]]] = {}
        self.expansions = 0
        self.order = 0
        self.depth = 0
        self.where = Where("<text>", 0, "")

    def assemble(self, text: str, name: str) -> Program:
        try:
            self.read(self.source(text, name))
            for item_where, order, expression in self.checks:
                self.where = item_where
                value = evaluate(expression, lambda token, order=order: self.lookup(token, order, self.base))
                if signed(value, 32) & M64 != value & M64:
                    raise TableError(f"la {expression} = {value & M64:#x} is no sign-extended 32-bit address; use dla")
            data = self.second_pass()
        except AssemblerError:
            raise
        except TableError as error:
            raise AssemblerError(str(error), self.where) from error
        lines = tuple(SourceLine(i.address, i.size, i.where.file, i.where.line, i.where.text) for i in self.items)
        return Program(self.base, data, dict(self.symbols), lines)

    @staticmethod
    def source(text: str, name: str) -> list[Where]:
        blanked = re.sub(r"/\*.*?\*/", lambda m: "\n" * m[0].count("\n"), text, flags=re.DOTALL)
        return [Where(name, number, line) for number, line in enumerate(blanked.split("\n"), 1)]

    # First pass: addresses and symbols.
    def read(self, lines: list[Where]) -> None:
        self.depth += 1
        if self.depth > 40:
            raise TableError("macros or includes are nested more than 40 deep; one of them uses itself")
        pending = iter(lines)
        for self.where in pending:
            for statement in _statements(self.where.text):
                while match := _LABEL.match(statement):
                    self.define_label(match[1])
                    statement = statement[match.end() :]
                statement = statement.strip()
                if statement:
                    self.statement(statement, pending)
                self.order += 1
        self.depth -= 1

    def statement(self, text: str, pending: Iterator[Where]) -> None:
        if match := _ASSIGNMENT.fullmatch(text):
            self.define(match[1], self.known(match[2]))
            return
        name, _, rest = text.replace("\t", " ", 1).partition(" ") if "\t" in text else text.partition(" ")
        rest = rest.strip()
        if name.startswith("."):
            self.directive(name, rest, pending)
        elif name in self.macros:
            self.expand(name, rest)
        else:
            self.instruction(name, split(rest))

    def define_label(self, name: str) -> None:
        if name.isdecimal():
            self.numeric.setdefault(name, []).append((self.order, self.at))
        else:
            self.define(name, self.at)

    def define(self, name: str, value: int) -> None:
        if name in self.symbols:
            raise TableError(f"symbol {name!r} is defined twice")
        self.symbols[name] = value

    def known(self, text: str) -> int:
        """The value of an expression that must be known in the first pass."""
        return evaluate(text, lambda token: self.lookup(token, self.order, self.at))

    def lookup(self, token: str, order: int, address: int) -> int:
        if token == ".":
            return address
        if token[0].isdecimal():
            places = self.numeric.get(token[:-1], [])
            if token[-1] == "b":
                found = [place for at, place in places if at <= order][-1:]
            else:
                found = [place for at, place in places if at > order][:1]
            if not found:
                raise TableError(
                    f"there is no label {token[:-1]}: {'before' if token[-1] == 'b' else 'after'} this line"
                )
            return found[0]
        if token not in self.symbols:
            raise TableError(f"symbol {token!r} is not defined (or, where a size depends on it, not yet)")
        return self.symbols[token]

    def emit(self, size: int, make: Callable[[Scope], bytes]) -> None:
        self.items.append(Item(self.where, self.at, size, self.order, make))
        self.at += size

    # Instructions and macros
    def instruction(self, name: str, operands: list[str]) -> None:
        if name in ("li", "dli"):
            for text in self.constant(name, operands):
                self.plain(text)
        elif name in MACROS:
            wanted, body = MACROS[name]
            if len(operands) == len(wanted) - 1 and wanted[:2] == ("d", "s"):
                operands = [operands[0], *operands]
            if len(operands) != len(wanted):
                raise TableError(f"{name} has {len(operands)} operands; allowed: {len(wanted)}")
            if name == "la":
                self.checks.append((self.where, self.order, operands[1]))
            for text in body:
                self.plain(text.format(**dict(zip(wanted, operands, strict=True))))
        else:
            self.plain(f"{name} {', '.join(operands)}")

    def plain(self, text: str) -> None:
        if self.at % 4:
            raise TableError(f"an instruction at {self.at:#x}, which is no multiple of 4; put .align 2 before it")
        name, _, rest = text.partition(" ")
        operands = split(rest)
        self.emit(4, lambda scope: encode(name, operands, scope).to_bytes(4, "little"))

    def constant(self, name: str, operands: list[str]) -> list[str]:
        if len(operands) != 2:
            raise TableError(f"{name} has {len(operands)} operands; allowed: register, constant")
        value = self.known(operands[1])
        if name == "li":
            if not -(1 << 31) <= signed(value, 64) < 1 << 32:
                raise TableError(f"li {operands[1]} = {value:#x} does not fit 32 bits; use dli")
            value = signed(value, 32)
        elif not -(1 << 63) <= value < 1 << 64:
            raise TableError(f"dli {operands[1]} = {value:#x} does not fit 64 bits")
        return load_constant(operands[0], value)

    def expand(self, name: str, rest: str) -> None:
        parameters, body = self.macros[name]
        given = split(rest)
        if parameters and parameters[-1][0].endswith(":vararg"):  # takes all that is left
            last = len(parameters) - 1
            given = [*given[:last], ", ".join(given[last:])] if len(given) > last else given
        if len(given) > len(parameters):
            raise TableError(f"macro {name} has {len(given)} operands; allowed: up to {len(parameters)}")
        values = {
            p.removesuffix(":vararg"): given[k] if k < len(given) and given[k] else default
            for k, (p, default) in enumerate(parameters)
        }
        self.expansions += 1
        values["@"] = str(self.expansions)

        def substitute(match: re.Match) -> str:
            return values.get(match[1], match[0])

        outer = self.where
        pattern = re.compile(r"\\(@|\w+)(?:\\\(\))?")
        self.read([line._replace(text=pattern.sub(substitute, line.text)) for line in body])
        self.where = outer

    # Directives
    def directive(self, name: str, rest: str, pending: Iterator[Where]) -> None:
        if name in DATA_SIZES:
            self.data(DATA_SIZES[name], split(rest))
        elif name in (".ascii", ".asciz", ".asciiz", ".string"):
            made = string_bytes(rest)
            self.bytes(made if name == ".ascii" else made + b"\0")
        elif name in (".space", ".skip", ".fill", ".zero"):
            size, fill = self.numbers(name, rest, 1, 2, 0)
            self.bytes(bytes([fill & 0xFF]) * self.length(name, size))
        elif name in (".align", ".p2align", ".balign"):
            (amount,) = self.numbers(name, rest, 1, 1)
            unit = amount if name == ".balign" else 1 << min(max(amount, 0), 40)
            if unit <= 0 or unit & (unit - 1) or unit > 1 << 24:
                raise TableError(f"{name} {amount} is no alignment; allowed: powers of two up to 2^24")
            self.bytes(bytes(-self.at % unit))
        elif name == ".org":
            (target,) = self.numbers(name, rest, 1, 1)
            target = self.base + target if target < self.base else target
            self.bytes(bytes(self.length(".org backwards:", target - self.at)))
        elif name in (".equ", ".eqv"):
            symbol, value = self.pair(name, rest)
            self.define(symbol, self.known(value))
        elif name == ".set" and "," in rest:
            symbol, value = self.pair(name, rest)
            self.define(symbol, self.known(value))
        elif name == ".set":
            if rest not in TOLERATED_SETTINGS and not rest.startswith(("mips", "arch=")):
                raise TableError(f".set {rest} is not possible here; allowed: {', '.join(TOLERATED_SETTINGS)}")
        elif name == ".include":
            self.include(rest)
        elif name == ".macro":
            self.define_macro(rest, pending)
        elif name == ".rept":
            (count,) = self.numbers(name, rest, 1, 1)
            body = self.block(pending, ".rept", ".endr")
            for _ in range(self.length(name, count)):
                self.read(body)
        elif name not in TOLERATED:
            raise TableError(f"unknown directive {name}; allowed: {', '.join(directives())}")

    def length(self, name: str, size: int) -> int:
        if not 0 <= size <= 1 << 26:
            raise TableError(f"{name} {size} is out of range; allowed: 0 to {1 << 26}")
        return size

    def numbers(self, name: str, rest: str, least: int, most: int, *defaults: int) -> list[int]:
        given = [self.known(part) for part in split(rest)]
        if not least <= len(given) <= most:
            raise TableError(f"{name} has {len(given)} operands; allowed: {least} to {most}")
        return given + list(defaults[len(given) - least :])

    def pair(self, name: str, rest: str) -> tuple[str, str]:
        parts = split(rest)
        if len(parts) != 2 or not re.fullmatch(r"[A-Za-z_.][\w.$]*", parts[0]):
            raise TableError(f"{name} {rest} is not of the form `{name} symbol, expression`")
        return parts[0], parts[1]

    def bytes(self, made: bytes) -> None:
        if made:
            self.emit(len(made), lambda scope: made)

    def data(self, size: int, texts: list[str]) -> None:
        if not texts:
            raise TableError("a data directive without a value")

        def make(scope: Scope) -> bytes:
            made = bytearray()
            for text in texts:
                value = scope.value(text)
                if size < 8 and value >> 64 == 0 and value >> 63:
                    value = signed(value, 64)  # an address in the sign-extended 32-bit space
                if not -(1 << (8 * size - 1)) <= value < 1 << (8 * size):
                    raise TableError(f"{text} = {value:#x} does not fit {size} bytes")
                made += (value & ((1 << 8 * size) - 1)).to_bytes(size, "little")
            return bytes(made)

        self.emit(size * len(texts), make)

    def include(self, rest: str) -> None:
        name = string_bytes(rest).decode()
        if self.folder is None:
            raise TableError(f".include {rest}: text without a file has no folder; give assemble(..., folder=...)")
        path = self.folder / name
        if not path.is_file():
            raise TableError(f".include {rest}: there is no such file in {self.folder.name}/")
        outer = self.where
        self.read(self.source(path.read_text(encoding="utf-8"), name))
        self.where = outer

    def define_macro(self, rest: str, pending: Iterator[Where]) -> None:
        name, *parameters = re.split(r"[\s,]+", rest.strip())
        if not name:
            raise TableError(".macro needs a name")
        pairs = [(p.partition("=")[0], p.partition("=")[2]) for p in parameters if p]
        self.macros[name] = (pairs, self.block(pending, ".macro", ".endm"))

    def block(self, pending: Iterable[Where], opening: str, closing: str) -> list[Where]:
        body, depth, start = [], 1, self.where
        for line in pending:
            word = line.text.split("#")[0].split()[:1]
            depth += (word == [opening]) - (word == [closing])
            if depth == 0:
                return body
            body.append(line)
        self.where = start
        raise TableError(f"{opening} without {closing}")

    # Second pass: bytes.
    def second_pass(self) -> bytes:
        made = bytearray()
        for item in self.items:
            self.where = item.where

            def value(text: str, item: Item = item) -> int:
                return evaluate(text, lambda token: self.lookup(token, item.order, item.address))

            made += item.make(Scope(item.address, value))
        return bytes(made)


def directives() -> list[str]:
    """The names of the directives that do something."""
    return [
        *DATA_SIZES, ".ascii", ".asciz", ".space", ".align", ".balign", ".org", ".equ", ".set", ".include", ".macro",
        ".rept",
    ]  # fmt: skip
