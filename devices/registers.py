"""Declarative registers: said once, they give decoding, reset, save and restore, and the table in the handbook.

A device class declares ``status = Register(0x00, width=4, access="ro")``. In an instance ``self.status`` is then a
plain integer (for a RegisterArray a list of integers) which the device's own code reads and sets freely; the access
rules below hold for accesses that come over the bus.

access   a read over the bus        a write over the bus
------   -----------------------    -----------------------------------------------------------------
rw       the value                  replaces the bits of ``mask``; the others stay
ro       the value                  is ignored
wo       0                          as rw
w1c      the value, 0 with ``of``   every 1 clears that bit (of ``of``, where given)
w1s      the value, 0 with ``of``   every 1 sets that bit (of ``of``, where given)

``accepts`` lists the access sizes in bytes that reach the register. A smaller one reaches the byte lanes it covers, a
larger one reaches all its neighbours, lowest offset first. An access is decoded when it is naturally aligned and every
register it touches accepts its size. What is not decoded reads 0 and is dropped: no guest access raises a host error.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from operator import attrgetter, methodcaller
from typing import Any, ClassVar, Protocol

from devices.errors import DeviceError
from soc.errors import SocError

SIZES = (1, 2, 4, 8)
"""All sizes of a bus access, in bytes."""
ACCESSES = ("rw", "ro", "wo", "w1c", "w1s")


def access_size(size: int) -> int:
    """`size`, one of SIZES. Raises DeviceError for another."""
    if type(size) is not int or size not in SIZES:
        raise DeviceError(f"access size {size!r}: a bus access has 1, 2, 4 or 8 bytes")
    return size


Reader = Callable[[Any], int]
Writer = Callable[[Any, int], None]


class RegisterError(SocError):
    """A register declaration contradicts itself or its neighbours. Raised when the class is made or first used."""


class Register:
    """One register of `width` bytes at byte `offset`.

    reset    value after reset
    mask     bits a write can change; default all
    of       for w1c and w1s: the register that is changed (a set or clear register has no storage of its own)
    accepts  access sizes in bytes; default only `width`
    writes   sizes of writes where they are others than those of reads
    bank     decoded only while the device has selected this bank (``Device.select_bank``); default in all banks
    space    address space: "memory", or "csr" for Loongson's configuration registers
    fields   {name: bit or (high, low)}, for the handbook and for vectors
    doc      what it is for, for the handbook

    Raises RegisterError for a width, access, offset, reset or mask that is out of range.
    """

    def __init__(
        self,
        offset: int,
        *,
        width: int = 4,
        access: str = "rw",
        reset: int = 0,
        mask: int | None = None,
        of: Register | None = None,
        accepts: tuple[int, ...] | None = None,
        writes: tuple[int, ...] | None = None,
        bank: str | None = None,
        space: str = "memory",
        fields: Mapping[str, int | tuple[int, int]] | None = None,
        doc: str = "",
    ) -> None:
        if width not in SIZES:
            raise RegisterError(f"register width {width}: a register has 1, 2, 4 or 8 bytes")
        if access not in ACCESSES:
            raise RegisterError(f"register access {access!r}: use one of {', '.join(ACCESSES)}")
        if offset < 0 or offset % width:
            raise RegisterError(f"register offset {offset:#x}: it must be a multiple of the width {width}")
        everything = (1 << 8 * width) - 1
        mask = everything if mask is None else mask
        if not 0 <= reset <= everything or not 0 <= mask <= everything:
            raise RegisterError(f"register at {offset:#x}: reset {reset:#x}, mask {mask:#x} must fit {8 * width} bits")
        if of is not None and (access not in ("w1c", "w1s") or of.width != width or of.count != self.count):
            raise RegisterError(f"register at {offset:#x}: `of` needs w1c or w1s and a register of the same shape")
        accepts = (width,) if accepts is None else tuple(accepts)
        writes = accepts if writes is None else tuple(writes)
        if not accepts or not writes or any(size not in SIZES for size in accepts + writes):
            sizes = f"accepts {accepts}, writes {writes}"
            raise RegisterError(f"register at {offset:#x}: {sizes}: access sizes are 1, 2, 4 and 8")
        self.name = ""
        self.offset = offset
        self.width = width
        self.access = access
        self.reset = reset
        self.mask = mask
        self.of = of
        self.accepts = accepts
        self.writes = writes
        self.bank = bank
        self.space = space
        self.fields = dict(fields or {})
        self.doc = doc

    counts: tuple[int, ...] = ()
    strides: tuple[int, ...] = ()

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @property
    def count(self) -> int:
        """Number of elements; 1 for a single register."""
        total = 1
        for n in self.counts:
            total *= n
        return total

    @property
    def is_array(self) -> bool:
        """True when instances hold a list of values."""
        return bool(self.counts)

    @property
    def stored(self) -> bool:
        """True when instances hold a value under this name."""
        return self.of is None

    @property
    def readable(self) -> bool:
        """True when a bus read gives the value; the others read 0."""
        return self.access in ("rw", "ro") or (self.access in ("w1c", "w1s") and self.of is None)

    @property
    def bits(self) -> int:
        """All bits the register has."""
        return (1 << 8 * self.width) - 1

    def field_bits(self) -> dict[str, tuple[int, int]]:
        """Each field's (lowest bit, number of bits)."""
        places = {name: (at, at) if isinstance(at, int) else at for name, at in self.fields.items()}
        return {name: (low, high - low + 1) for name, (high, low) in places.items()}

    def initial(self) -> int | list[int]:
        """The reset value as an instance holds it."""
        return self.reset

    def offsets(self) -> list[int]:
        """Byte offset of every element, in index order."""
        steps = [[i * stride for i in range(n)] for n, stride in zip(self.counts, self.strides, strict=True)]
        return [self.offset + sum(step) for step in itertools.product(*steps)]


