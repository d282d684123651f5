"""An assembled program: its bytes, symbols and source lines; and the ELF file it makes."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from cpu.isa.errors import TableError
from cpu.words import M64

_EM_MIPS, _ET_EXEC, _PT_LOAD = 8, 2, 1
_EF_MIPS_ARCH_64R2 = 0x80000000
_EHDR, _PHDR, _SHDR, _SYM = "<16sHHIQQQIHHHHHH", "<IIQQQQQQ", "<IIQQQQIIQQ", "<IBBHQQ"
_IMAGE_ALIGNMENT = 0x1000


class SourceLine(NamedTuple):
    """Where `size` bytes at `address` come from."""

    address: int
    size: int
    file: str
    number: int
    text: str


@dataclass(frozen=True)
class Program:
    """The output of the assembler. `base` is the virtual address of `data[0]`; `symbols` are unsigned 64-bit values."""

    base: int
    data: bytes
    symbols: dict[str, int]
    lines: tuple[SourceLine, ...] = field(default=(), repr=False)

    @property
    def words(self) -> list[int]:
        """The bytes as 32-bit little-endian words, the last one padded with zeroes."""
        padded = self.data + bytes(-len(self.data) % 4)
        return list(struct.unpack(f"<{len(padded) // 4}I", padded))

    @property
    def entry(self) -> int:
        """Address of the first instruction: `_start` or `__start` where it is defined, else the base."""
        return self.symbols.get("_start", self.symbols.get("__start", self.base))

    def symbol(self, name: str) -> int:
        if name not in self.symbols:
            raise TableError(f"the program has no symbol {name!r}; it has: {', '.join(sorted(self.symbols)) or 'none'}")
        return self.symbols[name]

    def with_values(self, **values: int) -> Program:
        """A copy in which the 64-bit word at each named symbol holds the given value: a guest's parameters."""
        data = bytearray(self.data)
        for name, value in values.items():
            at = (self.symbol(name) - self.base) & M64
            if at + 8 > len(data):
                raise TableError(
                    f"{name} = {self.symbols[name]:#x} is no 64-bit word of the program; declare it by .dword"
                )
            if not -(1 << 63) <= value < 1 << 64:
                raise TableError(f"{name} = {value} does not fit 64 bits")
            data[at : at + 8] = (value & M64).to_bytes(8, "little")
        return replace(self, data=bytes(data))

    def listing(self) -> str:
        """Address, bytes and source of every line that made some."""
        rows = []
        for line in self.lines:
            at = line.address - self.base
            if line.size == 4:
                shown = f"{int.from_bytes(self.data[at : at + 4], 'little'):08x}"
            else:
                shown = self.data[at : at + min(line.size, 8)].hex() + ("..." if line.size > 8 else "")
            rows.append(f"{line.address:016x}  {shown:<19}  {line.number:5}  {line.text}")
        return "\n".join(rows) + "\n"

    def to_elf(self, path: str | Path | None = None, entry: int | None = None) -> bytes:
        """The program as a 64-bit little-endian MIPS executable with one loaded segment and a symbol table.

        Writes it to `path` when given; returns its bytes. `entry` is an address, by default `Program.entry`.
        """
        entry = self.entry if entry is None else entry & M64
        names, records = bytearray(1), [struct.pack(_SYM, 0, 0, 0, 0, 0, 0)]
        for name, value in sorted(self.symbols.items(), key=lambda item: item[1]):
            inside = (value - self.base) & M64 <= len(self.data)
            records.append(struct.pack(_SYM, len(names), 0x10, 0, 1 if inside else 0xFFF1, value, 0))
            names += name.encode() + b"\0"
        section_names = b"\0.text\0.symtab\0.strtab\0.shstrtab\0"
        symbol_table = b"".join(records)
        text_at = _IMAGE_ALIGNMENT
        symbols_at = text_at + len(self.data) + (-len(self.data) % 8)
        names_at = symbols_at + len(symbol_table)
        section_names_at = names_at + len(names)
        headers_at = section_names_at + len(section_names)
        headers_at += -headers_at % 8
        size = len(self.data)
        sections = (
            (0, 0, 0, 0, 0, 0, 0, 0, 0, 0),
            (section_names.index(b".text"), 1, 7, self.base, text_at, size, 0, 0, 16, 0),
            (section_names.index(b".symtab"), 2, 0, 0, symbols_at, len(symbol_table), 3, 1, 8, 24),
            (section_names.index(b".strtab"), 3, 0, 0, names_at, len(names), 0, 0, 1, 0),
            (section_names.index(b".shstrtab"), 3, 0, 0, section_names_at, len(section_names), 0, 0, 1, 0),
        )
        magic = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)
        image = bytearray(headers_at)
        struct.pack_into(
            _EHDR, image, 0, magic, _ET_EXEC, _EM_MIPS, 1, entry, 64, headers_at, _EF_MIPS_ARCH_64R2,
            64, 56, 1, 64, len(sections), len(sections) - 1,
        )  # fmt: skip
        struct.pack_into(_PHDR, image, 64, _PT_LOAD, 7, text_at, self.base, self.base, size, size, _IMAGE_ALIGNMENT)
        for at, part in (
            (text_at, self.data),
            (symbols_at, symbol_table),
            (names_at, names),
            (section_names_at, section_names),
        ):
            image[at : at + len(part)] = part
        image += b"".join(struct.pack(_SHDR, *section) for section in sections)
        if path is not None:
            Path(path).write_bytes(image)
        return bytes(image)
