"""virtio-console: one port, bytes in and out. Source: Virtual I/O Device 1.1, section 5.3."""

from __future__ import annotations

from typing import Any

from devices.registers import Internal
from devices.virtio.device import VirtioDevice
from devices.virtio.queue import Chain, Steps, gather, scatter

TO_GUEST, FROM_GUEST = 0, 1


class VirtioConsole(VirtioDevice):
    """What the guest writes leaves at byte port "tx"; what arrives at "rx" waits until the guest has a buffer."""

    device_type = 3
    pci_class = 0x078000
    queues = 2
    kept = ("waiting", "written")

    waiting = Internal(b"")
    """Bytes for the guest."""
    written = Internal(b"")
    """Everything the guest has written."""

    def on_receive_rx(self, data: bytes) -> None:
        self.waiting += data
        self.pump(TO_GUEST)

    def ready(self, queue: int) -> bool:
        return queue == FROM_GUEST or bool(self.waiting)

    def begin(self, queue: int) -> Any:
        return self.waiting if queue == TO_GUEST else None

    def serve_chain(self, queue: int, chain: Chain, given: Any) -> Steps:
        if queue == TO_GUEST:
            written = yield from scatter(chain.writable, given[: chain.to_write])
            return written, written
        data = yield from gather(chain.readable)
        return 0, data

    def finish(self, queue: int, outcome: Any) -> None:
        if queue == TO_GUEST:
            self.waiting = self.waiting[outcome:]
        else:
            self.written += outcome
            self.outside.output("tx", outcome)
