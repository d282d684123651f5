"""Hooks for scripts and replays: one core without firmware, and single devices."""

from __future__ import annotations

from collections.abc import Iterable

from cpu.core import Core, CoreError, StopKind
from cpu.memory import Memory
from devices.alone import make_device
from soc.errors import SocError

__all__ = ["CoreMachine", "StoppedRun", "make_device", "make_machine"]


class StoppedRun(SocError):
    """A run ended at something the core cannot do: an instruction that is not modelled, or an endless fault."""


class CoreMachine:
    """Cores and memory, no firmware; devices of the `virt` platform answer uncached accesses at no cost in time."""

    def __init__(self, cpus: int, ram_mb: int, tier: str):
        from soc.machine import Machine

        self.machine = Machine("virt", cpus=cpus, ram=ram_mb, tier=tier)
        self.memory: Memory = self.machine.memory
        self.cores: list[Core] = self.machine.cpu

    def _core(self, cpu: int) -> Core:
        if type(cpu) is not int or not 0 <= cpu < len(self.cores):
            raise CoreError(f"cpu {cpu!r}: this machine has 0..{len(self.cores) - 1}")
        return self.cores[cpu]

    def mem_write(self, paddr: int, data: bytes) -> None:
        """Writes memory; instruction fetch sees it."""
        self.memory.write(paddr, data)

    def mem_read(self, paddr: int, n: int) -> bytes:
        return self.memory.read(paddr, n)

    def set_state(self, cpu: int, values: dict) -> None:
        """Sets the given registers, see `Core.set_state`; clears the LL bit and any pending delay slot."""
        self._core(cpu).set_state(values)

    def get_state(self, cpu: int) -> dict:
        """All registers as unsigned integers."""
        return self._core(cpu).get_state()

    def run(self, cpu: int = 0, max_insns: int = 1_000_000, stop_pcs: Iterable[int] = ()) -> int:
        """Runs until a stop pc, `max_insns` instructions, or a WAIT that nothing can end; returns instructions
        completed. Raises StoppedRun where the core cannot go on, CoreError for a number that cannot be."""
        core = self._core(cpu)
        if type(max_insns) is not int or max_insns < 0:
            raise CoreError(f"max_insns = {max_insns!r}; a number of instructions from 0 is needed")
        first, stops = core.instructions, tuple(stop_pcs)
        while (left := first + max_insns - core.instructions) > 0:
            stop = core.run(None, left, stops)
            if stop.kind is StopKind.MMIO_READ:
                self._access(core, stop, lambda s: self.machine.bus.read(s.address, s.size))
            elif stop.kind is StopKind.MMIO_WRITE:
                self._access(core, stop, lambda s: self.machine.bus.write(s.address, s.size, s.value))
            elif stop.kind is StopKind.UNMODELLED or (stop.kind is StopKind.DEADLOCK and not core.waiting):
                raise StoppedRun(stop.text)
            elif stop.kind is not StopKind.SLICE:
                break
        return core.instructions - first

    @staticmethod
    def _access(core: Core, stop, access) -> None:
        try:
            value = access(stop)
        except SocError:
            core.finish_error(stop.cycle)
            return
        if stop.kind is StopKind.MMIO_READ:
            core.finish_read(value, stop.cycle)
        else:
            core.finish_write(stop.cycle)


def make_machine(cpus: int = 1, ram_mb: int = 512, tier: str = "auto") -> CoreMachine:
    """A machine without firmware: RAM zero, devices in reset."""
    return CoreMachine(cpus, ram_mb, tier)
