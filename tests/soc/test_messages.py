"""The wire: what is packed comes back, and foreign bytes give our own errors."""

import re

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soc import messages
from soc.errors import MessageError, VersionError
from soc.messages import (
    KINDS,
    VERSION,
    InterruptLevel,
    MmioRead,
    MmioReply,
    Octets,
    Phase,
    Text,
    Unsigned,
    pack,
    unpack,
)


def values(spec):
    if isinstance(spec, Unsigned):
        return st.sampled_from(spec.allowed) if spec.allowed else st.integers(0, (1 << spec.bits) - 1)
    if isinstance(spec, Octets):
        return st.binary(max_size=min(spec.most, 100))
    assert isinstance(spec, Text)
    return st.text(max_size=min(spec.most, 50))


any_message = st.one_of([st.builds(cls, *map(values, cls.FIELDS.values())) for cls in KINDS.values()])
READ = MmioRead(1, 2, 3, 4, 5, core=0, space=0, address=0x1FE001E5, size=1, instructions=9)


def test_a_message_is_shown_with_bits_and_addresses_in_hex():
    own = "core=0, space=0, address=0x1fe001e5, size=1, instructions=9"
    assert READ.shown(READ.own_fields()) == own
    assert repr(READ) == f"MmioRead(time=1, source=2, destination=3, sequence=4, cause=0x5, {own})"
    assert repr(MmioReply(1, 2, 3, 4, 5, 6, "x")).endswith("request=6, value='x')")


@given(any_message)
def test_every_message_survives_the_wire(message):
    back = unpack(pack(message))
    assert back == message and type(back) is type(message)
    assert pack(back) == pack(message)


@given(any_message, st.data())
def test_a_truncated_message_is_refused(message, data):
    whole = pack(message)
    with pytest.raises(MessageError):
        unpack(whole[: data.draw(st.integers(0, len(whole) - 1))])


@given(any_message, st.binary(min_size=1, max_size=20))
def test_trailing_bytes_are_refused(message, tail):
    with pytest.raises(MessageError):
        unpack(pack(message) + tail)


@settings(max_examples=300)
@given(st.binary(max_size=200))
def test_arbitrary_bytes_never_raise_anything_else(data):
    try:
        unpack(data)
    except MessageError:
        pass


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 64) - 1)
    | st.floats()
    | st.text(max_size=5)
    | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


@given(any_message, st.data())
def test_a_changed_field_is_refused_or_in_range(message, data):
    place = data.draw(st.integers(2, len(message) - 1))
    wrong = data.draw(anything)
    row = [*message[:place], wrong, *message[place + 1 :]]
    spec = list(message.FIELDS.values())[place - 2]
    try:
        back = unpack(msgpack.packb(row))
    except MessageError as error:
        assert list(message.FIELDS)[place - 2] in str(error)
    else:
        assert spec.problem(back[place]) is None and back[place] == wrong


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ([], "begins with version and kind"),
        ({"a": 1}, "begins with version"),
        ([VERSION, 99], "unknown message kind 99"),
        ([VERSION, "MmioRead"], "unknown message kind"),
        ([VERSION, True], "unknown message kind"),
        ([VERSION, 1, 2, 3], "MmioRead with 2 fields"),
        ([VERSION, *READ[1:10], 3, READ[11]], "MmioRead.size is 3, allowed: 1, 2, 4, 8"),
        ([VERSION, 8, 0, 0, 0, 0, 0, 2], "InterruptLevel.level is 2"),
        ([VERSION, 8, 0, 0, 0, 0, 0, True], "is bool"),
        ([VERSION, 8, -1, 0, 0, 0, 0, 1], "InterruptLevel.time is -1"),
        ([VERSION, 13, 0, 0, 0, 0, 0, "text"], "bytes are needed"),
    ],
)
def test_what_is_wrong_is_named(row, says):
    with pytest.raises(MessageError, match=re.escape(says)):
        unpack(msgpack.packb(row))


@pytest.mark.parametrize("version", [0, VERSION + 1, None, "1", True])
def test_another_version_is_refused_as_such(version):
    with pytest.raises(VersionError, match=f"this side speaks {VERSION}"):
        unpack(msgpack.packb([version, *READ[1:]]))


def test_a_message_too_long_is_refused_unread(monkeypatch):
    monkeypatch.setattr(messages, "MAX_BYTES", 8)
    with pytest.raises(MessageError, match="at most 8"):
        unpack(pack(READ))


def test_construction_by_name_and_position():
    assert READ.address == 0x1FE001E5 and READ.time == 1 and READ.cause == 5
    with pytest.raises(TypeError, match="MmioReply takes"):
        MmioReply(1, 2, 3)
    with pytest.raises(TypeError, match="level"):
        InterruptLevel(1, 2, 3, 4, 5, lvl=1)
    with pytest.raises(MessageError, match=r"MmioReply\.value"):
        MmioReply(1, 2, 3, 4, 5, 6, 1 << 64).check()


def test_phases_put_lines_before_requests_before_replies_before_timers():
    order = ["InterruptLevel", "MmioWrite", "MmioReply", "TimerTick"]
    phases = {cls.__name__: cls.PHASE for cls in KINDS.values()}
    assert [phases[name] for name in order] == [1, 2, 3, 4] == sorted(Phase)[2:6]
    assert {cls.__name__ for cls in KINDS.values() if not cls.HASHED} == {
        "SyncPromise",
        "Hello",
        "Snapshot",
        "Restore",
        "Stop",
        "Configure",
        "PortIn",
        "LinkOut",
        "Reset",
        "TimerCancel",
        "Failure",
    }


def test_the_description_names_every_message():
    text = messages.describe()
    assert all(f"| {cls.__name__} |" in text for cls in KINDS.values())
