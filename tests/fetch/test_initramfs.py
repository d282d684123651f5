"""The cpio archive: its bytes, and that other tools read it."""

import shutil
import subprocess

import pytest

from soc.fetch import cpio, initramfs


def test_one_member_byte_for_byte():
    data = cpio.archive([cpio.file("a/b", b"12345", 0o600)])
    header = b"070701" + b"00000001" + b"00008180" + b"00000000" * 2 + b"00000001" + b"00000000" + b"00000005"
    header += b"00000000" * 4 + b"00000004" + b"00000000"
    assert len(header) == 110
    assert data.startswith(header + b"a/b\0" + bytes(2) + b"12345" + bytes(3) + b"070701")
    assert data.rstrip(b"\0").endswith(b"TRAILER!!!")
    assert len(data) % 512 == 0


def test_a_device_node_carries_its_numbers():
    fields = cpio.archive([cpio.character_device("dev/console", 5, 1)])[6:110]
    numbers = [int(fields[i : i + 8], 16) for i in range(0, len(fields), 8)]
    assert (numbers[1], numbers[9], numbers[10]) == (0o020600, 5, 1)


def test_the_initramfs_is_the_same_every_time_and_says_when_it_is_up():
    data = initramfs.build(b"busybox")
    assert data == initramfs.build(b"busybox")
    assert b"echo INIT-UP\n" in data
    assert b"PS1='soc# '" in data


@pytest.mark.skipif(shutil.which("cpio") is None, reason="cpio is not installed")
def test_cpio_lists_what_was_put_in():
    data = initramfs.build(b"busybox")
    listing = subprocess.run(["cpio", "-t", "--quiet"], input=data, capture_output=True, check=True).stdout
    directories = ["bin", "dev", "etc", "proc", "sys", "tmp"]
    assert listing.decode().split() == [*directories, "dev/console", "bin/busybox", "bin/sh", "init"]
