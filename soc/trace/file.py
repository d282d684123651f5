"""Trace files: a head line, then msgpack arrays, each with a check value, so that what is whole can be read.

    b"soc-trace 1\\n"
    ["system", crc, bytes]              msgpack of {about, cores, core_clock, links}
    ["messages", crc, bytes, count]     zlib of packed messages (soc.messages), one after the other
    ["taken", crc, bytes, count]        zlib of msgpack arrays [time ps, core, IP mask, timer deadline ps or nil,
                                        pairs of an IP bit and the time ps at which KVM injected it]
    ["end", crc, bytes]                 msgpack of {messages, taken, hash}

The check value is CRC-32 of the bytes. A file without its end was cut off, or its run was killed.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import msgpack

from soc.errors import SocError
from soc.messages import KINDS, VERSION, Message
from soc.time import in_ns
from soc.trace.activity import Taken
from soc.trace.wiring import Wiring

if TYPE_CHECKING:
    from soc.trace.trace import Trace

NAME = "trace.soc"
"""The file's name in a run folder."""
FORMAT = 1
_HEAD = b"soc-trace "
_LEVEL = 1
_MOST = 1 << 28


class TraceFileError(SocError):
    """A trace file that cannot be written, or is not whole; `readable` is the Trace of what could be read, or None."""

    def __init__(self, text: str, readable: Trace | None = None) -> None:
        super().__init__(text)
        self.readable = readable


class Piece(NamedTuple):
    """Some messages of a trace, compressed."""

    packed: bytes
    count: int

    @classmethod
    def of(cls, data: bytes, count: int) -> Piece:
        """`count` packed messages."""
        return cls(zlib.compress(data, _LEVEL), count)

    def data(self) -> bytes:
        """The messages' bytes."""
        return zlib.decompress(self.packed)


def messages(data: bytes) -> Iterator[Message]:
    """The messages in bytes that this package packed."""
    unpacker = msgpack.Unpacker(use_list=False, raw=False, max_buffer_size=_MOST)
    unpacker.feed(data)
    new, kinds = tuple.__new__, KINDS
    for row in unpacker:
        yield new(kinds[row[1]], row)


class Writer:
    """Writes a trace file piece by piece. TraceFileError when the host refuses."""

    def __init__(self, path: str | Path, wiring: Wiring, about: dict[str, Any]) -> None:
        self.path = Path(path)
        self._taken = 0
        self._broken = False
        try:
            self._file: BinaryIO = self.path.open("wb")
            self._file.write(_HEAD + b"%d\n" % FORMAT)
        except OSError as cause:
            raise self._refused(cause) from cause
        self._put("system", msgpack.packb({"about": about, **wiring.as_dict()}))

    def messages(self, piece: Piece) -> None:
        """One more piece of the messages."""
        if piece.count:
            self._put("messages", piece.packed, piece.count)

    def taken(self, entries: Iterable[Taken]) -> None:
        """Interrupts taken, in any order."""
        rows = [msgpack.packb(entry) for entry in entries]
        if rows:
            self._taken += len(rows)
            self._put("taken", zlib.compress(b"".join(rows), _LEVEL), len(rows))

    def end(self, count: int, trace_hash: str) -> None:
        """The last word: how much there is, so that a reader knows it has all of it."""
        self._put("end", msgpack.packb({"messages": count, "taken": self._taken, "hash": trace_hash}))
        with suppress(OSError):  # what is refused here was refused to a piece, which has told
            self._file.close()

    def _put(self, kind: str, data: bytes, *more: int) -> None:
        if self._broken:
            return
        try:
            self._file.write(msgpack.packb([kind, zlib.crc32(data), data, *more]))
            self._file.flush()
        except OSError as cause:
            self._broken = True
            raise self._refused(cause) from cause

    def _refused(self, cause: OSError) -> TraceFileError:
        return TraceFileError(f"cannot write the trace {self.path}: {cause.strerror}.\nGive a folder with room for it.")


@dataclass
class Content:
    """What a file holds, as far as it is whole."""

    wiring: Wiring = field(default_factory=Wiring)
    about: dict[str, Any] = field(default_factory=dict)
    pieces: list[Piece] = field(default_factory=list)
    taken: list[Taken] = field(default_factory=list)
    trace_hash: str = ""
    end: dict[str, Any] | None = None


class _Damaged(Exception):
    pass


