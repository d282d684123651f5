"""The wire as docs/wire.md describes it, the conformance tool, and a device in C that was written against the page."""

from __future__ import annotations

import importlib.util
import re
import shutil
import socket
import subprocess
import sys

import msgpack
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scenarios.library import guest
from soc import Machine, PoweredOff
from soc.commands.line import main
from soc.errors import MessageError, ProtocolError, SocError
from soc.messages import (
    KINDS,
    Configure,
    InterruptLevel,
    LinkOut,
    PortIn,
    Role,
    describe,
    pack,
)
from soc.placement.places import address
from soc.placement.serve import Peer, allow
from soc.placement.socket import TOKEN
from soc.placement.stream import Stream, StreamClosed, StreamTimeout, frame
from soc.placement.sync import Conversation, Waits
from tests.material import debian_material
from tests.placement.conftest import ROOT
from tests.soc.test_messages import values

PAGE = (ROOT / "docs" / "wire.md").read_text()
SOURCE = ROOT / "docs" / "examples" / "router.c"
ROUTER = "devices.ls3a_router_irq:Ls3aRouterIrq"
COMPILERS = [["cc"]] if shutil.which("cc") else []
if importlib.util.find_spec("ziglang"):
    COMPILERS.append([sys.executable, "-m", "ziglang", "cc"])


def test_the_page_has_every_message_and_a_true_example():
    assert describe() in PAGE
    assert max(len(cls.FIELDS) for cls in KINDS.values()) + 2 <= 15, "the page says fixarray"
    bytes_of = [bytes.fromhex(line.split("  length")[0]) for line in re.findall(r"(?m)^ {4}([0-9a-f]{2} .*)$", PAGE)]
    assert b"".join(bytes_of) == frame(pack(InterruptLevel(1000, 5, 9, 3, 0x100_0000_0001, 1)))


@pytest.fixture(
    scope="module",
    params=[pytest.param(n, marks=pytest.mark.slow if n else ()) for n in range(len(COMPILERS) or 1)],
    ids=["cc", "zig cc"][: len(COMPILERS) or 1],
)
def router(request, tmp_path_factory):
    """The C router, built with each compiler there is."""
    if not COMPILERS:
        pytest.skip("no cc and no ziglang here")
    program = tmp_path_factory.mktemp("router") / "router"
    command = [*COMPILERS[request.param], "-std=c11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-Werror"]
    subprocess.run([*command, "-o", str(program), str(SOURCE)], check=True, timeout=300)
    return program


@pytest.fixture
def c_server(router, monkeypatch):
    """Place of a running C router."""
    monkeypatch.setenv(TOKEN, "a token of the tests")
    process = subprocess.Popen([router, "0"], stderr=subprocess.PIPE, text=True)
    port = process.stderr.readline().rpartition(":")[2].strip()
    yield f"tcp://127.0.0.1:{port}"
    assert process.poll() is None, "the router has crashed"
    process.terminate()
    process.wait(10)
    process.stderr.close()


def check(place, *words):
    return main(["device", "check", place.removeprefix("tcp://"), *words])


def test_the_device_in_c_conforms_and_behaves_as_its_model(c_server, capsys):
    assert check(c_server, ROUTER, "--same") == 0, capsys.readouterr().out
    assert "FAILED" not in capsys.readouterr().out


def test_the_device_in_c_serves_a_guest_with_the_same_hash(c_server):
    def light(placement):
        with Machine("virt", placement=placement) as machine:
            machine.load(guest("first_light.S", rounds=10).to_elf())
            result = machine.run(until=PoweredOff)
            assert result.ended == "poweroff"
            return result.trace_hash

    assert light({"ls3a_router_irq": c_server}) == light("inprocess")


def test_the_device_in_c_comes_back_after_its_connection_broke(c_server):
    def light(placement, faults=()):
        with Machine("virt", placement=placement, faults=faults) as machine:
            machine.load(guest("first_light.S", rounds=10).to_elf())
            result = machine.run(until=PoweredOff)
            return result.trace_hash, result.details.get("restarts of ls3a_router_irq")

    expected, _ = light("inprocess")
    strikes = [{"device": "ls3a_router_irq", "kill": ["20 us", "60 us"], "garble": ["90 us"]}]
    assert light({"ls3a_router_irq": f"{c_server}+restart"}, strikes) == (expected, 3)


