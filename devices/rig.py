"""The pytest fixture `rig`: a device on a fake bus, with lines, a clock and a recorder. No simulator is loaded.

    def test_only_enabled_bits_drive_the_pin(rig):
        ipi = rig.device("ls3a_ipi")
        ipi.set[0] = 0b1000
        assert rig.pin[0].level == 0

What ``rig.device`` returns is the device as its driver sees it: to read or assign a register is an access on the bus.
After every step the rig checks that the device kept its own declarations.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from devices import device_class
from devices.device import Device
from devices.errors import DeviceError
from devices.fake import FakeOutside
from devices.lines import LineIn
from devices.registers import Register


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
        self._rig.step(lambda: self._rig.model.line_in(self._port, level))

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
        self._driver.write(self._register.offsets()[index], self._register.width, value, space=self._register.space)

    def __iter__(self):
        return (self[index] for index in range(self._register.count))


class Driver:
    """A device as its driver sees it."""

    def __init__(self, rig: Rig) -> None:
        self.__dict__["_rig"] = rig
        self.__dict__["model"] = rig.model

    def read(self, offset: int, size: int, core: int = 0, space: str = "memory") -> int:
        return self._rig.step(lambda: self.model.read(offset, size, core, space))

    def write(self, offset: int, size: int, value: int, core: int = 0, space: str = "memory") -> None:
        self._rig.step(lambda: self.model.write(offset, size, value, core, space))

    def _register(self, name: str) -> Register:
        register = self.model.register_map().registers.get(name)
        if register is None:
            raise AttributeError(f"{self.model.name} has no register {name!r}")
        return register

    def __getattr__(self, name: str) -> Any:
        register = self._register(name)
        if register.is_array:
            return Elements(self, register)
        return self.read(register.offset, register.width, space=register.space)

    def __setattr__(self, name: str, value: int) -> None:
        register = self._register(name)
        if register.is_array:
            raise AttributeError(f"{name} is an array of registers; assign {name}[index]")
        self.write(register.offset, register.width, value, space=register.space)


class Rig:
    """One device and its bench. ``rig.<line>`` is a line of the device, ``rig.<line>[n]`` one of an array."""

    model: Device
    outside: FakeOutside

    def device(self, name: str | type[Device], /, **options: Any) -> Driver:
        """Put a device on the bench, by name, alias or class, in reset state. `options` go to its constructor."""
        cls = device_class(name) if isinstance(name, str) else name
        self.model = cls(**options)
        self.outside = FakeOutside(self.model)
        self.step(self.model.reset)
        return Driver(self)

    def __getattr__(self, name: str) -> Any:
        if name in ("model", "outside"):
            raise AttributeError("there is no device on the bench yet: call rig.device(...) first")
        line = self.model.line_declarations().get(name)
        if line is None:
            raise AttributeError(f"{self.model.name} has no line {name!r}")
        ports = [Port(self, port, isinstance(line, LineIn)) for port in line.ports]
        return ports[0] if line.count is None else ports

    def step(self, action: Callable[[], Any]) -> Any:
        """Do something to the device, then check that it kept its declarations."""
        result = action()
        self.check()
        return result

    def check(self) -> None:
        """Every register holds values of its width, and nothing else is kept under a register's name."""
        for name, register in self.model.register_map().registers.items():
            held = self.model.__dict__.get(name)
            if not register.stored:
                assert held is None, f"{name} has no storage of its own, but the device assigned {held!r} to it"
                continue
            values = held if register.is_array else [held]
            assert len(values) == register.count, f"{name} holds {len(values)} values, declared are {register.count}"
            for value in values:
                fits = isinstance(value, int) and 0 <= value <= register.bits
                assert fits, f"{name} holds {value!r}, declared are {register.width} bytes"

    @property
    def lines(self) -> set[str]:
        """Names of the outputs that are asserted now."""
        return {port for port, level in self.outside.levels.items() if level}

    @property
    def now(self) -> int:
        """Model time in picoseconds."""
        return self.outside.now

    def advance(self, delay_ps: int) -> None:
        """Let model time pass."""
        self.step(lambda: self.outside.advance(delay_ps))

    def send(self, port: str, data: bytes) -> None:
        """Bytes arrive at a byte port of the device."""
        self.step(lambda: self.model.receive(port, data))

    @property
    def outputs(self) -> dict[str, bytes]:
        """Bytes that left, per byte port."""
        return dict(self.outside.outputs)

    @property
    def stops(self) -> list[object]:
        """Power-off and reset requests so far."""
        return self.outside.stops


@pytest.fixture
def rig() -> Rig:
    """A fresh bench."""
    return Rig()
