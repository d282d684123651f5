"""Device processes are killed, stopped, or garbled at seeded moments: under no policy is a wrong result given as right.

A moment is that of a message to the device in the undisturbed run: the strike comes right before it, so none is missed.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import re
import socket
import subprocess
import time
from functools import cache
from pathlib import Path

import pytest

from scenarios.library import PLACES, guest
from soc import Machine, PoweredOff
from soc.errors import UnmappedAccessError
from soc.faults import STRIKES
from soc.messages import InterruptLevel, MmioError, MmioRead, MmioWrite
from soc.placement import supervision
from soc.placement.serve import serve
from soc.placement.stream import Stream
from soc.placement.subprocess import Connection
from soc.ports import split
from soc.time import PS_PER_SECOND
from tests.material import debian_material

GUEST = Path(__file__).with_name("every_device.S")
"""A second in 25 rounds, in each of which every device is told something twice or more."""
DEVICES = (
    "uart", "ls3a_ipi", "ls3a_ext_irq", "ls3a_router_irq", "stable_timer", "ls3a_config", "ls3a_csr", "ls3a_ht_irq",
    "ls3a_ht_irq_hi", "ls7a_irq", "ls7a_irqfd", "ls7a_config", "ls7a_uart0", "ls7a_pm", "ls7a_msi", "pci", "virtio_rng",
)  # fmt: skip
STRUCK, FEW = 50, 3
WATCHDOG_S = {"kill": 5.0, "hang": 0.1, "garble": 0.25}
"""By what is done: a killed process is noticed at once, a garbled length may have to be waited for."""
MOST_S = 2 * max(WATCHDOG_S.values()) + 5
"""Wall time from one strike to the end of the run: the watchdog, which the system may round up to twice that, and what
a busy host takes for the rest."""
SAYS = {"kill": "its process was killed by SIGKILL", "hang": "no answer for 0.1 s", "garble": "a frame of|answer"}
AFTERWARDS = PS_PER_SECOND // 1000
"""Model time in ps that a guest is given after it has lost a device."""


@cache
def program():
    return guest(GUEST, **PLACES["ls7a"]).to_elf()


def second(**options):
    """A machine with the guest of a second."""
    machine = Machine("ls7a", ram="16 MiB", devices={"virtio_rng": {}}, **options)
    machine.load(program())
    return machine


def struck(device, policy, kind, times, **options):
    """The same with `device` in a process of its own, which is struck at `times`."""
    place = {"where": "process", "on_failure": policy, "watchdog": WATCHDOG_S[kind]}
    return second(placement={device: place}, faults=[{"device": device, kind: times}], **options)


def told(machine):
    """When each device was told something, in ps: by name."""
    times = {name: set() for name in machine.components}
    for message, link in machine.trace:
        if link is not None and (name := split(link.target[0])[0]) in times:
            times[name].add(message.time)
    return times


@cache
def undisturbed():
    """The trace hash of the guest of a second, and when its devices are told something."""
    with second(placement="inprocess", trace=True) as machine:
        result = machine.run(until=PoweredOff)
        assert (result.ended, round(result.virtual_s)) == ("poweroff", 1), machine.console
        return result.trace_hash, told(machine)


def moments(times, device, kind, count):
    """`count` of `times`, or all when there are fewer; the device and the kind are the seed."""
    return sorted(random.Random(f"{device} {kind}").sample(sorted(times), min(count, len(times))))


def test_every_device_that_can_be_struck_is_told_something_fifty_times():
    _, times = undisturbed()
    assert set(DEVICES) == set(times) - {"eventfd"}
    assert {name for name in DEVICES if len(times[name]) < STRUCK} == set()


def restart(device, kind, count):
    expected, times = undisturbed()
    with struck(device, "restart", kind, moments(times[device], device, kind, count)) as machine:
        began = time.monotonic()
        result = machine.run(until=PoweredOff)
        took = time.monotonic() - began
        supervisor = machine.components[device].supervisor
    assert (result.ended, result.trace_hash) == ("poweroff", expected)
    assert supervisor.restarts >= count and all(re.search(SAYS[kind], text) for text in supervisor.failures)
    assert took < count * MOST_S


def stop(device, kind, count):
    expected, times = undisturbed()
    stopped = 0
    with struck(device, "stop", kind, moments(times[device], device, kind, count)) as machine:
        while True:
            began = time.monotonic()
            result = machine.run(until=PoweredOff)
            assert time.monotonic() - began < MOST_S
            if result.ended != "error":
                break
            assert re.match(rf"device {device} \(process \d+\) failed on .*({SAYS[kind]})", result.reason)
            assert "last good message" in result.reason or "it had sent nothing yet" in result.reason
            saved = machine.save()
            if stopped % 10 == 0:
                with Machine.restore(saved, placement="inprocess") as other:
                    assert other.run(until=PoweredOff).trace_hash == expected
            stopped += 1
    assert (result.ended, result.trace_hash) == ("poweroff", expected)
    assert stopped >= count


def disconnect(device, kind, count):
    _, times = undisturbed()
    for moment in moments(times[device], device, kind, count):
        with struck(device, "disconnect", kind, moment, trace=True) as machine:
            began = time.monotonic()
            result = machine.run(until=PoweredOff, max_virtual=moment + AFTERWARDS)
            assert time.monotonic() - began < MOST_S
            assert machine.components[device].disconnected.startswith(f"device {device} (process ")
            assert result.details[f"disconnected {device}"] == 1
            with pytest.raises(UnmappedAccessError, match="disconnected"):
                machine.devices[device].read(0, 4)
            high, unanswered = left_behind(machine, device, moment)
            # What was asked in the last moments of the run has its error on the way.
            assert not high and len(unanswered) <= 1


def left_behind(machine, device, moment):
    """Lines that the device still holds high, and accesses since `moment` that met neither it nor a bus error."""
    high, asked, refused = set(), set(), set()
    for message, link in machine.trace:
        if link is None:
            continue
        if type(message) is InterruptLevel and split(link.origin[0])[0] == device:
            (high.add if message.level else high.discard)(link.name)
        elif type(message) is MmioError:
            refused.add((message.destination, message.request))
        elif message.time >= moment and type(message) in (MmioRead, MmioWrite) and split(link.target[0])[0] == device:
            asked.add((message.source, message.sequence))
    return high, asked - refused


class Forked(multiprocessing.get_context("fork").Process):
    """A device process that begins as a copy of this one, which has loaded what it needs; with the face of a Popen."""

    def wait(self, timeout=None):
        self.join(timeout)
        if self.exitcode is None:
            raise subprocess.TimeoutExpired("a device", timeout)
        return self.exitcode

    def send_signal(self, number):
        if self.exitcode is None:
            os.kill(self.pid, number)


@pytest.fixture
def quick(monkeypatch):
    """Device processes that start in a tenth of the time, and give their state often, so that little is told again."""

    def serve_one(ours, theirs):
        ours.close()
        serve(Stream(theirs), lambda model: True)

    def spawn():
        ours, theirs = socket.socketpair()
        process = Forked(target=serve_one, args=(ours, theirs))
        process.start()
        theirs.close()
        return Connection(Stream(ours), f"process {process.pid}", process)

    monkeypatch.setattr(supervision, "spawn", spawn)
    monkeypatch.setattr(supervision, "SNAPSHOT_MESSAGES", 16)


CHECKS = {"restart": restart, "stop": stop, "disconnect": disconnect}


@pytest.mark.parametrize(
    ("policy", "kind", "device"),
    [
        ("restart", "garble", "virtio_rng"),
        ("restart", "hang", "stable_timer"),
        ("restart", "kill", "ls3a_ipi"),
        ("stop", "kill", "pci"),
        ("disconnect", "kill", "ls7a_irq"),
    ],
)
def test_a_few_strikes(policy, kind, device):
    CHECKS[policy](device, kind, FEW)


@pytest.mark.slow
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("kind", STRIKES)
@pytest.mark.parametrize("policy", CHECKS)
def test_fifty_strikes_at_a_guest_of_a_second(policy, kind, device, quick):
    CHECKS[policy](device, kind, STRUCK)


def boot(placement, faults=(), **options):
    """A machine of four cores that has booted Debian, and its result."""
    material = debian_material()
    words = "nokaslr cryptomgr.notests"
    machine = Machine("ls7a", cpus=4, append=words, placement=placement, faults=faults, **options)
    machine.load(material.kernel, initrd=material.initrd)
    return machine, machine.run(until="INIT-UP", max_virtual="20 s")


@cache
def undisturbed_boot():
    """Its trace hash, and when its devices are told something."""
    machine, result = boot("inprocess", trace=True)
    return result.trace_hash, told(machine)


@pytest.mark.slow
@pytest.mark.parametrize("kind", STRIKES)
def test_five_strikes_at_every_device_of_a_boot(kind):
    """A device that the boot tells nothing is struck when others are told something: it is not missed."""
    expected, times = undisturbed_boot()
    times = {name: own for name, own in times.items() if name != "eventfd"}
    ever = set().union(*times.values())
    planned = {name: moments(own or ever, name, kind, 5) for name, own in times.items()}
    places = {name: {"where": "process", "on_failure": "restart", "watchdog": 1.0} for name in times}
    machine, result = boot(places, [{"device": name, kind: at} for name, at in planned.items()])
    with machine:
        restarts = {name: machine.components[name].supervisor.restarts for name in times}
    print(restarts)
    assert (result.ended, result.trace_hash) == ("until", expected)
    assert all(restarts[name] >= len(planned[name]) for name, own in times.items() if own)
    assert not any(restarts[name] for name, own in times.items() if not own)
