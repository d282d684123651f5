"""Reading Debian packages without dpkg."""

import shutil
import subprocess

import pytest

from soc.fetch.deb import ar_members, control_fields, open_deb
from soc.fetch.errors import FetchError
from tests.fetch.packages import ar, deb

GOOD = deb("busybox-static", {"usr/share/doc/x": b"text", "bin/busybox": b"program"}, version="1:1.35-4+b1")


def test_a_package_gives_its_fields_and_files():
    package = open_deb(GOOD, "b.deb")
    assert (package.name, package.version, package.architecture) == ("busybox-static", "1:1.35-4+b1", "mips64el")
    assert package.control["Description"] == "a test\nof ours"
    assert package.find(lambda path: path == "bin/busybox") == ("bin/busybox", b"program")


def test_an_uncompressed_data_member_is_read_too():
    package = open_deb(deb("x", {"a": b"1"}, suffix=""), "x.deb")
    assert package.find(lambda path: path == "a") == ("a", b"1")


def test_odd_members_are_padded():
    assert ar_members(ar({"a": b"123", "b": b"4"}), "x") == {"a": (68, 3), "b": (132, 1)}


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\x7fELF", "not a Debian package"),
        (b"hello", "is a text file, not a Debian package"),
        (GOOD[:-10], "is truncated"),
        (GOOD[:100], "no ar header at byte 72"),
        (b"!<arch>\n" + b"x" * 60, "no ar header at byte 8"),
        (ar({"a.o": b"12"}), "no member debian-binary"),
        (ar({"debian-binary": b"2.0\n"}), "has no member control.tar"),
        (GOOD.replace(b"control.tar.xz", b"control.tar.qq"), "which Python cannot decompress"),
    ],
)
def test_a_bad_package_is_named_for_what_is_wrong(data, why):
    with pytest.raises(FetchError, match=why):
        open_deb(data, "b.deb")


def test_zstd_is_refused_with_advice():
    package = open_deb(deb("x", {"a": b"1"}, suffix=".zst"), "x.deb")
    with pytest.raises(FetchError, match=r"data.tar.zst, which Python cannot decompress.\nUnpack it with dpkg-deb"):
        package.find(lambda path: True)


def test_damaged_compression_is_no_host_error():
    at = GOOD.rindex(b"\xfd7zXZ") + 40
    package = open_deb(GOOD[:at] + bytes(20) + GOOD[at + 20 :], "b.deb")
    with pytest.raises(FetchError, match=r"data\.tar\.xz is damaged"):
        package.find(lambda path: path == "bin/busybox")


def test_a_missing_file_is_an_error():
    with pytest.raises(FetchError, match="lacks the file"):
        open_deb(GOOD, "b.deb").find(lambda path: path == "nothing")


def test_control_fields_keep_continuation_lines():
    assert control_fields("A: 1\nB: x\n  y\n .\n") == {"A": "1", "B": "x\n y\n."}


@pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="dpkg-deb is not installed")
def test_the_packages_of_these_tests_are_packages_to_dpkg(tmp_path):
    path = tmp_path / "b.deb"
    path.write_bytes(GOOD)
    field = subprocess.run(["dpkg-deb", "-f", path, "Version"], capture_output=True, text=True, check=True).stdout
    assert field.strip() == "1:1.35-4+b1"
