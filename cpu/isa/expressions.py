"""Integer expressions of assembly: numbers, symbols, `.`, numeric labels, operators as in GNU as, %hi and %lo.

From strongest to weakest: unary `- + ~`; `* / % << >>`; `| & ^`; `+ -`. This is the order of GNU as (manual, "Infix
Operators"), not that of C: write parentheses where the two differ. Values are unlimited integers; who stores one checks
that it fits.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from cpu.isa.errors import TableError
from cpu.words import M64, signed

_TOKEN = re.compile(
    r"\s*(?:(?P<number>0[xX][0-9a-fA-F]+|0[bB][01]+(?![0-9a-zA-Z])|0[0-7]*(?![\w.])|[1-9]\d*(?![\w.]))"
    r"|(?P<local>\d+[bf](?!\w))"
    r"|(?P<char>'(?:\\.|[^\\'])'?)"
    r"|(?P<part>%(?:highest|higher|hi|lo)\b)"
    r"|(?P<name>[A-Za-z_.][\w.$]*)"
    r"|(?P<operator><<|>>|[-+*/%&|^~()]))",
    re.ASCII,
)
_LEVELS = (("+", "-"), ("|", "&", "^"), ("*", "/", "%", "<<", ">>"))
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "0": "\0", "\\": "\\", "'": "'", '"': '"'}


class ExpressionError(TableError):
    """The text is no expression, or names a symbol that is not defined (here or yet)."""


# The 16-bit parts of an address that lui/addiu and the 64-bit sequences rebuild it from.
PARTS: dict[str, Callable[[int], int]] = {
    "%lo": lambda v: signed(v, 16),
    "%hi": lambda v: signed((v + 0x8000) >> 16, 16),
    "%higher": lambda v: signed((v + 0x80008000) >> 32, 16),
    "%highest": lambda v: signed((v + 0x800080008000) >> 48, 16),
}


def tokens(text: str) -> list[tuple[str, str]]:
    """(kind, text) pairs: kinds number, local, char, part, name, operator."""
    found, at = [], 0
    text = text.rstrip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise ExpressionError(f"{text!r} is no expression (from {text[at:].strip()!r} on)")
        found.append((match.lastgroup, match.group(match.lastgroup)))
        at = match.end()
    return found


def evaluate(text: str, lookup: Callable[[str], int]) -> int:
    """The value of `text`; `lookup` gives the value of a symbol, of `.` and of numeric labels such as `1b`."""
    parser = _Parser(tokens(text), text, lookup)
    value = parser.level(0)
    parser.finish()
    return value


class _Parser:
    def __init__(self, found: list[tuple[str, str]], text: str, lookup: Callable[[str], int]):
        self.tokens, self.at, self.text, self.lookup = found, 0, text, lookup

    def peek(self) -> str | None:
        kind, token = self.tokens[self.at] if self.at < len(self.tokens) else (None, None)
        return token if kind in ("operator", "part") else None

    def expect(self, wanted: str) -> None:
        if self.peek() != wanted:
            raise ExpressionError(f"{self.text!r}: {wanted!r} is missing")
        self.at += 1

    def finish(self) -> None:
        if self.at < len(self.tokens):
            raise ExpressionError(f"{self.text!r}: {self.tokens[self.at][1]!r} is not expected there")

    def level(self, depth: int) -> int:
        if depth == len(_LEVELS):
            return self.unary()
        left = self.level(depth + 1)
        while (operator := self.peek()) in _LEVELS[depth]:
            self.at += 1
            left = self.binary(operator, left, self.level(depth + 1))
        return left

    def binary(self, operator: str, a: int, b: int) -> int:
        if operator in "/%" and b == 0:
            raise ExpressionError(f"{self.text!r} divides by zero")
        if operator in ("<<", ">>") and not 0 <= b < 64:
            raise ExpressionError(f"{self.text!r} shifts by {b}; allowed: 0 to 63")
        match operator:
            case "+":
                return a + b
            case "-":
                return a - b
            case "*":
                return a * b
            case "/":
                return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)
            case "%":
                return abs(a) % abs(b) * (-1 if a < 0 else 1)
            case "<<":
                return a << b
            case ">>":
                return (a & M64) >> b
            case "&":
                return a & b
            case "|":
                return a | b
            case _:
                return a ^ b

    def unary(self) -> int:
        if self.at >= len(self.tokens):
            raise ExpressionError(f"{self.text!r}: a value is missing at its end")
        kind, token = self.tokens[self.at]
        self.at += 1
        if kind == "number":
            return int(token, 8 if re.fullmatch(r"0[0-7]+", token) else 0)
        if kind == "char":
            body = token[1:3] if token[1] == "\\" else token[1]
            return ord(_ESCAPES.get(body[1], body[1]) if len(body) == 2 else body)
        if kind in ("name", "local"):
            return self.lookup(token)
        if kind == "part" or token == "(":
            if kind == "part":
                self.expect("(")
            value = self.level(0)
            self.expect(")")
            return PARTS[token](value) if kind == "part" else value
        if token in ("-", "+", "~"):
            value = self.unary()
            return -value if token == "-" else ~value if token == "~" else value
        raise ExpressionError(f"{self.text!r}: {token!r} stands where a value is expected")
