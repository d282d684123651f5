"""The private apt: its configuration, and that the host's state is out of its reach."""

import shutil
import subprocess

import pytest

from soc.fetch import apt
from soc.fetch.errors import FetchError
from soc.fetch.sources import Source

APT = pytest.mark.skipif(not apt.available(), reason="apt is not installed")


def private(tmp_path, signed_by=""):
    mirror = Source("http://mirror.example/debian", "trixie", ("main",), signed_by)
    return apt.PrivateApt(tmp_path / "apt", mirror, "bookworm")


def test_the_source_names_suite_architecture_and_key(tmp_path):
    text = (private(tmp_path, "/keys/a.gpg").directory / "debian.sources").read_text()
    assert "Suites: bookworm\n" in text
    assert "Architectures: mips64el\n" in text
    assert "Signed-By: /keys/a.gpg\n" in text
    assert "rusted" not in text


def test_an_inline_key_is_carried_over(tmp_path):
    text = (private(tmp_path, "-----BEGIN\n.\nabc").directory / "debian.sources").read_text()
    assert "Signed-By: \n -----BEGIN\n .\n abc\n" in text


@APT
def test_apt_sees_only_private_directories_and_no_host_hooks(tmp_path):
    configuration = private(tmp_path).directory / "apt.conf"
    dump = subprocess.run(
        ["apt-config", "-c", str(configuration), "shell", *_variables()], capture_output=True, text=True, check=True
    ).stdout
    found = dict(line.split("=", 1) for line in dump.splitlines())
    for name in ("LISTS", "STATUS", "CACHE", "SOURCES"):
        assert str(tmp_path) in found[name], name
    assert found["ARCH"] == "'mips64el'"
    text = subprocess.run(["apt-config", "-c", str(configuration), "dump"], capture_output=True, text=True).stdout
    assert [line for line in text.splitlines() if "Invoke" in line and "APT::Update" in line and '""' not in line] == []


def _variables():
    names = {
        "LISTS": "Dir::State::lists/d",
        "STATUS": "Dir::State::status/f",
        "CACHE": "Dir::Cache/d",
        "SOURCES": "Dir::Etc::sourcelist/f",
        "ARCH": "APT::Architecture",
    }
    return [word for pair in names.items() for word in pair]


@APT
def test_a_mirror_that_cannot_be_used_is_named(tmp_path):
    mirror = Source(f"file:{tmp_path}/nowhere", "bookworm", ("main",))
    with pytest.raises(FetchError, match=r"`apt-get update` failed for file:.*\nName a Debian mirror"):
        apt.PrivateApt(tmp_path / "apt", mirror, "bookworm").update()


@APT
def test_an_unsigned_archive_is_refused(tmp_path):
    release = tmp_path / "archive/dists/bookworm"
    (release / "main/binary-mips64el").mkdir(parents=True)
    (release / "main/binary-mips64el/Packages").touch()
    (release / "Release").write_text("Suite: bookworm\nCodename: bookworm\nArchitectures: mips64el\nComponents: main\n")
    with pytest.raises(FetchError, match="not signed"):
        apt.PrivateApt(tmp_path / "apt", Source(f"file:{tmp_path}/archive", "bookworm", ("main",)), "bookworm").update()


def test_without_apt_the_advice_names_the_other_ways(monkeypatch, tmp_path):
    from soc.fetch import debian

    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(FetchError, match="no apt") as caught:
        debian.fetch()
    assert "--kernel FILE --initrd FILE" in str(caught.value)
