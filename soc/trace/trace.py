"""The record of a run: model messages in the order they were delivered, and the hash over them (design law 6)."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple

from soc.errors import SocError
from soc.messages import InterruptLevel, Message, pack
from soc.time import in_ns
from soc.trace.latency import Latency, Paths

if TYPE_CHECKING:
    from soc.link import Link

_CHUNK = 1 << 16
HASH_BYTES = 16


class Record(NamedTuple):
    """One delivered message and the link it came over (None: a component's own timer)."""

    message: Message
    link: Link | None

    def __str__(self) -> str:
        message, link = self
        own = ", ".join(f"{name}={getattr(message, name)!r}" for name in list(message.FIELDS)[5:])
        where = link.name if link is not None else f"timer of port {message.source}"
        return f"{in_ns(message.time):>16} ns  {where}  {type(message).__name__}({own})  cause {message.cause:#x}"


class Trace:
    """The trace of one machine. The hash is always kept; records and latency paths when `records` is true."""

    def __init__(self, records: bool = False) -> None:
        self._hash = blake2b(digest_size=HASH_BYTES)
        self._pending = bytearray()
        self.messages = 0
        """Model messages delivered so far."""
        self._records: list[Record] | None = [] if records else None
        self.paths = Paths() if records else None

    def add(self, message: Message, link: Link | None) -> None:
        """A model message was delivered. Called in the order of law 2, before the receiver handles it."""
        self.messages += 1
        pending = self._pending
        pending += pack(message)
        if len(pending) > _CHUNK:
            self._hash.update(pending)
            pending.clear()
        if self._records is not None:
            self._records.append(Record(message, link))
            if type(message) is InterruptLevel and message.level and link is not None:
                self.paths.level(message, link)

    def hash(self, digest: bytes = b"") -> str:
        """The trace hash up to here as hex digits, closed by `digest`, that of the final registers and RAM."""
        closed = self._hash.copy()
        closed.update(self._pending)
        closed.update(digest)
        return closed.hexdigest()

    @property
    def records(self) -> list[Record]:
        """Every delivered message. SocError when the machine was not told to keep them."""
        if self._records is None:
            raise SocError("this machine keeps no records; build it with trace=True")
        return self._records

    def latency(self, name: str | None = None) -> Latency:
        """Hop-by-hop latencies of the interrupts that began at component or port `name` (None: all of them)."""
        if self.paths is None:
            raise SocError("this machine keeps no latency paths; build it with trace=True")
        return self.paths.latency(name)

    def __iter__(self) -> Iterator[Record]:
        return iter(self.records)
