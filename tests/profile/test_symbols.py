"""Names for guest addresses, from each of their sources."""

import struct

import pytest

from soc.errors import ConfigurationError
from soc.profile import kallsyms, symbols
from tests.material import debian_material

BASE = 0xFFFF_FFFF_8020_0000
MAP = """\
ffffffff80200000 T _text
ffffffff80200000 T first
ffffffff80200400 t second
ffffffff80201000 T _etext
ffffffff80300000 D data
"""


def kernel(names, seqs=False):
    """An image with a table of `names` at BASE and every 16 bytes from there, as scripts/kallsyms.c lays it out."""
    tokens = [bytes([k]) if 32 < k < 128 else b"?%d" % k for k in range(256)]
    tokens[200] = b"probe_"
    index, table = [], b""
    for token in tokens:
        index.append(len(table))
        table += token + b"\0"
    packed, markers = b"", []
    for number, name in enumerate(names):
        if number % 256 == 0:
            markers.append(len(packed))
        code = ("t" + name).encode().replace(b"probe_", b"\xc8")
        long = len(code) >= 128
        packed += (bytes([len(code) & 127 | 128, len(code) >> 7]) if long else bytes([len(code)])) + code
    parts = [
        struct.pack(f"<{len(names)}I", *range(0, 16 * len(names), 16)),
        struct.pack("<Q", BASE),
        struct.pack("<I", len(names)),
        packed,
        struct.pack(f"<{len(markers)}I", *markers),
        bytes(3 * len(names)) if seqs else b"",
        table,
        struct.pack("<256H", *index),
    ]
    return bytes(4096) + b"".join(part + bytes(-len(part) % 8) for part in parts) + bytes(64)


@pytest.mark.parametrize("seqs", [False, True])
def test_the_table_in_a_kernel_image(seqs):
    names = [f"probe_{number:04}" for number in range(1000)] + ["x" * 300]
    found = kallsyms.read(kernel(names, seqs))
    assert found == [(BASE + 16 * number, "t", name) for number, name in enumerate(names)]


def test_a_kernel_that_has_moved_is_there_twice():
    names = [f"n{number:04}" for number in range(600)]
    image = kernel(names)
    moved = image.replace(struct.pack("<Q", BASE), struct.pack("<Q", BASE + 0x10_0000))
    found = [address for address, _, name in kallsyms.read(image + moved) if name == names[0]]
    assert found == [BASE, BASE + 0x10_0000]


def test_no_table():
    assert kallsyms.read(bytes(1 << 16)) == []
    image = kernel([f"n{number:04}" for number in range(1000)])
    # One name longer than the markers say.
    assert kallsyms.read(image.replace(b"\x06tn0100", b"\x07tn0100", 1)) == []


def test_a_map_and_where_its_code_ends():
    found = symbols.from_map(MAP, "System.map")
    assert len(found) == 2
    assert found.find(BASE + 0x3FF) == ("first", BASE)
    assert found.find(BASE + 0x400) == ("second", BASE + 0x400)
    for outside in (BASE - 4, BASE + 0x1234, 0x1_2000_1234, BASE + 0x20_0000):
        assert found.find(outside) == (f"page {outside & -4096:#x}", outside & -4096)


def test_the_map_that_says_it_is_elsewhere_names_nothing(tmp_path):
    path = tmp_path / "System.map"
    path.write_text("ffffffffffffffff B The real System.map is in the linux-image-<version>-dbg package\n")
    with pytest.raises(ConfigurationError, match="names no function"):
        symbols.read(path)


@pytest.mark.parametrize("text", ["not a map", "ffffffff80200000 T"])
def test_what_is_no_map(tmp_path, text):
    path = tmp_path / "names"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match="line 1"):
        symbols.read(path)


def test_the_map_beside_a_kernel_is_found(tmp_path):
    (tmp_path / "System.map-6.1").write_text(MAP)
    kernel_file = tmp_path / "vmlinuz-6.1"
    kernel_file.write_bytes(b"no ELF")
    assert symbols.of_program(kernel_file).find(BASE + 8).name == "first"


def test_debians_kernel_names_itself():
    material = debian_material()
    from soc.firmware.kernel import read_kernel

    (segment,) = read_kernel(material.kernel.read_bytes(), "kernel", 512 << 20).segments
    found = {name: address for address, _, name in kallsyms.read(segment.data)}
    assert found["_text"] == 0xFFFF_FFFF_8020_0000 and {"start_kernel", "r4k_wait", "memcpy"} <= found.keys()
