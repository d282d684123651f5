"""How the QEMU 10 oracle is obtained, and the reasons it gives when it cannot be."""

from __future__ import annotations

import subprocess

import pytest

from soc.fetch import apt
from soc.fetch.errors import FetchError
from soc.fetch.sources import Source
from tests.oracles import qemu10


@pytest.fixture
def fresh(monkeypatch, tmp_path):
    """An empty cache, and a search that has not been made yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    qemu10.find.cache_clear()
    yield tmp_path
    qemu10.find.cache_clear()


def test_the_private_apt_is_for_the_host_and_both_suites(tmp_path):
    private = qemu10.HostApt(tmp_path, Source("http://mirror.example/debian", "bookworm", ("main",)), "amd64")
    sources = (private.directory / "debian.sources").read_text()
    assert "Suites: bookworm bookworm-backports\n" in sources
    assert "Architectures: amd64\n" in sources
    settings = (private.directory / "apt.conf").read_text()
    assert 'APT::Architecture "amd64";' in settings and 'APT::Architectures { "amd64"; };' in settings
    assert "mips64el" not in sources + settings
    assert f'Dir::State::status "{tmp_path}/status";' in settings, "the host's package state is not read"


def test_without_apt_the_reason_says_so(fresh, monkeypatch):
    monkeypatch.setattr(apt, "available", lambda: False)
    assert qemu10.find() == "QEMU 10 cannot be had: this host has no apt and dpkg."


def test_a_mirror_that_fails_is_the_reason(fresh, monkeypatch):
    def update(self):
        raise FetchError("no route to the mirror", "Try another.")

    monkeypatch.setattr(qemu10, "_architecture", lambda: "amd64")
    monkeypatch.setattr(apt, "host_mirrors", lambda suite: [Source("http://mirror.example", suite, ("main",))])
    monkeypatch.setattr(apt.PrivateApt, "update", update)
    assert qemu10.find() == "QEMU 10 cannot be had: no route to the mirror."
    assert not qemu10.directory().exists()


def test_an_unpacked_folder_without_its_loader_is_refused(tmp_path):
    with pytest.raises(FetchError, match="has no dynamic loader"):
        qemu10.command(tmp_path)


def test_the_one_that_was_fetched_models_a_3a4000_and_runs_from_the_cache(oracle):
    assert int(oracle.version.partition(".")[0]) >= qemu10.VERSION
    assert all(str(qemu10.directory()) in word for word in oracle.command if word.startswith("/"))
    models = subprocess.run([*oracle.command, "-cpu", "help"], capture_output=True, text=True, check=True).stdout
    assert qemu10.CPU in models
