"""Operands of assembly: how each field of an encoding is written and read. The assembler and the disassembler share it.

An instruction's syntax says which fields stand in which operand (`rt, offset(base)`); the field's name says how it is
spelled. Two fields need more than their own bits: a branch offset needs the pc, a bit-field end needs the position.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from cpu.isa import names
from cpu.isa.errors import TableError
from cpu.isa.table import FPR_FIELDS, GPR_FIELDS, LASX_FIELDS, MSA_FIELDS, Field, Flow, Instruction
from cpu.words import M64, signed

# Bit fields: position = field + bias, as a lane's number; size = field + bias (msbd family) or field + bias - field of
# the position (msb).
POSITION_BIAS = {"lsb": 0, "lsbu": 32, "sa1": 1, "upper": 2}
SIZE_BIAS = {"msbd": 1, "msbdm": 33}
END_BIAS = {"msb": 1, "msbm": 33, "msbu": 1}

# Offsets in units of an element, written in bytes.
SCALES = {"off_b": 1, "off_h": 2, "off_w": 4, "off_d": 8, "off_q": 16}

# Operands that may be left out, and what they then are.
LEADING_DEFAULT = {"cc": 0}
TRAILING_DEFAULT = {"code": 0, "sel": 0, "stype": 0}

# GNU as writes these 20-bit codes as two 10-bit numbers, the upper one first.
SPLIT_CODES = ("break",)

# For GNU as `div rs, rt` is a macro and the instruction has a first operand $0; here both are the instruction.
DIVISIONS = ("div", "divu", "ddiv", "ddivu")

CONTROL_FIELDS = {
    "fcr": names.FPU_CONTROL_REGISTERS,
    "cs": names.MSA_CONTROL_REGISTERS,
    "cd": names.MSA_CONTROL_REGISTERS,
}

HAZARD_BARRIER_HINT = 16  # JR.HB, JALR.HB


class OperandError(TableError):
    """An operand that is not of the kind, or not in the range, that its place asks for."""


class Slot(NamedTuple):
    """One operand: a field, and fields in parentheses after it (`offset(base)`, `off8(base,index)`), or a field or a
    number in brackets (`ws[n]`, `ws[0]`)."""

    field: str
    inner: tuple[str, ...]
    element: str = ""

    def __str__(self) -> str:
        if self.element:
            return f"{self.field}[{self.element}]"
        return f"{self.field}({','.join(self.inner)})" if self.inner else self.field


@dataclass(frozen=True)
class Scope:
    """Where an operand stands: the instruction's address, and the value of an expression there."""

    pc: int
    value: Callable[[str], int]


def split(text: str) -> list[str]:
    """`text` cut at the commas outside parentheses and quotes; [] for an empty text."""
    parts, depth, quote, start = [], 0, "", 0
    for at, char in enumerate(text):
        if quote:
            quote = "" if char == quote and text[at - 1] != "\\" else quote
        elif char == '"':
            quote = char
        elif char in "()":
            depth += 1 if char == "(" else -1
        elif char == "," and depth == 0:
            parts.append(text[start:at].strip())
            start = at + 1
    last = text[start:].strip()
    return [*parts, last] if last or parts else []


@cache
def slots(syntax_operands: str) -> tuple[Slot, ...]:
    found = []
    for part in split(syntax_operands):
        match = re.fullmatch(r"(\w+)(?:\((\w+(?:,\w+)*)\)|\[(\w+)\])?", part.replace(" ", ""))
        if match is None:
            raise TableError(f"operand {part!r} of a syntax is neither `field`, `field(field,...)` nor `field[field]`")
        found.append(Slot(match[1], tuple(match[2].split(",")) if match[2] else (), match[3] or ""))
    return tuple(found)


