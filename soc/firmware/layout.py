"""Byte layouts as data: a structure is a list of named fields at offsets, packed little-endian."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from soc.firmware.errors import TableError

WIDTHS = {"u8": 1, "u16": 2, "u32": 4, "u64": 8}


@dataclass(frozen=True)
class Field:
    """One field: an unsigned integer of kind u8, u16, u32 or u64, or text of kind char[n]."""

    name: str
    offset: int
    kind: str

    @property
    def size(self) -> int:
        """In bytes."""
        return WIDTHS[self.kind] if self.kind in WIDTHS else int(self.kind.removeprefix("char[").removesuffix("]"))

    def encode(self, value: Any) -> bytes:
        """The field's bytes. Raises TableError when `value` does not fit."""
        if self.kind in WIDTHS:
            if not 0 <= value < 1 << (8 * self.size):
                raise TableError(f"{self.name} = {value}: {self.kind} holds 0..{(1 << (8 * self.size)) - 1:#x}")
            return value.to_bytes(self.size, "little")
        text = value.encode("ascii")
        if len(text) >= self.size:
            raise TableError(f"{self.name} = {value!r}: {self.kind} holds {self.size - 1} characters")
        return text.ljust(self.size, b"\0")


@dataclass(frozen=True)
class Array:
    """`count` structures of one layout, one after the other."""

    name: str
    offset: int
    element: "Struct"
    count: int

    @property
    def size(self) -> int:
        """In bytes."""
        return self.element.size * self.count


@dataclass(frozen=True)
class Struct:
    """A structure of `size` bytes. Bytes no field covers are zero."""

    name: str
    size: int
    fields: tuple[Field | Array, ...]

    def pack(self, values: Mapping[str, Any]) -> bytes:
        """The structure with `values` by field name, the rest zero.

        An array takes a list of mappings. Raises TableError for unknown names and values out of range.
        """
        known = {field.name: field for field in self.fields}
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise TableError(f"{self.name} has no field {', '.join(unknown)}; it has {', '.join(known)}")
        data = bytearray(self.size)
        for name, value in values.items():
            field = known[name]
            if isinstance(field, Array):
                if len(value) > field.count:
                    raise TableError(f"{self.name}.{name}: {len(value)} entries, it holds {field.count}")
                encoded = b"".join(field.element.pack(each) for each in value)
            else:
                encoded = field.encode(value)
            data[field.offset : field.offset + len(encoded)] = encoded
        return bytes(data)
