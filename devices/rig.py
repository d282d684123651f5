"""One device on a bench: a bus, its lines and ports, a clock, memory for DMA, a recorder. No simulator is loaded.

    def test_only_enabled_bits_drive_the_pin(rig):
        ipi = rig.device("ls3a_ipi")
        ipi.set[0] = 0b1000
        assert rig.pin[0].level == 0

The pytest plugin (soc/kit) has it as the fixture `rig`. What ``rig.device`` returns is the device as its driver sees
it: to read or assign a register is an access on the bus. After every step the rig checks that the device kept its own
declarations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from devices import device_class
from devices.device import Device
from devices.errors import DeviceError
from devices.fake import FakeOutside
from devices.lines import LineIn
from devices.models import load
from devices.registers import Register, access_size
from soc.time import duration, in_ns


class Entry(NamedTuple):
    """One thing that happened: at `time` ps the bench did `text` or, `left`, it left the device."""

    time: int
    left: bool
    text: str

    def __str__(self) -> str:
        return f"{in_ns(self.time):>16} ns  {'  ' if self.left else ''}{self.text}"


class Port:
    """One line as the test bench sees it."""

    def __init__(self, rig: Rig, port: str, driven: bool) -> None:
        self._rig = rig
        self._port = port
        self._driven = driven

    @property
    def level(self) -> int:
        """Of an output: what the device drives. Of an input: set it to drive it."""
        if not self._driven:
            return self._rig.outside.levels[self._port]
        levels, index, _ = self._rig.model._inputs[self._port]
        return levels.levels >> index & 1

    @level.setter
    def level(self, level: int) -> None:
        if not self._driven:
            raise DeviceError(f"{self._port} is an output of the device; a test cannot drive it")
        self._rig.step(lambda: self._rig.model.line_in(self._port, level), f"drive {self._port} = {level}")

    @property
    def edges(self) -> list[tuple[int, int]]:
        """(time in ps, level) of every change of an output."""
        events = self._rig.outside.events
        return [(time, value) for time, kind, port, value in events if kind == "line" and port == self._port]


class Elements:
    """A register array on the bus: indexing is an access."""

    def __init__(self, driver: Driver, register: Register) -> None:
        self._driver = driver
        self._register = register

    def __getitem__(self, index: int) -> int:
        return self._driver.read(self._register.offsets()[index], self._register.width, space=self._register.space)

    def __setitem__(self, index: int, value: int) -> None:
        self._driver._put(self._register, self._register.offsets()[index], value)

    def __iter__(self) -> Iterator[int]:
        return (self[index] for index in range(self._register.count))


class Driver:
    """A device as its driver sees it."""

    def __init__(self, rig: Rig) -> None:
        self.__dict__["_rig"] = rig
        self.__dict__["model"] = rig.model

    def read(self, offset: int, size: int, core: int = 0, space: str = "memory") -> int:
        """A bus read of `size` bytes, 1, 2, 4 or 8, at `offset`. Raises DeviceError for another size."""
        rig, size = self._rig, access_size(size)
        at = len(rig.record)
        value = rig.step(lambda: rig.model.read(offset, size, core, space))
        rig.record.insert(at, Entry(rig.now, False, f"read {rig.label(offset, size, space)} = {value:#x}"))
        return value

    def write(self, offset: int, size: int, value: int, core: int = 0, space: str = "memory") -> None:
        """A bus write of the low `size` bytes of `value` at `offset`. Raises DeviceError as `read` does."""
        rig, size = self._rig, access_size(size)
        rig.step(
            lambda: rig.model.write(offset, size, value, core, space),
            f"write {rig.label(offset, size, space)} = {value & (1 << 8 * size) - 1:#x}",
        )

    def _register(self, name: str) -> Register:
        registers = self._rig.model.register_map().registers
        if name not in registers:
            raise AttributeError(f"{self._rig.model.name} has no register {name!r}; it has {', '.join(registers)}")
        return registers[name]

    def __getattr__(self, name: str) -> Any:
        register = self._register(name)
        if register.is_array:
            return Elements(self, register)
        return self.read(register.offset, register.width, space=register.space)

    def __setattr__(self, name: str, value: int) -> None:
        register = self._register(name)
        if register.is_array:
            raise AttributeError(f"{name} is an array of registers; assign {name}[index]")
        self._put(register, register.offset, value)

    def _put(self, register: Register, offset: int, value: int) -> None:
        if type(value) is not int or not 0 <= value <= register.bits:
            raise DeviceError(f"{register.name} = {value!r}; the register holds 0 to {register.bits:#x}")
        self.write(offset, register.width, value, space=register.space)


class _Outside(FakeOutside):
    """Notes what leaves the device in the rig's record."""

    def __init__(self, device: Device, record: list[Entry]) -> None:
        self._record = record
        super().__init__(device)

    def left(self, kind: str, port: str, value: object) -> None:
        super().left(kind, port, value)
        what = port if kind == "line" else f"{kind} {port}".rstrip()
        told = repr(value) if isinstance(value, bytes) else str(value)
        self._record.append(Entry(self.now, True, f"{what} = {told}"))


