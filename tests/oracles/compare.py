"""Differences between two sides: what differs, the shortest sequence that still shows it, and what explains it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace

from cpu.isa.table import FPR_FIELDS, MSA_FIELDS
from soc.errors import SocError
from tests.oracles.layout import Result
from tests.oracles.sequences import Case, Step

Side = Callable[[Sequence[Case]], list[Result]]


@dataclass(frozen=True)
class Divergence:
    """A known difference between this project and the oracle, with the evidence for our side."""

    name: str
    rows: frozenset[str]
    evidence: str
    applies: Callable[[Case, Result, Result], bool]


def _word(value: int) -> int:
    return (value & 0xFFFFFFFF ^ 0x80000000) - 0x80000000


def _remainder_of_unsigned(case: Case, ours: Result, theirs: Result) -> bool:
    """Only the last GSMOD's destination differs, and the oracle's value is the remainder of the zero-extended words."""
    step = case.steps[-1]
    if step.name != "gsmod":
        return False
    rd, a, b = step.get("rd"), *(ours.gpr[step.get(name)] & 0xFFFFFFFF for name in ("rs", "rt"))
    expected = _word(a % b if b else 0) & (1 << 64) - 1
    return theirs.gpr[rd] == expected and ours == replace(theirs, gpr=_with(theirs.gpr, rd, ours.gpr[rd]))


def _with(values: tuple[int, ...], index: int, value: int) -> tuple[int, ...]:
    return (*values[:index], value, *values[index + 1 :])


# What QEMU gets wrong so often that shrinking would take long is avoided in `sequences.py`, next to its reason.
DIVERGENCES: tuple[Divergence, ...] = (
    Divergence(
        "gsmod of negative words",
        frozenset({"gsmod"}),
        "QEMU 7.2 zero-extends the operands of MOD.G before a signed 64-bit remainder (target/mips/tcg: "
        "gen_loongson_integer), but sign-extends those of DIV.G. GCC 12 -march=gs464 compiles the remainder of two "
        "ints to this instruction, so it is the signed one.",
        _remainder_of_unsigned,
    ),
)


def explained(case: Case, ours: Result, theirs: Result) -> Divergence | None:
    """The known divergence that covers a case, if any."""
    names = {step.name for step in case.steps}
    for known in DIVERGENCES:
        if names & known.rows and known.applies(case, ours, theirs):
            return known
    return None


class NotAlone(SocError):
    """A case differs only together with others."""


def shrink(case: Case, ours: Side, theirs: Side) -> tuple[Case, Result, Result]:
    """The case with every instruction dropped whose absence keeps a difference, and both sides' results."""

    def differ(candidate: Case) -> tuple[Result, Result] | None:
        a = ours([candidate])[0]
        if a.vector is not None and not candidate.layout.kernel:
            return None
        b = theirs([candidate])[0]
        return (a, b) if a != b else None

    pair = differ(case)
    if pair is None:
        raise NotAlone(f"case {case.number} differs in its batch but not alone: state leaks between cases")
    shrinking = True
    while shrinking:
        shrinking = False
        for index in reversed(range(len(case.steps))):
            smaller = case.without(index)
            found = smaller and differ(smaller)
            if found:
                case, pair, shrinking = smaller, found, True
                break
    return case, *pair


def _text(case: Case, index: int) -> str:
    step = case.steps[index]
    operands = " ".join(f"{name}={value}" for name, value in step.fields)
    target = "" if step.target is None else f" to {case.start + 4 * step.target:#x}"
    return f"{case.start + 4 * index:#x}: {case.word(index):08x}  {step.name} {operands}{target}"


def _read_registers(steps: Sequence[Step]) -> tuple[set[int], set[int]]:
    general, floating = set(), set()
    for step in steps:
        for name, value in step.fields:
            if name in ("rs", "rt", "rd", "base", "index"):
                general.add(value)
            elif name in FPR_FIELDS + MSA_FIELDS:
                floating.add(value)
    return general, floating


def differences(ours: Result, theirs: Result) -> list[str]:
    """One line for each item that differs."""
    lines = []
    for f in fields(Result):
        a, b = getattr(ours, f.name), getattr(theirs, f.name)
        if isinstance(a, tuple):
            for n, (x, y) in enumerate(zip(a, b, strict=True)):
                if x != y:
                    lines.append(f"{f.name}[{n}]: ours {x:#018x}, oracle {y:#018x}")
        elif isinstance(a, bytes):
            for n, (x, y) in enumerate(zip(a, b, strict=True)):
                if x != y:
                    lines.append(f"{f.name}+{n:#x}: ours {x:#04x}, oracle {y:#04x}")
        elif a != b:
            x, y = ("none" if v is None else f"{v:#x}" for v in (a, b))
            lines.append(f"{f.name}: ours {x}, oracle {y}")
    return lines


def describe(case: Case, ours: Result, theirs: Result) -> str:
    """The case as text: code, the registers it names, and what differs."""
    lines = [f"case {case.number} ({case.layout.name}), status {case.status:#010x}, config5 {case.config5:#010x}"]
    lines.append(f"  fcsr {case.fcsr:#010x} msacsr {case.msacsr:#010x}")
    lines.append(f"  hi {case.hi:#018x} lo {case.lo:#018x} scratch at {case.scratch_address:#x}")
    lines += ["  " + _text(case, n) for n in range(len(case.steps))]
    general, floating = _read_registers(case.steps)
    lines += [f"  before: r{n} = {case.gpr[n]:#018x}" for n in sorted(general)]
    lines += [f"  before: w{n} = {case.vectors[n]:#034x}" for n in sorted(floating)]
    lines += ["  " + line for line in differences(ours, theirs)]
    return "\n".join(lines)