@pytest.mark.slow
def test_the_device_in_c_boots_debian_with_the_same_hash(c_server):
    material = debian_material()

    def boot(placement):
        with Machine("virt", placement=placement, append="nokaslr cryptomgr.notests") as machine:
            machine.load(material.kernel, initrd=material.initrd)
            return machine.run(until="INIT-UP", max_virtual="20 s").trace_hash

    assert boot({"ls3a_router_irq": c_server}) == boot("inprocess")


@pytest.mark.parametrize(
    "model",
    [
        pytest.param("devices.stable_timer:StableTimer", marks=pytest.mark.slow),
        pytest.param("devices.uart16550:Uart16550", marks=pytest.mark.slow),
        pytest.param("devices.ls3a_ext_irq:Ls3aExtIrq", marks=pytest.mark.slow),
        pytest.param("devices.rtc:GoldfishRtc", marks=pytest.mark.slow),
        pytest.param("devices.ls7a_irq:Ls7aIrq", marks=pytest.mark.slow),
        pytest.param("devices.ls3a_ht_irq:Ls3aHtIrq", marks=pytest.mark.slow),
        pytest.param("devices.ls3a_ipi:Ls3aIpi", marks=pytest.mark.slow),
    ],
)
def test_the_devices_of_this_package_conform(model, server, capsys):
    assert check(server(), model, "--same") == 0, capsys.readouterr().out


FAULTS = {
    "a sequence that skips": (
        "source, ++state.sequence, cause);",
        "source, state.sequence += 2, cause);",
        "out of order",
    ),
    "a reply without latency": ("state.time + latency, target", "state.time, target", "late"),
    "a promise of another time": ("give(UINT64_MAX);", "give(0);", "promises silence"),
    "answers that are not counted": ("0, 0, ++answers, 0);", "0, 0, 1, 0);", "closed answer"),
    "any token is good": ("return !differ;", "return 1;", "turns away a wrong token: it answered Hello"),
    "a check that is not made": ("crc32(in, in_length) != get32(header + 4)", "0", "turns away a wrong CRC-32"),
    "a state that is not all": ("memcpy(&state, own[0].bytes, sizeof state);", ";", "goes on from its state"),
    "edges that are not latched": ("state.latch |= state.intedge & bit;", ";", f"behaves as {ROUTER}"),
    "another cause": ("return state.input[n].cause;", "return cause;", f"behaves as {ROUTER}"),
}


@pytest.mark.skipif(not COMPILERS, reason="no cc and no ziglang here")
@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if i else n for i, n in enumerate(FAULTS)])
def test_the_tool_finds_what_is_wrong_with_a_device(name, tmp_path, monkeypatch, capsys):
    right, wrong, says = FAULTS[name]
    source = SOURCE.read_text()
    assert source.count(right) == 1
    (tmp_path / "router.c").write_text(source.replace(right, wrong))
    program = tmp_path / "router"
    subprocess.run([*COMPILERS[0], "-o", str(program), str(tmp_path / "router.c")], check=True, timeout=300)
    monkeypatch.setenv(TOKEN, "t")
    process = subprocess.Popen([program, "0"], stderr=subprocess.PIPE, text=True)
    try:
        port = process.stderr.readline().rpartition(":")[2].strip()
        assert check(f"127.0.0.1:{port}", ROUTER, "--same") == 1
    finally:
        process.terminate()
        process.wait(10)
        process.stderr.close()
    assert any(says in line for line in capsys.readouterr().out.splitlines() if line.startswith("FAILED"))


# The stream, alone.


def streams(watchdog=0.2, limit=1 << 20):
    one, other = socket.socketpair()
    return one, Stream(other, watchdog, limit)


@pytest.mark.parametrize(
    ("sent", "error"),
    [
        (b"", StreamTimeout),
        (frame(b"abc")[:-1], StreamTimeout),
        (b"\0\0\x20\0" + bytes(4), MessageError),
        (frame(b"abc")[:-1] + b"d", MessageError),
    ],
)
def test_what_is_no_frame_is_refused_in_time(sent, error):
    writer, stream = streams()
    writer.sendall(sent)
    with pytest.raises(error):
        stream.receive()
    stream.close()
    writer.close()