class RegisterArray(Register):
    """`count` registers, `stride` bytes apart (default: the width). With tuples, nested: the last index runs fastest.

    ``mailbox = RegisterArray(0x20, count=(4, 4), stride=(0x100, 8), width=8)`` makes mailbox k of core c
    ``mailbox[4 * c + k]``. `resets`, where given, has the reset value of each element.
    """

    def __init__(
        self,
        offset: int,
        *,
        count: int | tuple[int, ...],
        stride: int | tuple[int, ...] | None = None,
        resets: tuple[int, ...] | None = None,
        **options: Any,
    ) -> None:
        counts = count if isinstance(count, tuple) else (count,)
        width = options.get("width", 4)
        strides = (width,) if stride is None else stride if isinstance(stride, tuple) else (stride,)
        if len(counts) != len(strides) or any(n < 1 for n in counts) or any(s < 1 or s % width for s in strides):
            raise RegisterError(
                f"array at {offset:#x}: count {count}, stride {stride}: one stride per count, in whole widths"
            )
        self.counts = counts
        self.strides = strides
        self.resets = resets
        super().__init__(offset, **options)
        if resets is not None and (len(resets) != self.count or any(not 0 <= r <= self.bits for r in resets)):
            raise RegisterError(f"array at {offset:#x}: resets must be {self.count} values of {width} bytes")

    def initial(self) -> list[int]:
        return [self.reset] * self.count if self.resets is None else list(self.resets)


@dataclass(frozen=True)
class Internal:
    """State that has no address: reset to `initial`, saved and restored. An int, bool, str, bytes, list or None.

    kept   a reset of the machine leaves it as it is
    """

    initial: Any = 0
    kept: bool = False

    def fresh(self) -> Any:
        """The initial value, for one instance alone."""
        return list(self.initial) if isinstance(self.initial, list) else self.initial


@dataclass(frozen=True)
class Cell:
    """One element of a register at its place."""

    register: Register
    index: int
    offset: int

    @property
    def end(self) -> int:
        """The first offset behind it."""
        return self.offset + self.register.width


@dataclass(frozen=True)
class Piece:
    """The part of a cell that an access touches: `lanes` in the register, whose bit `shift` is the access's bit 0."""

    cell: Cell
    lanes: int
    shift: int


@dataclass
class Decoder:
    """What a bus access does, per (offset, size), in one space and bank."""

    reads: dict[tuple[int, int], tuple[Reader, bool]] = field(default_factory=dict)
    writes: dict[tuple[int, int], Writer] = field(default_factory=dict)


class Observer(Protocol):
    """Sees every bus access that reaches a register, with the bits of the register that it covers."""

    def read(self, device: Any, cell: Cell, lanes: int) -> None:
        """`device` was read."""

    def written(self, device: Any, cell: Cell, lanes: int, value: int) -> None:
        """`value`, placed as in the register, was written to `device`; the register and handlers have seen it."""


