"""The result file of `soc bench`: a version, what the figures depend on, and the rows of each section as JSON.

A row holds what was measured, round by round; everything else is computed from it when it is shown.
"""

import json
import types
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, get_args, get_origin, get_type_hints

from soc.bench.sections import SECTIONS
from soc.errors import ConfigurationError
from soc.files import write_atomically

FORMAT, VERSION = "soc bench", 2


@dataclass
class Results:
    """`host` is as of `report.host`; `sections` holds lists of rows by the section's name, in the order measured."""

    host: dict[str, str | int | float]
    rounds: int
    qemu: str | None = None
    kernel: str | None = None
    """Package and version of the kernel that was booted."""
    quick: bool = False
    sections: dict[str, list[Any]] = field(default_factory=dict)

    def write(self, path: Path) -> None:
        """Raises ConfigurationError where the file cannot be written."""
        data = {"format": FORMAT, "version": VERSION, **asdict(self)}
        try:
            write_atomically(path, (json.dumps(data, indent=1) + "\n").encode())
        except OSError as cause:
            raise _refused(path, cause.strerror) from cause


def check_place(path: Path) -> None:
    """Raises ConfigurationError where results could not be written: before they are measured, not after."""
    if path.exists() and not path.is_file():
        raise _refused(path, "it is no regular file")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=path.parent):
            pass
    except OSError as cause:
        raise _refused(path, cause.strerror) from cause


def _refused(path: Path, why: str | None) -> ConfigurationError:
    return ConfigurationError(f"cannot write --out {path}: {why}.\nGive another file.")


def read(path: Path) -> Results:
    """A result file. Raises ConfigurationError, which names the place of what is wrong."""
    try:
        data = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as cause:
        why = cause.strerror if isinstance(cause, OSError) else "it is no JSON"
        raise ConfigurationError(
            f"cannot read the results {path}: {why}.\nGive a file of `soc bench --out`."
        ) from cause
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise ConfigurationError(f"{path} holds no results of `soc bench`.\nGive a file of `soc bench --out`.")
    if data.get("version") != VERSION:
        raise ConfigurationError(
            f"{path} is of version {data.get('version')}; this `soc bench` reads version {VERSION}.\nMeasure again."
        )
    try:
        sections = {name: _rows(name, rows) for name, rows in _mapping("sections", data.pop("sections", None)).items()}
        del data["format"], data["version"]
        found = _value(Results, data, "")
    except _Wrong as error:
        raise ConfigurationError(f"{path}: {error}.\nGive a file as `soc bench --out` wrote it.") from None
    found.sections = sections
    return found


class _Wrong(Exception):
    """Place and fault, in words."""


def _rows(name: str, rows: Any) -> list[Any]:
    if name not in SECTIONS:
        raise _Wrong(f"unknown section {name!r}; allowed: {', '.join(SECTIONS)}")
    if not isinstance(rows, list) or not rows:
        raise _Wrong(f"{name}: a list of rows is needed, not {rows!r}")
    return [_value(SECTIONS[name].row, row, f"{name}[{number}]") for number, row in enumerate(rows)]


def _value(kind: Any, value: Any, where: str) -> Any:
    """`value` as `kind`: a dataclass, a list, a dictionary, one of several, or a plain type."""
    origin, inner = get_origin(kind), get_args(kind)
    if isinstance(kind, types.UnionType):
        plain = [one for one in inner if one in (str, int, float, types.NoneType) and _fits(one, value)]
        return value if plain else _value(next(one for one in inner if one is not types.NoneType), value, where)
    if origin is list:
        if not isinstance(value, list):
            raise _Wrong(f"{where} = {value!r}, a list is needed")
        return [_value(inner[0], one, f"{where}[{number}]") for number, one in enumerate(value)]
    if origin is dict:
        return {name: _value(inner[1], one, f"{where}.{name}") for name, one in _mapping(where, value).items()}
    if hasattr(kind, "__dataclass_fields__"):
        return _row(kind, value, where)
    if not _fits(kind, value):
        raise _Wrong(f"{where} = {value!r}, {kind.__name__} is needed")
    return value


def _row(kind: type, value: Any, where: str) -> Any:
    given, hints = _mapping(where, value), get_type_hints(kind)
    names = [one.name for one in fields(kind) if one.name != "sections"]
    for name in names:
        if name not in given:
            raise _Wrong(f"{where or 'the file'} has no {name}")
    if more := sorted(set(given) - set(names)):
        raise _Wrong(f"{where or 'the file'} has {more[0]}, which is unknown here")
    return kind(**{name: _value(hints[name], given[name], f"{where}.{name}".lstrip(".")) for name in names})


def _mapping(where: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise _Wrong(f"{where} = {value!r}, an object is needed")
    return value


def _fits(kind: type, value: Any) -> bool:
    if kind is float:
        return type(value) in (int, float)
    return type(value) is kind
