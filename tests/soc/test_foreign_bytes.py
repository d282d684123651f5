"""A million byte strings that nobody of ours packed, against `unpack`: only our own errors, and little memory."""

import random
import tracemalloc

import msgpack
import pytest

from soc import messages
from soc.errors import MessageError
from soc.messages import KINDS, MAX_BYTES, MOST_TOLD, VERSION, Message, Octets, Text, Unsigned, pack, unpack

EVERY = 1 << 14
LONG = 1 << 22


def sample(rng: random.Random, kind: type[Message]) -> Message:
    """A message of `kind` that is right."""
    return kind(*(value(rng, spec) for spec in kind.FIELDS.values()))


def value(rng, spec):
    if isinstance(spec, Unsigned):
        return rng.choice(spec.allowed) if spec.allowed else rng.getrandbits(rng.randint(1, spec.bits))
    if isinstance(spec, Octets):
        return rng.randbytes(rng.randint(0, min(spec.most, 40)))
    assert isinstance(spec, Text)
    return "".join(rng.choices("abc\u00e4\U0001f600", k=rng.randint(0, 8)))


def bits_flipped(rng, whole):
    data = bytearray(whole)
    for _ in range(rng.randint(1, 4)):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(data)


def cut(rng, whole):
    return whole[: rng.randrange(len(whole))]


def spliced(rng, whole):
    at, size = rng.randrange(len(whole) + 1), rng.randint(0, 3)
    return whole[:at] + rng.randbytes(rng.randint(1, 12)) + whole[at + size :]


def noise(rng, whole):
    return rng.randbytes(rng.randint(0, 60))


def headers(rng, whole):
    """Headers of msgpack that claim any length, one in the other, where a message or a field begins."""
    claims = b"".join(
        bytes([rng.choice(b"\x81\x91\xc4\xc5\xc6\xc7\xc8\xc9\xd4\xd6\xd7\xd8\xd9\xda\xdb\xdc\xdd\xde\xdf")])
        + rng.choice((b"\xff" * 4, b"\x00\x00\x00\x01", b"\x00\xff", b"\x10", rng.randbytes(4)))
        for _ in range(rng.randint(1, 30))
    )
    return whole[: rng.choice((0, 1, 2, 3, rng.randrange(len(whole))))] + claims + rng.randbytes(rng.randint(0, 20))


def other_types(rng, whole):
    """A field, or the version or kind, of another type."""
    row = list(msgpack.unpackb(whole, use_list=False))
    odd = (None, True, -1, -(1 << 63), 1 << 63, 0.5, float("nan"), "", "x" * 300, b"", {}, [], [[[]]], VERSION, "1")
    extended = (msgpack.ExtType(rng.randint(0, 127), b"abc"), msgpack.Timestamp(5))
    row[rng.randrange(len(row))] = rng.choice((*odd, *extended))
    return msgpack.packb(row)


def other_count(rng, whole):
    row = list(msgpack.unpackb(whole, use_list=False))
    for _ in range(rng.randint(1, 5)):
        row = row[:-1] if rng.random() < 0.5 else [*row, rng.getrandbits(8)]
    return msgpack.packb(row)


def deep(rng, whole):
    return bytes([rng.choice(b"\x91\x92\x81\xdc")]) * rng.randint(1, 3000) + whole


SPOIL = (bits_flipped, cut, spliced, noise, headers, other_types, other_count)


def throw(count: int, seed: int) -> dict[str, int]:
    """`count` spoilt messages of every kind, both ways, at `unpack`; how many were refused and how many were right."""
    rng = random.Random(seed)
    kinds = list(KINDS.values())
    seen = {"refused": 0, "right": 0}
    whole = b""
    for number in range(count):
        if number % 8 == 0:
            whole = pack(sample(rng, kinds[number // 8 % len(kinds)]))
        data = deep(rng, whole) if number % 1000 == 0 else SPOIL[rng.randrange(len(SPOIL))](rng, whole)
        try:
            message = unpack(data)
        except MessageError as error:
            text = str(error)
            assert 20 < len(text) <= MOST_TOLD, (data, text)
            seen["refused"] += 1
        else:
            assert type(message) is KINDS[message[1]] and message[0] == VERSION
            assert message.check() is message and unpack(pack(message)) == message, data
            seen["right"] += 1
        if number % EVERY == 0:
            held, most = tracemalloc.get_traced_memory()
            assert most - held < 1 << 20, "a short string took more than a mebibyte"
            tracemalloc.reset_peak()
    return seen


@pytest.fixture
def memory():
    tracemalloc.start()
    yield
    tracemalloc.stop()


def test_a_slice_of_the_million(memory):
    seen = throw(20_000, seed=1)
    assert seen["refused"] > 4 * seen["right"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10, 20))
def test_a_million_malformed_strings(memory, seed):
    seen = throw(100_000, seed)
    assert seen["refused"] > 4 * seen["right"] > 0


@pytest.mark.parametrize(
    "data",
    [
        b"\xdd" + (LONG - 5).to_bytes(4, "big") + b"\x00" * LONG,
        (b"\xdd" + LONG.to_bytes(4, "big")) * 500 + b"\x00" * LONG,
        (b"\xdf" + (LONG // 2).to_bytes(4, "big")) * 500 + b"\xa0" * LONG,
        b"\x91" * LONG,
        msgpack.packb(b"\xff" * LONG),
        msgpack.packb("\x00" * LONG),
        msgpack.packb([b"\xff" * LONG, 1]),
        msgpack.packb([VERSION, "\x00" * LONG]),
        msgpack.packb([VERSION, 16, 0, 0, 0, 0, 0, "\x00" * LONG]),
        msgpack.packb([VERSION, 6, 0, 0, 0, 0, 0, 0, b"\xff" * LONG]),
        msgpack.packb([VERSION, 4, 0, 0, 0, 0, 0, 0, "\u00e4" * 300]),
        msgpack.packb(msgpack.ExtType(5, bytes(LONG))),
    ],
    ids=lambda data: data[:6].hex(),
)
def test_a_long_string_takes_no_more_than_a_copy_of_itself(memory, data):
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    with pytest.raises(MessageError) as refused:
        unpack(data)
    assert len(str(refused.value)) <= MOST_TOLD
    assert tracemalloc.get_traced_memory()[1] - before < len(data) + (1 << 20)


def test_the_longest_message_is_taken_and_one_byte_more_is_not():
    most = MAX_BYTES - len(pack(messages.Snapshot(0, 0, 0, 0, 0, b""))) - 8
    assert len(unpack(pack(messages.Snapshot(0, 0, 0, 0, 0, bytes(most)))).state) == most
    with pytest.raises(MessageError, match="at most"):
        unpack(bytes(MAX_BYTES + 1))
