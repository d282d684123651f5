"""Checkpoints of Debian: saved on the way by one process, taken up by another."""

from random import Random

import pytest

from soc import Machine
from soc.firmware.cmdline import FAST
from tests.boot import rig
from tests.material import debian_material

SCRIPT = (
    "dd if=/dev/vda of=/dev/vda bs=64k count=4 seek=8 conv=fsync 2>/dev/null",
    "head -c 4096 /dev/hwrng | md5sum",
    "ip link set eth0 up; ip addr add 10.0.2.15/24 dev eth0",
    "ping -c 2 10.0.2.2",
    "sha256sum /dev/vda",
    "poweroff -f",
)


def test_a_boot_goes_on_from_a_checkpoint(fast, tmp_path):
    file = str(tmp_path / "boot.ckpt")
    saving = rig.boot(tmp_path, FAST, options=["--save-at", "250 ms", "--checkpoint", file, "--until", "INIT-UP"])
    assert saving.status == 0
    rest = rig.again(file)
    assert (rest.status, rest.result["trace_hash"]) == (0, fast.result["trace_hash"])
    assert 0 < rest.result["virtual_s"] <= fast.result["virtual_s"] - 0.25
    assert len(rest.console) < len(fast.console) and fast.console.endswith(rest.console)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["vz", "ls3acomp"])
def test_a_guest_of_kvm_goes_on_from_a_checkpoint(material, tmp_path, backend):
    file = str(tmp_path / "boot.ckpt")
    options = ["--hypervisor", "kvm", "--kvm", backend, "--vcpus", "2", "--cpus", "1"]
    whole = rig.boot(tmp_path, FAST, options=options)
    saved = ["--save-at", "250 ms", "--checkpoint", file, "--until", "INIT-UP"]
    assert rig.boot(tmp_path, FAST, options=[*options, *saved]).status == 0
    rest = rig.again(file)
    assert (rest.status, rest.result["trace_hash"]) == (0, whole.result["trace_hash"])
    assert len(rest.console) < len(whole.console) and whole.console.endswith(rest.console)


@pytest.mark.slow
@pytest.mark.parametrize("platform", ["virt", "ls7a"])
def test_four_cores_and_every_pci_function_at_any_moment(tmp_path, platform):
    material = debian_material(fetch=True, modules=True)
    image = tmp_path / "disk.img"
    image.write_bytes(Random(1).randbytes(2 << 20))
    devices = {"virtio_blk": {"image": str(image), "overlay": "memory"}, "virtio_rng": {"seed": 3}, "virtio_net": {}}

    def build() -> Machine:
        m = Machine(platform, cpus=4, devices=devices)
        initrd = material.initrd.read_bytes() + material.modules.read_bytes()
        m.load(material.kernel, initrd=initrd, append=FAST, kind="linux")
        m.script(SCRIPT)
        return m

    plain = build()
    result = plain.run(max_virtual="30 s")
    assert result.ended == "poweroff"
    # Most of the moments where the shell's commands make traffic.
    busy = Random(2).choices(range(plain.now * 3 // 4, plain.now - 10**9), k=4)
    m = build()
    for number, time in enumerate(sorted([*busy, plain.now // 3])):
        m.run(max_virtual=time - m.now)
        path = tmp_path / str(number)
        m.save(path)
        again = Machine.restore(path)
        assert (again.run(max_virtual="30 s").trace_hash, again.console) == (result.trace_hash, plain.console), time
        m = Machine.restore(path)
