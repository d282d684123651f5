"""What gdb's packets ask of a machine that stands, and the answers. Those that let it go on are session.py's.

Source: "Debugging with GDB", appendix "GDB Remote Serial Protocol", sections "Packets", "General Query Packets". An
answer that is empty says that a packet is not known; errors have the numbers of errno. Threads count from 1: thread n
is core n - 1.
"""

from __future__ import annotations

from collections.abc import Callable
from errno import E2BIG, EBUSY, EFAULT, EINVAL, ENOSPC, ESRCH
from typing import Any

from cpu.core import CoreError
from cpu.memory import MOST_WATCHES, WATCH_LOADS, WATCH_STORES, Watch
from soc.errors import SocError
from soc.gdb.monitor import Monitor
from soc.gdb.protocol import PACKET_BYTES
from soc.gdb.registers import REGISTER_BYTES, RegisterRefused
from soc.gdb.target import NotMemory, Target

OK, UNKNOWN = b"OK", b""
SOFTWARE, HARDWARE = 0, 1
"""Kinds of breakpoints."""
WATCHES = {2: WATCH_STORES, 3: WATCH_LOADS, 4: WATCH_LOADS | WATCH_STORES}
"""Kinds of watchpoints."""
MOST_POINTS = MOST_WATCHES
"""Breakpoints, and watchpoints, that there may be."""
FEATURES = (
    f"PacketSize={PACKET_BYTES:x};qXfer:features:read+;qXfer:threads:read+;vContSupported+;swbreak+;hwbreak+;"
    "QStartNoAckMode+"
)
MOST_READ = PACKET_BYTES // 2 - 16


class NoThread(SocError):
    """A thread that does not exist."""


_ERRORS: tuple[tuple[type[Exception], int], ...] = (
    (NotMemory, EFAULT),
    (RegisterRefused, EBUSY),
    (CoreError, EINVAL),
    (NoThread, ESRCH),
    (ValueError, EINVAL),
)


def error(number: int) -> bytes:
    """The answer that something failed."""
    return b"E%02x" % number


TOO_LONG = error(E2BIG)


