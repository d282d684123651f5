"""The paths of the guest `routes.S`: what raises an interrupt, and which controllers it passes on its way to a core."""

from __future__ import annotations

from typing import Any, NamedTuple

from scenarios.library import Loaded, loaded, within
from soc.errors import ConfigurationError, choose


class Route(NamedTuple):
    """A path; its place in ROUTES is its bit in the guest's `paths` and its counter."""

    name: str
    bridge: bool
    """Needs the LS7A bridge."""
    by: str
    """The way, in words."""
    takes: tuple[str, ...]
    """From the first message to the core's pin: the constants of the timing table whose sum is the latency."""


ROUTES = (
    Route("uart", False, "UART, router", ("irq_line", "core_pin")),
    Route("ipi", False, "store, inter-processor block", ("mmio_request", "ipi_pin")),
    Route("timer", False, "Compare = Count", ()),
    Route("pic_htvec", True, "UART, PCH-PIC, HTVEC, router", ("irq_line", "ht_vector", "irq_line", "core_pin")),
    Route("pic_eiointc", True, "UART, PCH-PIC, EIOINTC", ("irq_line", "ht_vector", "irq_line", "core_pin")),
    Route("msi_htvec", True, "store, MSI doorbell, HTVEC, router", ("mmio_request", "ht_vector", "irq_line", "core_pin")),
    Route("msi_eiointc", True, "store, MSI doorbell, EIOINTC", ("mmio_request", "ht_vector", "irq_line", "core_pin")),
)
NAMES = tuple(route.name for route in ROUTES)


def available(platform: str) -> list[str]:
    """The paths that a platform has."""
    return [route.name for route in ROUTES if platform == "ls7a" or not route.bridge]


def prepare(
    platform: str, cpus: int, rounds: int, paths: list[str], busy: bool = False, **options: Any
) -> Loaded:
    """A machine that takes each of `paths` to each core `rounds` times. Raises ConfigurationError."""
    within("cpus", cpus, 1, 4)
    within("rounds", rounds, 1, 1_000_000)
    for path in paths:
        if path not in available(platform):
            raise ConfigurationError(choose(f"path of platform {platform}", path, available(platform)))
    bitmap = sum(1 << NAMES.index(path) for path in paths)
    return loaded("routes.S", platform, cpus, options, rounds=rounds, paths=bitmap, busy=int(busy))


def served(machine: Loaded, path: str, core: int) -> int:
    """How many interrupts that came along `path` the core has served."""
    return machine.counters(core)[NAMES.index(path)]
