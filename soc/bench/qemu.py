"""The other contestant: qemu-system-mips64el with its machine loongson3-virt, for a program and for a kernel."""

import os
import select
import shutil
import struct
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from soc.bench.errors import BenchError
from soc.bench.runs import TIMEOUT_S, Outcome, run, text
from soc.console import PROMPT
from soc.firmware.kernel import read_kernel
from soc.firmware.memory_map import KSEG0, MIB

PROGRAM = "qemu-system-mips64el"
MACHINE = "loongson3-virt"
RAM_MIB = 512
EM_MIPS, ET_EXEC, PT_LOAD, EF_MIPS_ARCH_64R2 = 8, 2, 1, 0x8000_0000
EHDR, PHDR = "<16sHHIQQQIHHHHHH", "<IIQQQQQQ"


@dataclass(frozen=True)
class Qemu:
    """How QEMU is called: the command's first words, the processor it models, and the version it calls itself."""

    command: tuple[str, ...]
    cpu: str
    version: str

    @property
    def name(self) -> str:
        return f"QEMU {self.version} {self.cpu}"

    def _machine(self) -> list[str]:
        machine = [*self.command, "-M", MACHINE, "-cpu", self.cpu, "-m", str(RAM_MIB), "-nodefaults", "-no-reboot"]
        return [*machine, "-display", "none", "-serial", "stdio"]

    def run(self, elf: Path) -> Outcome:
        """Runs a bare ELF until it switches the machine off."""
        return run([*self._machine(), "-kernel", elf])

    def boot(self, kernel: Path, initrd: Path, words: str, lines: Sequence[str], prompt: bytes = PROMPT) -> Outcome:
        """Boots an ELF kernel with the command line `words`; types `lines`, one after each prompt, until power-off."""
        command = [*self._machine(), "-kernel", str(kernel), "-initrd", str(initrd), "-append", words]
        began = time.perf_counter()
        status, console = converse(command, lines, prompt)
        wall = time.perf_counter() - began
        if status:
            raise BenchError(f"{self.name} ended with status {status}; its console ended with: {console[-200:]!r}")
        return Outcome(wall, console, {})


def find(program: str = PROGRAM, cpu: str = "Loongson-3A1000") -> Qemu | None:
    """QEMU at `program` (a path or a name to look up); None when it is absent or has no such machine."""
    path = shutil.which(program)
    return None if path is None else probe((path,), cpu)


def probe(command: Sequence[str], cpu: str) -> Qemu | None:
    """QEMU called by `command`; None when it does not run or has no machine loongson3-virt."""
    try:
        version = subprocess.run([*command, "--version"], capture_output=True, text=True, timeout=60)
        machines = subprocess.run([*command, "-M", "help"], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    if version.returncode or MACHINE not in machines.stdout:
        return None
    words = version.stdout.split("version", 1)
    return Qemu(tuple(command), cpu, words[1].split()[0] if len(words) == 2 else "of unknown version")


def converse(command: Sequence[str], lines: Sequence[str], prompt: bytes) -> tuple[int, str]:
    """Exit status and console of `command`, with `lines` typed one after each prompt. Raises BenchError on silence."""
    left = [line.encode() + b"\n" for line in lines]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    console, seen = bytearray(), 0
    deadline = time.monotonic() + TIMEOUT_S
    try:
        while True:
            if not select.select([process.stdout], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise BenchError(f"`{command[0]}` did not end within {TIMEOUT_S} s; its console: {console[-200:]!r}")
            data = os.read(process.stdout.fileno(), 65536)
            if not data:
                return process.wait(TIMEOUT_S), text(bytes(console))
            console += data
            at = console.find(prompt, seen)
            if left and at >= 0:
                seen = at + len(prompt)
                process.stdin.write(left.pop(0))
                process.stdin.flush()
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def kernel_elf(vmlinuz: Path) -> bytes:
    """The decompressed kernel in `vmlinuz` as an ELF with one PT_LOAD, so that QEMU skips the stub as `soc boot` does.

    Raises LoadError when the file is no kernel.
    """
    kernel = read_kernel(vmlinuz.read_bytes(), vmlinuz.name, RAM_MIB * MIB)
    start, end = min(s.address for s in kernel.segments), kernel.end
    image = bytearray(end - start)
    for segment in kernel.segments:
        image[segment.address - start : segment.end - start] = segment.data
    address = KSEG0 + start
    at = 0x1000
    identity = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    sizes = (struct.calcsize(EHDR), struct.calcsize(PHDR))
    head = struct.pack(
        EHDR, identity, ET_EXEC, EM_MIPS, 1, kernel.entry, sizes[0], 0, EF_MIPS_ARCH_64R2, *sizes, 1, 0, 0, 0
    )
    head += struct.pack(PHDR, PT_LOAD, 7, at, address, address, len(image), len(image), 0x1000)
    return head.ljust(at, b"\0") + bytes(image)
