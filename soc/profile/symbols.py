"""Names for guest addresses: from an ELF's symbol table, a System.map, or the kernel in the guest's memory."""

from __future__ import annotations

import io
from bisect import bisect_right
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

from soc.errors import ConfigurationError
from soc.firmware.memory_map import canonical
from soc.profile import kallsyms
from soc.ram import LOW_BYTES

PAGE = 4096
EXECUTABLE = 0x4
"""SHF_EXECINSTR."""
CODE_TYPES = ("STT_FUNC", "STT_NOTYPE", "STT_GNU_IFUNC")
MAP_CODE = frozenset("tTwW")
TEXT_ENDS = ("_etext", "_einittext")
"""Labels of Linux's linker script that name no function."""
PLACEHOLDER = 0xFFFF_FFFF_FFFF_FFFF
"""The only address in the System.map of Debian's linux-image, which says that the real one is in the -dbg package."""


class Function(NamedTuple):
    """A function, or what stands for one: a page of code nobody has named."""

    name: str
    start: int


class Symbols:
    """Functions by address. `ends` are addresses where code ends: nothing is found from one to the next function."""

    def __init__(self, source: str, functions: Iterable[tuple[int, str]] = (), ends: Iterable[int] = ()) -> None:
        self.source = source
        named = {address: "" for address in ends}
        # Of several names at one address the first given stays.
        named |= dict(reversed(list(functions)))
        self._names = [named[address] for address in sorted(named)]
        self._starts = sorted(named)

    def __len__(self) -> int:
        return sum(map(bool, self._names))

    def find(self, pc: int) -> Function:
        """The function that an unsigned 64-bit `pc` lies in, or its page."""
        at = bisect_right(self._starts, pc) - 1
        if at >= 0 and self._names[at]:
            return Function(self._names[at], self._starts[at])
        return Function(f"page {pc & -PAGE:#x}", pc & -PAGE)

    def address(self, name: str) -> int | None:
        """Where the function of that name begins, or None."""
        return next((start for start, known in zip(self._starts, self._names, strict=True) if known == name), None)


def from_elf(data: bytes, source: str) -> Symbols:
    """The functions and labels in the executable sections of an ELF; none where it is stripped or no ELF."""
    try:
        elf = ELFFile(io.BytesIO(data))
        table = elf.get_section_by_name(".symtab")
        code = {n: s for n, s in enumerate(elf.iter_sections()) if s["sh_flags"] & EXECUTABLE}
        entries = [] if table is None else list(table.iter_symbols())
    except (ELFError, ValueError, KeyError):
        return Symbols(source)
    entries = [e for e in entries if e["st_shndx"] in code and e["st_info"]["type"] in CODE_TYPES and e.name]
    # A global name is better than a local one at the same place.
    entries.sort(key=lambda e: (e["st_info"]["type"] != "STT_FUNC", e["st_info"]["bind"] == "STB_LOCAL"))
    ends = [canonical(s["sh_addr"] + s["sh_size"]) for s in code.values()]
    return Symbols(source, [(canonical(e["st_value"]), e.name) for e in entries], ends)


def from_map(text: str, source: str) -> Symbols:
    """The functions of a System.map: lines of address, type and name. ConfigurationError for another text."""
    entries = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split(None, 2)
        try:
            entries.append((int(words[0], 16), words[1], words[2]))
        except (IndexError, ValueError) as cause:
            raise ConfigurationError(
                f"{source}, line {number}: {line[:60]!r} is not `address type name`.\nGive an ELF or a System.map."
            ) from cause
    return _from_entries([entry for entry in entries if entry[0] != PLACEHOLDER], source)


def from_memory(memory: Any) -> Symbols:
    """The functions of the Linux kernel in a machine's low memory, if there is one."""
    image = memory.read(0, min(memory.ram_bytes, LOW_BYTES))
    entries = kallsyms.read(image)
    return _from_entries(entries, "the kernel's own table" if entries else "none, addresses by page")


def _from_entries(entries: list[tuple[int, str, str]], source: str) -> Symbols:
    ends = {address for address, kind, name in entries if kind not in MAP_CODE or name in TEXT_ENDS}
    functions = [(address, name) for address, kind, name in entries if kind in MAP_CODE and name not in TEXT_ENDS]
    # Of several at one address the last: the linker script's labels come first.
    return Symbols(source, functions[::-1], ends)


def read(path: str | Path) -> Symbols:
    """The functions in a file that somebody named: an ELF or a System.map. ConfigurationError when it has none."""
    try:
        data = Path(path).read_bytes()
    except OSError as cause:
        raise ConfigurationError(f"cannot read the symbols {path}: {cause.strerror}.\nCheck the path.") from cause
    is_elf = data.startswith(b"\x7fELF")
    found = from_elf(data, str(path)) if is_elf else from_map(data.decode("ascii", "replace"), str(path))
    if not found:
        raise ConfigurationError(
            f"{path} names no function: it is stripped.\nGive an ELF with symbols or a System.map."
        )
    return found


def of_program(path: str | Path) -> Symbols:
    """The functions that a program's or kernel's own file names, or the System.map beside it; perhaps none."""
    path = Path(path)
    try:
        found = from_elf(path.read_bytes(), path.name)
        beside = path.with_name(path.name.replace("vmlinuz", "System.map").replace("vmlinux", "System.map"))
        if not found and beside != path and beside.is_file():
            found = from_map(beside.read_text("ascii", "replace"), beside.name)
    except OSError as cause:
        raise ConfigurationError(f"cannot read {path}: {cause.strerror}.\nCheck the path.") from cause
    return found