def _register(text: str, prefix: str, numbers: dict[str, int], what: str) -> int:
    body = text.removeprefix("$")
    if body in numbers:
        return numbers[body]
    digits = body.removeprefix(prefix)
    if digits.isdecimal() and int(digits) < 32 and (body != digits if prefix else text.startswith("$")):
        return int(digits)
    known = f", {', '.join(list(numbers)[:3])}, ..." if numbers else ""
    raise OperandError(f"{text!r} is no {what} register; allowed: ${prefix}0 to ${prefix}31{known}")


def _fits(field: Field, value: int, text: str, low: int, high: int) -> int:
    if not low <= value <= high:
        raise OperandError(f"{text!r} = {value} does not fit {field.name}; allowed: {low} to {high}")
    return value


def _parse_cp0(row: Instruction, text: str, found: dict[str, int]) -> None:
    body = text.removeprefix("$").removeprefix("c0_")
    if body in names.CP0_REGISTERS and not body.isdecimal():
        number, select = names.CP0_REGISTERS[body]
        found["c0"] = number
        if select:
            found["sel"] = select
        return
    found["c0"] = _register(text, "", {}, "CP0")


def _parse_branch(row: Instruction, field: Field, text: str, scope: Scope) -> int:
    delta = signed(scope.value(text) - scope.pc - 4, 64)
    reach = 1 << (field.width + 1)
    if delta & 3 or not -reach <= delta < reach:
        raise OperandError(
            f"branch target {text!r} is {delta:#x} bytes from the delay slot; allowed: multiples of 4 from "
            f"{-reach:#x} to {reach - 4:#x}"
        )
    return delta >> 2


def _parse_jump(field: Field, text: str, scope: Scope) -> int:
    target = scope.value(text) & M64
    region = (scope.pc + 4) & M64 & ~0x0FFFFFFF
    if target & ~0x0FFFFFFF != region or target & 3:
        raise OperandError(
            f"jump target {text!r} = {target:#x}; allowed: multiples of 4 in the 256 MB from {region:#x}"
        )
    return (target & 0x0FFFFFFF) >> 2


def _parse_scaled(field: Field, value: int, text: str) -> int:
    scale, half = SCALES[field.name], 1 << (field.width - 1)
    if value % scale:
        raise OperandError(f"{text!r} = {value} is no multiple of {scale}")
    return _fits(field, value, text, -half * scale, (half - 1) * scale) // scale


def parse_field(row: Instruction, field: Field, text: str, scope: Scope, found: dict[str, int]) -> None:
    """Reads `text` as `field` of `row` into `found` (field name -> field value). Raises OperandError."""
    name, limit = field.name, (1 << field.width) - 1
    if name in GPR_FIELDS:
        found[name] = _register(text, "", names.GPR_NUMBERS, "general")
    elif name in FPR_FIELDS:
        found[name] = _register(text, "f", {}, "FPU")
    elif name in CONTROL_FIELDS:
        prefix = "f" if text.startswith("$f") and text[2:].isdecimal() else ""
        found[name] = _register(text.removeprefix("c1_"), prefix, CONTROL_FIELDS[name], "control")
    elif name in MSA_FIELDS or name in LASX_FIELDS:
        found[name] = _register(text, "w", {}, "MSA")
    elif name == "c0" and row.mnemonic == "rdhwr":
        found[name] = _register(text.removeprefix("hwr_"), "", names.HARDWARE_REGISTERS, "hardware")
    elif name == "c0":
        _parse_cp0(row, text, found)
    elif name == "sel" and found.get("sel"):
        raise OperandError(f"the register's name already says select {found['sel']}; leave {text!r} out")
    elif name == "cc" and text.startswith("$fcc"):
        found[name] = _fits(field, int(text[4:] or "0"), text, 0, limit)
    elif name in POSITION_BIAS:
        bias = POSITION_BIAS[name]
        found[name] = _fits(field, scope.value(text), text, bias, bias + limit) - bias
    elif name in SIZE_BIAS:
        bias = SIZE_BIAS[name]
        most = bias + limit - (found.get("lsb", 0) if name != "msbd" or row.mnemonic == "ext" else 0)
        most = min(most, 32 - found["lsbu"]) if "lsbu" in found else most
        found[name] = _fits(field, scope.value(text), text, bias, most) - bias
    elif name in END_BIAS:
        position = found.get("lsb", found.get("lsbu", 0))
        bias = END_BIAS[name] - position
        found[name] = _fits(field, scope.value(text), text, max(1, bias), bias + limit) - bias
    elif name == "offset" and row.flow in (Flow.BRANCH, Flow.LIKELY):
        found[name] = _parse_branch(row, field, text, scope)
    elif name == "target":
        found[name] = _parse_jump(field, text, scope)
    elif name in SCALES:
        found[name] = _parse_scaled(field, scope.value(text), text)
    elif field.signed:
        half = 1 << (field.width - 1)
        wraps = row.mnemonic == "lui"  # the sign of its immediate is nobody's concern
        value = _fits(field, scope.value(text), text, -half, limit if wraps else half - 1)
        found[name] = signed(value, field.width)
    else:
        found[name] = _fits(field, scope.value(text), text, 0, limit)


