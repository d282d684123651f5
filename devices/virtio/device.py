"""The virtio 1.x transport over PCI, and the serving of queues. Device types add features, configuration and requests.

Source: Virtual I/O Device 1.1, sections 2, 3 and 4.1. Modern interface only; one chain of a queue is served at a time,
in the order of the available ring.
"""

from __future__ import annotations

import logging
import struct
from typing import Any, ClassVar

from devices.dma import DmaFault, Process
from devices.errors import DeviceError
from devices.pci.function import CAPABILITIES_AT, MSIX_TABLE_AT, VECTORS, VENDOR_SPECIFIC, PciFunction
from devices.registers import SIZES, Internal, Register, RegisterArray
from devices.virtio.queue import Chain, QueueError, Ring, Steps, peek, put, take

log = logging.getLogger(__name__)

ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK, NEEDS_RESET, FAILED = 1, 2, 4, 8, 64, 128
INDIRECT_DESC, VERSION_1 = 1 << 28, 1 << 32
NO_INTERRUPT = 1
NO_VECTOR = 0xFFFF
QUEUE_INTERRUPT, CONFIG_INTERRUPT = 1, 2
QUEUES = 4
QUEUE_SIZE = 256

COMMON, ISR, DEVICE, NOTIFY = 0x0000, 0x1000, 0x2000, 0x3000
"""Where the structures are in BAR 0."""
COMMON_CFG, NOTIFY_CFG, ISR_CFG, DEVICE_CFG, PCI_CFG = 1, 2, 3, 4, 5
NOTIFY_MULTIPLIER = 4
VENDOR, DEVICE_BASE = 0x1AF4, 0x1040
_PCI_CFG_AT = CAPABILITIES_AT + 16 + 16 + 16 + 20
"""It follows three capabilities of 16 bytes and one of 20."""


def _common(offset: int, width: int, access: str = "rw", **options: Any) -> Register:
    return Register(COMMON + offset, width=width, access=access, space="bar0", **options)


