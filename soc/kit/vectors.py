"""Register vectors: what a device must do, as data. A file `gpio.vectors.toml` is a test file of its own.

    device = "gpio.py:Gpio"           # as rig.device takes it; a file's path is taken from the vectors' folder
    options = { pins = 8 }            # for its constructor

    [[vector]]
    name = "a rising edge is latched"
    source = "manual, section 4.2"    # told when the vector fails
    steps = [
        { write = { enable = 1 } },
        { drive = { "pin[0]" = 1 }, lines = { irq = 1 } },
        { read = { status = 1 } },
    ]

A step is a table; its keys are done in the order in which they are written (KEYS lists them). The device is fresh for
each vector; with `after = "name"` the steps of another vector come first.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from devices.registers import SIZES, Register
from devices.rig import Driver, Rig
from soc.errors import SocError, choose
from soc.messages import Space
from soc.time import in_ns

KEYS = {
    "write": "registers to values, over the bus; a field is read, changed and written back",
    "read": "registers, elements or fields to the values a bus read must give",
    "drive": "input lines to levels",
    "lines": "output lines to the levels they must have",
    "asserted": "exactly these output lines must be high",
    "wait": "model time to let pass, as in '50 us'",
    "vector": "vector inputs to the vector that arrives",
    "event": "event inputs to [descriptor, count]",
    "receive": "byte inputs to the text that arrives",
    "sent": "vector and event outputs to the list of all that left there since the last `sent`",
    "output": "byte outputs to the text that left there since the last `output`",
    "stops": "all requests to stop the machine so far, as in ['reset']",
    "reset": "true: reset the device",
}
"""What a step can say."""
MODIFIERS = {"core": "the core that accesses (0)", "space": "the address space of offsets ('memory')", "note": "a word"}


def _is_number(value: Any) -> bool:
    return type(value) is int and value >= 0


def _is_event(value: Any) -> bool:
    return type(value) is list and len(value) == 2 and all(map(_is_number, value))


_NUMBER = (_is_number, "a number")
_LEVEL = (lambda value: type(value) is int and value in (0, 1), "0 or 1")
_TEXT = (lambda value: type(value) is str, "text")
_LIST = (lambda value: type(value) is list, "a list")
_SPACES = tuple(space.label for space in Space)
_ENTRIES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "write": _NUMBER,
    "read": _NUMBER,
    "drive": _LEVEL,
    "lines": _LEVEL,
    "vector": _NUMBER,
    "event": (_is_event, "[descriptor, count]"),
    "receive": _TEXT,
    "sent": _LIST,
    "output": _TEXT,
}
"""What the table of a key has for each name."""
_VALUES: dict[str, tuple[Callable[[Any], bool], str]] = {
    **dict.fromkeys(_ENTRIES, (lambda value: isinstance(value, dict), "a table")),
    "asserted": _LIST,
    "stops": _LIST,
    "core": _NUMBER,
    "space": (_SPACES.__contains__, f"one of {', '.join(_SPACES)}"),
}
"""What a key has."""
_FILE = {"device": str, "options": dict, "source": str, "vector": list}
_VECTOR = {"name": str, "after": str, "source": str, "options": dict, "steps": list}
_PLACE = re.compile(r"(?P<name>[A-Za-z_]\w*)(?:\[(?P<index>\d+)\])?(?:\.(?P<field>\w+))?")
_OFFSET = re.compile(r"(0x[0-9a-fA-F]+|\d+)/([1248])")
_TOLD = 12


class VectorError(SocError):
    """A file of vectors that cannot be understood. The message has the file, the vector and the step."""


class VectorFailure(AssertionError):
    """A device that does something else. The message has the vector, its source, the step, and what came before."""


@dataclass(frozen=True)
class Vector:
    """One test of a device: its steps, and where what they say comes from."""

    name: str
    device: str
    options: Mapping[str, Any]
    steps: list[dict[str, Any]]
    source: str = ""
    file: Path = field(default_factory=Path)

    def run(self) -> None:
        """Do all steps on a device of its own. VectorFailure at the first that gives something else."""
        _Run(self).all()


def read_vectors(path: str | Path) -> list[Vector]:
    """The vectors of a file, each with the steps of those it comes after. Raises VectorError."""
    path = Path(path)
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise VectorError(f"cannot read {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise VectorError(f"{path} is not TOML: {error}") from error
    _check(table, _FILE, str(path), ("device", "vector"))
    found: dict[str, Vector] = {}
    for number, row in enumerate(table["vector"], start=1):
        where = f"{path}, vector {number}"
        _check(row, _VECTOR, where, ("name", "steps"))
        name = row["name"]
        if name in found:
            raise VectorError(f"{where}: the name {name!r} is taken: give each vector one of its own")
        for place, step in enumerate(row["steps"], start=1):
            _check_step(step, f"{where} ({name}), step {place}")
        options, steps = row.get("options", table.get("options", {})), row["steps"]
        if "after" in row:
            if row["after"] not in found:
                raise VectorError(f"{where} ({name}): {choose('earlier vector', row['after'], found)}")
            options, steps = (
                {**found[row["after"]].options, **row.get("options", {})},
                found[row["after"]].steps + steps,
            )
        found[name] = Vector(name, table["device"], options, steps, row.get("source", table.get("source", "")), path)
    return list(found.values())


def run_vectors(path: str | Path) -> None:
    """Run every vector of a file, outside pytest or in a test of one's own. VectorError, VectorFailure."""
    for vector in read_vectors(path):
        vector.run()


