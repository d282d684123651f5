"""The wire: every message type, its fields with width and unit, its version, and how it is packed.

A message is a tuple `(version, kind, time, source, destination, sequence, cause, *own fields)`, packed with msgpack as
an array. The same bytes cross an in-process link, are hashed into the trace, and cross a socket.

The common fields:

| field       | width | unit |
|-------------|-------|------|
| time        | 64    | ps since reset, when the message takes effect at its destination |
| source      | 32    | number of the sending port in the machine's wiring |
| destination | 32    | number of the receiving port |
| sequence    | 64    | counter of the sending component, from 1 |
| cause       | 64    | cause id: component number << 40 plus that component's counter; 0 is "no cause" |
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from operator import itemgetter
from typing import Annotated, Any, ClassVar, NamedTuple, get_type_hints

import msgpack

from soc.errors import MessageError, VersionError

VERSION = 1
MAX_BYTES = 1 << 26
"""The longest message accepted from outside; only snapshots come near it."""
MOST_TOLD = 300
"""Characters of an error about foreign bytes."""


class Phase(IntEnum):
    """Order of events at one time (design law 2). Messages use LINE to TIMER; GRID and SETUP belong to the kernel."""

    GRID = -1
    SETUP = 0
    LINE = 1
    REQUEST = 2
    REPLY = 3
    TIMER = 4


class Space(IntEnum):
    """Address space of an MMIO access.

    System memory addresses, Loongson configuration registers (IOCSR), and a PCI function's configuration space and BARs
    (the address is the offset in the space).
    """

    MEMORY = 0
    CSR = 1
    CONFIG = 2
    BAR0 = 3
    BAR1 = 4
    BAR2 = 5
    BAR3 = 6
    BAR4 = 7
    BAR5 = 8

    @property
    def label(self) -> str:
        """The name a device sees: "memory", "csr", "config", "bar0" to "bar5"."""
        return self.name.lower()


class Role(IntEnum):
    """What arrives at a port of a peer.

    Accesses to registers; signals and bytes; replies to accesses passed on; replies from memory; the peer's own ticks.
    """

    REGISTERS = 0
    INPUT = 1
    ANSWERS = 2
    DMA = 3
    TIMER = 4


class Unsigned(NamedTuple):
    """An unsigned integer field: how wide, in what unit, and (where not every value is allowed) which values."""

    bits: int
    unit: str
    allowed: tuple[int, ...] | None = None

    def problem(self, value: Any) -> str | None:
        if type(value) is not int:
            return f"is {type(value).__name__}, an integer is needed"
        if not 0 <= value < 1 << self.bits:
            return f"is {value}, allowed: 0 to 2^{self.bits} - 1 ({self.unit})"
        if self.allowed is not None and value not in self.allowed:
            return f"is {value}, allowed: {', '.join(map(str, self.allowed))} ({self.unit})"
        return None


class Octets(NamedTuple):
    """A byte string of at most `most` bytes."""

    most: int
    unit: str = "bytes"

    def problem(self, value: Any) -> str | None:
        if type(value) is not bytes:
            return f"is {type(value).__name__}, bytes are needed"
        return f"has {len(value)} bytes, allowed: {self.most}" if len(value) > self.most else None


class Text(NamedTuple):
    """A text of at most `most` characters."""

    most: int
    unit: str = "text"

    def problem(self, value: Any) -> str | None:
        if type(value) is not str:
            return f"is {type(value).__name__}, text is needed"
        return f"has {len(value)} characters, allowed: {self.most}" if len(value) > self.most else None

    @property
    def most_bytes(self) -> int:
        """Bytes that so many characters take at most in UTF-8."""
        return 4 * self.most


FieldType = Unsigned | Octets | Text

Time = Annotated[int, Unsigned(64, "ps since reset")]
PortNumber = Annotated[int, Unsigned(32, "port")]
Sequence = Annotated[int, Unsigned(64, "messages of the source")]
Cause = Annotated[int, Unsigned(64, "cause id")]
CoreNumber = Annotated[int, Unsigned(16, "core")]
SpaceNumber = Annotated[int, Unsigned(8, "address space", tuple(Space))]
Address = Annotated[int, Unsigned(64, "byte address")]
AccessSize = Annotated[int, Unsigned(8, "bytes", (1, 2, 4, 8))]
Value64 = Annotated[int, Unsigned(64, "register value")]
Instructions = Annotated[int, Unsigned(64, "completed instructions of the requesting core")]
Level = Annotated[int, Unsigned(1, "level")]
Block = Annotated[bytes, Octets(1 << 20)]
Name = Annotated[str, Text(256)]
StateBytes = Annotated[bytes, Octets(MAX_BYTES)]


class _Head(NamedTuple):
    time: Time
    source: PortNumber
    destination: PortNumber
    sequence: Sequence
    cause: Cause


_HEX = frozenset(("address", "value", "cause"))


class Message(tuple):
    """Base of all messages: an immutable tuple with named fields. Construct with positions, names or both."""

    __slots__ = ()
    KIND: ClassVar[int]
    PHASE: ClassVar[Phase]
    HASHED: ClassVar[bool]
    FIELDS: ClassVar[dict[str, FieldType]]

    def __init_subclass__(cls, kind: int, phase: Phase, hashed: bool = True) -> None:
        declared = {
            name: hint.__metadata__[0]
            for owner in (_Head, cls)
            for name, hint in get_type_hints(owner, include_extras=True).items()
            if hasattr(hint, "__metadata__")
        }
        if kind in KINDS:
            raise TypeError(f"message kind {kind} is both {KINDS[kind].__name__} and {cls.__name__}")
        cls.KIND, cls.PHASE, cls.HASHED, cls.FIELDS = kind, phase, hashed, declared
        cls.__match_args__ = tuple(declared)
        for place, name in enumerate(declared, start=2):
            setattr(cls, name, property(itemgetter(place), doc=f"{declared[name].unit}"))
        KINDS[kind] = cls

    def __new__(cls, *values: Any, **named: Any) -> Message:
        if named:
            rest = list(cls.FIELDS)[len(values) :]
            if set(rest) != set(named):
                raise TypeError(f"{cls.__name__} takes {', '.join(cls.FIELDS)}; after {len(values)} values got {named}")
            values += tuple(named[name] for name in rest)
        if len(values) != len(cls.FIELDS):
            raise TypeError(f"{cls.__name__} takes {', '.join(cls.FIELDS)}; got {len(values)} values")
        return tuple.__new__(cls, (VERSION, cls.KIND, *values))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.shown(self.FIELDS)})"

    @classmethod
    def own_fields(cls) -> list[str]:
        """The names of the fields besides those that every message has."""
        return list(cls.FIELDS)[len(_Head._fields) :]

    def shown(self, names: Iterable[str]) -> str:
        """The fields `names`, as in a call; bits and addresses in hex."""
        return ", ".join(
            f"{name}={value:#x}" if name in _HEX and type(value) is int else f"{name}={value!r}"
            for name, value in ((name, getattr(self, name)) for name in names)
        )

    def check(self) -> Message:
        """This message, or MessageError when a field has the wrong type or is out of range."""
        for (name, kind), value in zip(self.FIELDS.items(), self[2:], strict=True):
            if (problem := kind.problem(value)) is not None:
                raise MessageError(f"{type(self).__name__}.{name} {problem}")
        return self


KINDS: dict[int, type[Message]] = {}


class MmioRead(Message, kind=1, phase=Phase.REQUEST):
    """A core reads a device register."""

    core: CoreNumber
    space: SpaceNumber
    address: Address
    size: AccessSize
    instructions: Instructions


class MmioWrite(Message, kind=2, phase=Phase.REQUEST):
    """A core writes a device register; the store completes at the reply."""

    core: CoreNumber
    space: SpaceNumber
    address: Address
    size: AccessSize
    value: Value64
    instructions: Instructions


class MmioReply(Message, kind=3, phase=Phase.REPLY):
    """The access `request` (its sequence) is done; `value` is what a read returned, 0 for a write."""

    request: Sequence
    value: Value64


class MmioError(Message, kind=4, phase=Phase.REPLY):
    """The access `request` met nothing: a bus error at the core."""

    request: Sequence
    reason: Name


class DmaRead(Message, kind=5, phase=Phase.REQUEST):
    """A device reads RAM."""

    address: Address
    size: Annotated[int, Unsigned(32, "bytes")]


class DmaWrite(Message, kind=6, phase=Phase.REQUEST):
    """A device writes RAM."""

    address: Address
    data: Block


class DmaReply(Message, kind=7, phase=Phase.REPLY):
    """The DMA `request` (its sequence) is done; `data` is what a read returned, empty for a write."""

    request: Sequence
    data: Block


class InterruptLevel(Message, kind=8, phase=Phase.LINE):
    """An interrupt line changed level."""

    level: Level


class InterruptVector(Message, kind=9, phase=Phase.LINE):
    """An interrupt message: a HyperTransport vector or an MSI."""

    vector: Annotated[int, Unsigned(32, "vector")]


class Mailbox(Message, kind=10, phase=Phase.LINE):
    """A value sent into a core's mailbox."""

    mailbox: Annotated[int, Unsigned(8, "mailbox")]
    value: Value64


