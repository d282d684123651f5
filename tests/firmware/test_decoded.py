"""Decoded kernels on disk: found again, checked, bounded, and never in the way."""

from __future__ import annotations

import os

import pytest

from soc.firmware import decoded
from soc.firmware.decoded import KEPT


@pytest.fixture
def kernels(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "loongson-soc" / "kernels"


def never() -> bytes:
    raise AssertionError("decoded again")


def test_what_was_decoded_is_found_again_and_what_was_not_is_not_kept(kernels):
    assert decoded.decoded(b"none", lambda: None) is None
    assert not kernels.exists()
    assert decoded.decoded(memoryview(b"packed"), lambda: b"image") == b"image"
    assert decoded.decoded(memoryview(b"packed"), never) == b"image"
    assert decoded.decoded(b"packed too", lambda: b"another") == b"another"


@pytest.mark.parametrize("damage", [b"", b"image", bytes(32) + b"image"])
def test_a_damaged_file_is_decoded_again(kernels, damage):
    decoded.decoded(b"packed", lambda: b"image")
    (file,) = kernels.iterdir()
    file.write_bytes(damage)
    assert decoded.decoded(b"packed", lambda: b"image") == b"image"
    assert decoded.decoded(b"packed", never) == b"image"


def test_the_kernels_used_last_are_kept(kernels):
    for number in range(KEPT):
        decoded.decoded(bytes([number]), lambda: b"image")
        for file in kernels.iterdir():
            os.utime(file, (0, 0))
    decoded.decoded(b"\0", never)
    decoded.decoded(b"one more", lambda: b"image")
    assert len(list(kernels.iterdir())) == KEPT
    decoded.decoded(b"\0", never)


def test_no_room_to_keep_it_is_no_error(tmp_path, monkeypatch):
    (tmp_path / "loongson-soc").write_bytes(b"a file where the directory would be")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert decoded.decoded(b"packed", lambda: b"image") == b"image"
