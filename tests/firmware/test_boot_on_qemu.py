"""Our tables, our argument block, our kernel entry and our initramfs, booted by QEMU: an oracle nobody here wrote.

QEMU brings its own firmware block, so ours is loaded beside it and a few instructions hand it to the kernel.
"""

import os
import select
import shutil
import subprocess
import time

import pytest

from soc.firmware import lefi
from soc.firmware.boot import prepare
from soc.firmware.cmdline import argument_block
from soc.firmware.memory_map import KSEG0, MIB
from tests.firmware.images import elf, words
from tests.material import debian_material

QEMU = shutil.which("qemu-system-mips64el")
RAM = 512 * MIB
# In the part of low RAM that the LEFI map does not report.
HAND_OFF, TABLES, ARGUMENTS = 0x0F00_0000, 0x0F10_0000, 0x0F20_0000
TIMEOUT_S = 60


def hand_off(pc: int, registers: dict[str, int]) -> bytes:
    """lui/ori per register, then jr t9; every value is a sign-extended 32-bit number."""
    code = []
    for number, value in ((4, registers["a0"]), (5, registers["a1"]), (6, registers["a2"]), (7, 0), (25, pc)):
        code += [0x3C00_0000 | number << 16 | value >> 16 & 0xFFFF, 0x3400_0000 | number << 21 | number << 16]
        code[-1] |= value & 0xFFFF
    return words(*code, 0x0320_0008, 0)


@pytest.mark.qemu
@pytest.mark.skipif(QEMU is None, reason="qemu-system-mips64el is not installed")
@pytest.mark.parametrize("append", ["", "nokaslr cryptomgr.notests"])
def test_the_debian_kernel_boots_from_our_hand_off(tmp_path, append):
    material = debian_material()
    image = prepare(material.kernel, ram=RAM, initrd=material.initrd, append=append)
    arguments = argument_block(image.command_line, ARGUMENTS)
    registers = image.registers | {"a1": arguments.argv, "a2": KSEG0 + TABLES}
    kernel_and_initrd = image.segments[:2]
    assert [address for address, _ in kernel_and_initrd] == [0x0020_0000, 0x0400_0000]
    parts = [
        *kernel_and_initrd,
        (TABLES, lefi.tables("virt", RAM)),
        (ARGUMENTS, arguments.data),
        (HAND_OFF, hand_off(image.pc, registers)),
    ]
    path = tmp_path / "boot.elf"
    path.write_bytes(elf([(KSEG0 + at, data, len(data)) for at, data in parts], entry=KSEG0 + HAND_OFF))

    commands = [b"echo six times seven is $((6*7))", b"cat /proc/cmdline", b"poweroff -f"]
    status, console = boot(path, commands)
    assert "Linux version 6.1.0" in console
    assert "INIT-UP" in console
    assert "six times seven is 42" in console
    assert f"\n{image.command_line}" in console.replace("\r", "")
    assert "/507904K available" in console, "240 MiB low and 256 MiB high RAM"
    assert "reboot: Power down" in console
    assert status == 0


def boot(path, commands: list[bytes]) -> tuple[int, str]:
    """Exit status and console of QEMU running `path`, with `commands` typed one after each prompt."""
    options = ["-M", "loongson3-virt", "-cpu", "Loongson-3A1000", "-m", "512", "-no-reboot", "-nographic"]
    command = [QEMU, *options, "-vga", "none", "-nic", "none", "-kernel", str(path)]
    machine = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    console = b""
    left = list(commands)
    deadline = time.monotonic() + TIMEOUT_S
    try:
        while time.monotonic() < deadline:
            if not select.select([machine.stdout], [], [], 1)[0]:
                continue
            data = os.read(machine.stdout.fileno(), 4096)
            if not data:
                break
            console += data
            if left and console.count(b"soc# ") > len(commands) - len(left):
                machine.stdin.write(left.pop(0) + b"\n")
                machine.stdin.flush()
        return machine.wait(5), console.decode("utf-8", "replace")
    except subprocess.TimeoutExpired:
        pytest.fail(f"QEMU did not end; its console:\n{console.decode('utf-8', 'replace')[-2000:]}")
    finally:
        machine.kill()
        machine.wait()
        machine.stdin.close()
        machine.stdout.close()