class RegisterMap:
    """All registers of one device class, decoded. `settling`: a read with a handler may change the device's state."""

    observer: ClassVar[Observer | None] = None
    """Built into the maps that are made from then on; without one an access costs nothing more."""

    def __init__(self, owner: type) -> None:
        self.owner = owner
        self.registers: dict[str, Register] = {}
        self.internals: dict[str, Internal] = {}
        for base in reversed(owner.__mro__):
            for name, value in vars(base).items():
                if isinstance(value, Register | Internal):
                    # A subclass may declare a register again, or take its address away.
                    self.registers.pop(name, None)
                    self.internals.pop(name, None)
                if isinstance(value, Register):
                    self.registers[name] = value
                elif isinstance(value, Internal):
                    self.internals[name] = value
        self._check_handlers()
        banks = sorted({r.bank for r in self.registers.values() if r.bank is not None})
        spaces = sorted({r.space for r in self.registers.values()} | {"memory"})
        self.banks: tuple[str | None, ...] = (None, *banks)
        self.decoders: dict[tuple[str, str | None], Decoder] = {
            (space, bank): self._decoder(space, bank) for space in spaces for bank in self.banks
        }

    def cells(self, space: str = "memory", bank: str | None = None) -> Iterator[Cell]:
        """Every element of `space` while `bank` is selected. A register of the bank hides one without a bank."""
        for register in self.registers.values():
            if register.space == space and register.bank in (None, bank):
                for index, offset in enumerate(register.offsets()):
                    yield Cell(register, index, offset)

    def label(self, offset: int, size: int, space: str = "memory", bank: str | None = None) -> str:
        """The registers an access touches, for people: `status`, `entry[3]`, or the offset where there is none."""
        touched = [
            f"{cell.register.name}[{cell.index}]" if cell.register.is_array else cell.register.name
            for cell in self.cells(space, bank)
            if cell.offset < offset + size and offset < cell.end
        ]
        return "/".join(dict.fromkeys(touched)) or f"{offset:#x}"

    def _check_handlers(self) -> None:
        for prefix, unfit in (("on_read_", "wo"), ("on_write_", "ro")):
            for handler in (n for n in dir(self.owner) if n.startswith(prefix) and getattr(self.owner, n)):
                register = self.registers.get(handler.removeprefix(prefix))
                if register is None or register.access == unfit:
                    what = "no such register" if register is None else f"the register is {register.access}"
                    raise RegisterError(f"{self.owner.__name__}.{handler}: {what}")

    def _decoder(self, space: str, bank: str | None) -> Decoder:
        decoder = Decoder()
        cells = list(self.cells(space, bank))
        for writing in (False, True):
            at_byte = self._bytes(cells, writing)
            keys = {(offset - offset % size, size) for offset in at_byte for size in SIZES}
            for offset, size in keys:
                pieces = _pieces(at_byte, offset, size)
                if writing and all(size in piece.cell.register.writes for piece in pieces):
                    decoder.writes[offset, size] = self._writer(pieces)
                elif not writing and all(size in piece.cell.register.accepts for piece in pieces):
                    decoder.reads[offset, size] = self._reader(pieces, size)
        return decoder

    def _bytes(self, cells: list[Cell], writing: bool) -> dict[int, Cell]:
        """Which cell answers at each byte. Strongest: one of the selected bank; then one that does something."""

        def strength(cell: Cell) -> tuple[bool, bool]:
            register = cell.register
            acts = register.access != "ro" if writing else register.readable or self._reads_by_handler(register)
            return register.bank is not None, acts

        at_byte: dict[int, Cell] = {}
        for cell in cells:
            for byte in range(cell.offset, cell.offset + cell.register.width):
                other = at_byte.get(byte)
                if other is None or strength(cell) > strength(other):
                    at_byte[byte] = cell
                elif strength(cell) == strength(other) and strength(cell)[1]:
                    both = f"{cell.register.name} and {other.register.name}"
                    raise RegisterError(f"{self.owner.__name__}: {both} both answer at {byte:#x}")
        return at_byte

    def _reads_by_handler(self, register: Register) -> bool:
        return getattr(self.owner, "on_read_" + register.name, None) is not None

    def _reader(self, pieces: list[Piece], size: int) -> tuple[Reader, bool]:
        settling = any(self._reads_by_handler(piece.cell.register) for piece in pieces)
        getters = [self._watched_getter(piece) for piece in pieces]
        piece = pieces[0]
        if len(pieces) == 1 and piece.shift == 0 and piece.lanes == piece.cell.register.bits:
            return getters[0], settling
        parts = [(get, piece.lanes, piece.shift) for get, piece in zip(getters, pieces, strict=True)]

        def read(device: Any) -> int:
            value = 0
            for get, lanes, shift in parts:
                part = get(device) & lanes
                value |= part >> shift if shift >= 0 else part << -shift
            return value

        return read, settling

    def _watched_getter(self, piece: Piece) -> Reader:
        get, observer = self._getter(piece.cell), self.observer
        if observer is None:
            return get

        def read(device: Any) -> int:
            value = get(device)
            observer.read(device, piece.cell, piece.lanes)
            return value

        return read

    def _watched_setter(self, piece: Piece) -> Writer:
        put, observer = self._setter(piece), self.observer
        if observer is None:
            return put

        def write(device: Any, value: int) -> None:
            put(device, value)
            observer.written(device, piece.cell, piece.lanes, value & piece.lanes)

        return write

    def _getter(self, cell: Cell) -> Reader:
        register, index = cell.register, cell.index
        if self._reads_by_handler(register):
            return methodcaller("on_read_" + register.name, *([index] if register.is_array else []))
        if not register.readable:
            return lambda device: 0
        get = attrgetter(register.name)
        return (lambda device: get(device)[index]) if register.is_array else get

    def _writer(self, pieces: list[Piece]) -> Writer:
        setters = [self._watched_setter(piece) for piece in pieces]
        if len(setters) == 1 and pieces[0].shift == 0:
            return setters[0]
        parts = [(put, piece.shift) for put, piece in zip(setters, pieces, strict=True)]

        def write(device: Any, value: int) -> None:
            for put, shift in parts:
                put(device, value << shift if shift >= 0 else value >> -shift)

        return write

    def _setter(self, piece: Piece) -> Writer:
        """A function of (device, value), value placed as in the register."""
        register, index, lanes = piece.cell.register, piece.cell.index, piece.lanes
        access, array = register.access, register.is_array
        if access == "ro":
            return lambda device, value: None
        store = (register.of or register).name
        effective = register.mask & lanes
        kept = register.bits & ~effective
        handler = getattr(self.owner, "on_write_" + register.name, None)
        handler_name = handler and "on_write_" + register.name

        def write(device: Any, value: int) -> None:
            values = getattr(device, store)
            old = values[index] if array else values
            value &= effective
            if access == "w1s":
                new = old | value
            elif access == "w1c":
                new = old & ~value
            else:
                new = value = old & kept | value
            if array:
                values[index] = new
            else:
                setattr(device, store, new)
            if handler_name:
                if array:
                    getattr(device, handler_name)(index, value, old)
                else:
                    getattr(device, handler_name)(value, old)

        return write


