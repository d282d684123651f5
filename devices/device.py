"""What a device is: registers, lines, timers and byte ports declared in a class, behaviour in a few handlers.

A subclass declares Register, RegisterArray, Internal, LineIn(s) and LineOut(s) as class attributes and may define

on_write_<register>([index,] value, old)  after a bus write. For rw and wo registers `value` is the register's new value
                                          and `old` its former one; for w1c and w1s the ones written, the former target
on_read_<register>([index]) -> int        gives the value of a bus read, with its side effects
on_line_<input>(index, level)             an input line changed
on_timer_<token>()                        the timer started by ``self.after(delay, token)`` expired; for "expiry[2]"
                                          this is on_timer_expiry(2)
on_vector_<input>(vector)                 an interrupt vector arrived
on_event_<input>(descriptor, count)       an event descriptor was signalled from outside the machine
on_receive_<port>(data)                   bytes arrived at a byte port
on_reset()                                last step of a reset
settle()                                  derives outputs from state; runs after each of the above and every write

The order within a step is that of hardware: side effects of the access, derived state, output lines.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from devices.errors import DeviceError, UndecodedAccess
from devices.lines import Input, Line, LineIn, LineOut, Output
from devices.ports import SENDERS, EventIn, Port, VectorIn, check_event, sender
from devices.registers import Decoder, RegisterMap
from soc.ports import is_level

if TYPE_CHECKING:
    from soc.ports import Outside

log = logging.getLogger(__name__)

CSR_SPACE = 0x2000
"""Configuration registers have numbers below this."""


class _Unattached:
    """Stands where the outside will be."""

    def __getattr__(self, name: str) -> Any:
        raise DeviceError(f"the device used outside.{name} before it was attached: call device.attach(outside) first")


class Device:
    """Base of all device models.

    name    appears in messages
    strict  an access that is not decoded raises UndecodedAccess
    """

    size: ClassVar[int] = 0
    """Bytes of address space the device takes; 0: as far as its registers reach."""

    host_side: ClassVar[bool] = False
    """True for one that the host's program calls: it stays in that program's process."""

    outside: Outside
    core: int
    """Number of the core whose access is being handled."""
    undecoded: Counter[tuple[str, str, int, int]]
    """How often each undecoded (kind, space, offset, size) was met. Not part of the state."""

    def __init__(self, *, name: str = "", strict: bool = False) -> None:
        cls = type(self)
        self.name = name or cls.__name__
        self.strict = strict
        self.outside = _Unattached()
        self.core = 0
        self.undecoded = Counter()
        self._map = cls.register_map()
        self._timers: dict[str, int] = {}
        self._inputs: dict[str, tuple[Input, int, Any]] = {}
        self._lines = cls.line_declarations()
        self._vectors = cls.declarations(VectorIn)
        self._events = cls.declarations(EventIn)
        for line in self._lines.values():
            if isinstance(line, LineIn):
                levels = Input(line.initial)
                handler = getattr(self, "on_line_" + line.name, None)
                for index, port in enumerate(line.ports):
                    self._inputs[port] = (levels, index, handler)
            else:
                levels = Output(self, line)
            self.__dict__[line.name] = levels
        for declared in cls.declarations(tuple(SENDERS)).values():
            self.__dict__[declared.name] = sender(self, declared)
        self._clear(cold=True)

    @classmethod
    def register_map(cls) -> RegisterMap:
        """The decoded declaration, one per class. Raises RegisterError when the declaration is wrong."""
        found = cls.__dict__.get("_register_map")
        if found is None:
            found = cls._register_map = RegisterMap(cls)
            if not cls.size:
                ends = [c.offset + c.register.width for bank in found.banks for c in found.cells(bank=bank)]
                cls.size = max(ends, default=0)
        return found

    @classmethod
    def declarations(cls, kind: type[Port] | tuple[type[Port], ...]) -> dict[str, Any]:
        """Declared ports of a kind, by attribute name."""
        return {n: v for base in reversed(cls.__mro__) for n, v in vars(base).items() if isinstance(v, kind)}

    @classmethod
    def line_declarations(cls) -> dict[str, Line]:
        """Declared lines by attribute name."""
        return cls.declarations(Line)

    @classmethod
    def port_names(cls, *kinds: type[Port]) -> list[str]:
        """Names of the ports of these kinds, an element of an array each, in the order of declaration."""
        return [port for made in cls.declarations(kinds).values() for port in made.ports]

    @classmethod
    def input_lines(cls) -> list[str]:
        """Names `line_in` accepts."""
        return cls.port_names(LineIn)

    @classmethod
    def output_lines(cls) -> list[str]:
        """Names the device uses with `outside.line`."""
        return cls.port_names(LineOut)

    @classmethod
    def input_ports(cls) -> list[str]:
        """Names a wire can end at: lines, vectors, events."""
        return cls.port_names(LineIn, VectorIn, EventIn)

    @classmethod
    def output_ports(cls) -> list[str]:
        """Names a wire can start from: lines, vectors, events, writes to configuration registers."""
        return cls.port_names(LineOut, *SENDERS)

    @staticmethod
    def csr_view(offset: int, core: int) -> int | None:
        """Where `core` meets this device's own registers through configuration register `offset`, None: nowhere."""
        return None

    def latched(self) -> int | None:
        """The interrupts it holds, a bit each: what has arrived and is not served, masked or not. None: it is no
        interrupt controller."""
        return None

    def behind(self, port: str) -> int:
        """Those of `latched` that output `port` stands for now."""
        return 0

    @classmethod
    def ranges(cls, space: str = "memory", core: int = 0) -> list[tuple[int, int]]:
        """(offset, length) of all that is decoded in `space` as `core` sees it, neighbours joined, lowest first."""
        found = cls.register_map()
        taken = {
            c.offset + byte for b in found.banks for c in found.cells(space, b) for byte in range(c.register.width)
        }
        if space == "csr":
            own = {
                c.offset + byte for b in found.banks for c in found.cells(bank=b) for byte in range(c.register.width)
            }
            taken |= {offset for offset in range(CSR_SPACE) if cls.csr_view(offset, core) in own}
        joined: list[tuple[int, int]] = []
        for offset in sorted(taken):
            if joined and sum(joined[-1]) == offset:
                joined[-1] = (joined[-1][0], joined[-1][1] + 1)
            else:
                joined.append((offset, 1))
        return joined

    def attach(self, outside: Outside) -> None:
        """Connect the device. Nothing may be accessed before this."""
        self.outside = outside

    def reset(self) -> None:
        """Cold reset: declared values, no timer. Input lines stay as they are driven; outputs follow."""
        for token in list(self._timers):
            self.cancel(token)
        self._clear(cold=False)
        self.on_reset()
        self.settle()

    def _clear(self, cold: bool) -> None:
        state = self.__dict__
        for name, register in self._map.registers.items():
            if register.stored:
                state[name] = register.initial()
        for name, internal in self._map.internals.items():
            if cold or not internal.kept:
                state[name] = internal.fresh()
        self.select_bank(None)

    def on_reset(self) -> None:
        """For devices whose reset does more than the declaration says."""

    def settle(self) -> None:
        """Derive outputs from state. Must not depend on how often it runs."""

    def select_bank(self, bank: str | None) -> None:
        """Choose which of the registers that share an offset answer from now on."""
        if bank not in self._map.banks:
            raise DeviceError(f"{self.name}: no register bank {bank!r}; there are {self._map.banks}")
        self._bank = bank
        decoder = self._map.decoders["memory", bank]
        self._reads, self._writes = decoder.reads, decoder.writes

    def read(self, offset: int, size: int, core: int = 0, space: str = "memory") -> int:
        """A bus read of `size` bytes (1, 2, 4, 8) at byte `offset` by `core`. Not decoded: 0."""
        found = (self._reads.get if space == "memory" else self._elsewhere(space, core, "reads"))((offset, size))
        if found is None:
            self._undecoded("read", space, offset, size)
            return 0
        self.core = core
        get, settling = found
        value = get(self)
        if settling:
            self.settle()
        return value

    def write(self, offset: int, size: int, value: int, core: int = 0, space: str = "memory") -> None:
        """A bus write of the low `size` bytes of `value`. Not decoded: dropped."""
        put = (self._writes.get if space == "memory" else self._elsewhere(space, core, "writes"))((offset, size))
        if put is None:
            self._undecoded("write", space, offset, size)
            return
        self.core = core
        put(self, value)
        self.settle()

    def _elsewhere(self, space: str, core: int, kind: str) -> Callable[[tuple[int, int]], Any]:
        """Looks up an access of another space: registers declared there, then the view of the device's own."""
        declared = getattr(self._map.decoders.get((space, self._bank)) or Decoder(), kind)
        own = getattr(self._map.decoders["memory", self._bank], kind)

        def find(place: tuple[int, int]) -> Any:
            found = declared.get(place)
            if found is None and space == "csr":
                found = own.get((self.csr_view(place[0], core), place[1]))
            return found

        return find

    def _undecoded(self, kind: str, space: str, offset: int, size: int) -> None:
        key = (kind, space, offset, size)
        self.undecoded[key] += 1
        text = f"{self.name}: {kind} of {size} bytes at {space} offset {offset:#x} is not decoded"
        if self.strict:
            raise UndecodedAccess(f"{text}; it has registers within {self.size:#x} bytes, see their accepted sizes")
        # One line per kind: kernels scan whole regions for tables of the firmware.
        if sum(count for (other, *_), count in self.undecoded.items() if other == kind) == 1:
            log.warning("%s: %s; further ones are only counted", text, "reads 0" if kind == "read" else "dropped")

    def line_in(self, port: str, level: int) -> None:
        """Input line `port` is now at `level` (0 or 1). Raises DeviceError for a port or level there is not."""
        try:
            levels, index, handler = self._inputs[port]
        except KeyError:
            raise DeviceError(
                f"{self.name} has no input line {port!r}; it has {', '.join(self._inputs) or 'none'}"
            ) from None
        if not is_level(level):
            raise DeviceError(f"{self.name}.{port} at level {level!r}; allowed: 0, 1")
        if levels.drive(index, level):
            if handler:
                handler(index, level)
            self.settle()

    def vector_in(self, port: str, vector: int) -> None:
        """Interrupt `vector` arrived at vector input `port`. Raises DeviceError for a port or vector there is not."""
        declared = self._vectors.get(port)
        if declared is None:
            raise DeviceError(f"{self.name} has no vector input {port!r}; it has {', '.join(self._vectors) or 'none'}")
        if type(vector) is not int or not 0 <= vector < declared.vectors:
            raise DeviceError(f"{self.name}.{port}: vector {vector!r}; allowed are 0 to {declared.vectors - 1}")
        getattr(self, "on_vector_" + port)(vector)
        self.settle()

    def event_in(self, port: str, descriptor: int, count: int) -> None:
        """Event `descriptor` was signalled `count` times at event input `port`. Raises DeviceError for a port or an
        event there is not."""
        if port not in self._events:
            raise DeviceError(f"{self.name} has no event input {port!r}; it has {', '.join(self._events) or 'none'}")
        check_event(f"{self.name}.{port}", descriptor, count)
        getattr(self, "on_event_" + port)(descriptor, count)
        self.settle()

    def mailbox_in(self, port: str, mailbox: int, value: int) -> None:
        """Mail arrived at `port`. Only cores have mailboxes: DeviceError."""
        raise DeviceError(f"{self.name}.{port}: mail for mailbox {mailbox}; a device takes none")

    def receive(self, port: str, data: bytes) -> None:
        """Bytes arrived at byte port `port`. Raises DeviceError for a port the device does not have."""
        handler = getattr(self, "on_receive_" + port, None)
        if handler is None:
            ports = [name.removeprefix("on_receive_") for name in dir(self) if name.startswith("on_receive_")]
            raise DeviceError(f"{self.name} has no byte input {port!r}; it has {', '.join(ports) or 'none'}")
        handler(data)
        self.settle()

    def after(self, delay_ps: int, token: str) -> None:
        """(Re)start timer `token`: ``on_timer_<token>`` runs `delay_ps` (at least 1) picoseconds from now."""
        if not isinstance(delay_ps, int) or delay_ps < 1:
            raise DeviceError(
                f"{self.name}: timer {token!r} with delay {delay_ps!r} ps; a delay is a whole number of ps, 1 or more"
            )
        self._timers[token] = self.outside.now + delay_ps
        self.outside.after(delay_ps, token)

    def cancel(self, token: str) -> None:
        """Stop timer `token`; nothing happens if it is not running."""
        if self._timers.pop(token, None) is not None:
            self.outside.cancel(token)

    def running(self, token: str) -> bool:
        """True while timer `token` is due."""
        return token in self._timers

    def on_timer(self, token: str) -> None:
        """The outside reports that timer `token` expired."""
        if self._timers.pop(token, None) is None:
            raise DeviceError(f"{self.name}: timer {token!r} expired but is not running; running: {list(self._timers)}")
        handler, _, index = token.partition("[")
        getattr(self, "on_timer_" + handler)(*([int(index[:-1])] if index else []))
        self.settle()

    def save(self) -> dict[str, Any]:
        """Everything the future depends on, as msgpack types. Timer deadlines are picoseconds since reset."""
        return {
            "registers": {n: self._value(n) for n, r in self._map.registers.items() if r.stored},
            "internals": {n: self._value(n) for n in self._map.internals},
            "bank": self._bank,
            "lines": {n: self.__dict__[n].levels for n in self._lines},
            "timers": dict(self._timers),
        }

    def _value(self, name: str) -> Any:
        value = self.__dict__[name]
        return list(value) if isinstance(value, list) else value

    def restore(self, saved: dict[str, Any]) -> None:
        """Go back to a saved state, timers included. Raises DeviceError when `saved` is not from such a device."""
        current = self.save()
        if saved.keys() != current.keys():
            raise DeviceError(f"{self.name}: a snapshot has the parts {sorted(current)}, this one {sorted(saved)}")
        for part in ("registers", "internals", "lines"):
            if saved[part].keys() != current[part].keys():
                wrong = sorted(saved[part].keys() ^ current[part].keys())
                raise DeviceError(f"{self.name}: the snapshot's {part} differ from this device's: {', '.join(wrong)}")
        for name, value in saved["registers"].items():
            register = self._map.registers[name]
            elements = list(value) if register.is_array else [value]
            if len(elements) != register.count or any(not 0 <= e <= register.bits for e in elements):
                fit = f"{register.count} of {register.width} bytes"
                raise DeviceError(f"{self.name}: the snapshot's {name} is {value}; the register holds {fit}")
        for token in list(self._timers):
            self.cancel(token)
        for name, value in (*saved["registers"].items(), *saved["internals"].items()):
            self.__dict__[name] = list(value) if isinstance(value, list | tuple) else value
        for name, levels in saved["lines"].items():
            self.__dict__[name].load(levels)
        self.select_bank(saved["bank"])
        for token, deadline in saved["timers"].items():
            self.after(max(1, deadline - self.outside.now), token)

    @property
    def state(self) -> dict[str, Any]:
        """Registers, internal state and line levels by name, for people."""
        saved = self.save()
        return {**saved["registers"], **saved["internals"], **saved["lines"]}
