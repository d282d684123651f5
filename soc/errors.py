"""The errors of the package. A message names the wrong value, what is allowed, and what to do."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


class SocError(Exception):
    """Base of every error this project raises on purpose. A guest's access never raises one."""


class ConfigurationError(SocError):
    """A machine, platform, wiring or option that cannot be built as asked."""


class TimeError(SocError, ValueError):
    """A time, duration or frequency that cannot be understood or lies outside its range."""


class MessageError(SocError, ValueError):
    """Bytes that are not a message of `soc.messages`: truncated, unknown kind, wrong type or field out of range."""


class VersionError(MessageError):
    """A message written for another version of the wire."""


class ProtocolError(SocError):
    """A well-formed message that its receiver cannot expect, such as a reply nobody waits for."""


class DeviceLost(SocError):
    """A device in another process failed: which, how, and what it said last. `told` is what it was told then."""

    told: Any = None


class UnmappedAccessError(SocError):
    """An access to an address where the platform has nothing; raised for host-side accesses and under `strict`."""


def choose(what: str, wrong: object, allowed: Iterable[object]) -> str:
    """The common form of "X is not a Y; allowed: ..." messages."""
    return f"unknown {what} {wrong!r}; allowed: {', '.join(str(name) for name in allowed)}"
