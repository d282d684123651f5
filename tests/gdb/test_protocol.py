"""Packets: framing, escapes, checksums, in whatever pieces they arrive."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from soc.gdb.protocol import PACKET_BYTES, Reader, Token, checksum, frame

BODIES = st.binary(max_size=60)


def read(*pieces: bytes) -> list[bytes | Token]:
    reader = Reader()
    return [found for piece in pieces for found in reader.feed(piece)]


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[a:b] for a, b in pairwise(edges)]


def test_a_frame_is_as_the_manual_says():
    assert frame(b"OK") == b"$OK#9a"
    assert frame(b"a}b") == b"$a}]b#%02x" % checksum(b"a}]b")


@given(st.lists(BODIES), st.lists(st.integers(0, 5000)))
def test_what_is_framed_is_read_however_it_arrives(bodies, places):
    assert read(*cut(b"".join(map(frame, bodies)), places)) == bodies


@given(st.lists(st.one_of(st.binary(max_size=20), BODIES.map(frame))), st.lists(st.integers(0, 5000)))
def test_any_bytes_are_read_the_same_in_pieces_and_leave_the_reader_fit(pieces, places):
    data = b"".join(pieces)
    whole, reader = read(data), Reader()
    assert [found for piece in cut(data, places) for found in reader.feed(piece)] == whole
    # Whatever it stands in, the packet after the next start is found.
    assert list(reader.feed(frame(b"one") + frame(b"two")))[-1] == b"two"


def test_tokens_between_packets():
    assert read(b"+-\x03xyz$g#67") == [Token.ACK, Token.NACK, Token.INTERRUPT, b"g"]


def test_a_wrong_checksum_is_damage():
    assert read(b"$g#68$g#67") == [Token.DAMAGED, b"g"]
    assert read(b"$g#zz") == [Token.DAMAGED]


def test_a_packet_that_another_cuts_off_is_damage():
    assert read(b"$m12", b"$g#67") == [Token.DAMAGED, b"g"]


def test_an_escape_at_the_end_is_damage():
    assert read(b"$a}#%02x" % checksum(b"a}")) == [Token.DAMAGED]


def test_too_long_a_packet_is_passed_over_to_its_end():
    long = b"$" + b"\x03+-" * PACKET_BYTES + b"#00"
    assert read(long, b"$g#67") == [Token.TOO_LONG, b"g"]
    pieces = [long[n : n + 1000] for n in range(0, len(long), 1000)]
    assert read(*pieces, b"$g#67") == [Token.TOO_LONG, b"g"]
    assert read(frame(bytes(b"a" * PACKET_BYTES))) == [b"a" * PACKET_BYTES]