def parse(row: Instruction, texts: list[str], scope: Scope) -> dict[str, int]:
    """Field values of `row` for the operand texts, with left-out operands filled in. Raises OperandError."""
    places = slots(row.operands)
    found: dict[str, int] = {}
    if row.mnemonic in SPLIT_CODES:
        return {"code": _split_code(row, texts, scope)}
    if row.mnemonic in DIVISIONS and len(texts) == 3 and texts[0].removeprefix("$") in ("0", "zero"):
        texts = texts[1:]
    texts = _complete(row, list(places), list(texts), found)
    for place, text in zip(places, texts, strict=True):
        if text is None:
            continue
        if place.inner:
            match = re.fullmatch(r"(.*?)\s*\(([^()]*)\)", text, re.DOTALL)
            inner = [part.strip() for part in match[2].split(",")] if match else []
            if len(inner) != len(place.inner):
                raise OperandError(f"{text!r} is not of the form {place}")
            for name, part in zip(place.inner, inner, strict=True):
                parse_field(row, row.field(name), part, scope, found)
            text = match[1] or "0"
        if place.element:
            text = _parse_element(row, place, text, scope, found)
        parse_field(row, row.field(place.field), text, scope, found)
    for field in row.fields:  # CLZ and CLO repeat their destination in a field that the syntax does not show
        if field.name == "rt" and "rt" not in found and not any("rt" == place.field for place in places):
            found["rt"] = found.get("rd", 0)
    return found


def _parse_element(row: Instruction, place: Slot, text: str, scope: Scope, found: dict[str, int]) -> str:
    """Reads what stands in brackets; returns what stands before them."""
    match = re.fullmatch(r"(.*?)\s*\[(.*)\]", text, re.DOTALL)
    if match is None:
        raise OperandError(f"{text!r} is not of the form {place}")
    if not place.element.isdecimal():
        parse_field(row, row.field(place.element), match[2].strip(), scope, found)
    elif scope.value(match[2]) != int(place.element):
        raise OperandError(f"{text!r} has element {match[2]}; allowed: {place.element}")
    return match[1]


def _complete(row: Instruction, places: list[Slot], texts: list[str], found: dict[str, int]) -> list[str | None]:
    """The operand texts with None for those that take their default (then set in `found`)."""
    missing = len(places) - len(texts)
    if missing == 0:
        return texts
    first, last = (places[0].field, places[-1].field) if places else ("", "")
    if missing == 1 and first in LEADING_DEFAULT:
        found[first] = LEADING_DEFAULT[first]
        return [None, *texts]
    if missing == 1 and row.mnemonic == "jalr":
        found["rd"] = 31
        return [None, *texts]
    if missing == 1 and last in TRAILING_DEFAULT:
        found[last] = TRAILING_DEFAULT[last]
        return [*texts, None]
    if missing == 1 and [place.field for place in places] == ["rt"]:  # DI and EI
        found["rt"] = 0
        return [None]
    if missing == 1 and len(places) == 3 and first in ("rd", "rt") and places[1].field in ("rs", "rt"):
        return [texts[0], *texts]  # addiu $4, 1 is addiu $4, $4, 1
    wanted = ", ".join(map(str, places)) or "none"
    raise OperandError(f"{row.mnemonic} has {len(texts)} operands; its operands: {wanted}")


