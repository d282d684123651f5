"""A conversation with one gdb: the machine comes to a stop, gdb asks and at last lets it go on.

Source: "Debugging with GDB", appendix "GDB Remote Serial Protocol", sections "Stop Reply Packets", "Packets" (vCont).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import Enum, auto
from errno import EINVAL

from cpu.cluster import ClusterStop
from cpu.core import StopKind
from cpu.memory import WATCH_LOADS, WATCH_STORES
from soc.gdb.connection import Connection
from soc.gdb.packets import HARDWARE, OK, TOO_LONG, NoThread, Packets, error
from soc.gdb.protocol import PACKET_BYTES, Token
from soc.gdb.target import CONTINUE, STEP, Target

SIGINT, SIGILL, SIGTRAP, SIGABRT = 2, 4, 5, 6
"""As gdb numbers signals."""
SIGNALS = {StopKind.UNMODELLED: SIGILL, StopKind.DEADLOCK: SIGABRT}
WATCHED = {WATCH_STORES: "watch", WATCH_LOADS: "rwatch", WATCH_LOADS | WATCH_STORES: "awatch"}
TURN_S = 0.2
"""How often a wait for gdb looks whether the run is to end."""


class Mode(Enum):
    """What becomes of the machine."""

    STANDS = auto()
    GOES_ON = auto()
    LEFT = auto()
    """gdb has detached or is gone: the run goes on alone."""
    KILLED = auto()


class Session:
    """One gdb at a machine."""

    def __init__(self, connection: Connection, target: Target, idle: Callable[[], bool]) -> None:
        """`idle` is called while gdb says nothing, and says whether the run is to end all the same."""
        self.connection, self.target = connection, target
        self.mode = Mode.STANDS
        self.packets = Packets(target, self._say)
        self._idle = idle
        self._reason = b""
        # The last stop, as gdb was told of it.
        self._stays: tuple[int, range] | None = None
        # A core that steps on while its pc is in a range.

    # What happens to the machine.

    def begin(self) -> None:
        """gdb has come; the machine stands."""
        self._reason = self._stop_reply(SIGTRAP, 0)
        self._converse()

    def stopped(self, stop: ClusterStop) -> None:
        """The cores have come back with a stop."""
        kind, core, text, watch = stop
        pc = self.target.cores[core].pc
        if kind is StopKind.STEP and self._stays is not None and self._stays[0] == core and pc in self._stays[1]:
            self.target.cluster.step(core)
            return
        if text:
            self._say(f"{text}\n")
        why = ""
        if kind is StopKind.PC:
            why = "hwbreak:;" if (HARDWARE, pc) in self.target.breakpoints else "swbreak:;"
        elif kind is StopKind.WATCH:
            why = f"{WATCHED[watch.kinds]}:{watch.first:x};"
        self._stop(SIGNALS.get(kind, SIGTRAP), core, why)

    def look(self) -> None:
        """The machine runs: has gdb sent anything, it stops there."""
        if self.connection.asks_for_a_stop():
            self._stop(SIGINT, self.packets.core)
        elif self.connection.is_gone:
            self._leave()

    def end(self, status: int) -> None:
        """The run has ended; `status` is what the command's exit status is."""
        if self.mode is Mode.GOES_ON:
            self.connection.send(b"W%02x" % status)
        self.connection.close()

    # Conversation.

    def _stop_reply(self, signal: int, core: int, why: str = "") -> bytes:
        return f"T{signal:02x}thread:{core + 1:x};{why}".encode()

    def _stop(self, signal: int, core: int, why: str = "") -> None:
        self.target.cluster.step(None)
        self.packets.core, self._stays = core, None
        self._reason = self._stop_reply(signal, core, why)
        self.connection.send(self._reason)
        self._converse()

    def _converse(self) -> None:
        self.mode = Mode.STANDS
        while self.mode is Mode.STANDS:
            packet = self.connection.receive(TURN_S)
            if self.connection.is_gone:
                self._leave()
            elif isinstance(packet, bytes):
                self._handle(packet)
            elif packet is Token.TOO_LONG:
                self.connection.send(TOO_LONG)
            elif packet is None and self._idle():
                self.mode = Mode.GOES_ON

    def _handle(self, packet: bytes) -> None:
        handler = next((handler for prefix, handler in _FLOW.items() if packet.startswith(prefix)), None)
        if handler is None:
            self.connection.send(self.packets.answer(packet))
        else:
            handler(self, packet)

    def _say(self, text: str) -> None:
        """In gdb's console."""
        data, most = text.encode(), PACKET_BYTES // 2 - 1
        for at in range(0, len(data), most):
            self.connection.send(b"O" + data[at : at + most].hex().encode())

    def _leave(self) -> None:
        self.mode = Mode.LEFT
        self.target.release()
        self.connection.close()

    # Packets after which the machine may go on.

    def _why(self, _: bytes) -> None:
        self.connection.send(self._reason)

    def _no_acknowledgments(self, _: bytes) -> None:
        self.connection.send(OK)
        self.connection.acknowledges = False

    def _detach(self, _: bytes) -> None:
        self.connection.send(OK)
        self._leave()

    def _kill(self, packet: bytes) -> None:
        if packet.startswith(b"vKill"):
            self.connection.send(OK)
        self._leave()
        self.mode = Mode.KILLED

    def _actions_known(self, _: bytes) -> None:
        self.connection.send(b"vCont;c;C;s;S;r")

    def _go_on(self, packet: bytes) -> None:
        """c, s, C and S, which mean the selected core, while the others continue. An address to go on from is refused,
        a signal is not delivered: what gdb would use either for is not a guest's."""
        action = packet[:1].decode().lower()
        if packet[1:] if packet[:1].islower() else b";" in packet:
            self.connection.send(error(EINVAL))
            return
        self._resume({core: action if core == self.packets.core else CONTINUE for core in self._all()})

    def _continue(self, packet: bytes) -> None:
        """vCont: for each core the first action that names it."""
        actions: dict[int, str] = {}
        stays = None
        try:
            for core, action in self._named(packet.decode("latin-1")):
                if core not in actions:
                    actions[core] = _ACTIONS[action[:1]]
                    if action[:1] == "r":
                        stays = core, range(*(int(text, 16) for text in action[1:].split(",")))
        except (NoThread, ValueError, KeyError, TypeError):
            self.connection.send(error(EINVAL))
            return
        self._stays = stays
        self._resume(actions)

    def _named(self, packet: str) -> Iterator[tuple[int, str]]:
        """(core, action) in the order of a vCont packet."""
        for item in packet.split(";")[1:]:
            action, _, thread = item.partition(":")
            core = self.packets.thread(thread) if thread else None
            yield from ((each, action) for each in (self._all() if core is None else (core,)))

    def _all(self) -> range:
        return range(len(self.target.cores))

    def _resume(self, actions: dict[int, str]) -> None:
        self.target.go_on(actions)
        self.mode = Mode.GOES_ON


_ACTIONS = {"c": CONTINUE, "C": CONTINUE, "s": STEP, "S": STEP, "r": STEP}
_FLOW: dict[bytes, Callable[[Session, bytes], None]] = {
    b"?": Session._why,
    b"QStartNoAckMode": Session._no_acknowledgments,
    b"D": Session._detach,
    b"k": Session._kill,
    b"vKill": Session._kill,
    b"vCont?": Session._actions_known,
    b"vCont;": Session._continue,
    b"c": Session._go_on,
    b"C": Session._go_on,
    b"s": Session._go_on,
    b"S": Session._go_on,
}