def read(path: str | Path) -> tuple[Content, str]:
    """What a trace file holds, and what is wrong with it ("": nothing).

    TraceFileError when there is nothing to read: no such file, not a trace, or one of another version.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as cause:
        raise TraceFileError(
            f"cannot read the trace {path}: {cause.strerror}.\n`soc boot --out DIR` and `soc run --out DIR` keep one."
        ) from cause
    head, newline, body = data.partition(b"\n")
    if not newline or not head.startswith(_HEAD):
        raise TraceFileError(f"{path} is not a trace: it does not begin with {_HEAD.decode().strip()!r}.")
    if head != _HEAD + b"%d" % FORMAT:
        version = head.removeprefix(_HEAD)[:20].decode("ascii", "replace")
        raise TraceFileError(
            f"{path} is a trace of format {version}; this version reads {FORMAT}.\nRun again to get a new one."
        )
    content, problem = Content(), ""
    unpacker = msgpack.Unpacker(raw=False, max_buffer_size=max(len(body), 1))
    unpacker.feed(body)
    good = 0
    try:
        for row in unpacker:
            if content.end is not None:
                raise _Damaged("something follows its end")
            _take(content, row)
            good = unpacker.tell()
        if content.end is None:
            problem = f"cut off after {len(head) + 1 + good} bytes"
    except (_Damaged, ValueError, msgpack.UnpackException, RecursionError) as error:
        why = str(error) if isinstance(error, _Damaged) else "no msgpack array"
        problem = f"damaged at byte {len(head) + 1 + good}: {why}"
    if problem:
        problem = f"the trace {path} is {problem}.\n{_readable(content)}"
    return content, problem


def _readable(content: Content) -> str:
    count = sum(piece.count for piece in content.pieces)
    if not count:
        return "Nothing before that can be read."
    last = max((message.time for message in messages(content.pieces[-1].data())), default=0)
    return f"Before that, {count} messages up to {in_ns(last)} ns can be read."


def _take(content: Content, row: Any) -> None:
    if not isinstance(row, list) or len(row) not in (3, 4) or not isinstance(row[2], bytes):
        raise _Damaged("no piece of a trace")
    kind, check, data, *more = row
    if zlib.crc32(data) != check:
        raise _Damaged(f"a piece of kind {kind!r:.20} does not match its check value")
    try:
        if kind == "system":
            described = msgpack.unpackb(data)
            content.about, content.wiring = described["about"], Wiring.from_dict(described)
        elif kind == "messages":
            plain = _inflate(data)
            _check_messages(plain, more[0])
            content.pieces.append(Piece(data, more[0]))
        elif kind == "taken":
            unpacker = msgpack.Unpacker()
            unpacker.feed(_inflate(data))
            found = [Taken.of(entry) for entry in unpacker]
            if len(found) != more[0]:
                raise _Damaged(f"{len(found)} interrupts where {more[0]} are announced")
            content.taken += found
        elif kind == "end":
            end = msgpack.unpackb(data)
            there = (sum(piece.count for piece in content.pieces), len(content.taken))
            if there != (end["messages"], end["taken"]):
                raise _Damaged(f"{there[0]} messages where {end['messages']} are announced")
            content.end, content.trace_hash = end, end["hash"]
        else:
            raise _Damaged(f"a piece of unknown kind {kind!r:.20}")
    except (KeyError, IndexError, TypeError, ValueError, zlib.error, msgpack.UnpackException) as error:
        raise _Damaged(f"a piece of kind {kind!r:.20} cannot be understood ({type(error).__name__})") from error


def _check_messages(data: bytes, count: int) -> None:
    found = 0
    unpacker = msgpack.Unpacker(use_list=False, raw=False, max_buffer_size=_MOST)
    unpacker.feed(data)
    for row in unpacker:
        if row[0] != VERSION or len(row) != 2 + len(KINDS[row[1]].FIELDS):
            raise _Damaged(f"a message of wire version {row[0]!r:.20}; this version reads {VERSION}")
        found += 1
    if found != count:
        raise _Damaged(f"{found} messages where {count} are announced")


def _inflate(data: bytes) -> bytes:
    engine = zlib.decompressobj()
    plain = engine.decompress(data, _MOST)
    if engine.unconsumed_tail or not engine.eof:
        raise _Damaged("a piece that is not whole or too big")
    return plain
