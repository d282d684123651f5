"""A device process that dies, hangs or sends nonsense is named, within the watchdog, and never makes a wrong result."""

from __future__ import annotations

import gc
import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from scenarios.library import guest
from soc import Machine, PoweredOff
from soc.checkpoint import CheckpointError
from soc.errors import DeviceLost, UnmappedAccessError
from soc.kernel import Kernel
from soc.link import Source, Timers
from soc.messages import (
    VERSION,
    Failure,
    Hello,
    InterruptLevel,
    MmioReply,
    Reset,
    Stop,
    SyncPromise,
    TimerCancel,
    TimerTick,
    pack,
    unpack,
)
from soc.placement import supervision
from soc.placement.places import Place
from soc.placement.remote import RemoteComponent
from soc.placement.serve import Peer
from soc.placement.stream import HEADER, Stream, StreamClosed, frame
from soc.placement.subprocess import Connection
from soc.placement.supervision import Supervisor
from soc.time import NEVER
from soc.trace import Trace
from tests.placement.conftest import ROOT, children

DEVICES = ("uart", "ls3a_router_irq", "power")
"""What first_light talks to."""
WATCHDOG = 1.0


def light(placement, faults=()):
    machine = Machine("virt", placement=placement, faults=faults)
    machine.load(guest("first_light.S", rounds=5).to_elf())
    return machine


def place(policy, watchdog=WATCHDOG):
    return {"where": "process", "on_failure": policy, "watchdog": watchdog}


def moments(seed, count, end):
    return sorted(random.Random(seed).sample(range(1, end), count))


@pytest.fixture(scope="module")
def undisturbed():
    """(hash of five rounds, their length in ps)"""
    machine = light("inprocess")
    ended = machine.run(until=PoweredOff)
    return ended.trace_hash, machine.now


