"""A PCI function for the tests of DMA: copies memory when told, and counts what it hears."""

from devices.dma import DmaFault, Process, Read, Write
from devices.pci.function import PciFunction
from devices.registers import Internal, Register


class Copier(PciFunction):
    """Writing `go` copies `length` bytes from `source` to `target`; `done` counts copies, `failed` faults."""

    identity = (0x1234, 0x5678, 0xFF0000)
    bars = {0: 0x8000}

    source = Register(0x00, width=8, space="bar0")
    target = Register(0x08, width=8, space="bar0")
    length = Register(0x10, width=4, space="bar0")
    go = Register(0x14, width=4, access="wo", space="bar0")
    done = Register(0x18, width=4, access="ro", accepts=(4, 8), space="bar0")
    failed = Register(0x1C, width=4, access="ro", accepts=(4, 8), space="bar0")

    times = Internal([])

    def on_write_go(self, value: int, old: int) -> None:
        self.spawn("copy", self.source, self.target, self.length)

    def copy(self, source: int, target: int, length: int) -> Process:
        data = yield Read(source, length)
        yield Write(target, data)
        self.done += 1
        self.times.append(self.outside.now)

    def on_fault(self, method, fault) -> None:
        assert isinstance(fault, DmaFault)
        self.failed += 1


class Asker(Copier):
    """A copier that asks for service by INTA# when a copy is done, until `quiet` is written."""

    quiet = Register(0x20, width=4, access="wo", space="bar0")

    asking = Internal(False)

    def copy(self, source: int, target: int, length: int) -> Process:
        yield from super().copy(source, target, length)
        self.asking = True

    def on_write_quiet(self, value: int, old: int) -> None:
        self.asking = False

    def intx(self) -> bool:
        return self.asking