def _check(table: Any, known: Mapping[str, Any], where: str, needed: tuple[str, ...]) -> None:
    if not isinstance(table, dict):
        raise VectorError(f"{where}: {table!r}; a table is needed")
    for name, value in table.items():
        if name not in known:
            raise VectorError(f"{where}: {choose('key', name, known)}")
        if isinstance(known[name], type) and not isinstance(value, known[name]):
            raise VectorError(f"{where}: {name} = {value!r}; a {known[name].__name__} is needed")
    for name in needed:
        if name not in table:
            raise VectorError(f"{where}: {name} is missing")


def _check_step(step: Any, where: str) -> None:
    _check(step, {**KEYS, **MODIFIERS}, where, ())
    for key, value in step.items():
        _need(_VALUES.get(key), value, f"{where}: {key}")
        for name, entry in value.items() if key in _ENTRIES else ():
            _need(_ENTRIES[key], entry, f"{where}: {key} {name}")


def _need(rule: tuple[Callable[[Any], bool], str] | None, value: Any, what: str) -> None:
    if rule is not None and not rule[0](value):
        raise VectorError(f"{what} = {value!r}; {rule[1]} is needed")


class _Mismatch(Exception):
    """What a step found, in lines for people."""


@dataclass(frozen=True)
class _Place:
    """What a name in a step means: an access, and the field in it."""

    offset: int
    size: int
    register: Register | None = None
    low: int = 0
    width: int = 0

    def of(self, value: int) -> int:
        return value >> self.low & (1 << self.width) - 1 if self.width else value


