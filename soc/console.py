"""The terminal at the other end of the serial line: keeps what it sees, types a script, and what a person types."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from soc.link import Link, Timers
from soc.messages import ConsoleBytes, Message, TimerTick

if TYPE_CHECKING:
    from soc.kernel import Kernel

PROMPT = b"soc# "


class Console:
    """A component in model time (design law 10).

    It sees each byte at the byte's own time. One line of the script is typed `delay` ps after each prompt, one byte
    every `gap` ps, so that a 16-byte FIFO can follow.
    """

    def __init__(
        self,
        kernel: Kernel,
        timers: Callable[[Callable[[Message], None]], Timers],
        hands: Callable[[Callable[[Message], None]], Timers],
        delay: int,
        gap: int,
    ) -> None:
        """`hands` makes the timers of live typing: a source of its own, so that a replay counts as the live run did."""
        self.data = bytearray()
        """Everything the machine has written."""
        self.sink: Callable[[bytes], None] | None = None
        """Called with each piece of output as it arrives."""
        self.typed: list[tuple[int, bytes]] = []
        """What was typed live, with the time in ps it was typed at: `replay` types it again."""
        self.keyboard: Link | None = None
        """The link to the machine's receiver."""
        self._kernel, self._delay, self._gap = kernel, delay, gap
        self._timers, self._hands = timers(self._tick), hands(self._tick)
        self._script: deque[bytes] = deque()
        self._prompt = PROMPT
        self._seen = 0
        self._typing: deque[int] = deque()
        self._later: dict[str, bytes] = {}
        self._watched: tuple[bytes, int, Callable[[], None]] | None = None

    def script(self, lines: Iterable[str], prompt: bytes = PROMPT) -> None:
        """Type `lines`, each with a line feed after it, one after each `prompt` that appears from now on; the first at
        once where the console stands at a prompt that no script has answered."""
        self._script.extend(line.rstrip("\n").encode() + b"\n" for line in lines)
        self._prompt = prompt
        found = self.data.rfind(prompt)
        if found < self._seen or b"\n" in self.data[found:]:
            self._seen = len(self.data)
        elif self._script:
            self._answer(found)

    @property
    def script_left(self) -> int:
        """Lines of the script not begun yet."""
        return len(self._script)

    def watch(self, text: bytes | None, then: Callable[[], None] = lambda: None) -> None:
        """Call `then` once, when `text` has appeared in what is written from now on; None ends a watch."""
        self._watched = (text, len(self.data), then) if text else None

    def type_at(self, time: int, data: bytes) -> None:
        """Begin to type `data` at `time` ps; it is recorded in `typed`."""
        token = f"keys {len(self.typed)}"
        self.typed.append((time, data))
        self._later[token] = data
        self._hands.at(time, token, TimerTick)

    def replay(self, typed: Iterable[tuple[int, bytes]]) -> None:
        """Type what another run recorded in `typed`, at the same times."""
        for time, data in typed:
            self.type_at(time, data)

    def arrive(self, message: ConsoleBytes) -> None:
        """Bytes from the machine."""
        data = message.data
        before = len(self.data)
        self.data += data
        if self.sink is not None:
            self.sink(data)
        if self._watched is not None:
            text, start, then = self._watched
            if self.data.find(text, max(start, before - len(text) + 1)) >= 0:
                self._watched = None
                then()
        if self._script:
            found = self.data.find(self._prompt, max(self._seen, before - len(self._prompt) + 1))
            if found >= 0:
                self._answer(found)

    def _answer(self, found: int) -> None:
        self._seen = found + len(self._prompt)
        self._timers.after(self._delay, "line", TimerTick)

    def save(self) -> dict[str, Any]:
        """What was written, typed and is to be typed, for a snapshot. Its timers are saved with the channels."""
        return {
            "data": bytes(self.data),
            "typed": [list(piece) for piece in self.typed],
            "script": list(self._script),
            "prompt": self._prompt,
            "seen": self._seen,
            "typing": bytes(self._typing),
            "later": dict(self._later),
        }

    def restore(self, saved: dict[str, Any]) -> None:
        """What `save` gave."""
        self.data = bytearray(saved["data"])
        self.typed = [(time, data) for time, data in saved["typed"]]
        self._script, self._prompt, self._seen = deque(saved["script"]), saved["prompt"], saved["seen"]
        self._typing, self._later = deque(saved["typing"]), dict(saved["later"])

    def _tick(self, message: Message) -> None:
        token = message.token
        if token == "key":
            self._press()
            return
        data = self._script.popleft() if token == "line" else self._later.pop(token)
        idle = not self._typing
        self._typing.extend(data)
        if idle and "key" not in self._timers.deadlines():
            self._press()

    def _press(self) -> None:
        # The gap is kept after the last byte too, so that two pieces never follow each other faster than the line.
        if self._typing:
            self.keyboard.send(ConsoleBytes, self._kernel.now, 0, bytes([self._typing.popleft()]))
            self._timers.after(self._gap, "key", TimerTick)
