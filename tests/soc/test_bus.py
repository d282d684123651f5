"""The address map and what answers where nothing is."""

import logging
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soc.bus import AddressMap, OpenBus, Window
from soc.errors import ConfigurationError, UnmappedAccessError
from soc.platforms.virt import PARTS, WINDOWS

ONES = {1: 0xFF, 2: 0xFFFF, 4: 0xFFFF_FFFF, 8: (1 << 64) - 1}


# Places that Linux looks at on the virtual platform, and what QEMU has there.
@pytest.mark.parametrize(
    ("address", "reads"),
    [
        (0x1000_0000, 0),
        (0x1FE0_0180, 0),
        (0x1FFF_FFF8, 0),
        (0x3000_0000, 0),
        (0x3FFF_FFF8, 0),
        (0x1800_0060, ONES),
        (0x1A00_0000, ONES),
        (0x1BFF_FFF8, ONES),
        (0x1C00_0000, 0),
        (0x4000_0000, ONES),
        (0x7FFF_FFF8, ONES),
    ],
)
@pytest.mark.parametrize("size", [1, 2, 4, 8])
def test_unclaimed_addresses_of_virt(address, reads, size):
    bus = OpenBus(WINDOWS)
    assert bus.read(address, size) == (reads[size] if reads else 0)
    bus.write(address, size, 1)


@pytest.mark.parametrize("address", [0x2000_0000, 0x2FFF_FFF8, 0x10_0000_0000, 0xEFD_FB00_0080])
def test_everything_else_is_a_bus_error(address):
    bus = OpenBus(WINDOWS)
    with pytest.raises(UnmappedAccessError, match=f"{address:#x}"):
        bus.read(address, 4)
    with pytest.raises(UnmappedAccessError):
        bus.write(address, 4, 0)
    assert bus.unmapped == {address & ~0xFFF: 2}


CLAIMED = [(place.address, place.address + place.size) for part in PARTS for place in part.ranges()]
EDGES = sorted({edge for w in WINDOWS for edge in (w.base, w.base + w.size)} | {e for span in CLAIMED for e in span})


@pytest.mark.parametrize("address", sorted({edge + step for edge in EDGES for step in (-1, 0, 1)}))
def test_ranges_say_what_a_read_gives(address):
    bus = OpenBus(WINDOWS)
    found = [ones for start, end, ones in bus.ranges(CLAIMED) if start <= address < end]
    if any(start <= address < end for start, end in CLAIMED):
        assert not found
        return
    try:
        assert found == [bus.read(address, 1) == 0xFF]
    except UnmappedAccessError:
        assert not found


def test_ranges_are_disjoint_and_joined_and_none_where_every_access_counts():
    found = OpenBus(WINDOWS).ranges(CLAIMED)
    for (start, end, ones), (then, _, differ) in pairwise(found):
        assert start < end <= then and (end < then or ones != differ)
    assert OpenBus(WINDOWS, on_strict=print).ranges(CLAIMED) == []


def test_logged_once_per_page_and_counted(caplog):
    bus = OpenBus(WINDOWS)
    with caplog.at_level(logging.INFO, logger="soc.bus"):
        for address in (0x1000_0000, 0x1000_0004, 0x1000_0FF8, 0x1000_1000):
            bus.read(address, 4)
    assert bus.unmapped == {0x1000_0000: 3, 0x1000_1000: 1}
    assert [("0x10000000" in r.message, "0x10001000" in r.message) for r in caplog.records] == [
        (True, False),
        (False, True),
    ]


def test_strict_hears_of_every_access():
    heard = []
    bus = OpenBus(WINDOWS, heard.append)
    bus.read(0x1000_0000, 4)
    bus.write(0x1000_0000, 4, 7)
    assert len(heard) == 2 and "write of 0x7 at 0x10000000" in heard[1]


def test_a_window_with_an_unknown_behaviour_is_refused():
    with pytest.raises(ConfigurationError, match="zeros, ones, error"):
        OpenBus([Window("odd", 0, 8, "random")])


@given(st.integers(0, 0x9000_0000))
def test_find_agrees_with_a_linear_search(address):
    decoder = AddressMap()
    for part in PARTS:
        for base in part.bases:
            decoder.add(part.name, base, part.size, part.name)
    plain = [(address - base, p.name) for p in PARTS for base in p.bases if base <= address < base + p.size]
    assert decoder.find(address) == (plain[0] if plain else None)


def test_overlaps_and_empty_ranges_are_refused():
    decoder = AddressMap()
    decoder.add("uart", 0x100, 8, 1)
    decoder.add("next", 0x108, 8, 2)
    with pytest.raises(ConfigurationError, match="overlaps uart at 0x100"):
        decoder.add("other", 0x0FF, 2, 3)
    with pytest.raises(ConfigurationError, match="no range"):
        decoder.add("empty", 0x200, 0, 4)
    assert [decoder.find(a) for a in (0xFF, 0x100, 0x107, 0x108, 0x110)] == [None, (0, 1), (7, 1), (0, 2), None]