class EventSignal(Message, kind=11, phase=Phase.LINE):
    """An eventfd is signalled: `count` is added to its counter."""

    descriptor: Annotated[int, Unsigned(32, "event descriptor")]
    count: Value64


class TimerTick(Message, kind=12, phase=Phase.TIMER):
    """A timer a component armed for itself is due."""

    token: Name


class ConsoleBytes(Message, kind=13, phase=Phase.REQUEST):
    """Bytes on a serial line."""

    data: Block


class SyncPromise(Message, kind=14, phase=Phase.SETUP, hashed=False):
    """Ends what a peer answers: nothing more comes from it before `until`, its earliest timer, unless it is told more.

    2^64 - 1 means never. `sequence` counts the answers since the peer's first.
    """

    until: Time


class Hello(Message, kind=15, phase=Phase.SETUP, hashed=False):
    """First message of a peer: who is meant, a digest of the description that follows, and the secret of the server.

    The answer has the same digest.
    """

    component: Name
    system: Annotated[bytes, Octets(64)]
    token: Annotated[bytes, Octets(256)]


class Snapshot(Message, kind=16, phase=Phase.SETUP, hashed=False):
    """A component's state, asked for (empty) or given (msgpack of its save())."""

    state: StateBytes


class Restore(Message, kind=17, phase=Phase.SETUP, hashed=False):
    """Replace a component's state by `state`."""

    state: StateBytes


