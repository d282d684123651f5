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
    origin: str
    """Where it begins, as `Trace.latency` calls it,"""
    through: str | None
    """and the component that tells two ways from one origin apart."""
    takes: tuple[str, ...]
    """From the first line or message to the core's pin: the constants of the timing table whose sum is the latency."""


ROUTES = (
    Route("uart", False, "UART, router", "uart", None, ("irq_line", "core_pin")),
    Route("ipi", False, "store, inter-processor block", "ipi", None, ("ipi_pin",)),
    Route("timer", False, "Count reaches Compare", "timer", None, ()),
    Route(
        "pic_htvec", True, "bridge's UART, PCH-PIC, HTVEC, router", "ls7a_uart0", "ls3a_router_irq",
        ("irq_line", "ht_vector", "irq_line", "core_pin"),
    ),
    Route(
        "pic_eiointc", True, "bridge's UART, PCH-PIC, EIOINTC", "ls7a_uart0", "ls3a_ext_irq",
        ("irq_line", "ht_vector", "irq_line", "core_pin"),
    ),
    Route(
        "msi_htvec", True, "store, MSI doorbell, HTVEC, router", "ls7a_msi", "ls3a_router_irq",
        ("ht_vector", "irq_line", "core_pin"),
    ),
    Route(
        "msi_eiointc", True, "store, MSI doorbell, EIOINTC", "ls7a_msi", "ls3a_ext_irq",
        ("ht_vector", "irq_line", "core_pin"),
    ),
)  # fmt: skip
NAMES = tuple(route.name for route in ROUTES)


def route(name: str) -> Route:
    """The path `name`."""
    return ROUTES[NAMES.index(name)]


def latency(machine: Loaded, name: str) -> Any:
    """The latencies of all interrupts that came along the path `name`."""
    return machine.machine.trace.latency(route(name).origin, route(name).through)


def available(platform: str) -> list[str]:
    """The paths that a platform has."""
    return [route.name for route in ROUTES if platform == "ls7a" or not route.bridge]


def prepare(platform: str, cpus: int, rounds: int, paths: list[str], busy: bool = False, **options: Any) -> Loaded:
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