class Packets:
    """Answers for one gdb."""

    def __init__(self, target: Target, say: Callable[[str], None]) -> None:
        """`say` shows text in gdb's console."""
        self.target, self.core = target, 0
        """The core that packets for registers and memory mean."""
        self._say, self._monitor = say, Monitor(target)
        self._threads = ""
        # As gdb began to read them.

    def answer(self, packet: bytes) -> bytes:
        """The answer to a packet. What is wrong with it is answered too."""
        text = packet.decode("latin-1")
        try:
            for prefix, answer in _TABLE.items():
                if text.startswith(prefix):
                    return answer(self, text[len(prefix) :])
        except tuple(kind for kind, _ in _ERRORS) as cause:
            return error(next(number for kind, number in _ERRORS if isinstance(cause, kind)))
        return UNKNOWN

    def thread(self, text: str) -> int | None:
        """The core of a thread id; None for all or any of them. Raises NoThread."""
        number = int(text, 16)
        if number in (-1, 0):
            return None
        if not 1 <= number <= len(self.target.cores):
            raise NoThread(f"thread {number}: there are 1 to {len(self.target.cores)}")
        return number - 1

    # Threads.

    def _select(self, text: str) -> bytes:
        core = self.thread(text[1:])
        if text[0] == "g" and core is not None:
            self.core = core
        return OK

    def _is_alive(self, text: str) -> bytes:
        self.thread(text)
        return OK

    def _current_thread(self, rest: str) -> bytes:
        # qCRC begins with it too.
        return UNKNOWN if rest else b"QC%x" % (self.core + 1)

    def _first_threads(self, _: str) -> bytes:
        return b"m" + b",".join(b"%x" % (n + 1) for n in range(len(self.target.cores)))

    def _more_threads(self, _: str) -> bytes:
        return b"l"

    def _about_thread(self, text: str) -> bytes:
        core = self.thread(text) or 0
        return f"cpu{core} ({self.target.what(core)})".encode().hex().encode()

    # Registers and memory.

    def _read_all(self, _: str) -> bytes:
        return self.target.read_registers(self.core).hex().encode()

    def _write_all(self, text: str) -> bytes:
        self.target.write_registers(self.core, bytes.fromhex(text))
        return OK

    def _read_one(self, text: str) -> bytes:
        return self.target.register(int(text, 16)).read(self.target.cores[self.core]).hex().encode()

    def _write_one(self, text: str) -> bytes:
        number, data = text.split("=")
        if len(data) != 2 * REGISTER_BYTES:
            raise ValueError(f"{len(data)} digits for a register of {REGISTER_BYTES} bytes")
        self.target.register(int(number, 16)).write(self.target.cores[self.core], bytes.fromhex(data))
        return OK

    def _read_memory(self, text: str) -> bytes:
        address, count = _address_and_count(text)
        return self.target.read_memory(self.core, address, min(count, MOST_READ)).hex().encode()

    def _write_memory(self, text: str) -> bytes:
        place, _, digits = text.partition(":")
        return self._write(place, bytes.fromhex(digits))

    def _write_bytes(self, text: str) -> bytes:
        place, _, data = text.partition(":")
        return self._write(place, data.encode("latin-1"))

    def _write(self, place: str, data: bytes) -> bytes:
        address, count = _address_and_count(place)
        if count != len(data):
            raise ValueError(f"{len(data)} bytes are not the {count} that were promised")
        self.target.write_memory(self.core, address, data)
        return OK

    # Breakpoints.

    def _insert(self, text: str) -> bytes:
        found = self._point(text)
        if found is None:
            return UNKNOWN
        points, point = found
        if len(points) == MOST_POINTS and point not in points:
            return error(ENOSPC)
        points.add(point)
        return OK

    def _remove(self, text: str) -> bytes:
        found = self._point(text)
        if found is None:
            return UNKNOWN
        points, point = found
        points.discard(point)
        return OK

    def _point(self, text: str) -> tuple[set[Any], Any] | None:
        """The breakpoint or watchpoint that a packet names, and those there are; None for a kind that is not known."""
        kind, address, length = text.split(";")[0].split(",")
        number, first = int(kind, 16), _unsigned(address)
        if number in (SOFTWARE, HARDWARE):
            return self.target.breakpoints, (number, first)
        if number not in WATCHES:
            return None
        return self.target.watchpoints, Watch(first, first + max(_unsigned(length), 1) - 1, WATCHES[number])

    # Queries.

    def _supported(self, _: str) -> bytes:
        return FEATURES.encode()

    def _attached(self, _: str) -> bytes:
        return b"1"

    def _description(self, text: str) -> bytes:
        return _part(self.target.description, text)

    def _thread_list(self, text: str) -> bytes:
        if text.startswith("0,"):
            self._threads = self.target.threads()
        return _part(self._threads, text)

    def _command(self, text: str) -> bytes:
        self._say(self._monitor.answer(bytes.fromhex(text).decode(errors="replace"), self.core))
        return OK


_TABLE: dict[str, Callable[[Packets, str], bytes]] = {
    "H": Packets._select,
    "T": Packets._is_alive,
    "g": Packets._read_all,
    "G": Packets._write_all,
    "p": Packets._read_one,
    "P": Packets._write_one,
    "m": Packets._read_memory,
    "M": Packets._write_memory,
    "X": Packets._write_bytes,
    "Z": Packets._insert,
    "z": Packets._remove,
    "qSupported": Packets._supported,
    "qAttached": Packets._attached,
    "qC": Packets._current_thread,
    "qfThreadInfo": Packets._first_threads,
    "qsThreadInfo": Packets._more_threads,
    "qThreadExtraInfo,": Packets._about_thread,
    "qXfer:features:read:target.xml:": Packets._description,
    "qXfer:threads:read::": Packets._thread_list,
    "qRcmd,": Packets._command,
}


def _unsigned(digits: str) -> int:
    value = int(digits, 16)
    if not 0 <= value < 1 << 64:
        raise ValueError(f"{digits} is no 64-bit address")
    return value


def _address_and_count(text: str) -> tuple[int, int]:
    address, count = text.split(",")
    return _unsigned(address), _unsigned(count)


def _part(whole: str, text: str) -> bytes:
    """The piece of a document that gdb asks for by 'offset,length'."""
    at, count = _address_and_count(text)
    piece = whole.encode()[at : at + min(count, PACKET_BYTES - 1)]
    return (b"m" if at + len(piece) < len(whole.encode()) else b"l") + piece