def test_a_trickle_does_not_hold_the_watchdog_off():
    import threading
    import time

    writer, stream = streams(0.3)
    ended = threading.Event()

    def trickle():
        for byte in frame(bytes(1000)):
            if ended.wait(0.05):
                return
            writer.send(bytes([byte]))

    thread = threading.Thread(target=trickle)
    thread.start()
    began = time.monotonic()
    with pytest.raises(StreamTimeout, match="has not finished"):
        stream.receive()
    assert time.monotonic() - began < 2
    ended.set()
    thread.join()
    stream.close()
    writer.close()


def test_a_peer_that_takes_nothing_is_noticed_when_sending():
    writer, stream = streams(0.2)
    with pytest.raises(StreamTimeout, match="did not take"):
        stream.send(bytes(1 << 22))
    stream.close()
    writer.close()
    with pytest.raises(StreamClosed):
        stream.send(b"x")


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.binary(max_size=300), max_size=10), st.integers(1, 50))
def test_frames_come_out_as_they_went_in_however_they_are_cut(payloads, step):
    writer, stream = streams(5)
    data = b"".join(map(frame, payloads))
    for at in range(0, len(data), step):
        writer.sendall(data[at : at + step])
    assert [stream.receive() for _ in payloads] == payloads
    assert not stream.pending
    stream.close()
    writer.close()


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_from_a_device_raise_anything_but_our_own(data):
    writer, stream = streams(5)
    conversation = Conversation(stream, Waits(), 5)
    writer.sendall(data)
    writer.shutdown(socket.SHUT_WR)
    try:
        conversation.ask(b"", (1, 2), 0)
    except (ProtocolError, MessageError):
        pass
    finally:
        stream.close()
        writer.close()


def described():
    """A device's side that has been configured, with a register port, a line and its timers."""
    peer = Peer("uart", lambda model: model.startswith("devices."))
    for message in (
        Configure(0, 0, 0, 0, 0, "devices.uart16550:Uart16550", msgpack.packb({}), 3),
        PortIn(0, 0, 1, 0, 0, "mmio", Role.REGISTERS, 0, 0),
        PortIn(0, 0, 2, 0, 0, "cts", Role.INPUT, 0, 0),
        PortIn(0, 0, 3, 0, 0, "timer", Role.TIMER, 0, 0),
        LinkOut(0, 1, 4, 0, 0, "mmio", 1000, 1),
        LinkOut(0, 5, 6, 0, 0, "irq", 1000, 2),
    ):
        assert peer.handle(message) == b""
    return peer


small = st.integers(0, 8)
any_message = st.one_of(
    [
        st.builds(cls, st.integers(0, 100), small, small, small, small, *map(values, list(cls.FIELDS.values())[5:]))
        for cls in KINDS.values()
    ]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(any_message, max_size=8))
def test_no_message_makes_a_device_process_raise_anything_but_our_own(messages):
    peer = described()
    try:
        for message in messages:
            peer.handle(message)
    except SocError:
        pass


def test_a_file_is_served_by_its_whole_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    allowed = allow(["gpio.py:Gpio", "mine.gpio:Gpio"])
    assert allowed(f"{tmp_path}/gpio.py:Gpio") and allowed("mine.gpio:Gpio") and allowed("devices.rtc:GoldfishRtc")
    assert not (allowed("gpio.py:Gpio") or allowed("/elsewhere/gpio.py:Gpio") or allowed("os:system"))


def test_a_model_that_could_never_be_served_is_refused():
    with pytest.raises(SocError, match="'gpio' names no model; write module:Class"):
        allow(["gpio"])


def test_checking_a_server_that_is_not_there_is_bad_input(capsys):
    assert main(["device", "check", "127.0.0.1:1", "devices.ls3a_router_irq:Ls3aRouterIrq"]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("soc: no device server at 127.0.0.1:1: Connection refused.\n     `soc device")


@pytest.mark.parametrize("text", ["here", "here:", ":1", "h:70000", "h:-1", "h:x"])
def test_an_address_has_a_host_and_a_port(text):
    with pytest.raises(SocError, match="HOST:PORT"):
        address(text)
