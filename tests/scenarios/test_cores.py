"""Guests on several cores: exact latencies, exact counts, and the same run whatever the slice and the tier."""

from __future__ import annotations

from itertools import pairwise

import pytest

from devices.virtio.rng import VirtioRng
from scenarios import eiointc_pins, irqfd_injection, irqfd_or_ioctl, msi_path, routes, timer_jitter
from scenarios.library import guests, loaded
from scenarios.routes import ROUTES
from soc.errors import ConfigurationError
from soc.messages import InterruptLevel, InterruptVector
from soc.timing import Timing

SLICES = (100, 1_000, 10_000, 1_000_000)
UNEVEN = Timing(
    irq_line="7 ns", core_pin="3 ns", ht_vector="41 ns", ipi_pin="11 ns", mmio_request="53 ns", core_window="50 ns"
)
"""No two sums of these are equal by chance."""
SMALL = {
    "ipi_pingpong.S": lambda **o: loaded("ipi_pingpong.S", "virt", 2, o, rounds=5),
    "ipi_storm.S": lambda **o: loaded("ipi_storm.S", "virt", 4, o, rounds=3),
    "timer_jitter.S": lambda **o: loaded("timer_jitter.S", "virt", 2, o, rounds=5, load=3),
    "timer_jitter.S, stable": lambda **o: timer_jitter.prepare("stable", "registers", 2, 5, **o),
    "routes.S": lambda **o: routes.prepare("ls7a", 4, 1, routes.available("ls7a"), busy=True, **o),
    "eiointc_pins.S": lambda **o: eiointc_pins.prepare(2, 8, 1, 1, **o),
    "virtio_rng.S": lambda **o: msi_path.prepare("virtio", "eiointc", 2, 2, **o),
    "irqfd.S": lambda **o: irqfd_injection.prepare(2, 3, 2_000_000, 0, 1, **o),
    "inject.S": lambda **o: irqfd_or_ioctl.prepare("bare", 3, 2_000_000, False, **o),
}
"""A small run of each guest for several cores; options are the Machine's, or at least `tier`."""
WITHOUT_INTERRUPTS = ("exit_cost.S", "pages.S")
"""In tests/scenarios/test_kvm.py."""


def test_every_guest_for_several_cores_is_here():
    assert sorted({*(name.partition(",")[0] for name in SMALL), *WITHOUT_INTERRUPTS}) == guests(cores=True)


def outcome(name: str, limits: dict, **options):
    """(hash, cause and time of every line and vector, places and times of all interrupts) of a small run."""
    machine = SMALL[name](**options)
    result = machine.run(**limits)
    assert result.ended == "poweroff", result.reason
    trace = machine.machine.trace
    moved = [(m.cause, m.time) for m, _ in trace if type(m) in (InterruptLevel, InterruptVector)]
    return result.trace_hash, moved, [tuple(path.hops.items()) for path in trace.latency().paths]


@pytest.mark.parametrize("name", SMALL)
def test_the_tiers_agree_to_the_picosecond(name):
    threaded = outcome(name, {}, tier="threaded")
    assert threaded == outcome(name, {}, tier="reference")
    handled = [hops for hops in threaded[2] if any(place.endswith(" handler") for place, _ in hops)]
    assert handled, "no interrupt reached a handler"


@pytest.mark.parametrize("name", SMALL)
def test_the_slice_never_shows(name):
    whole = outcome(name, {})
    for instructions in SLICES:
        assert outcome(name, {"slice": instructions}) == whole, f"slice {instructions}"


def pins(machine) -> dict[int, int]:
    """Cause -> ps from its first line or message to the pin of a core, from nothing but the messages."""
    began, reached = {}, {}
    for message, link in machine.machine.trace:
        if type(message) is InterruptVector or (type(message) is InterruptLevel and message.level):
            began.setdefault(message.cause, message.time - link.latency)
            if ".ip[" in link.target[0]:
                reached.setdefault(message.cause, message.time - began[message.cause])
    return reached


@pytest.mark.parametrize("timing", [Timing(), UNEVEN], ids=["default", "uneven"])
@pytest.mark.parametrize("route", [route for route in ROUTES if route.takes], ids=lambda route: route.name)
def test_each_path_takes_what_the_timing_table_says(route, timing):
    machine = routes.prepare("ls7a", 4, 3, [route.name], timing=timing)
    assert machine.run().ended == "poweroff"
    found = pins(machine)
    assert len(found) == 3 * 4
    assert set(found.values()) == {sum(getattr(timing, name) for name in route.takes)}


@pytest.mark.parametrize("route", [route for route in ROUTES if route.takes], ids=lambda route: route.name)
def test_the_latency_table_has_the_same_path(route):
    machine = routes.prepare("ls7a", 4, 3, [route.name], timing=UNEVEN)
    machine.run()
    latency = routes.latency(machine, route.name)
    assert len(latency.complete) == 3 * 4
    for path in latency.complete:
        places = list(path.hops.items())
        at = next(i for i, (place, _) in enumerate(places) if ".ip[" in place)
        before = [there[1] - here[1] for here, there in pairwise(places[: at + 1])]
        wanted = [getattr(UNEVEN, name) for name in route.takes]
        assert before[len(before) - len(wanted) :] == wanted
        assert before[: len(before) - len(wanted)] in ([], [UNEVEN.mmio_request])