class Stop(Message, kind=18, phase=Phase.SETUP, hashed=False):
    """The machine is to stop: power-off, reset, or the name of a failure."""

    reason: Name


class DmaError(Message, kind=19, phase=Phase.REPLY):
    """The DMA `request` met nothing: no memory and no doorbell at its address, or memory that refuses it."""

    request: Sequence
    reason: Name


class CsrWrite(Message, kind=20, phase=Phase.LINE):
    """A write of a configuration register as `core` sees it, sent from another node. Nothing answers it."""

    core: CoreNumber
    address: Address
    size: AccessSize
    value: Value64


class FaultInjected(Message, kind=21, phase=Phase.LINE):
    """Recorded in place of a message that a fault changed: which fault, and how many messages it made of it."""

    fault: Name
    messages: Annotated[int, Unsigned(16, "messages")]


class Configure(Message, kind=32, phase=Phase.SETUP, hashed=False):
    """What the peer is to be: the model, its options (a msgpack map), and its component number for cause ids."""

    model: Annotated[str, Text(4096)]
    options: StateBytes
    component: Annotated[int, Unsigned(24, "component number")]


class PortIn(Message, kind=33, phase=Phase.SETUP, hashed=False):
    """Messages to port `destination` are for the peer's port `name`; a register is at its address less `base`.

    `strict` is 1 where an access that the device refuses ends the run.
    """

    name: Name
    role: Annotated[int, Unsigned(8, "role", tuple(Role))]
    base: Address
    strict: Annotated[int, Unsigned(1, "flag")]


