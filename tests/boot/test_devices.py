"""PCI devices under Debian's own drivers, by INTx and by MSI-X, and the ls7a platform itself."""

import hashlib

import pytest

from soc import Machine
from soc.firmware.cmdline import FAST
from tests.boot import rig
from tests.material import debian_material

SIZE = 2 << 20
COMMANDS = ("sha256sum /dev/vda", "cat /proc/interrupts", "poweroff -f")
DEVICES = {"virtio_rng": {"seed": 3}, "virtio_net": {}, "virtio_console": {}}
ACTIONS = {
    "virt": ["virtio0", "virtio1", "virtio2", "virtio3"],
    # The root bus is scanned in the order of the device numbers; the disk has the highest of the four.
    "ls7a": ["virtio3-req.0", "virtio2-input", "virtio1-input.0", "virtio0-output"],
}


@pytest.fixture(scope="module")
def drivers():
    material = debian_material(fetch=True, modules=True)
    return material.initrd.read_bytes() + material.modules.read_bytes()


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    path = tmp_path_factory.mktemp("disk") / "disk.img"
    path.write_bytes(hashlib.shake_128(b"disk").digest(SIZE))
    return path


@pytest.mark.parametrize("platform", ["virt", "ls7a"])
def test_a_disk_reads_back_what_the_host_put_there(drivers, image, tmp_path, platform):
    options = ("--platform", platform, "--disk", f"{image},readonly")
    done = rig.boot(tmp_path, FAST, COMMANDS, options)
    assert (done.status, done.result["ended"]) == (0, "poweroff")
    assert done.answer("sha256sum /dev/vda").split()[0] == hashlib.sha256(image.read_bytes()).hexdigest()
    counts = rig.interrupts(done.answer("cat /proc/interrupts"))
    assert counts["virtio0" if platform == "virt" else "virtio0-req.0"] > 10


@pytest.mark.parametrize(
    ("platform", "append"), [("virt", ""), ("ls7a", ""), pytest.param("ls7a", "pci=nomsi", marks=pytest.mark.slow)]
)
def test_every_device_works_and_counts_its_interrupts(material, drivers, image, tmp_path, platform, append):
    layer = tmp_path / "layer"
    disk = {"image": str(image), "overlay": str(layer)}
    m = Machine(platform, devices={"virtio_blk": disk, **DEVICES})
    m.load(material.kernel, initrd=drivers, append=f"{FAST} {append}", kind="linux")
    m.script(
        [
            "dd if=/dev/vda of=/dev/vda bs=64k count=4 seek=8 conv=fsync 2>/dev/null",
            "head -c 16 /dev/hwrng | od -An -tx1",
            "ip link set eth0 up; ip addr add 10.0.2.15/24 dev eth0",
            "ping -c 2 10.0.2.2",
            "echo to the console >/dev/hvc0",
            "cat /proc/interrupts",
            "poweroff -f",
        ]
    )
    result = m.run(max_virtual="20 s")
    assert result.ended == "poweroff", result.reason
    console = rig.text(m.console)
    assert "2 packets received, 0% packet loss" in rig.answer(console, "ping -c 2 10.0.2.2")
    given = bytes.fromhex("".join(rig.answer(console, "head -c 16 /dev/hwrng | od -An -tx1").split()))
    rng = m.devices["virtio_rng"]
    assert len(given) == 16 and given in rng.stream(0, rng.given)
    assert m.devices["virtio_console"].written.strip() == b"to the console"
    counts = rig.interrupts(rig.answer(console, "cat /proc/interrupts"))
    assert all(counts[action] for action in ACTIONS["virt" if append else platform]), counts
    assert m.dma.errors == {}
    disk = m.devices["virtio_blk"].disk
    data = image.read_bytes()
    assert hashlib.sha256(data).digest() == hashlib.sha256(hashlib.shake_128(b"disk").digest(SIZE)).digest()
    assert disk.read(8 * 128, 4 * 128) == data[: 4 << 16]


@pytest.mark.slow
def test_ls7a_with_four_cores(drivers, image, tmp_path):
    options = ("--platform", "ls7a", "--cpus", "4", "--disk", f"{image},overlay=memory")
    done = rig.boot(tmp_path, FAST, ("nproc", *COMMANDS), options)
    assert (done.status, done.answer("nproc").strip()) == (0, "4")
    for line in (
        "The bridge chip is LS7A",
        "MIPS: machine is loongson,loongson64g-4core-ls7a",
        "1fe00100.serial: ttyS0 at MMIO 0x1fe00100 (irq = 10, base_baud = 6250000) is a 16550A",
    ):
        assert any(line in found for found in done.lines), line
    assert any("ttyS1 at MMIO 0x10080000" in found for found in done.lines)
    table = done.answer("cat /proc/interrupts").splitlines()
    timer = next(line.split()[1:5] for line in table if line.endswith("timer"))
    assert all(int(count) > 0 for count in timer), "each core has its timer"


@pytest.mark.parametrize(
    ("disk", "why"),
    [
        ("/nonexistent.img", "cannot write disk image /nonexistent.img: No such file"),
        ("{tmp}", "it is a directory"),
        ("{tmp}/odd.img", "700 bytes; a disk has one or more whole sectors of 512"),
        ("{tmp}/odd.img,cow", "'cow' is no option of a disk"),
    ],
)
def test_a_disk_that_cannot_be_used(drivers, tmp_path, disk, why):
    (tmp_path / "odd.img").write_bytes(bytes(700))
    done = rig.boot(tmp_path, FAST, COMMANDS, ("--disk", disk.format(tmp=tmp_path)))
    assert done.status == 2 and done.result["ended"] == "error"
    assert why in done.result["reason"]