class Rig:
    """One device and its bench. ``rig.<line>`` is a line of the device, ``rig.<line>[n]`` one of an array.

    `folder` is where the file of a model `file.py:Class` is looked for.
    """

    model: Device
    outside: FakeOutside
    record: list[Entry]
    """Everything that was done to the device and everything that left it, in order."""

    def __init__(self, folder: str | Path = "") -> None:
        self.folder = folder

    def device(self, model: str | type[Device], /, **options: Any) -> Driver:
        """Put a device on the bench, in reset state; `options` go to its constructor.

        `model` is a class, a name or alias of devices/__init__.py, `module:Class` or `path/to/file.py:Class`. Raises
        UnknownDevice.
        """
        if isinstance(model, str):
            model = load(model, self.folder) if ":" in model else device_class(model)
        self._options = options
        self.model = model(**options)
        registers = self.model.register_map().registers.values()
        self._declared = [(r, r.stored, r.is_array, r.count, r.bits) for r in registers]
        self.record = []
        self.outside = _Outside(self.model, self.record)
        self.reset()
        return Driver(self)

    def __getattr__(self, name: str) -> Any:
        if name in ("model", "outside", "record"):
            raise AttributeError("there is no device on the bench yet: call rig.device(...) first")
        lines = self.model.line_declarations()
        if name not in lines:
            raise AttributeError(f"{self.model.name} has no line {name!r}; it has {', '.join(lines) or 'none'}")
        line = lines[name]
        ports = [Port(self, port, isinstance(line, LineIn)) for port in line.ports]
        return ports[0] if line.count is None else ports

    def step(self, action: Callable[[], Any], what: str = "") -> Any:
        """Do something to the device, let its DMA come to rest, then check that it kept its declarations.

        `what` is what the record says of it.
        """
        if what:
            self.record.append(Entry(self.now, False, what))
        result = action()
        self.outside.rest()
        self.check()
        return result

    def check(self) -> None:
        """Every register holds values of its width, and nothing else is kept under a register's name."""
        state = self.model.__dict__
        for register, stored, array, count, bits in self._declared:
            held = state.get(register.name)
            if not stored:
                assert held is None, (
                    f"{register.name} has no storage of its own, but the device assigned {held!r} to it"
                )
                continue
            values = held if array else (held,)
            assert len(values) == count, f"{register.name} holds {len(values)} values, declared are {count}"
            for value in values:
                if not isinstance(value, int) or not 0 <= value <= bits:
                    raise AssertionError(f"{register.name} holds {value!r}, declared are {register.width} bytes")

    def label(self, offset: int, size: int, space: str = "memory") -> str:
        """What an access reaches, for people; with its size where that is not a register's own."""
        banks = {None, self.model._bank}
        inside = [
            cell
            for bank in banks
            for cell in self.model.register_map().cells(space, bank)
            if cell.offset == offset and cell.register.width == size
        ]
        name = self.model.register_map().label(offset, size, space, self.model._bank)
        where = "" if space == "memory" else f"{space} "
        return where + (name if inside else f"{name} ({size} bytes at {offset:#x})")

    def reset(self) -> None:
        """Reset the device."""
        self.step(self.model.reset, "reset")

    def revive(self) -> Driver:
        """Go on with a new device in the saved state of this one, as after a restart of its process."""
        old, saved = self.outside, self.model.save()
        self.model = type(self.model)(**self._options)
        self.outside = _Outside(self.model, self.record)
        for name in ("now", "levels", "events", "outputs", "ram", "waiting", "doorbells"):
            setattr(self.outside, name, getattr(old, name))
        self.model.restore(saved)
        assert self.model.save() == saved, "a restored device saves another state than the one it was given"
        return Driver(self)

    @property
    def lines(self) -> set[str]:
        """Names of the outputs that are asserted now."""
        return {port for port, level in self.outside.levels.items() if level}

    @property
    def now(self) -> int:
        """Model time in picoseconds."""
        return self.outside.now

    def advance(self, delay: int | str) -> None:
        """Let model time pass: picoseconds, or text such as "50 us"."""
        self.step(lambda: self.outside.advance(duration(delay)))

    def send(self, port: str, data: bytes) -> None:
        """Bytes arrive at a byte port of the device."""
        self.step(lambda: self.model.receive(port, data), f"receive {port} = {data!r}")

    def vector(self, port: str, vector: int) -> None:
        """An interrupt message arrives at a vector input."""
        self.step(lambda: self.model.vector_in(port, vector), f"vector {port} = {vector}")

    def event(self, port: str, descriptor: int, count: int = 1) -> None:
        """An event descriptor is signalled at an event input."""
        self.step(lambda: self.model.event_in(port, descriptor, count), f"event {port} = ({descriptor}, {count})")

    def sent(self, port: str) -> list[object]:
        """What has left at a port that is no line, in order: vectors, (descriptor, count) of events, bytes."""
        return [value for _, kind, name, value in self.outside.events if name == port and kind != "line"]

    @property
    def outputs(self) -> dict[str, bytes]:
        """Bytes that left, per byte port."""
        return dict(self.outside.outputs)

    @property
    def stops(self) -> list[object]:
        """Power-off and reset requests so far."""
        return self.outside.stops