@pytest.mark.parametrize(
    ("kind", "device"),
    [("kill", "uart"), ("garble", "ls3a_router_irq"), pytest.param("garble", "uart", marks=pytest.mark.slow)],
)
def test_restart_ends_with_the_hash_of_an_undisturbed_run(kind, device, undisturbed):
    expected, end = undisturbed
    faults = [{"device": device, kind: moments(device, 3, 2 * end // 5)}]
    with light({device: place("restart")}, faults) as machine:
        result = machine.run(until=PoweredOff)
        supervisor = machine.components[device].supervisor
    assert (result.ended, result.trace_hash) == ("poweroff", expected)
    # A strike at a device that nobody speaks to afterwards is never noticed, and changes nothing.
    assert 1 <= supervisor.restarts <= 3 and len(supervisor.failures) == supervisor.restarts


def test_a_stopped_process_is_noticed_within_the_watchdog_and_replaced(undisturbed):
    expected, end = undisturbed
    with light({"uart": place("restart", 0.3)}, [{"device": "uart", "hang": [end // 2]}]) as machine:
        began = time.monotonic()
        result = machine.run(until=PoweredOff)
        took = time.monotonic() - began
        (failure,) = machine.components["uart"].supervisor.failures
    assert result.trace_hash == expected
    assert "device uart" in failure and "no answer for 0.3 s" in failure and "last good message" in failure
    assert took < 10


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("kill", "its process was killed by SIGKILL"),
        pytest.param("hang", "no answer for 0.3 s; its process is still there", marks=pytest.mark.slow),
        ("garble", "CRC-32"),
    ],
)
def test_stop_names_the_device_and_ends_the_run_as_an_error(kind, says, undisturbed):
    faults = [{"device": "uart", kind: undisturbed[1] // 2}]
    with light({"uart": place("stop", 0.3)}, faults) as machine:
        result = machine.run(until=PoweredOff)
        assert result.ended == "error" and not result.ok
        assert result.reason.startswith("device uart (process ") and says in result.reason
        assert "on Mmio" in result.reason and "last good message Mmio" in result.reason
        # The machine stands before the message that nobody took: it can be saved, and run on with a new process.
        assert machine.run(until=PoweredOff).trace_hash == undisturbed[0]


def test_what_a_lost_device_left_can_be_saved(undisturbed):
    with light({"uart": place("stop")}) as machine:
        machine.run(max_virtual=undisturbed[1] // 2)
        os.kill(machine.components["uart"].supervisor.connection.process.pid, signal.SIGKILL)
        assert machine.run(until=PoweredOff).ended == "error"
        saved = machine.save()
    with Machine.restore(saved, placement="inprocess") as machine:
        assert machine.run(until=PoweredOff).trace_hash == undisturbed[0]


def test_disconnect_gives_bus_errors_and_low_lines_and_the_result_says_so(undisturbed):
    faults = [{"device": "uart", "kill": undisturbed[1] // 2}]
    with light({"uart": place("disconnect")}, faults) as machine:
        result = machine.run(until=PoweredOff, max_virtual="20 ms")
        assert machine.components["uart"].disconnected.startswith("device uart")
        assert machine.devices["ls3a_router_irq"].state["input"] & 1 == 0
        assert result.details["disconnected uart"] == 1
        # The guest's access met nothing: it is in its exception handler, or stuck behind it.
        assert result.details["exception DBE"] >= 1
        with pytest.raises(Exception, match="disconnected"):
            machine.bus.read(0x1FE0_01E5, 1)
        with pytest.raises(UnmappedAccessError, match="disconnected"):
            _ = machine.devices["uart"].state
        with pytest.raises(CheckpointError, match="uart is disconnected"):
            machine.save()


def test_a_host_that_reads_a_dead_device_meets_nothing():
    with light({"uart": place("disconnect")}) as machine:
        machine.components["uart"].supervisor.connection.process.kill()
        with pytest.raises(UnmappedAccessError, match="uart: the device is disconnected"):
            machine.devices["uart"].read(5, 1)


def test_a_restart_that_cannot_repeat_what_happened_ends_the_run(monkeypatch, undisturbed):
    """A device that does not answer as before is not trusted: the run ends instead of going on with another past."""
    whole = Supervisor._bring_back

    def tampered(self):
        frames, channel, now, pieces = self._told[-1]
        self._told[-1] = (frames, channel, now, [pieces[0][:-1] + b"\x7f", *pieces[1:]])
        whole(self)

    monkeypatch.setattr(Supervisor, "_bring_back", tampered)
    with light({"uart": place("restart")}, [{"device": "uart", "kill": undisturbed[1] // 2}]) as machine:
        result = machine.run(until=PoweredOff)
    assert result.ended == "error" and "answered differently when it was told again" in result.reason


@pytest.mark.parametrize("policy", ["stop", "restart", "disconnect"])
def test_a_device_that_is_lost_at_a_request_for_its_state_follows_its_policy(policy, monkeypatch, undisturbed):
    whole = Supervisor.take_state

    def strike(self, now):
        monkeypatch.setattr(Supervisor, "take_state", whole)
        self.connection.process.kill()
        whole(self, now)

    monkeypatch.setattr(supervision, "SNAPSHOT_MESSAGES", 10)
    monkeypatch.setattr(Supervisor, "take_state", strike)
    with light({"uart": place(policy)}) as machine:
        result = machine.run(until=PoweredOff, max_virtual="20 ms")
        (failure,) = machine.components["uart"].supervisor.failures
        assert failure.startswith("device uart (process ") and "failed on a request for its state" in failure
        if policy == "stop":
            assert (result.ended, result.reason) == ("error", failure)
            result = machine.run(until=PoweredOff)
        assert result.details.get("disconnected uart") == (1 if policy == "disconnect" else None)
        assert (result.trace_hash == undisturbed[0]) == (policy != "disconnect")


def test_a_restart_begins_from_the_last_state(monkeypatch, undisturbed):
    monkeypatch.setattr(supervision, "SNAPSHOT_MESSAGES", 10)
    faults = [{"device": name, "kill": moments(name, 2, undisturbed[1])} for name in DEVICES]
    with light({name: place("restart") for name in DEVICES}, faults) as machine:
        assert machine.run(until=PoweredOff).trace_hash == undisturbed[0]
        told = {name: len(machine.components[name].supervisor._told) for name in DEVICES}
        assert all(count < 10 for count in told.values()) and machine.components["uart"].supervisor._state


def test_a_checkpoint_goes_from_one_placement_to_another(undisturbed):
    elsewhere = {"uart": "process", "ls3a_router_irq": "process", "stable_timer": "process"}
    for here, there in (({}, elsewhere), (elsewhere, {}), (elsewhere, elsewhere)):
        with light(here) as machine:
            machine.run(max_virtual=undisturbed[1] // 2)
            saved = machine.save()
        with Machine.restore(saved, placement=there or "inprocess") as machine:
            assert machine.run(until=PoweredOff).trace_hash == undisturbed[0], (here, there)


@pytest.mark.parametrize("form", [b"", b"of its own"])
def test_a_state_in_a_form_of_its_own_comes_back_as_it_was(form, monkeypatch):
    kernel, source, given = Kernel(), Source("device", 1), []
    component = RemoteComponent(
        "device", "a:B", None, {}, Place("process"), kernel, source,
        lambda tick: Timers(kernel, Trace(), 1, source, 1, tick), lambda name, reason: None,
    )  # fmt: skip
    supervisor = component.supervisor = Supervisor("device", component.place, b"", b"")
    monkeypatch.setattr(supervisor, "state", lambda now: form)
    monkeypatch.setattr(supervisor, "restore", lambda now, state: given.append(state))
    component.restore(component.save(), {})
    component.restored()
    assert given == [form]


def test_the_devices_go_when_the_machine_is_closed_or_forgotten():
    gc.collect()  # machines of other tests
    before, two = children(), {"uart": "process", "rtc": "process"}
    machine = light(two)
    assert len(children() - before) == 2
    machine.close()
    assert children() == before
    with light(two):
        pass
    assert children() == before
    machine = light(two)
    assert len(children() - before) == 2
    del machine
    gc.collect()
    assert children() == before


@pytest.mark.parametrize(
    "how",
    [
        signal.SIGKILL,
        pytest.param(signal.SIGTERM, marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, marks=pytest.mark.slow),
    ],
)
def test_the_devices_go_when_the_simulator_is_killed(how):
    code = (
        "import time; from soc import Machine; m = Machine('virt', placement={'uart': 'process', 'rtc': 'process'}); "
        "print(*(c.supervisor.connection.process.pid for c in m.components.values() if c.remote), flush=True); "
        "time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    pids = [int(word) for word in process.stdout.readline().split()]
    assert len(pids) == 2
    process.send_signal(how)
    process.wait(20)
    process.stdout.close()
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        assert time.monotonic() < deadline, "a device process outlived the simulator"
        time.sleep(0.02)


class Impostor:
    """Stands in a socket pair for the device `ls3a_router_irq`: a real one, whose answers `change` may falsify."""

    def __init__(self, monkeypatch, change):
        self.change = change
        monkeypatch.setattr(supervision, "spawn", self.spawn)

    def spawn(self):
        ours, theirs = socket.socketpair()
        pid = os.fork()
        if pid == 0:
            try:
                ours.close()
                self.serve(Stream(theirs))
            except StreamClosed:
                pass
            finally:
                os._exit(0)
        theirs.close()
        self.pid = pid
        return Connection(Stream(ours), "impostor")

    def serve(self, stream):
        hello = unpack(stream.receive())
        stream.send(frame(pack(hello)))
        peer = Peer(hello.component, lambda model: True)
        while True:
            message = unpack(stream.receive())
            answer = peer.handle(message)
            if answer and type(message) is not Reset:
                answer = self.change(message, answer)
            stream.send(answer)

    def reap(self):
        os.waitpid(self.pid, 0)


def promise(message, answers, until=NEVER):
    return frame(pack(SyncPromise(message.time, 0, 0, answers, 0, until)))


def reply(message, time=None, sequence=1, request=None):
    time, request = time or message.time + 10**6, request or message.sequence
    return frame(pack(MmioReply(time, message.destination, message.source, sequence, 0, request, 0)))


FALSE = {
    "garbage": (lambda m, a: frame(b"\xc1\xff\x00"), "no msgpack message"),
    "a foreign version": (lambda m, a: frame(pack((9, 1, 0, 0, 0, 0, 0))), "wire version 9"),
    "an oversized frame": (lambda m, a: b"\xff\xff\xff\xff" + bytes(4), "a frame of 4294967295 bytes"),
    "a wrong check": (lambda m, a: a[:4] + b"\0\0\0\0" + a[HEADER:], "CRC-32"),
    "half a frame, then nothing": (lambda m, a: a[:10], "answer"),
    "an unknown kind": (lambda m, a: frame(pack((VERSION, 99, 0, 0, 0, 0, 0))), "unknown message kind 99"),
    "no reply": (lambda m, a: promise(m, 1), None),
    "a message of another link": (
        lambda m, a: frame(pack(InterruptLevel(m.time + 10**6, 1, 2, 1, 0, 1))) + promise(m, 2),
        "which no link of its carries",
    ),
    "a message out of order": (
        lambda m, a: (
            frame(pack(MmioReply(m.time + 10**6, m.destination, m.source, 7, 0, m.sequence, 0))) + promise(m, 2)
        ),
        "out of order: sequence 1 is next",
    ),
    "a late message": (
        lambda m, a: reply(m, time=m.time) + promise(m, 2),
        "late: from",
    ),
    "a reply nobody waits for": (
        lambda m, a: reply(m, request=99) + promise(m, 2),
        "no such request is open",
    ),
    "a reply twice": (
        lambda m, a: reply(m) + reply(m, sequence=2) + promise(m, 2),
        "no such request is open",
    ),
    "a tick in the past": (
        lambda m, a: frame(pack(TimerTick(m.time - 1, 1, 1, 1, 0, "x"))) + promise(m, 2),
        "armed a timer with",
    ),
    "a broken promise": (lambda m, a: a[:-9] and _last_changed(a, m), "promises silence until"),
    "a promise out of turn": (lambda m, a: promise(m, 1) + a, "closed answer 2"),
    "more than it was asked": (lambda m, a: a + a, None),
    "a hello in the middle": (lambda m, a: frame(pack(Hello(0, 0, 0, 0, 0, "x", b"", b""))) + a, "cannot take"),
    "a failure": (lambda m, a: frame(pack(Failure(0, 0, 0, 0, 0, "DeviceError", "no"))), "reports DeviceError: no"),
    "endless talk": (lambda m, a: frame(pack(TimerCancel(0, 0, 0, 0, 0, "x"))) * 70_000, "with more than 65536"),
    "a stop nobody knows": (lambda m, a: frame(pack(Stop(0, 0, 0, 0, 0, "for fun"))) + a, "asked for 'for fun'"),
}


def _last_changed(answer, message):
    whole, at = b"", 0
    while at < len(answer):
        length = int.from_bytes(answer[at : at + 4], "little")
        piece = unpack(answer[at + HEADER : at + HEADER + length])
        if type(piece) is SyncPromise:
            piece = SyncPromise(*piece[2:7], message.time + 5)
        whole, at = whole + frame(pack(piece)), at + HEADER + length
    return whole


QUICK = ("garbage", "a late message", "a reply twice", "a broken promise", "endless talk")


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in FALSE]
)
def test_a_false_answer_is_named_and_never_a_result(name, monkeypatch):
    change, says = FALSE[name]
    impostor = Impostor(monkeypatch, change)
    with light({"ls3a_router_irq": place("stop", 0.5 if "nothing" in name else 30)}) as machine:
        result = machine.run(until=PoweredOff, max_virtual="1 s")
    impostor.reap()
    assert result.ended in ("error", "deadlock"), result
    if says is not None:
        assert says in result.reason
    if name not in ("no reply", "a stop nobody knows"):
        assert result.reason.startswith("device ls3a_router_irq (impostor) failed on MmioWrite")


@pytest.mark.parametrize(
    ("sent", "says"),
    [
        (b"GET / HTTP/1.1\r\nHost: here\r\n\r\n", b"MessageError"),
        (frame(pack(MmioReply(0, 0, 0, 0, 0, 0, 0))), b"begins with Hello"),
        (frame(pack(Hello(0, 0, 0, 0, 0, "uart", b"", b"guess"))), b"the token is wrong"),
        (frame(pack(Hello(0, 0, 0, 0, 0, "uart", b"", b""))), b"the token is wrong"),
        (frame(pack((VERSION + 1, 15, 0, 0, 0, 0, 0, "uart", b"", b""))), b"VersionError"),
        (frame(bytes(5000)), b"at most 4096"),
    ],
)
def test_a_server_turns_away_who_does_not_know_the_token_or_the_wire(sent, says, server):
    host, _, port = server().removeprefix("tcp://").partition(":")
    with socket.create_connection((host, int(port)), timeout=10) as client:
        client.sendall(sent)
        heard = b""
        while data := client.recv(4096):
            heard += data
    assert says in heard and len(heard) < 5000


def test_a_server_serves_only_models_it_knows(server):
    places = {"power": server(), "all": "inprocess"}
    foreign = RemoteComponent.__init__

    def renamed(self, name, model, *rest):
        foreign(self, name, "os:system", *rest)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(DeviceLost, match="model 'os:system' is not served here"):
        patch.setattr(RemoteComponent, "__init__", renamed)
        light(places)


def test_a_wrong_token_is_an_error_before_the_run(server, monkeypatch):
    there = server()
    monkeypatch.setenv("SOC_DEVICE_TOKEN", "another")
    with pytest.raises(DeviceLost, match=r"device uart \(server 127.0.0.1:\d+\) failed at the start.*token is wrong"):
        light({"uart": there})