def _split_code(row: Instruction, texts: list[str], scope: Scope) -> int:
    if len(texts) > 2:
        raise OperandError(f"{row.mnemonic} has {len(texts)} operands; its operands: upper code, lower code")
    code = 0
    for text, shift in zip(texts, (10, 0), strict=False):
        value = scope.value(text)
        if not 0 <= value < 1 << 10:
            raise OperandError(f"{text!r} = {value} is no code of {row.mnemonic}; allowed: 0 to 1023")
        code |= value << shift
    return code


def format_field(row: Instruction, name: str, values: dict[str, int], pc: int, numeric: bool) -> str:
    """The text of one field; `values` are all fields of the word."""
    value = values[name]
    if name in GPR_FIELDS:
        return f"${value}" if numeric else f"${names.GPR_NAMES[value]}"
    if name in FPR_FIELDS:
        return f"$f{value}"
    if name in CONTROL_FIELDS:
        return f"${value}"
    if name in MSA_FIELDS or name in LASX_FIELDS:
        return f"$w{value}"
    if name == "cc":
        return f"$fcc{value}"
    if name in POSITION_BIAS:
        return str(value + POSITION_BIAS[name])
    if name in SIZE_BIAS:
        return str(value + SIZE_BIAS[name])
    if name in END_BIAS:
        return str(value + END_BIAS[name] - values.get("lsb", values.get("lsbu", 0)))
    if name == "offset" and row.flow in (Flow.BRANCH, Flow.LIKELY):
        return f"{(pc + 4 + 4 * value) & M64:#x}"
    if name == "target":
        return f"{((pc + 4) & M64 & ~0x0FFFFFFF) | value << 2:#x}"
    if name == "c0":
        return f"${value}"
    if name in SCALES:
        return str(value * SCALES[name])
    if row.mnemonic == "lui":
        return f"{value & 0xFFFF:#x}"
    return str(value) if row.field(name).signed or value < 10 else f"{value:#x}"


def format_operands(row: Instruction, values: dict[str, int], pc: int, numeric: bool) -> list[str]:
    """The operand texts of a word with the given field values."""
    if row.mnemonic in SPLIT_CODES:
        upper, lower = values["code"] >> 10, values["code"] & 0x3FF
        return [f"{upper:#x}", f"{lower:#x}"] if lower else [f"{upper:#x}"] if upper else []
    places = list(slots(row.operands))
    if not numeric and row.mnemonic != "rdhwr" and "c0" in values and (values["c0"], values["sel"]) in names.CP0_NAMES:
        name = "c0_" + names.CP0_NAMES[values["c0"], values["sel"]]
        return [name if place.field == "c0" else _format_slot(row, place, values, pc, numeric) for place in places[:-1]]
    if places and places[-1].field in ("code", "stype") and values[places[-1].field] == 0:
        places.pop()
    first = ["$0" if numeric else "$zero"] if row.mnemonic in DIVISIONS else []
    return first + [_format_slot(row, place, values, pc, numeric) for place in places]


def _format_slot(row: Instruction, place: Slot, values: dict[str, int], pc: int, numeric: bool) -> str:
    text = format_field(row, place.field, values, pc, numeric)
    if place.element:
        element = place.element
        text += f"[{element if element.isdecimal() else format_field(row, element, values, pc, numeric)}]"
    if place.inner:
        text += f"({','.join(format_field(row, name, values, pc, numeric) for name in place.inner)})"
    return text
