"""The property `accesses`: a register does on the bus what its declaration says."""

from __future__ import annotations

from devices.device import Device
from devices.registers import Register
from soc.kit.bench import Bench

_PATTERNS = (0, ~0, 0x0123_4567_89AB_CDEF, 0xA5A5_A5A5_A5A5_A5A5)


def check_accesses(bench: Bench, skip: set[str]) -> None:
    """Try every register except those in `skip`. AssertionError for one that does otherwise."""
    __tracebackhide__ = True
    for bank in bench.cls.register_map().banks:
        for register in bench.registers.values():
            if register.bank == bank and register.name not in skip:
                for index, offset in _some_elements(register):
                    _Cell(bench, bank, register, index, offset).check()


def _some_elements(register: Register) -> list[tuple[int, int]]:
    """All of a short array; the ends and one between of a long one."""
    places = list(enumerate(register.offsets()))
    return places if len(places) <= 4 else [places[0], places[len(places) // 2], places[-1]]


class _Cell:
    """One element of a register, on a fresh device for each question."""

    def __init__(self, bench: Bench, bank: str | None, register: Register, index: int, offset: int) -> None:
        self.bench, self.bank, self.register, self.index, self.offset = bench, bank, register, index, offset
        self.name = f"{bench.cls.__name__}.{register.name}" + (f"[{index}]" if register.is_array else "")
        self.reads_by_handler = getattr(bench.cls, f"on_read_{register.name}", None) is not None
        self.writes_by_handler = getattr(bench.cls, f"on_write_{register.name}", None) is not None
        self.alone = not any(
            other.register is not register and other.offset < offset + register.width and offset < other.end
            for other in bench.cls.register_map().cells(register.space, bank)
        )

    def fresh(self) -> Device:
        device = self.bench.rig().model
        device.select_bank(self.bank)
        return device

    def read(self, device: Device, size: int, lane: int = 0) -> int:
        return device.read(self.offset + lane, size, 0, self.register.space)

    def write(self, device: Device, size: int, value: int, lane: int = 0) -> None:
        device.write(self.offset + lane, size, value, 0, self.register.space)

    def held(self, device: Device, register: Register) -> int:
        value = getattr(device, register.name)
        return value[self.index] if register.is_array else value

    def check(self) -> None:
        __tracebackhide__ = True
        register = self.register
        self.check_reset()
        if register.access == "ro":
            self.check_read_only()
        elif not self.writes_by_handler:
            for pattern in _PATTERNS:
                self.check_write(pattern & register.bits)

    def check_reset(self) -> None:
        register = self.register
        if self.reads_by_handler or not self.alone:
            return
        initial = register.initial()
        reset = initial[self.index] if register.is_array else initial
        for size in register.accepts:
            if size > register.width:
                continue
            for lane in range(0, register.width, size):
                expected = (reset if register.readable else 0) >> 8 * lane & (1 << 8 * size) - 1
                self.expect(self.read(self.fresh(), size, lane), expected, f"after reset, {size} bytes at +{lane} read")

    def check_read_only(self) -> None:
        for size in (size for size in self.register.writes if size <= self.register.width and self.alone):
            for pattern in _PATTERNS:
                device = self.fresh()
                before = device.save()
                self.write(device, size, pattern & (1 << 8 * size) - 1)
                if device.save() != before:
                    raise AssertionError(f"{self.name} is ro, but a write of {size} bytes changed the device's state")

    def check_write(self, value: int) -> None:
        register = self.register
        target = register.of or register
        if register.width not in register.writes or not self.alone:
            return
        device = self.before_write(target, value)
        old = self.held(device, target)
        ones = value & register.mask
        expected = {
            "w1c": old & ~ones,
            "w1s": old | ones,
        }.get(register.access, ones | old & ~register.mask)
        did = f"held {old:#x}; after a write of {value:#x} ({register.access}) it holds"
        self.write(device, register.width, value)
        self.expect(self.held(device, target), expected, did)
        if self.reads_by_handler or register.width not in register.accepts:
            return
        seen = expected if register.readable else 0
        self.expect(self.read(device, register.width), seen, f"holds {expected:#x}; a read gives")
        for size in (size for size in register.accepts if size < register.width):
            lanes = range(0, register.width, size)
            whole = sum(self.read(device, size, lane) << 8 * lane for lane in lanes)
            self.expect(whole, seen, f"holds {expected:#x}; read by {size} bytes it gives")
        for size in (size for size in register.writes if size < register.width):
            other = self.before_write(target, value)
            for lane in range(0, register.width, size):
                self.write(other, size, value >> 8 * lane & (1 << 8 * size) - 1, lane)
            self.expect(self.held(other, target), expected, f"{did}, written by {size} bytes,")

    def before_write(self, target: Register, value: int) -> Device:
        """A fresh device; where a write of `value` clears or sets bits of `target`, with some of these up already."""
        device = self.fresh()
        if self.register.access in ("w1c", "w1s"):
            self.load(device, target, ~value >> 1 & self.register.bits)
        return device

    def load(self, device: Device, register: Register, value: int) -> None:
        """Have the device hold `value`, where it stays when it is put there."""
        before = device.save()
        if register.is_array:
            getattr(device, register.name)[self.index] = value
        else:
            setattr(device, register.name, value)
        device.settle()
        if self.held(device, register) != value:
            device.restore(before)

    def expect(self, got: int, expected: int, what: str) -> None:
        if got != expected:
            raise AssertionError(
                f"{self.name} {what} {got:#x}, declared is {expected:#x}\n"
                f"(a register that the device derives by itself is left out with skip={{{self.register.name!r}}})"
            )
