"""Fetching from packages at hand: what is kept, what is checked, what is refused."""

import json

import pytest

from soc.fetch import debian, initramfs, modules
from soc.fetch.cache import load
from soc.fetch.errors import FetchError
from soc.files import cache_root
from tests.fetch.packages import deb
from tests.firmware.images import elf, vmlinuz

KERNEL = "linux-image-6.1.0-99-loongson-3"
BUILTIN = "".join(f"kernel/drivers/{name.replace('_', '-')}.ko\n" for name in modules.WANTED)
VMLINUZ = {
    "boot/vmlinuz-6.1.0-99-loongson-3": vmlinuz(),
    "lib/modules/6.1.0-99-loongson-3/modules.builtin": BUILTIN.encode(),
}
BUSYBOX = {"bin/busybox": elf([(0x1_2000_0000, b"busybox!", 8)], entry=0x1_2000_0000)}


@pytest.fixture(autouse=True)
def private_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def write(tmp_path, **packages):
    paths = []
    for name, data in packages.items():
        path = tmp_path / f"{name}.deb"
        path.write_bytes(data)
        paths.append(path)
    return paths


def test_two_packages_make_a_bootable_cache(tmp_path):
    debs = write(tmp_path, kernel=deb(KERNEL, VMLINUZ), busybox=deb("busybox-static", BUSYBOX))
    said = []
    material = debian.fetch(debs=debs, say=said.append)
    assert material.kernel.read_bytes() == VMLINUZ["boot/vmlinuz-6.1.0-99-loongson-3"]
    assert material.initrd.read_bytes() == initramfs.build(BUSYBOX["bin/busybox"])
    assert material.modules.read_bytes() == modules.build([])
    manifest = json.loads((material.directory / "manifest.json").read_text())
    assert manifest["kernel"]["package"] == KERNEL
    assert manifest["kernel"]["banner"].startswith("Linux version 6.1.0-99-loongson-3")
    assert len(manifest["busybox"]["deb_sha256"]) == 64
    assert any("Linux version" in line for line in said)


def test_a_cache_that_the_host_refuses_is_named(tmp_path, monkeypatch):
    debs = write(tmp_path, kernel=deb(KERNEL, VMLINUZ), busybox=deb("busybox-static", BUSYBOX))
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(FetchError, match=r"cannot keep anything in .*: Not a directory.\nMake room there"):
        debian.fetch(debs=debs)


def test_a_complete_cache_is_used_as_it_is(tmp_path):
    debs = write(tmp_path, kernel=deb(KERNEL, VMLINUZ), busybox=deb("busybox-static", BUSYBOX))
    first = debian.fetch(debs=debs)
    said = []
    assert debian.fetch(say=said.append) == first
    assert said[0].startswith("already in ")


def test_a_file_that_changed_is_noticed(tmp_path):
    material = debian.fetch(debs=write(tmp_path, kernel=deb(KERNEL, VMLINUZ), busybox=deb("busybox-static", BUSYBOX)))
    material.kernel.write_bytes(b"something else")
    with pytest.raises(FetchError, match=r"changed since it was fetched\.\n.*--refresh"):
        debian.cached()
    (material.directory / "manifest.json").write_text("{")
    with pytest.raises(FetchError, match="is damaged"):
        debian.cached()


def test_a_cache_from_before_there_were_modules_still_boots(tmp_path):
    material = debian.fetch(debs=write(tmp_path, kernel=deb(KERNEL, VMLINUZ), busybox=deb("busybox-static", BUSYBOX)))
    path = material.directory / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["modules"]
    path.write_text(json.dumps(manifest))
    assert debian.cached().modules is None


def test_nothing_fetched_is_none():
    assert debian.cached() is None
    assert load(cache_root()) is None


@pytest.mark.parametrize(
    ("package", "why"),
    [
        (deb("coreutils", {}), "is the package coreutils; wanted are linux-image"),
        (deb(KERNEL, VMLINUZ, architecture="amd64"), "is for amd64"),
        (b"<html>", "is a text file, not a Debian package"),
    ],
)
def test_a_package_of_another_kind_is_refused(tmp_path, package, why):
    with pytest.raises(FetchError, match=why):
        debian.fetch(debs=write(tmp_path, x=package))


@pytest.mark.parametrize(
    ("kernel", "busybox", "why"),
    [
        (VMLINUZ | {"boot/vmlinuz-6.1.0-99-loongson-3": b"text"}, BUSYBOX, "holds no usable kernel: it is a text file"),
        ({"boot/config": b""}, BUSYBOX, "lacks the file"),
        (VMLINUZ, {"bin/busybox": elf(machine=62)}, "busybox .* is a 64-bit little-endian x86-64 ELF file"),
    ],
)
def test_what_is_in_the_packages_is_checked(tmp_path, kernel, busybox, why):
    debs = write(tmp_path, kernel=deb(KERNEL, kernel), busybox=deb("busybox-static", busybox))
    with pytest.raises(FetchError, match=why):
        debian.fetch(debs=debs)
    assert debian.cached() is None


def test_a_kernel_of_another_release_than_its_package_is_refused(tmp_path):
    name = "linux-image-6.1.0-98-loongson-3"
    debs = write(tmp_path, kernel=deb(name, VMLINUZ), busybox=deb("busybox-static", BUSYBOX))
    with pytest.raises(FetchError, match=r"not release 6\.1\.0-98-loongson-3"):
        debian.fetch(debs=debs)


def test_a_known_version_must_have_the_known_hash(tmp_path):
    (name, version), _ = next(iter(debian.KNOWN_KERNELS.items()))
    debs = write(tmp_path, kernel=deb(name, VMLINUZ, version=version), busybox=deb("busybox-static", BUSYBOX))
    with pytest.raises(FetchError, match="it should be 3b0f8c5b"):
        debian.fetch(debs=debs)


def test_a_missing_deb_is_named():
    with pytest.raises(FetchError, match=r"cannot read /nonexistent\.deb: No such file"):
        debian.fetch(debs=["/nonexistent.deb"])


def test_the_newest_kernel_has_the_highest_abi_number():
    names = ["linux-image-6.1.0-9-loongson-3", "linux-image-6.1.0-47-loongson-3", "linux-image-6.1.0-50-loongson-3-dbg"]
    assert debian.newest_kernel(names) == "linux-image-6.1.0-47-loongson-3"
    with pytest.raises(FetchError, match="has no package linux-image"):
        debian.newest_kernel(["linux-image-6.1.0-50-4kc-malta"])
