"""gdb's `monitor` commands: what a machine shows beyond memory and registers. All only look.

Each command is a function of the target, the selected core and the words behind the command's name; its docstring is
its help.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from cpu import state
from cpu.cp0.fields import ENTRYLO_D, ENTRYLO_V, ENTRYLO_XI, ST_ERL, ST_EXL, ST_IE
from cpu.isa.disassembler import disassemble
from soc.errors import SocError
from soc.gdb.registers import M64
from soc.gdb.target import Target
from soc.profile import symbols
from soc.time import seconds

Command = Callable[[Target, int, list[str]], Iterator[str]]
MOST_SHOWN = 4096
"""Bytes of physical memory that one command shows."""
ROW = 16
LO_FRAME = 0xFFFFFFFFF << 6


class Monitor:
    """The commands for one machine."""

    def __init__(self, target: Target) -> None:
        self._target = target

    def answer(self, line: str, core: int) -> str:
        """What a command line says, as lines of text; `core` is the one selected in gdb."""
        name, *words = line.split() or ["help"]
        found = [each for each in COMMANDS if each.startswith(name)]
        command = COMMANDS.get(name) or (COMMANDS[found[0]] if len(found) == 1 else None)
        if command is None:
            return f"no command {name!r}; there are {', '.join(COMMANDS)}\n"
        try:
            return "".join(f"{row}\n" for row in command(self._target, core, words))
        except (ValueError, IndexError):
            return f"{name}: {command.__doc__}\n"


def _help(target: Target, core: int, words: list[str]) -> Iterator[str]:
    """help: this list"""
    yield from (command.__doc__ for command in COMMANDS.values())


def _time(target: Target, core: int, words: list[str]) -> Iterator[str]:
    """time: model time, and how far each core has come"""
    yield f"{seconds(target.machine.now):.12f} s of model time"
    for it in target.cores:
        yield f"cpu{it.number}: cycle {it.cycles}, {it.instructions} instructions"


def _cores(target: Target, core: int, words: list[str]) -> Iterator[str]:
    """cores: where each core stands"""
    for it in target.cores:
        word = it.word_at(it.pc)
        shown = "unreadable" if word is None else disassemble(word, it.pc, aliases=True)
        yield f"cpu{it.number}: {target.what(it.number)}, pc {it.pc:#018x}: {shown}"


def _cp0(target: Target, core: int, words: list[str]) -> Iterator[str]:
    """cp0 [NAME...]: CP0 registers of the core's root context, all or those named as in the manual"""
    it = target.cores[core]
    known = it.get_state()["cp0"]
    for name in words or known:
        yield f"{name:13} {known[name]:#018x}" if name in known else f"{name}: there is no such register"


def _tlb(target: Target, core: int, words: list[str]) -> Iterator[str]:
    """tlb [guest]: the valid entries of the core's TLB, or of its guest context's"""
    it = target.cores[core]
    first = state.TLB + (state.GUEST if words == ["guest"] else 0)
    count = state.TLB_ENTRIES + (state.FTLB_ENTRIES if it.ftlb else 0)
    valid = 0
    entries = it.S[first : first + count * state.TLB_FIELDS].reshape(count, state.TLB_FIELDS).tolist()
    for number, (vpn2, mask, asid, is_global, low, high, guest_id) in enumerate(entries):
        if mask >= 0:
            valid += 1
            owner = "global" if is_global else f"asid {asid:#x}"
            of_guest = f" guest {guest_id}" if guest_id else ""
            size = (mask | 0x1FFF) + 1 >> 11
            yield f"{number:4}: {vpn2 & M64:#018x} 2 x {size} KiB {owner}{of_guest}: {_half(low)}, {_half(high)}"
    yield f"{valid} of {count} entries are valid"


def _half(low: int) -> str:
    """One of an entry's two pages, by its EntryLo."""
    if not low & ENTRYLO_V:
        return "invalid"
    marks = f"{'r' if low >= 0 else '-'}{'w' if low & ENTRYLO_D else '-'}{'x' if not low & ENTRYLO_XI else '-'}"
    return f"{(low & LO_FRAME) >> 6 << 12:#x} {marks}"


def _irq(target: Target, core: int, words: list[str]) -> Iterator[str]:
    """irq: each core's pending and enabled interrupts (IP7 to IP0), and the inputs that are high"""
    for it, port in zip(target.cores, target.ports, strict=True):
        status, cause = it.cp0("status"), it.cp0("cause")
        taken = "are taken" if status & (ST_IE | ST_EXL | ST_ERL) == ST_IE else "are held off"
        yield (
            f"cpu{it.number}: pending {cause >> 8 & 0xFF:08b}, enabled {status >> 8 & 0xFF:08b}, {taken}; "
            f"inputs high: {port.high()}"
        )


def _devices(target: Target, core: int, words: list[str]) -> Iterator[str]:
    """devices: their names, and where those run that do not run here"""
    for name, component in target.machine.components.items():
        yield f"{name} ({component.place.where})" if component.remote else name


def _device(target: Target, core: int, words: list[str]) -> Iterator[str]:
    """device NAME: the registers, state and lines of one"""
    component = target.machine.components.get(words[0])
    if component is None:
        yield f"there is no device {words[0]!r}; `monitor devices` lists them"
    elif component.remote:
        yield f"{words[0]} runs elsewhere ({component.place.where}) and is not asked while the machine stands"
    else:
        yield from (f"{name:20} {_shown(value)}" for name, value in component.device.state.items())


def _shown(value: Any) -> str:
    return f"{value:#x}" if type(value) is int else repr(value)


def _physical(target: Target, core: int, words: list[str]) -> Iterator[str]:
    """physical ADDRESS [BYTES]: memory at a physical address"""
    address, count = int(words[0], 0), min(int(words[1], 0) if len(words) > 1 else ROW, MOST_SHOWN)
    try:
        data = target.machine.memory.read(address, count)
    except SocError as error:
        yield str(error)
        return
    for at in range(0, count, ROW):
        yield f"{address + at:#014x}  {data[at : at + ROW].hex(' ', -4)}"


def _translate(target: Target, core: int, words: list[str]) -> Iterator[str]:
    """translate ADDRESS: where a virtual address leads in the core's present mode"""
    physical = target.physical(core, int(words[0], 0) & M64)
    if physical is None:
        yield "nowhere: not mapped, or not for this mode"
    else:
        yield f"{physical:#x}, {'memory' if target.machine.memory.is_ram(physical) else 'no memory'}"


def _symbol(target: Target, core: int, words: list[str]) -> Iterator[str]:
    """symbol WHAT...: functions of the Linux kernel in memory, by name or address, from the kernel's own table"""
    table = symbols.from_memory(target.machine.memory)
    for word in words:
        address = table.address(word)
        if address is not None:
            yield f"{word} {address:#x}"
        elif word[:1].isdigit():
            pc = int(word, 0) & M64
            name, start = table.find(pc)
            yield f"{pc:#x} {name}+{pc - start:#x}"
        else:
            yield f"no function {word!r}; names come from {table.source}"


def _trace(target: Target, core: int, words: list[str]) -> Iterator[str]:
    """trace: how many messages there were, and the hash over them so far, without registers and memory"""
    trace = target.machine.trace
    yield f"{trace.messages} messages, {trace.hash(b'')}"


COMMANDS: dict[str, Command] = {
    "help": _help,
    "time": _time,
    "cores": _cores,
    "cp0": _cp0,
    "tlb": _tlb,
    "irq": _irq,
    "devices": _devices,
    "device": _device,
    "physical": _physical,
    "translate": _translate,
    "symbol": _symbol,
    "trace": _trace,
}
