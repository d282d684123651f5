"""Golden traces: what a device or a machine did, as text beside the test, compared line by line with what it does now.

The file of test `test_pulse` in `test_gpio.py` is `golden/test_gpio/test_pulse.txt`. It is written by a run with
--update-golden, read by people in a review, and kept under version control.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import unified_diff
from itertools import zip_longest
from pathlib import Path
from typing import Any

from soc.errors import ConfigurationError
from soc.time import in_ns

FOLDER = "golden"
_SHOWN = 40
_AROUND = 3
_TIME = re.compile(r"^\s*(\d+)\.(\d{3}) ns")


class Golden:
    """The golden traces of one test: ``golden(rig)``, ``golden(machine.trace, only="gpio")``.

    written  files of a run that updates
    """

    def __init__(self, test_file: Path, test: str, update: bool) -> None:
        self._folder = test_file.parent / FOLDER / test_file.stem
        self._test = re.sub(r"[^\w.-]+", "_", test).strip("_")
        self._update = update
        self._compared: set[Path] = set()
        self.written: list[Path] = []

    def __call__(self, subject: Any, name: str = "", *, only: str | Iterable[str] = ()) -> None:
        """Compare `subject` with its golden trace, or write it where the run updates.

        subject  a rig or its record, a machine's trace, or lines of text
        name     tells several traces of one test apart
        only     of a machine's trace: messages to or from these components

        AssertionError with the difference. ConfigurationError when a test compares two things with one file.
        """
        __tracebackhide__ = True
        path = self._folder / f"{self._test}{'.' + name if name else ''}.txt"
        if path in self._compared:
            raise ConfigurationError(
                f"{path} is compared twice in one test: give each trace a name, golden(trace, name)"
            )
        self._compared.add(path)
        found = lines_of(subject, (only,) if isinstance(only, str) else tuple(only))
        if self._update:
            self._write(path, found)
        elif not path.exists():
            raise AssertionError(f"there is no golden trace {path} yet: run once with --update-golden, and look at it")
        else:
            expected = path.read_text(encoding="utf-8").splitlines()
            if found != expected:
                raise AssertionError(difference(expected, found, path))

    def _write(self, path: Path, lines: list[str]) -> None:
        text = "".join(f"{line}\n" for line in lines)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            self.written.append(path)


def lines_of(subject: Any, only: tuple[str, ...] = ()) -> list[str]:
    """A trace as text: a line per access, change of a line or message, each with its time in ns.

    Of a machine's messages the cause ids and counts of instructions are left out: they change with everything before.
    """
    subject = getattr(subject, "record", subject)
    if hasattr(subject, "records"):
        return [_message(record) for record in subject.records if _touches(record, only)]
    if only:
        raise ConfigurationError("golden(..., only=...) is for a machine's trace; a rig has one device")
    return subject.splitlines() if isinstance(subject, str) else [str(entry) for entry in subject]


def _touches(record: Any, only: tuple[str, ...]) -> bool:
    if not only:
        return True
    ends = (record.link.origin[0], record.link.target[0]) if record.link is not None else ()
    return any(end.partition(".")[0] in only for end in ends)


def _message(record: Any) -> str:
    message, link = record
    own = [name for name in message.own_fields() if name not in ("instructions", "request")]
    fields = ", ".join(f"{name}={_value(getattr(message, name))}" for name in own)
    where = link.name if link is not None else f"timer of port {message.source}"
    return f"{in_ns(message.time):>16} ns  {where}  {type(message).__name__}({fields})"


def _value(value: Any) -> str:
    return f"{value:#x}" if type(value) is int and value > 9 else repr(value)


def difference(expected: list[str], found: list[str], path: Path) -> str:
    """In words: where two traces part, and how; `path` is the file of the expected one."""
    pairs = zip_longest(expected, found)
    first = next(number for number, (old, new) in enumerate(pairs) if old != new)
    head = (
        f"not the golden trace {path}\nthey part at line {first + 1} (golden {len(expected)} lines, now {len(found)})"
    )
    if [_TIME.sub("", line) for line in expected] == [_TIME.sub("", line) for line in found]:
        shifts = [_ps(new) - _ps(old) for old, new in zip(expected, found, strict=True)]
        moved = [shift for shift in shifts if shift]
        all_by = "all by" if len(set(moved)) == 1 else "the first by"
        head += (
            f"\nthe same things happen in the same order; {len(moved)} at other times, {all_by} {in_ns(moved[0])} ns"
        )
    start = max(0, first - _AROUND)
    # A window: what follows a difference often differs throughout, and a diff of long texts takes long.
    window = slice(start, start + 10 * _SHOWN)
    changes = list(unified_diff(expected[window], found[window], "golden", "now", lineterm="", n=_AROUND))
    shown = [line for line in changes[2:] if not line.startswith("@@")]
    more = [f"... and {len(shown) - _SHOWN} lines more"] if len(shown) > _SHOWN else []
    advice = "--update-golden takes what is now"
    return "\n".join([head, "", *shown[:_SHOWN], *more, "", advice])


def _ps(line: str) -> int:
    time = _TIME.match(line)
    return int(time[1]) * 1000 + int(time[2]) if time else 0