class LinkOut(Message, kind=34, phase=Phase.SETUP, hashed=False):
    """What leaves the peer's port `name` goes from port `source` to port `destination` and arrives `latency` later."""

    name: Name
    latency: Annotated[int, Unsigned(64, "ps")]
    channel: Annotated[int, Unsigned(32, "channel")]


class Reset(Message, kind=35, phase=Phase.SETUP, hashed=False):
    """A cold reset of the component, at `time`."""


class TimerCancel(Message, kind=36, phase=Phase.SETUP, hashed=False):
    """The sender's timer `token` is not to tick."""

    token: Name


class Failure(Message, kind=37, phase=Phase.SETUP, hashed=False):
    """The sender cannot go on: the kind of error, and what it says."""

    error: Name
    reason: Annotated[str, Text(4096)]


pack = msgpack.Packer(use_bin_type=True).pack
"""The bytes of a message. Fields are not checked here: `Message.check` does that where values come from outside."""


def _limits() -> dict[str, int]:
    """The most that any message has of anything: the unpacker refuses a header that claims more, and makes no room."""
    specs = [spec for cls in KINDS.values() for spec in cls.FIELDS.values()]
    longest = 2 + max(len(cls.FIELDS) for cls in KINDS.values())
    return {
        "max_array_len": longest,
        "max_bin_len": MAX_BYTES,
        "max_str_len": max(spec.most_bytes for spec in specs if isinstance(spec, Text)),
        # No field has these, but the error names the field that has one.
        "max_map_len": longest,
        "max_ext_len": longest,
    }


_LIMITS = _limits()


def unpack(data: bytes) -> Message:
    """The message in `data`, every field checked. Memory used is bounded by the length of `data` and some kilobytes.

    Raises MessageError for anything that is not exactly one message, VersionError for another wire version.
    """
    if len(data) > MAX_BYTES:
        raise MessageError(f"message of {len(data)} bytes; at most {MAX_BYTES} are accepted")
    try:
        row = msgpack.unpackb(data, use_list=False, raw=False, strict_map_key=True, **_LIMITS)
    except (ValueError, msgpack.UnpackException, RecursionError) as error:
        raise MessageError(
            f"{len(data)} bytes that are no msgpack message ({type(error).__name__}: {error})"[:MOST_TOLD]
        ) from None
    if type(row) is not tuple or len(row) < 2:
        raise MessageError(f"a message is an array that begins with version and kind; got {_shown(row)}")
    version, kind = row[0], row[1]
    if type(version) is not int or version != VERSION:
        raise VersionError(
            f"message of wire version {_shown(version)}; this side speaks {VERSION}: update the older side"
        )
    if type(kind) is not int or kind not in KINDS:
        raise MessageError(f"unknown message kind {_shown(kind)}; known: {', '.join(map(str, KINDS))}")
    cls = KINDS[kind]
    if len(row) != 2 + len(cls.FIELDS):
        raise MessageError(f"{cls.__name__} with {len(row) - 2} fields; it has {len(cls.FIELDS)}")
    return tuple.__new__(cls, row).check()


def _shown(value: Any) -> str:
    """A foreign value in an error message, whatever its length and depth."""
    if type(value) in (str, bytes):
        return repr(value[:20]) + (f"... ({len(value)} long)" if len(value) > 20 else "")
    return f"an array of {len(value)}" if type(value) is tuple else repr(value)


def describe() -> str:
    """The messages as a Markdown table, for docs/wire.md: kind, name, own fields with their widths, meaning."""
    lines = ["| kind | message | phase | its own fields | |", "|---|---|---|---|---|"]
    for kind, cls in sorted(KINDS.items()):
        fields = ", ".join(f"`{name}` {_width(cls.FIELDS[name])}" for name in cls.own_fields())
        meaning = " ".join((cls.__doc__ or "").split("\n\n")[0].split())
        lines.append(f"| {kind} | {cls.__name__} | {cls.PHASE.name.lower()} | {fields} | {meaning} |")
    return "\n".join(lines)


def _width(spec: FieldType) -> str:
    if isinstance(spec, Unsigned):
        return f"{spec.bits} bit" + (f" ({spec.unit})" if spec.unit.startswith("ps") else "")
    return f"{'bytes' if isinstance(spec, Octets) else 'text'} up to {spec.most}"