class VirtioDevice(PciFunction):
    """Base of the virtio devices.

    A subclass gives `device_type`, `queues`, `features`, `configuration()` and `serve_chain`; `ready(queue)` says
    whether the device has something to put into a queue that carries data to the guest.
    """

    device_type: ClassVar[int] = 0
    pci_class: ClassVar[int] = 0xFF0000
    queues: ClassVar[int] = 1
    """Virtqueues the device has, at most 4."""
    kept: ClassVar[tuple[str, ...]] = ()
    """Internals that a driver's reset leaves alone, such as data that arrived from outside."""
    revision_number = 1

    device_feature_select = _common(0x00, 4)
    device_feature = _common(0x04, 4, "ro")
    driver_feature_select = _common(0x08, 4)
    driver_feature = _common(0x0C, 4)
    config_msix_vector = _common(0x10, 2, reset=NO_VECTOR)
    num_queues = _common(0x12, 2, "ro")
    device_status = _common(0x14, 1)
    config_generation = _common(0x15, 1, "ro")
    queue_select = _common(0x16, 2)
    queue_size = _common(0x18, 2, reset=QUEUE_SIZE)
    queue_msix_vector = _common(0x1A, 2, reset=NO_VECTOR)
    queue_enable = _common(0x1C, 2)
    queue_notify_off = _common(0x1E, 2, "ro")
    queue_desc = _common(0x20, 8, accepts=(4, 8))
    queue_driver = _common(0x28, 8, accepts=(4, 8))
    queue_device = _common(0x30, 8, accepts=(4, 8))

    isr = Register(ISR, width=1, access="ro", space="bar0", doc="Bit 0 queue, bit 1 configuration; a read clears it.")
    device_configuration = RegisterArray(
        DEVICE, count=64, width=1, access="ro", accepts=SIZES, space="bar0", doc="Of the device type."
    )
    notify = RegisterArray(NOTIFY, count=QUEUES, stride=4, width=2, access="wo", accepts=(2, 4), space="bar0")

    # The transport's own window into the BAR, for drivers that cannot map it.
    window_bar = Register(_PCI_CFG_AT + 4, width=1, accepts=(1, 2, 4), space="config")
    window_offset = Register(_PCI_CFG_AT + 8, width=4, accepts=(1, 2, 4), space="config")
    window_length = Register(_PCI_CFG_AT + 12, width=4, accepts=(1, 2, 4), space="config")
    window_data = Register(_PCI_CFG_AT + 16, width=4, accepts=(1, 2, 4), space="config")

    driver_features = Internal(0)
    interrupts = Internal(0)
    sizes = Internal([QUEUE_SIZE] * QUEUES)
    vectors = Internal([NO_VECTOR] * QUEUES)
    enabled = Internal([0] * QUEUES)
    areas = Internal([0] * 3 * QUEUES)
    """Per queue: descriptor table, available ring, used ring."""
    served = Internal([0] * QUEUES)
    """Chains given back, modulo 2^16."""
    serving = Internal([0] * QUEUES)
    notified = Internal([0] * QUEUES)
    leaving = Internal(False)
    """A reset was asked for and waits for the transfers under way."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.identity = (VENDOR, DEVICE_BASE + cls.device_type, cls.pci_class)
        cls.subsystem = (VENDOR, DEVICE_BASE + cls.device_type)

    # What a device type gives.

    @property
    def features(self) -> int:
        """Feature bits of the device type."""
        return 0

    def configuration(self) -> bytes:
        """The device type's configuration space."""
        return b""

    def ready(self, queue: int) -> bool:
        """False while the device has nothing to do with a buffer of `queue`, even if there is one."""
        return True

    def begin(self, queue: int) -> Any:
        """What `serve_chain` of the next chain is given (msgpack types): the data for the guest, or the place."""
        return None

    def serve_chain(self, queue: int, chain: Chain, given: Any) -> Steps:
        """Do the request: a part of a process. Returns (bytes written into the chain, what `finish` is given)."""
        raise NotImplementedError(f"{type(self).__name__} has queue {queue} and does not serve it")

    def finish(self, queue: int, outcome: Any) -> None:
        """The chain was given back; `outcome` is what `serve_chain` returned."""

    # The transport.

    @property
    def offered(self) -> int:
        """All feature bits."""
        return self.features | INDIRECT_DESC | VERSION_1

    @property
    def live(self) -> bool:
        """True while the driver is up and nothing went wrong."""
        return bool(self.device_status & DRIVER_OK) and not self.device_status & NEEDS_RESET and not self.leaving

    def capabilities(self) -> bytes:
        at = CAPABILITIES_AT
        found = b""
        for kind, offset, size, more in (
            (COMMON_CFG, COMMON, 0x38, b""),
            (ISR_CFG, ISR, 1, b""),
            (DEVICE_CFG, DEVICE, 64, b""),
            (NOTIFY_CFG, NOTIFY, NOTIFY_MULTIPLIER * QUEUES, struct.pack("<I", NOTIFY_MULTIPLIER)),
            (PCI_CFG, 0, 0, bytes(4)),
        ):
            size_of_it = 16 + len(more)
            at += size_of_it
            following = 0 if kind == PCI_CFG else at
            found += struct.pack("<BBBBBxxxII", VENDOR_SPECIFIC, following, size_of_it, kind, 0, offset, size) + more
        return found

    def intx(self) -> bool:
        return bool(self.interrupts)

    def on_read_isr(self) -> int:
        value, self.interrupts = self.interrupts, 0
        return value

    def on_read_device_feature(self) -> int:
        select = self.device_feature_select
        return self.offered >> 32 * select & 0xFFFF_FFFF if select < 2 else 0

    def on_read_driver_feature(self) -> int:
        select = self.driver_feature_select
        return self.driver_features >> 32 * select & 0xFFFF_FFFF if select < 2 else 0

    def on_write_driver_feature(self, value: int, old: int) -> None:
        select = self.driver_feature_select
        if select < 2 and not self.device_status & FEATURES_OK:
            kept = self.driver_features & ~(0xFFFF_FFFF << 32 * select)
            self.driver_features = kept | value << 32 * select

    def on_write_config_msix_vector(self, value: int, old: int) -> None:
        self.config_msix_vector = value if value < VECTORS else NO_VECTOR

    def on_read_num_queues(self) -> int:
        return self.queues

    def on_read_device_configuration(self, index: int) -> int:
        data = self.configuration()
        return data[index] if index < len(data) else 0

    def on_write_device_status(self, value: int, old: int) -> None:
        if value == 0:
            self.device_status = old
            self._reset()
            return
        # A driver only ever adds bits; NEEDS_RESET is the device's.
        value = value & ~NEEDS_RESET | old
        wanted = self.driver_features
        if value & ~old & FEATURES_OK and (wanted & ~self.offered or not wanted & VERSION_1):
            value &= ~FEATURES_OK
        self.device_status = value
        if value & ~old & DRIVER_OK:
            for queue in range(self.queues):
                self.pump(queue)

    def on_write_queue_select(self, value: int, old: int) -> None:
        there = value < self.queues
        self.queue_size = self.sizes[value] if there else 0
        self.queue_msix_vector = self.vectors[value] if there else NO_VECTOR
        self.queue_enable = self.enabled[value] if there else 0
        areas = self.areas[3 * value : 3 * value + 3] if there else (0, 0, 0)
        self.queue_desc, self.queue_driver, self.queue_device = areas

    def on_read_queue_notify_off(self) -> int:
        return self.queue_select if self.queue_select < self.queues else 0

    def _selected(self) -> int | None:
        return self.queue_select if self.queue_select < self.queues else None

    def on_write_queue_size(self, value: int, old: int) -> None:
        queue = self._selected()
        fits = queue is not None and 0 < value <= QUEUE_SIZE and not value & value - 1 and not self.enabled[queue]
        if fits:
            self.sizes[queue] = value
        else:
            self.queue_size = old

    def on_write_queue_msix_vector(self, value: int, old: int) -> None:
        queue = self._selected()
        self.queue_msix_vector = value if value < VECTORS and queue is not None else NO_VECTOR
        if queue is not None:
            self.vectors[queue] = self.queue_msix_vector

    def on_write_queue_enable(self, value: int, old: int) -> None:
        queue = self._selected()
        # Only a reset disables a queue.
        self.queue_enable = old if queue is None or value != 1 else 1
        if queue is not None and value == 1:
            self.enabled[queue] = 1

    def on_write_queue_desc(self, value: int, old: int) -> None:
        self._area(0, "queue_desc", value, old)

    def on_write_queue_driver(self, value: int, old: int) -> None:
        self._area(1, "queue_driver", value, old)

    def on_write_queue_device(self, value: int, old: int) -> None:
        self._area(2, "queue_device", value, old)

    def _area(self, which: int, name: str, value: int, old: int) -> None:
        queue = self._selected()
        if queue is None or self.enabled[queue]:
            setattr(self, name, old)
        else:
            self.areas[3 * queue + which] = value

    def on_write_notify(self, index: int, value: int, old: int) -> None:
        if index < self.queues:
            self.notified[index] = 1
            self.pump(index)

    def on_read_window_data(self) -> int:
        if self._window_fits():
            return self.read(self.window_offset, self.window_length, self.core, "bar0")
        return 0

    def on_write_window_data(self, value: int, old: int) -> None:
        if self._window_fits():
            self.write(self.window_offset, self.window_length, value, self.core, "bar0")

    def _window_fits(self) -> bool:
        length = self.window_length
        inside = self.window_offset + length <= self.bars[0]
        return not self.window_bar and length in (1, 2, 4) and not self.window_offset % length and inside

    # Queues.

    def pump(self, queue: int) -> None:
        """Serve `queue` if it is up and there may be something to do."""
        if self.live and self.enabled[queue] and not self.serving[queue] and self.ready(queue):
            self.serving[queue], self.notified[queue] = 1, 0
            ring = (self.sizes[queue], *self.areas[3 * queue : 3 * queue + 3], self.served[queue])
            self.spawn("serve", queue, list(ring), self.begin(queue), bool(self.driver_features & INDIRECT_DESC))

    def serve(self, queue: int, ring: list[int], given: Any, indirect: bool) -> Process:
        """The process of one chain; ends at once when the driver has made none available."""
        ring = Ring(*ring)
        ring.check()
        _, index = yield from peek(ring)
        if index == ring.last:
            self._served(queue, False, None, 0)
            return
        chain = yield from take(ring, indirect)
        written, outcome = yield from self.serve_chain(queue, chain, given)
        yield from put(ring, chain.head, written)
        # Whether to interrupt is asked after the index is visible, or the driver could miss it.
        flags, _ = yield from peek(ring)
        self._served(queue, True, outcome, flags)

    def _served(self, queue: int, done: bool, outcome: Any, flags: int) -> None:
        self.serving[queue] = 0
        if done:
            self.served[queue] = self.served[queue] + 1 & 0xFFFF
            self.finish(queue, outcome)
            if not flags & NO_INTERRUPT:
                self._signal(self.vectors[queue], QUEUE_INTERRUPT)
        if done or self.notified[queue]:
            self.pump(queue)

    def _signal(self, vector: int, bit: int) -> None:
        if self.msix:
            self.interrupt(vector)
        else:
            self.interrupts |= bit

    def on_fault(self, method: str, fault: DeviceError) -> None:
        if not isinstance(fault, DmaFault | QueueError):
            raise fault
        log.warning("%s: %s; the device needs a reset", self.name, fault)
        self.needs_reset()

    def needs_reset(self) -> None:
        """The driver broke the rules: stop, and tell it."""
        self.device_status |= NEEDS_RESET
        if self.device_status & DRIVER_OK:
            self._signal(self.config_msix_vector, CONFIG_INTERRUPT)

    def _reset(self) -> None:
        self.leaving = True
        self.abandon()
        if not self.busy:
            self.on_drained()

    def on_drained(self) -> None:
        if self.leaving:
            header = {
                name: self.__dict__[name] for name, register in self._map.registers.items() if _outlives(register)
            }
            kept = {name: self.__dict__[name] for name in self.kept}
            self._clear(cold=False)
            self.__dict__.update(header)
            self.__dict__.update(kept)


def _outlives(register: Register) -> bool:
    """True for what the driver's reset does not touch: the PCI header and MSI-X."""
    return register.stored and (register.space == "config" or register.offset >= MSIX_TABLE_AT)
