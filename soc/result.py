"""What a run did, in figures and in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

EXIT_STATUS = {"poweroff": 0, "until": 0, "limit": 3, "deadlock": 1, "error": 1}
"""Of a command, by how its run ended (docs/machines.md)."""


@dataclass
class Result:
    """What one call of `run` did. Times are of this call; the trace hash covers the machine's life so far."""

    instructions: int
    """Instructions completed by all cores."""
    virtual_s: float
    wall_s: float
    mips: float
    """Guest instructions per microsecond of wall time."""
    exits: int
    """Uncached accesses that left a core."""
    trace_hash: str
    ended: str
    """poweroff, until, limit, deadlock or error."""
    reason: str = ""
    """In words: which limit, what each core waits for, which error."""
    unmapped: int = 0
    """Accesses to addresses where the platform has nothing."""
    details: dict[str, Any] = field(default_factory=dict)
    """Counted since reset, by name: messages, exceptions by kind, TLB refills."""

    @classmethod
    def of_parts(cls, parts: Sequence[Result]) -> Result:
        """What several calls of `run`, in their order, did together; it ended as the last of them."""
        instructions, wall = sum(part.instructions for part in parts), sum(part.wall_s for part in parts)
        return replace(
            parts[-1],
            instructions=instructions,
            virtual_s=sum(part.virtual_s for part in parts),
            wall_s=wall,
            mips=instructions / wall / 1e6 if wall else 0.0,
            exits=sum(part.exits for part in parts),
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain data, for the result line and result.json."""
        return asdict(self)

    @property
    def ok(self) -> bool:
        """Powered off, or what `until` asked for."""
        return self.ended in ("poweroff", "until")
