"""Trace files: they give back what was written; what is damaged says so and gives what is whole."""

import random
from pathlib import Path

import msgpack
import pytest

from soc.errors import SocError
from soc.trace import Trace, TraceFileError
from soc.trace import trace as module
from tests.trace.conftest import some_of_everything


@pytest.fixture
def small_pieces(monkeypatch):
    monkeypatch.setattr(module, "_CHUNK", 1 << 10)


@pytest.fixture
def file(small_pieces, tmp_path) -> Path:
    some_of_everything().done().save(tmp_path / "trace.soc", {"platform": "ls7a"}, "5f1c9a")
    return tmp_path / "trace.soc"


def told(trace):
    return [str(record) for record in trace.records], trace.latency().table(), str(trace.latency("uart").outliers(3)[0])


def test_a_file_tells_what_the_live_trace_tells(file):
    trace, loaded = some_of_everything().done(), Trace.load(file)
    assert told(loaded) == told(trace)
    assert (loaded.about, loaded.run_hash, loaded.messages) == ({"platform": "ls7a"}, "5f1c9a", trace.messages)
    assert loaded.wiring.cores == 2 and loaded.clock.hz == 800_000_000
    assert {tuple(c.origin) for c in loaded.wiring.channels.values()} == {
        tuple(c.origin) for c in trace.wiring.channels.values()
    }


def test_a_file_written_as_the_run_goes_tells_the_same(small_pieces, tmp_path):
    whole = some_of_everything().done()
    log = some_of_everything()
    log.trace.record_to(tmp_path / "trace.soc")
    log.done()
    before = (tmp_path / "trace.soc").stat().st_size
    log.trace.close()
    assert 0 < before < (tmp_path / "trace.soc").stat().st_size
    assert told(Trace.load(tmp_path / "trace.soc")) == told(whole)
    assert log.trace.hash() == whole.hash()


def test_every_cut_is_told_and_what_is_whole_is_read(file, tmp_path):
    data = file.read_bytes()
    whole = Trace.load(file).records
    counts = set()
    for length in [*range(0, len(data), 37), len(data) - 1]:
        (tmp_path / "cut").write_bytes(data[:length])
        with pytest.raises(TraceFileError) as caught:
            Trace.load(tmp_path / "cut")
        readable = caught.value.readable
        found = readable.records if readable else []
        assert [r.message for r in found] == [r.message for r in whole[: len(found)]]
        if found:
            assert f"cut off after {length}" in str(caught.value) or "can be read" in str(caught.value)
            assert f"{len(found)} messages up to" in str(caught.value)
        counts.add(len(found))
    assert {0, len(whole)} < counts | {len(whole)} and len(counts) > 3


def test_no_damaged_byte_goes_unnoticed(file, tmp_path):
    data = bytearray(file.read_bytes())
    whole = told(Trace.load(file))
    choose = random.Random(7)
    for _ in range(300):
        place, flip = choose.randrange(len(data)), 1 << choose.randrange(8)
        damaged = bytearray(data)
        damaged[place] ^= flip
        (tmp_path / "bad").write_bytes(damaged)
        try:
            trace = Trace.load(tmp_path / "bad")
        except TraceFileError as error:
            assert error.readable is None or error.readable.messages > 0
        else:
            # A flipped bit in a number's encoding may mean the same number.
            assert told(trace) == whole


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is not a trace"),
        (b"\x7fELF and so on\n", "is not a trace: it does not begin with 'soc-trace'"),
        (b"soc-trace 99\nabc", "is a trace of format 99; this version reads 1"),
        (b"soc-trace 1\n", "cut off after 12 bytes"),
        (b"soc-trace 1\n" + msgpack.packb(["weird", 0, b""]), "a piece of unknown kind 'weird'"),
        (b"soc-trace 1\n" + msgpack.packb(7), "no piece of a trace"),
        (b"soc-trace 1\n\xc1", "no msgpack array"),
        (b"soc-trace 1\n" + msgpack.packb(["end", 1, b""]), "does not match its check value"),
    ],
)
def test_what_is_no_trace_is_refused(content, says, tmp_path):
    (tmp_path / "odd").write_bytes(content)
    with pytest.raises(TraceFileError, match=says) as caught:
        Trace.load(tmp_path / "odd")
    assert caught.value.readable is None


def test_what_cannot_be_opened_is_refused(tmp_path):
    with pytest.raises(TraceFileError, match="No such file"):
        Trace.load(tmp_path / "none")
    with pytest.raises(TraceFileError, match="cannot write the trace"):
        some_of_everything().done().save(tmp_path / "no" / "folder")
    with pytest.raises(SocError, match="trace=True"):
        Trace().save(tmp_path / "x")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this host has no /dev/full")
def test_a_full_host_disk_is_told_once():
    log = some_of_everything()
    with pytest.raises(TraceFileError, match="cannot write the trace /dev/full: No space left"):
        log.trace.record_to("/dev/full")
        log.done()
        log.trace.close()
