"""RAM as the target of DMA: requests in, replies out, and the doorbells that turn a write into an interrupt message.

A request takes effect at its own time. The kernel handles every event of a window before the cores run through it, so
a write is visible, and a read samples memory, as design law 8 says.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from soc.errors import ProtocolError, SocError
from soc.link import Link
from soc.messages import DmaError, DmaRead, DmaReply, DmaWrite, InterruptVector, Message

if TYPE_CHECKING:
    from soc.kernel import Kernel


class MemoryComponent:
    """Memory seen from the devices.

    `doorbells` maps an address to the output port that a 4-byte write there leaves at, its low byte being the vector of
    an interrupt message. Anything else outside RAM is an error reply, counted in `errors` by page. `rom` is base and
    size.
    """

    name = "memory"

    def __init__(self, memory: Any, kernel: Kernel, rom: tuple[int, int], doorbells: dict[int, str]) -> None:
        self.links: dict[str, list[Link]] = {}
        self.errors: Counter[int] = Counter()
        """Refused transfers by address of the page."""
        self._memory, self._kernel, self._doorbells = memory, kernel, doorbells
        self._rom = range(rom[0], rom[0] + rom[1])

    def output_ports(self) -> list[str]:
        """The doorbells' ports."""
        return sorted(set(self._doorbells.values()))

    def connect(self, port: str, link: Link) -> None:
        """Let `link` carry what leaves at `port`."""
        self.links.setdefault(port, []).append(link)

    def port(self, reply: Link) -> Callable[[Message], None]:
        """The handler for the requests of one device, whose answers go over `reply`."""

        def arrive(message: Message) -> None:
            reply.send(*self._answer(message))

        return arrive

    def _answer(self, message: Message) -> tuple[Any, ...]:
        now, cause, sequence = self._kernel._now, message.cause, message.sequence
        if type(message) is DmaWrite:
            size = len(message.data)
        elif type(message) is DmaRead:
            size = message.size
        else:
            raise ProtocolError(f"memory cannot take a {type(message).__name__}")
        address = message.address
        if type(message) is DmaWrite and address in self._doorbells and size == 4:
            for link in self.links.get(self._doorbells[address], ()):
                link.send(InterruptVector, now, cause, message.data[0])
            return DmaReply, now, cause, sequence, b""
        if self._holds(address, size, type(message) is DmaWrite):
            try:
                if type(message) is DmaRead:
                    return DmaReply, now, cause, sequence, self._memory.read(address, size)
                self._memory.write(address, message.data)
                return DmaReply, now, cause, sequence, b""
            except SocError:
                # A range that begins in memory and ends outside it.
                pass
        self.errors[address & ~0xFFF] += 1
        return DmaError, now, cause, sequence, f"{size} bytes at {address:#x} are not memory"

    def _holds(self, address: int, size: int, writing: bool) -> bool:
        if not size or (writing and address in self._rom):
            return False
        return self._memory.is_ram(address) and self._memory.is_ram(address + size - 1)
