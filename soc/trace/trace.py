"""The record of a run: model messages in the order they were delivered, and the hash over them (design law 6)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import blake2b
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any, NamedTuple

from soc.errors import SocError
from soc.messages import Message, pack
from soc.time import Clock, in_ns
from soc.trace import file
from soc.trace.activity import Activity, Taken
from soc.trace.latency import Latency
from soc.trace.wiring import Wiring

if TYPE_CHECKING:
    from soc.link import Link
    from soc.trace.wiring import Channel

_CHUNK = 1 << 16
_IP7 = 1 << 7
HASH_BYTES = 16


class Record(NamedTuple):
    """One delivered message and the link it came over (None: a component's own timer)."""

    message: Message
    link: Link | Channel | None

    def __str__(self) -> str:
        message, link = self
        own = message.shown(message.own_fields())
        where = link.name if link is not None else f"timer of port {message.source}"
        return f"{in_ns(message.time):>16} ns  {where}  {type(message).__name__}({own})  cause {message.cause:#x}"


class Trace:
    """The trace of one machine. The hash is always kept; messages and interrupts taken when `records` is true.

    The hash is a chain over chunks of the messages' bytes, so that it can be saved and go on in another process. Kept
    are compressed pieces of the same bytes; `record_to` also writes each to a file as it fills.
    """

    def __init__(self, records: bool = False) -> None:
        self._chain = b""
        self._pending = bytearray()
        self.messages = 0
        """Model messages delivered so far."""
        self.keeps = records
        """Whether more than the hash is kept."""
        self.wiring = Wiring()
        """Channels, cores and clock: what the records mean."""
        self.about: dict[str, Any] = {}
        """What a loaded file says about its run."""
        self.run_hash = ""
        """The trace hash of the run a loaded file is of; empty when the file does not say."""
        self._pieces: list[file.Piece] = []
        self._before = self._in_pieces = 0
        # Messages delivered before the first that is kept, and up to the end of the last piece.
        self._kept = 0
        # Bytes of `_pending` that are in a piece.
        self._taken: list[Taken] = []
        self._written = 0
        self._writer: file.Writer | None = None
        self._read: tuple[int, list[Record]] = (0, [])
        self._activity: tuple[tuple[int, int], Activity] | None = None

    def wire(self, link: Link) -> None:
        """A link of the machine: its messages carry the numbers of its ports."""
        self.wiring.add(link)

    def add(self, message: Message, link: Link | None) -> None:
        """A model message was delivered. Called in the order of law 2, before the receiver handles it."""
        pending = self._pending
        if len(pending) > _CHUNK:
            self._keep()
            self._chain = blake2b(self._chain + pending, digest_size=HASH_BYTES).digest()
            self._kept = 0
            pending.clear()
        self.messages += 1
        pending += pack(message)

    def take_back(self, message: Message) -> None:
        """The last message added, which its receiver could not take, has not been delivered."""
        data = pack(message)
        if not self._pending.endswith(data):
            raise SocError(f"{message} is not what was delivered last")
        self.messages -= 1
        del self._pending[-len(data) :]

    def taken(self, core: int, time: int, mask: int, came_due: int, injected: Iterable[tuple[int, int]] = ()) -> None:
        """Core `core` took an interrupt: its handler's first instruction is at `time`; `mask` has the IP bits that were
        pending and enabled. `came_due` is when its timer last came due; `injected` has pairs of an IP bit and when KVM
        made it pending, where the core is a virtual CPU."""
        if self.keeps:
            self._taken.append(Taken(time, core, mask, came_due if mask & _IP7 else None, tuple(injected)))

    def _keep(self) -> None:
        fresh = bytes(self._pending[self._kept :])
        if self.keeps and fresh:
            piece = file.Piece.of(fresh, self.messages - self._in_pieces)
            self._in_pieces, self._kept = self.messages, len(self._pending)
            self._pieces.append(piece)
            if self._writer is not None:
                self._writer.messages(piece)
                self._writer.taken(self._taken[self._written :])
                self._written = len(self._taken)

    def hash(self, digest: bytes = b"") -> str:
        """The trace hash up to here as hex digits, closed by `digest`, that of the final registers and RAM."""
        return blake2b(self._chain + self._pending + digest, digest_size=HASH_BYTES).hexdigest()

    # Snapshots.

    def saved(self) -> dict[str, Any]:
        """Where the hash stands, and what is kept."""
        self._keep()
        return {
            "chain": self._chain,
            "pending": bytes(self._pending),
            "messages": self.messages,
            "before": self._before,
            "pieces": [list(piece) for piece in self._pieces],
            "taken": [list(taken) for taken in self._taken],
        }

    def restore(self, saved: dict[str, Any]) -> None:
        """Go on from what `saved` gave. What it kept is taken over where this trace keeps records, and begins here
        where that one kept none."""
        self._chain, self._pending, self.messages = saved["chain"], bytearray(saved["pending"]), saved["messages"]
        self._in_pieces, self._kept = self.messages, len(self._pending)
        self._pieces, self._taken, self._before = [], [], self.messages
        if self.keeps and (saved["pieces"] or not self.messages):
            self._pieces = [file.Piece(*piece) for piece in saved["pieces"]]
            self._taken = [Taken.of(taken) for taken in saved["taken"]]
            self._before = saved["before"]

    # Files.

    def record_to(self, path: str | FilePath, about: dict[str, Any] | None = None) -> None:
        """Write the trace to `path`, from its beginning and as it grows; `close` ends the file.

        `about` is plain data that belongs to the run, such as its platform. TraceFileError when it cannot be written.
        """
        self._need_records()
        self._keep()
        self._writer = file.Writer(path, self.wiring, about or {})
        for piece in self._pieces:
            self._writer.messages(piece)
        self._writer.taken(self._taken)
        self._written = len(self._taken)

    def close(self, trace_hash: str = "") -> None:
        """End the file of `record_to`, if there is one; `trace_hash` is the run's."""
        if self._writer is not None:
            self._keep()
            self._writer.taken(self._taken[self._written :])
            self._writer.end(self.messages - self._before, trace_hash)
            self._writer = None

    def save(self, path: str | FilePath, about: dict[str, Any] | None = None, trace_hash: str = "") -> None:
        """Write the whole trace up to here to `path`."""
        self.record_to(path, about)
        self.close(trace_hash)

    @classmethod
    def load(cls, path: str | FilePath) -> Trace:
        """The trace in a file. TraceFileError for one that is damaged; its `readable` is a Trace of what is whole."""
        content, problem = file.read(path)
        trace = cls(records=True)
        trace.wiring, trace._pieces, trace._taken = content.wiring, content.pieces, content.taken
        trace.about, trace.run_hash = content.about, content.trace_hash
        trace.messages = trace._in_pieces = sum(piece.count for piece in content.pieces)
        if problem:
            raise file.TraceFileError(problem, trace if trace.messages else None)
        return trace

    # Looking.

    def _need_records(self) -> None:
        if not self.keeps:
            raise SocError("this machine keeps no records; build it with trace=True")

    @property
    def records(self) -> list[Record]:
        """Every delivered message. SocError when the machine was not told to keep them."""
        self._need_records()
        if self._read[0] != self.messages:
            pieces = [*(piece.data() for piece in self._pieces), bytes(self._pending[self._kept :])]
            find = self.wiring.channels.get
            rows = (message for data in pieces for message in file.messages(data))
            found = [Record(message, find((message[3], message[4]))) for message in rows]
            self._read = (self.messages, found)
        return self._read[1]

    @property
    def activity(self) -> Activity:
        """What lines, vectors and cores did, and the path of every interrupt. SocError without records."""
        self._need_records()
        seen = (self.messages, len(self._taken))
        if self._activity is None or self._activity[0] != seen:
            self._activity = seen, Activity(self.records, self._taken, self.wiring)
        return self._activity[1]

    def latency(self, name: str | None = None, through: str | None = None) -> Latency:
        """Hop-by-hop latencies of the interrupts that began at component or port `name` (None: all of them).

        Also "ipi", "timer" (every core's Count/Compare), "msi", "cpu2.timer", and the aliases of devices. `through`
        keeps those that passed a component. SocError when there is none, with the names there are.
        """
        if not self.keeps:
            raise SocError("this machine keeps no latency paths; build it with trace=True")
        return Latency(name, self.activity.chosen(name, through), self.activity)

    @property
    def clock(self) -> Clock | None:
        """The clock of the cores."""
        return self.wiring.clock

    def __iter__(self) -> Iterator[Record]:
        return iter(self.records)
