"""Where a device may run and what happens when it fails there: `process`, `tcp://HOST:PORT`, and a policy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from soc.errors import ConfigurationError, choose

POLICIES = ("stop", "restart", "disconnect")
WATCHDOG_S = 10.0
INPROCESS = "inprocess"
_FORMS = ("inprocess", "process", "tcp://HOST:PORT", "any of the last two with +restart or +disconnect")


def address(text: str, default: str = "") -> tuple[str, int]:
    """`"127.0.0.1:7001"` -> ("127.0.0.1", 7001); with a `default` host, a port alone will do. ConfigurationError."""
    host, _, port = text.rpartition(":")
    if not (host or default) or not port.isdecimal() or int(port) >= 1 << 16:
        form = "[HOST:]PORT" if default else "HOST:PORT"
        raise ConfigurationError(f"{text!r} is no {form}, as in 127.0.0.1:7001")
    return (host or default).strip("[]"), int(port)


@dataclass(frozen=True)
class Place:
    """Where one device runs."""

    where: str = INPROCESS
    """inprocess, process, or tcp://HOST:PORT."""
    on_failure: str = "stop"
    """stop the run; restart the device and go on; disconnect it and go on without."""
    watchdog: float = WATCHDOG_S
    """Seconds of wall time within which the device must answer."""

    @property
    def remote(self) -> bool:
        """Whether it is another process than the kernel's."""
        return self.where != INPROCESS

    @property
    def server(self) -> tuple[str, int] | None:
        """Host and port of a device server."""
        return address(self.where.removeprefix("tcp://")) if self.where.startswith("tcp://") else None

    @classmethod
    def read(cls, name: str, given: Any) -> Place:
        """The place in `process`, `process+restart`, `tcp://HOST:PORT+disconnect`, or in a table of the fields.

        Raises ConfigurationError, which names `name`.
        """
        if isinstance(given, Place):
            return given
        if isinstance(given, Mapping):
            values = dict(given)
            wrong = set(values) - {"where", "on_failure", "watchdog"}
            if wrong:
                raise ConfigurationError(
                    f"placement of {name}: {choose('key', sorted(wrong)[0], ('where', 'on_failure', 'watchdog'))}"
                )
        elif isinstance(given, str):
            where, plus, policy = given.partition("+")
            values = {"where": where, **({"on_failure": policy} if plus else {})}
        else:
            raise ConfigurationError(f"placement of {name}: {given!r}; a text or a table is needed")
        place = cls(**values)
        place._check(name)
        return place

    def _check(self, name: str) -> None:
        if self.where not in (INPROCESS, "process") and not str(self.where).startswith("tcp://"):
            raise ConfigurationError(f"placement of {name}: {choose('place', self.where, _FORMS)}")
        try:
            _ = self.server
        except ConfigurationError as error:
            raise ConfigurationError(f"placement of {name}: {error}") from error
        if self.on_failure not in POLICIES:
            raise ConfigurationError(f"placement of {name}: {choose('policy', self.on_failure, POLICIES)}")
        if not self.remote and self.on_failure != "stop":
            raise ConfigurationError(
                f"placement of {name}: {self.on_failure} is for another process; write process+{self.on_failure}"
            )
        if type(self.watchdog) not in (int, float) or not 0.01 <= self.watchdog <= 86400:
            raise ConfigurationError(
                f"placement of {name}: watchdog = {self.watchdog!r}; allowed: 0.01 to 86400 seconds of wall time"
            )
