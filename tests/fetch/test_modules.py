"""Kernel modules out of a package: order, what is built in, what is missing."""

import struct

import pytest

from soc.fetch import cpio, modules
from soc.fetch.deb import open_deb
from soc.fetch.errors import FetchError
from tests.fetch.packages import deb

ROOT = "lib/modules/6.1.0-99-loongson-3"


def module(*depends: str) -> bytes:
    """A relocatable ELF with nothing in it but what it depends on."""
    names = b"\0.modinfo\0.shstrtab\0"
    info = b"license=GPL\0depends=" + ",".join(depends).encode() + b"\0name=x\0"
    body = info + names
    header = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\2\1\1", 1, 8, 1, 0, 0, 64 + len(body), 0, 64, 0, 0, 64, 3, 2)
    sections = bytes(64)
    for name, offset, size, kind in ((1, 64, len(info), 1), (10, 64 + len(info), len(names), 3)):
        sections += struct.pack("<IIQQQQIIQQ", name, kind, 0, 0, offset, size, 0, 0, 1, 0)
    return header + body + sections


def package(files: dict[str, bytes], builtin: str = ""):
    return open_deb(
        deb(
            "linux-image-6.1.0-99-loongson-3",
            {f"{ROOT}/kernel/drivers/{name}.ko": data for name, data in files.items()}
            | {f"{ROOT}/modules.builtin": builtin.encode()},
        ),
        "k.deb",
    )


def test_dependencies_come_first_and_once():
    files = {"d": module("b-b", "c"), "b-b": module("a"), "c": module("a"), "a": module(), "other": module("none")}
    found = modules.read_modules(package(files), ["d", "a"])
    assert [name for name, _ in found] == ["a", "b_b", "c", "d"]
    assert found[0][1] == files["a"]


def test_what_is_built_in_is_left_out():
    found = modules.read_modules(package({"d": module("core")}, "kernel/lib/core.ko\nkernel/x/e-f.ko\n"), ["d", "e_f"])
    assert [name for name, _ in found] == ["d"]


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({}, "module d, needed by virtio devices, is neither a file of it nor built in"),
        ({"d": module("a")}, "module a, needed by d, is neither"),
        ({"d": module("a"), "a": module("d")}, "module d, needed by a, depends on itself"),
        ({"d": b"\x7fELF nonsense"}, "module d is no ELF object"),
        ({"d": b""}, "module d is no ELF object"),
    ],
)
def test_what_cannot_be_loaded_is_refused(files, why):
    with pytest.raises(FetchError, match=why):
        modules.read_modules(package(files), ["d"])


def test_the_archive_loads_them_in_order_before_the_shell():
    data = modules.build([("a", b"AAAA"), ("b", b"BBBB")])
    assert data.startswith(cpio.MAGIC) and len(data) % 512 == 0
    first, second, up = (
        data.index(text) for text in (b"insmod /lib/modules/a.ko", b"insmod /lib/modules/b.ko", b"echo INIT-UP")
    )
    assert first < second < up
    assert b"AAAA" in data and b"BBBB" in data