def _pieces(at_byte: Mapping[int, Cell], offset: int, size: int) -> list[Piece]:
    touched: dict[Cell, int] = {}
    for byte in range(offset, offset + size):
        cell = at_byte.get(byte)
        if cell is not None:
            touched[cell] = touched.get(cell, 0) | 0xFF << 8 * (byte - cell.offset)
    return [Piece(cell, lanes, 8 * (offset - cell.offset)) for cell, lanes in touched.items()]


def markdown(owner: type) -> str:
    """The register table of a device class, for the handbook."""
    rows = ["| Offset | Register | Access | Reset | Sizes | Meaning |", "|---|---|---|---|---|---|"]
    registers = RegisterMap(owner).registers.values()
    for register in sorted(registers, key=lambda r: (r.space != "memory", r.space, r.offset, r.bank or "")):
        offset = f"{register.offset:#04x}"
        for n, stride, index in zip(register.counts, register.strides, "ijk", strict=False):
            offset += f" + {stride:#x}\u00b7{index} ({index}=0..{n - 1})"
        if register.space != "memory":
            offset = f"{register.space} {offset}"
        access = register.access + (f" of {register.of.name}" if register.of else "")
        if register.bank:
            access += f", bank {register.bank}"
        meaning = [register.doc] if register.doc else []
        for name, place in register.fields.items():
            meaning.append(f"{name}[{place}]" if isinstance(place, int) else f"{name}[{place[0]}:{place[1]}]")
        resets = getattr(register, "resets", None)
        reset = "per element" if resets else f"{register.reset:#x}" if register.stored else "\u2013"
        sizes = "/".join(str(size) for size in register.accepts)
        if register.writes != register.accepts:
            sizes += ", writes " + "/".join(str(size) for size in register.writes)
        rows.append(f"| {offset} | {register.name} | {access} | {reset} | {sizes} | {' '.join(meaning)} |")
    return "\n".join(rows) + "\n"
