"""A machine that only plays a script: for tests of what commands print and return."""

from dataclasses import asdict, dataclass, field
from types import SimpleNamespace
from typing import Any


@dataclass
class FakeResult:
    """The fields of a machine's result."""

    instructions: int = 1_234_567
    virtual_s: float = 0.0125
    wall_s: float = 0.5
    mips: float = 2.469
    exits: int = 42
    trace_hash: str = "5f1c9a"
    ended: str = "poweroff"
    reason: str = ""
    unmapped: int = 0
    details: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


class FakeTrace:
    """Keeps where it is to be written."""

    path: Any = None

    def record_to(self, path: Any, about: dict[str, Any]) -> None:
        self.path = path

    def close(self, trace_hash: str = "") -> None:
        if self.path is not None:
            self.path.write_text(f"trace of {trace_hash}")


class FakeCore:
    """A core with one state."""

    instructions = 0

    def get_state(self) -> dict[str, Any]:
        wide = {"pc": 0xFFFF_FFFF_8010_0000, "hi": 1, "lo": 2, "gpr": [0] * 31 + [2**64 - 1], "fpr": [0] * 32}
        cp0 = {"status": 0x1000_00E0, "epc": 0xFFFF_FFFF_8000_0000, "cause": 0}
        return {**wide, "msa": [(1, 2)] * 32, "fcsr": 0, "msacsr": 0, "cp0": cp0}


class FakeMachine:
    """Writes `console` piece by piece, then ends with `result`."""

    trace = FakeTrace()
    ram = 512 << 20
    platform = SimpleNamespace(name="virt")
    console = b""
    hypervisor = None

    def __init__(
        self, console: tuple[bytes, ...] = (), result: FakeResult | None = None, error: Exception | None = None
    ):
        self.pieces, self.result, self.error = console, result or FakeResult(), error
        self.cpu = [FakeCore()]
        self.loaded: Any = None
        self.lines: list[str] = []
        self.typed: list[tuple[int, bytes]] = []
        self.given: dict[str, Any] = {}
        self.interrupted = False
        self.sink = lambda data: None
        self.during = lambda: None

    def load(self, image: Any) -> None:
        self.loaded = image

    def on_console(self, sink: Any) -> None:
        self.sink = sink

    def script(self, lines: list[str]) -> None:
        self.lines = lines

    def type(self, data: bytes) -> None:
        self.typed.append((0, data))

    def interrupt(self) -> None:
        self.interrupted = True

    def __enter__(self) -> "FakeMachine":
        return self

    def __exit__(self, *_: object) -> None:
        """It has nothing to close."""

    def run(self, **given: Any) -> FakeResult:
        self.given = given
        for piece in self.pieces:
            self.sink(piece)
        self.during()
        if self.error:
            raise self.error
        return self.result