class _Run:
    def __init__(self, vector: Vector) -> None:
        self.vector = vector
        self.rig = Rig(vector.file.parent)
        try:
            self.driver: Driver = self.rig.device(vector.device, **vector.options)
        except TypeError as error:
            raise VectorError(f"{vector.file}: options {dict(vector.options)} of {vector.device}: {error}") from error
        self._seen: dict[tuple[str, str], int] = {}

    def all(self) -> None:
        __tracebackhide__ = True
        vector = self.vector
        for number, step in enumerate(vector.steps, start=1):
            access = {name: step[name] for name in ("core", "space") if name in step}
            for key, value in step.items():
                if key in MODIFIERS:
                    continue
                what = f"step {number} of {len(vector.steps)}, {key} = {_toml(value)}"
                try:
                    getattr(self, f"_{key}")(value, **(access if key in ("read", "write") else {}))
                except _Mismatch as found:
                    raise VectorFailure(self._told(what, str(found))) from None
                except AssertionError as found:
                    raise VectorFailure(self._told(what, f"the device broke its declarations: {found}")) from None
                except VectorError:
                    raise
                except SocError as error:
                    raise VectorError(f"{vector.file} ({vector.name}), {what}: {error}") from error

    def _told(self, what: str, found: str) -> str:
        vector, record = self.vector, self.rig.record
        before = [f"  {entry}" for entry in record[-_TOLD:]]
        cut = [f"  ... {len(record) - _TOLD} earlier ones"] if len(record) > _TOLD else []
        source = [f"source: {vector.source}"] if vector.source else []
        head = f"{vector.file.name}: {vector.name}"
        return "\n".join(
            [head, f"{what}, at {in_ns(self.rig.now)} ns:", found, *source, "what was done:", *cut, *before]
        )

    # Keys.

    def _write(self, values: dict[str, int], core: int = 0, space: str | None = None) -> None:
        for name, value in values.items():
            place, where = self._place(name, space)
            self._fits(name, place, value)
            if place.width:
                mask = (1 << place.width) - 1 << place.low
                value = self.driver.read(place.offset, place.size, core, where) & ~mask | value << place.low
            self.driver.write(place.offset, place.size, value, core, where)

    def _read(self, values: dict[str, int], core: int = 0, space: str | None = None) -> None:
        for name, expected in values.items():
            place, where = self._place(name, space)
            self._fits(name, place, expected)
            value = self.driver.read(place.offset, place.size, core, where)
            if place.of(value) != expected:
                raise _Mismatch(_difference(name, place, expected, value))

    def _drive(self, values: dict[str, int]) -> None:
        for port, level in values.items():
            self.rig.step(lambda port=port, level=level: self.rig.model.line_in(port, level), f"drive {port} = {level}")

    def _lines(self, values: dict[str, int]) -> None:
        levels = self.rig.outside.levels
        for port, expected in values.items():
            if port not in levels:
                raise VectorError(self._wrong(choose("output line", port, levels)))
            if levels[port] != expected:
                raise _Mismatch(f"  line {port}: expected {expected}, got {levels[port]}")

    def _asserted(self, ports: list[str]) -> None:
        unknown = [port for port in ports if port not in self.rig.outside.levels]
        if unknown:
            raise VectorError(self._wrong(choose("output line", unknown[0], self.rig.outside.levels)))
        if self.rig.lines != set(ports):
            raise _Mismatch(f"  lines that are high: expected {sorted(ports)}, got {sorted(self.rig.lines)}")

    def _wait(self, delay: str) -> None:
        self.rig.advance(delay)

    def _vector(self, values: dict[str, int]) -> None:
        for port, vector in values.items():
            self.rig.vector(port, vector)

    def _event(self, values: dict[str, list[int]]) -> None:
        for port, (descriptor, count) in values.items():
            self.rig.event(port, descriptor, count)

    def _receive(self, values: dict[str, str]) -> None:
        for port, text in values.items():
            self.rig.send(port, text.encode())

    def _sent(self, values: dict[str, list[Any]]) -> None:
        for port, expected in values.items():
            found = [list(value) if isinstance(value, tuple) else value for value in self._new("sent", port)]
            if found != expected:
                raise _Mismatch(f"  sent at {port}: expected {_toml(expected)}, got {_toml(found)}")

    def _output(self, values: dict[str, str]) -> None:
        for port, expected in values.items():
            found = b"".join(self._new("output", port))
            if found != expected.encode():
                raise _Mismatch(f"  bytes out of {port}: expected {expected.encode()!r}, got {found!r}")

    def _stops(self, reasons: list[str]) -> None:
        if self.rig.stops != reasons:
            raise _Mismatch(f"  requests to stop: expected {reasons}, got {self.rig.stops}")

    def _reset(self, wanted: bool) -> None:
        if wanted is not True:
            raise VectorError(self._wrong(f"reset = {wanted!r}; only true means something"))
        self.rig.reset()

    def _new(self, kind: str, port: str) -> list[Any]:
        ports = self.rig.model.output_ports() if kind == "sent" else [port]
        if port not in ports:
            raise VectorError(self._wrong(choose("output", port, ports)))
        found = self.rig.sent(port)
        first = self._seen.get((kind, port), 0)
        self._seen[kind, port] = len(found)
        return found[first:]

    # Names.

    def _fits(self, name: str, place: _Place, value: int) -> None:
        bits = place.width or 8 * place.size
        if value >> bits:
            raise VectorError(self._wrong(f"{name} = {value:#x}; it has {bits} bits"))

    def _place(self, name: str, space: str | None) -> tuple[_Place, str]:
        if raw := _OFFSET.fullmatch(name):
            return _Place(int(raw[1], 0), int(raw[2])), space or "memory"
        registers = self.rig.model.register_map().registers
        match = _PLACE.fullmatch(name)
        if match is None or match["name"] not in registers:
            sizes = "/".join(map(str, SIZES))
            raise VectorError(self._wrong(choose("register", name, registers) + f", or offset/size with size {sizes}"))
        register = registers[match["name"]]
        index = int(match["index"] or 0)
        if (match["index"] is None) == register.is_array or index >= register.count:
            say = f"write {register.name}[0] to [{register.count - 1}]" if register.is_array else "it is no array"
            raise VectorError(self._wrong(f"register {name!r}: {say}"))
        low, width = 0, 0
        if match["field"]:
            if match["field"] not in register.fields:
                raise VectorError(self._wrong(choose(f"field of {register.name}", match["field"], register.fields)))
            low, width = register.field_bits()[match["field"]]
        return _Place(register.offsets()[index], register.width, register, low, width), space or register.space

    def _wrong(self, text: str) -> str:
        return f"{self.vector.file} ({self.vector.name}): {text}"


def _difference(name: str, place: _Place, expected: int, value: int) -> str:
    if place.width:
        return f"  {name}: expected {expected:#x}, got {place.of(value):#x} (the register holds {value:#x})"
    digits = 2 + 2 * place.size
    lines = [f"  {name}: expected {expected:#0{digits}x}, got {value:#0{digits}x}"]
    fields = place.register.field_bits() if place.register is not None else {}
    known = 0
    for field_name, (low, width) in fields.items():
        mask = (1 << width) - 1
        known |= mask << low
        wanted, got = expected >> low & mask, value >> low & mask
        if wanted != got:
            lines.append(f"    field {field_name}: expected {wanted:#x}, got {got:#x}")
    other = (expected ^ value) & ~known
    if fields and other:
        lines.append(f"    bits of no field differ: {other:#x}")
    return "\n".join(lines)


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_key(name)} = {_toml(item)}" for name, item in value.items()) + " }"
    if isinstance(value, list):
        return f"[{', '.join(_toml(item) for item in value)}]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    return f"{value:#x}" if isinstance(value, int) and value > 9 else str(value)


def _key(name: str) -> str:
    return name if re.fullmatch(r"[\w-]+", name) else f'"{name}"'
