"""A machine as gdb sees it: cores are threads, memory is what a core sees, breakpoints are pcs at which it stops.

Looking changes nothing of the machine. A breakpoint is nothing the guest could see.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import quoteattr

from cpu.memory import Watch
from cpu.tlb.translate import FETCH, LOAD
from cpu.words import M64
from soc.errors import SocError
from soc.gdb import registers

if TYPE_CHECKING:
    from soc.cluster import ClusterComponent
    from soc.machine import Machine

PAGE = 4096
CONTINUE, STEP = "c", "s"


class NotMemory(SocError):
    """An address that leads to no memory: not mapped, or a device's."""


class Target:
    """The machine of one run."""

    def __init__(self, machine: Machine, component: ClusterComponent) -> None:
        """`component`: the machine's cores."""
        self.machine, self.cluster, self.ports = machine, component.cluster, component.ports
        self.cores: list[Any] = self.cluster.cores
        vz = self.cores[0].vz is not None
        self.registers = registers.registers(vz)
        self.description = registers.description(vz)
        self._by_number = {register.number: register for register in self.registers}
        self.breakpoints: set[tuple[int, int]] = set()
        """(kind, pc): gdb's software (0) and hardware (1) breakpoints, which are the same here."""
        self.watchpoints: set[Watch] = set()

    # Registers.

    def read_registers(self, core: int) -> bytes:
        """All of a core, by number."""
        return b"".join(register.read(self.cores[core]) for register in self.registers)

    def write_registers(self, core: int, data: bytes) -> None:
        """All of a core; those that are only read stay as they are. Raises RegisterRefused, ValueError where the bytes
        are not those of all registers."""
        size = registers.REGISTER_BYTES
        if len(data) != size * len(self.registers):
            raise ValueError(f"{len(data)} bytes for {len(self.registers)} registers of {size}")
        for n, register in enumerate(self.registers):
            if register.put is not None:
                register.write(self.cores[core], data[n * size : (n + 1) * size])

    def register(self, number: int) -> registers.Register:
        """The one with gdb's number. Raises RegisterRefused."""
        if number not in self._by_number:
            raise registers.RegisterRefused(f"there is no register {number}")
        return self._by_number[number]

    # Memory.

    def _pieces(self, core: int, address: int, count: int) -> Iterator[tuple[int, int]]:
        """(physical address, bytes) of virtual ones, page by page, up to where no memory is."""
        memory = self.machine.memory
        while count:
            size = min(count, PAGE - address % PAGE)
            physical = self.physical(core, address)
            if physical is None or not memory.is_ram(physical):
                return
            yield physical, size
            address, count = address + size & M64, count - size

    def physical(self, core: int, address: int) -> int | None:
        """Where a virtual address leads in the core's present mode, for a load or else a fetch; None: nowhere."""
        found = self.cores[core].translate(address, LOAD)
        return self.cores[core].translate(address, FETCH) if found is None else found

    def read_memory(self, core: int, address: int, count: int) -> bytes:
        """Up to `count` bytes at a virtual address, fewer where memory ends. Raises NotMemory when there are none."""
        read = self.machine.memory.read
        data = b"".join(read(*piece) for piece in self._pieces(core, address, count))
        if count and not data:
            raise NotMemory(f"core {core} sees no memory at {address:#x}")
        return data

    def write_memory(self, core: int, address: int, data: bytes) -> None:
        """Writes at a virtual address, also where the core itself may only read. Raises NotMemory, and writes nothing,
        where not all of it is memory."""
        pieces = list(self._pieces(core, address, len(data)))
        if sum(size for _, size in pieces) != len(data):
            raise NotMemory(f"core {core} does not see {len(data)} bytes of memory at {address:#x}")
        for physical, size in pieces:
            self.machine.memory.write(physical, data[:size])
            data = data[size:]

    # Cores.

    def what(self, core: int) -> str:
        """What a core does, in words."""
        it = self.cores[core]
        if it.held:
            return "held at reset"
        mode, _, asid = it.mode.partition(" asid ")
        return f"{mode} mode{f', asid {asid}' if asid else ''}{', waiting' if it.waiting else ''}"

    def threads(self) -> str:
        """gdb's list of threads, in XML."""
        rows = [
            f'<thread id="{n + 1:x}" core="{n}" name={quoteattr(f"cpu{n}")}>{self.what(n)}</thread>'
            for n in range(len(self.cores))
        ]
        return "\n".join(['<?xml version="1.0"?>', "<threads>", *rows, "</threads>", ""])

    def go_on(self, actions: Mapping[int, str]) -> None:
        """How the cores go on: a core steps, continues, or, where nothing is said of it, goes on as its windows say.

        While one core steps and none continues, gdb has taken its breakpoints out, to get past one; those of before
        hold then for the other cores. Watchpoints do not, as gdb could not tell what for.
        """
        stops = frozenset(pc for _, pc in self.breakpoints)
        if CONTINUE not in actions.values():
            stops |= self.cluster.stops
        self.cluster.stops, self.cluster.watches = stops, tuple(sorted(self.watchpoints))
        self.cluster.step(next((core for core, action in actions.items() if action == STEP), None))

    def release(self) -> None:
        """Nothing stops any more."""
        self.breakpoints.clear()
        self.watchpoints.clear()
        self.cluster.stops, self.cluster.watches = frozenset(), ()
        self.cluster.step(None)
