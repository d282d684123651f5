"""The other contestants: qemu-system-mips64el with its machine loongson3-virt, for a program and for a kernel; and
qemu-mips64el, which runs Linux programs, for the vector instructions that no processor of that machine has."""

import os
import select
import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cpu.isa.program import Program
from soc.bench.errors import BenchError, UnfinishedError
from soc.bench.runs import LOOK_S, TIMEOUT_S, Outcome, resident, run, text
from soc.console import PROMPT
from soc.firmware.kernel import read_kernel
from soc.firmware.memory_map import KSEG0, MIB

PROGRAM = "qemu-system-mips64el"
USER_PROGRAM = "qemu-mips64el"
USER_CPU = "Loongson-3A4000"
MACHINE = "loongson3-virt"
CPU = "Loongson-3A1000"
"""The processor model of that machine unless another is asked for."""
RAM_MIB = 512


@dataclass(frozen=True)
class Qemu:
    """How QEMU is called: the command's first words, the processor it models, and the version it calls itself."""

    command: tuple[str, ...]
    cpu: str
    version: str

    @property
    def name(self) -> str:
        """As the tables call it."""
        return f"QEMU {self.version} {self.cpu}"

    def _machine(self) -> list[str]:
        machine = [*self.command, "-M", MACHINE, "-cpu", self.cpu, "-m", str(RAM_MIB), "-nodefaults", "-no-reboot"]
        return [*machine, "-display", "none", "-serial", "stdio"]

    def run(self, elf: Path) -> Outcome:
        """Runs a bare ELF until it switches the machine off."""
        return run([*self._machine(), "-kernel", elf])

    def boot(
        self,
        kernel: Path,
        initrd: Path,
        words: str,
        lines: Sequence[str],
        prompt: bytes = PROMPT,
        cpus: int = 1,
        limit_s: float = TIMEOUT_S,
    ) -> Outcome:
        """Boots an ELF kernel with the command line `words`; types `lines`, one after each prompt, until power-off.

        Raises UnfinishedError after `limit_s` seconds.
        """
        command = [*self._machine(), "-smp", str(cpus), "-kernel", str(kernel), "-initrd", str(initrd)]
        outcome, status = converse([*command, "-append", words], lines, prompt, limit_s)
        if status:
            raise BenchError(
                f"{self.name} ended with status {status}; its console ended with: {outcome.output[-200:]!r}"
            )
        return outcome


@dataclass(frozen=True)
class UserQemu:
    """QEMU's user mode: how it is called, and the version it calls itself."""

    command: tuple[str, ...]
    version: str

    @property
    def name(self) -> str:
        """As the tables call it."""
        return f"QEMU {self.version} user mode {USER_CPU}"

    def run(self, elf: Path) -> Outcome:
        """Runs a Linux program, which must be executable."""
        return run([*self.command, "-cpu", USER_CPU, elf])


def find(program: str = PROGRAM, cpu: str = CPU) -> Qemu | None:
    """QEMU at `program` (a path or a name to look up); None when it is absent or has no such machine."""
    path = shutil.which(program)
    return None if path is None else probe((path,), cpu)


def find_user(program: str = USER_PROGRAM) -> UserQemu | None:
    """QEMU's user mode at `program` (a path or a name to look up); None when it is absent."""
    path = shutil.which(program)
    version = _version((path,)) if path else None
    return UserQemu((path,), version) if version else None


def probe(command: Sequence[str], cpu: str) -> Qemu | None:
    """QEMU called by `command`; None when it does not run or has no machine loongson3-virt."""
    version = _version(command)
    if version is None:
        return None
    machines = subprocess.run([*command, "-M", "help"], capture_output=True, text=True, timeout=60)
    return Qemu(tuple(command), cpu, version) if MACHINE in machines.stdout else None


def _version(command: Sequence[str]) -> str | None:
    try:
        said = subprocess.run([*command, "--version"], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    if said.returncode:
        return None
    words = said.stdout.split("version", 1)
    return words[1].split()[0] if len(words) == 2 else "of unknown version"


def converse(
    command: Sequence[str], lines: Sequence[str], prompt: bytes, limit_s: float = TIMEOUT_S
) -> tuple[Outcome, int]:
    """What `command` shows, and its exit status, with `lines` typed one after each prompt. Raises UnfinishedError."""
    left = [line.encode() + b"\n" for line in lines]
    began = looked = time.perf_counter()
    peak = 0.0
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    console, seen = bytearray(), 0
    try:
        while True:
            now = time.perf_counter()
            if now - looked > LOOK_S:
                peak, looked = resident(process.pid) or peak, now
            if now - began > limit_s:
                raise UnfinishedError(
                    f"`{command[0]}` did not end within {limit_s} s; its console: {bytes(console[-200:])!r}",
                    text(bytes(console)),
                )
            if not select.select([process.stdout], [], [], LOOK_S)[0]:
                continue
            data = os.read(process.stdout.fileno(), 65536)
            if not data:
                status = process.wait(TIMEOUT_S)
                return Outcome(time.perf_counter() - began, text(bytes(console)), {}, peak_mib=peak), status
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
    return Program(KSEG0 + start, bytes(image), {}).to_elf(entry=kernel.entry)
