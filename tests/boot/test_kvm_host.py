"""The Debian kernel's own KVM on bare cores with VZ: it finds the module, and its guests run.

The VMM and its guest are written in assembly and put into the initramfs. Nothing of our own hypervisor takes part:
every exit is handled by Linux, so this compares our VZ with what KVM/MIPS expects of the hardware.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from cpu.isa.assembler import assemble
from soc import Machine, PoweredOff
from soc.fetch import cpio
from soc.firmware.boot import prepare
from soc.firmware.cmdline import FAST
from tests.boot.rig import answer, fields
from tests.boot.test_boot import TROUBLE

HERE = Path(__file__).parent
VMM_BASE = 0x401000  # as far into its page of 16 KiB as the segment is into its file
GUEST_BASE = 0xFFFF_FFFF_8000_0000
GUEST_BYTES = 0x800
SAYS = (
    "0014c000",  # PRId, by an exit that KVM answers
    "0000005a",  # a device's register, by way of the VMM
    "00000008",  # SYSCALL, taken in the guest
    "fffffc18",  # HYPCALL: -1000, no such call
    "00001234",  # stored through the guest's TLB
    "00000003",  # interrupts of its timer, waited for
)


def vmm() -> bytes:
    """The VMM as an executable for Linux."""
    guest = assemble((HERE / "kvm_guest.S").read_text(), GUEST_BASE).data.ljust(GUEST_BYTES, b"\0")
    words = [f".dword {int.from_bytes(guest[at : at + 8], 'little'):#x}" for at in range(0, GUEST_BYTES, 8)]
    return assemble((HERE / "kvm_vmm.S").read_text() + "\n".join(words), VMM_BASE).to_elf()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("cpus", "options"), [(1, {}), (2, {}), (2, {"ftlb": True}), (1, {"vz": {"rad": True}})], ids=str
)
def test_linux_runs_its_own_guests(material, tmp_path, cpus, options):
    """Several at a time too, told apart by GuestIDs or, with `rad`, by root's ASIDs."""
    data = Path(material.initrd).read_bytes()
    initrd = tmp_path / "initrd"
    initrd.write_bytes(data + b"\0" * (-len(data) % 512) + cpio.archive([cpio.file("vmm", vmm(), 0o755)]))
    machine = Machine("virt", cpus=cpus, **{"vz": True, **options})
    machine.load(prepare(material.kernel, platform="virt", ram=512 << 20, initrd=initrd, append=FAST, cpus=cpus))
    one, several = "/vmm; echo status $?", "for i in 1 2 3; do /vmm > /$i & done; wait; cat /1 /2 /3"
    machine.script(["cat /proc/cpuinfo", "dmesg | grep KVM", one, several, "poweroff -f"])
    result = machine.run(until=PoweredOff, max_virtual="30 s")
    console = machine.console.decode().replace("\r", "")
    assert result.ended == "poweroff", result.reason
    assert not TROUBLE.search(console)
    found = fields(answer(console, "cat /proc/cpuinfo"))
    assert "vz" in found["ASEs implemented"].split()
    shown = set(found["Options implemented"].split())
    assert {"tlbinv", "ldpte", "guestctl0ext", "guestctl2"} <= shown
    assert shown & {"guestctl1", "guestid"} == (set() if "vz" in options else {"guestctl1", "guestid"})
    assert ("ftlb" in shown) == ("ftlb" in options)
    assert "Starting KVM with MIPS VZ extensions" in answer(console, "dmesg | grep KVM")
    assert answer(console, one).split("\n")[:-1] == [*SAYS, "status 0"]
    said = [line for line in answer(console, several).split("\n") if len(line) == 8]  # without the shell's remarks
    assert said == [*SAYS] * 3
