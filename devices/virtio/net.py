"""virtio-net: a network card and what is at the other end of its cable. Source: Virtual I/O Device 1.1, section 5.1."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from typing import Any

from devices.errors import DeviceError
from devices.registers import Internal
from devices.virtio.device import VirtioDevice
from devices.virtio.peer import PEERS
from devices.virtio.queue import Chain, QueueError, Steps, gather, scatter

TO_GUEST, FROM_GUEST = 0, 1
F_MAC, F_STATUS = 1 << 5, 1 << 16
HEADER = 12
MOST_FRAME = 65550
MOST_WAITING = 256

Handler = Callable[[bytes], Iterable[bytes]]


class VirtioNet(VirtioDevice):
    """A card with address `mac` (12 hexadecimal digits), and a `peer` that answers each frame after `delay` ps.

    `peer` is "loopback" (the frame comes back as it is), "echo" (a host at 10.0.2.2 that answers ARP and ping), "none",
    or a function from a frame to the frames that answer it. A function is called at the frame's model time; a run is
    reproducible if the function is. `send` puts a frame on the cable from outside.
    """

    device_type = 1
    pci_class = 0x020000
    queues = 2
    kept = ("waiting", "coming", "lost")

    waiting = Internal([])
    """Frames for the guest that have arrived."""
    coming = Internal([])
    """Frames on the cable: [time in ps, frame]."""
    lost = Internal(0)
    """Frames for the guest that found no room."""

    def __init__(
        self, *, mac: str = "525400123456", peer: str | Handler = "echo", delay: int = 20_000_000, **options: Any
    ) -> None:
        try:
            self.mac = bytes.fromhex(mac.replace(":", ""))
        except ValueError:
            self.mac = b""
        if len(self.mac) != 6 or self.mac[0] & 1:
            raise DeviceError(f"mac {mac!r}: 12 hexadecimal digits are needed, the first byte even")
        if not callable(peer) and peer not in PEERS:
            raise DeviceError(f"peer {peer!r}: use {', '.join(PEERS)}, or a function from a frame to frames")
        if type(delay) is not int or delay < 1:
            raise DeviceError(f"delay {delay!r} ps: a whole number from 1 is needed")
        self.peer: Handler = peer if callable(peer) else PEERS[peer]
        self.delay = delay
        super().__init__(**options)

    @property
    def features(self) -> int:
        return F_MAC | F_STATUS

    def configuration(self) -> bytes:
        return self.mac + struct.pack("<H", 1)

    def send(self, frame: bytes) -> None:
        """A frame from the peer; the guest has it `delay` later."""
        self.coming.append([self.outside.now + self.delay, bytes(frame)])
        if len(self.coming) == 1:
            self.after(self.delay, "arrival")

    def on_timer_arrival(self) -> None:
        while self.coming and self.coming[0][0] <= self.outside.now:
            frame = self.coming.pop(0)[1]
            if len(self.waiting) < MOST_WAITING:
                self.waiting.append(frame)
            else:
                self.lost += 1
        if self.coming:
            self.after(self.coming[0][0] - self.outside.now, "arrival")
        self.pump(TO_GUEST)

    def ready(self, queue: int) -> bool:
        return queue == FROM_GUEST or bool(self.waiting)

    def begin(self, queue: int) -> Any:
        return self.waiting[0] if queue == TO_GUEST else None

    def serve_chain(self, queue: int, chain: Chain, given: Any) -> Steps:
        if queue == TO_GUEST:
            data = struct.pack("<10xH", 1) + given
            if chain.to_write < len(data):
                raise QueueError(
                    f"a receive buffer of {chain.to_write} bytes; the frame and its header have {len(data)}"
                )
            return (yield from scatter(chain.writable, data)), None
        if not HEADER <= chain.to_read <= HEADER + MOST_FRAME:
            raise QueueError(f"a frame of {chain.to_read} bytes with its header: {HEADER} to {HEADER + MOST_FRAME}")
        return 0, (yield from gather(chain.readable, HEADER))

    def finish(self, queue: int, outcome: Any) -> None:
        if queue == TO_GUEST:
            self.waiting.pop(0)
        else:
            for frame in self.peer(outcome):
                self.send(frame)