@pytest.mark.parametrize("cpus", [1, 2, 4])
def test_every_path_reaches_every_core(cpus):
    machine = routes.prepare("ls7a", cpus, 3, routes.available("ls7a"))
    assert machine.run().ended == "poweroff"
    for name in routes.available("ls7a"):
        assert [routes.served(machine, name, core) for core in range(cpus)] == [3] * cpus, name


def test_a_path_of_the_bridge_is_refused_where_there_is_none():
    with pytest.raises(
        ConfigurationError, match="unknown path of platform virt 'msi_htvec'; allowed: uart, ipi, timer"
    ):
        routes.prepare("virt", 2, 1, ["msi_htvec"])


@pytest.mark.parametrize("cpus", [2, 5, 16])
def test_a_storm_loses_nothing(cpus):
    storm = loaded("ipi_storm.S", "virt", cpus, rounds=4)
    assert storm.run().ended == "poweroff"
    assert [storm.counters(core)[0] for core in range(cpus)] == [4 * (cpus - 1)] * cpus
    noted = [storm.words("noted", cpus, start=16 * sender) for sender in range(cpus)]
    assert noted == [[4 * (sender != receiver) for receiver in range(cpus)] for sender in range(cpus)]


def test_one_pin_needs_four_reads_and_four_pins_one():
    for count, reads in ((1, 4), (4, 1)):
        machine = eiointc_pins.prepare(2, 16, 1, count)
        assert machine.run().ended == "poweroff"
        assert machine.counters(1)[:2] == [16, 16 * reads]
        assert eiointc_pins.status_reads(machine) == 16 * reads


@pytest.mark.parametrize("kind", ["compare", "stable"])
@pytest.mark.parametrize("load", timer_jitter.LOADS)
def test_a_timer_is_as_late_as_its_load_allows(kind, load):
    jitter = timer_jitter.prepare(kind, load, 2, 20)
    assert jitter.run().ended == "poweroff"
    timing = jitter.machine.timing
    way = timing.core_pin if kind == "stable" else 0
    # A block has at most 64 instructions; an access to a register keeps the core for its round trip.
    block = timing.core.time(64)
    most = {"asleep": 0, "registers": block + timing.mmio_request + timing.mmio_reply}.get(load, block)
    for core in range(2):
        late = timer_jitter.lateness(jitter, kind, core)
        assert len(late) == 20
        # The boundary belongs to the core's clock, the deadline of the stable timer to another.
        assert way <= min(late) and max(late) <= way + most + timing.core.time(1)


def test_the_guests_own_count_agrees_with_the_simulator():
    jitter = timer_jitter.prepare("compare", "arithmetic", 2, 20)
    jitter.run()
    for core in range(2):
        exact, counted = timer_jitter.lateness(jitter, "compare", core), timer_jitter.counted(jitter, core, 20)
        entry = {late - ticks for late, ticks in zip(counted, exact, strict=True)}
        # From the handler's first instruction to its read of Count, cut to ticks.
        assert max(entry) - min(entry) <= jitter.tick


def test_a_resample_comes_back_once_for_each_signal():
    machine = irqfd_injection.prepare(4, 6, 3_000_000, 1, 2)
    assert machine.run().ended == "poweroff"
    peer = machine.machine.devices["peer"]
    assert machine.counters(1)[:2] == [6, 0]
    assert machine.counters(2)[:2] == [0, 6]
    assert len(peer.signalled) == len(peer.resampled) == 6
    assert len({back - signalled for signalled, back in zip(peer.signalled, peer.resampled, strict=True)}) == 1
    timing = machine.machine.timing
    pin = 3 * timing.irq_line + timing.ht_vector + timing.core_pin
    message = 2 * timing.irq_line + timing.ht_vector + timing.core_pin
    starts = {}
    for record, link in machine.machine.trace:
        if link is not None and link.origin[0] == "peer.signal":
            starts[record.cause] = record.time - link.latency
        elif type(record) is InterruptLevel and record.level and ".ip[" in link.target[0]:
            assert record.time - starts[record.cause] == (pin if link.target[0].startswith("cpu1") else message)


@pytest.mark.parametrize("way", ["htvec", "eiointc"])
def test_a_device_interrupts_by_a_message_after_its_data_is_there(way):
    machine = msi_path.prepare("virtio", way, 2, 3)
    assert machine.run().ended == "poweroff"
    assert [machine.counters(core)[0] for core in range(2)] == [3, 3]
    timing = machine.machine.timing
    table = {spread.name: spread for spread in machine.machine.trace.latency("virtio_rng").hops}
    write = table["virtio_rng.dma write leaves to memory.msi doorbell"]
    assert (write.min, write.max) == (timing.dma_request, timing.dma_request)
    wanted, stream = 0, VirtioRng(seed=msi_path.SEED).stream(0, 6 * 64)
    for place in range(0, len(stream), 64):
        wanted = (wanted >> 7 | wanted << 57) & (1 << 64) - 1
        wanted ^= int.from_bytes(stream[place : place + 8], "little")
    assert machine.words("sum") == [wanted]
