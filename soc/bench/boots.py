"""Boots of Debian's kernel to a shell, a script, and power-off; without the decompression stub, on every side."""

import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from soc.bench import runs
from soc.bench.errors import BenchError, UnfinishedError
from soc.bench.qemu import Qemu, kernel_elf
from soc.bench.runs import Outcome
from soc.bench.setting import Setting
from soc.console import PROMPT
from soc.fetch.cache import Material
from soc.firmware.cmdline import DEFAULT_WORDS, FAST

# Lines whose output depends neither on the processor model nor on time.
SCRIPT = (
    "uname -a",
    'for i in 1 2 3; do echo "loop $i"; done',
    "md5sum /bin/busybox",
    "seq 1 2000 | sort -r | md5sum",
    "poweroff -f",
)
# Work for many CPUs.
PARALLEL = (
    "for i in 1 2 3 4 5 6 7 8; do (sha256sum /bin/busybox > /tmp/$i) & done; wait",
    "cat /tmp/1 /tmp/2 /tmp/3 /tmp/4 /tmp/5 /tmp/6 /tmp/7 /tmp/8 | uniq -c",
    "poweroff -f",
)
COMMAND_LINES = ("", FAST)
CPUS, QUICK_CPUS = (1, 2, 4, 8, 16), (1, 4)
GUESTS, QUICK_GUESTS = ((1, 1), (4, 1), (4, 4)), ((1, 1),)
"""(vCPUs, cores)."""
QEMU_CPUS = (4, 16)
QEMU_LIMIT_S = 120
ONLINE = re.compile(r"smp: Brought up \d+ node, (\d+) CPU")
SECONDARY = re.compile(r"CPU(\d+) revision is")


@dataclass
class Boot:
    """Rounds of one contestant: `cpus` cores, bare or shared by the `vcpus` of a KVM guest (0: bare)."""

    name: str
    command_line: str
    cpus: int = 1
    vcpus: int = 0
    online: int = 0
    """CPUs that the kernel has brought up."""
    wall_s: list[float] = field(default_factory=list)
    """Of the whole process."""
    engine_s: list[float] = field(default_factory=list)
    """Wall time inside the machine's run, where the contestant reports it."""
    peak_mib: list[float] = field(default_factory=list)
    """Most memory that was resident."""
    instructions: int = 0
    counters: dict[str, int] = field(default_factory=dict)
    """Of one run: accesses to devices, messages (each is an event), exits to KVM."""
    trace_hash: str = ""
    finished: bool = True
    """False: stopped after QEMU_LIMIT_S."""

    @property
    def mips(self) -> float:
        """Guest MIPS inside the run, median of the rounds."""
        return self.instructions / median(self.engine_s) / 1e6

    def rate(self, counter: str) -> float:
        """A counter by wall time inside the run, median of the rounds, per second."""
        return self.counters[counter] / median(self.engine_s)

    def per_million(self, counter: str) -> float:
        """A counter per million instructions."""
        return self.counters[counter] / self.instructions * 1e6

    def enter(self, outcome: Outcome, counts: bool) -> None:
        """One more run; its times are kept if it counts. Raises BenchError when it differs from the one before."""
        result = outcome.result
        if result:
            if self.trace_hash not in ("", result["trace_hash"]):
                raise BenchError(f"two equal boots have the trace hashes {self.trace_hash}, {result['trace_hash']}")
            self.trace_hash, self.instructions = result["trace_hash"], result["instructions"]
            found = {"accesses": result["exits"], "messages": result["details"]["messages"]}
            self.counters = {**found, "KVM exits": result["details"].get("kvm exits", 0)}
        self.online = online(outcome.output)
        if counts:
            self.wall_s.append(outcome.wall_s)
            self.peak_mib.append(outcome.peak_mib)
            if result:
                self.engine_s.append(result["wall_s"])


def single(setting: Setting) -> list[Boot]:
    """One CPU, with the default command line and a fast one, beside QEMU.

    Raises BenchError when the shell's answers differ, or when two boots of ours have different trace hashes.
    """
    material, qemu, results = setting.kernel, setting.qemu, []
    with tempfile.TemporaryDirectory() as folder:
        script, elf = _script(folder, SCRIPT), _elf(folder, material)
        for words in COMMAND_LINES:
            ours, theirs = Boot("soc", words), Boot(qemu.name, words) if qemu else None
            results += [ours, *([theirs] if theirs else [])]
            seen = None
            for number in range(setting.rounds + 1):
                label = words or "default command line"
                setting.say(f"{label}, " + (f"round {number} of {setting.rounds}" if number else "warm-up"))
                outcome = _ours(material, script, words)
                seen = _answers(seen, outcome, "soc", SCRIPT)
                ours.enter(outcome, number > 0)
                if theirs is not None:
                    outcome = qemu.boot(elf, material.initrd, _words(words), SCRIPT)
                    seen = _answers(seen, outcome, theirs.name, SCRIPT)
                    theirs.enter(outcome, number > 0)
    return results


def many(setting: Setting) -> list[Boot]:
    """Many CPUs, bare and as KVM guests, with work for all of them; then QEMU with many, stopped after QEMU_LIMIT_S.

    Raises BenchError when a shell's answer differs, or when two boots of ours have different trace hashes.
    """
    material, seen = setting.kernel, None
    bare = [Boot("bare", FAST, cpus) for cpus in (QUICK_CPUS if setting.quick else CPUS)]
    guests = [Boot("KVM guest", FAST, cpus, vcpus) for vcpus, cpus in (QUICK_GUESTS if setting.quick else GUESTS)]
    with tempfile.TemporaryDirectory() as folder:
        script = _script(folder, PARALLEL)
        for number in range(setting.rounds):
            for result in [*bare, *guests]:
                words = ["--cpus", str(result.cpus)]
                words += ["--hypervisor", "kvm", "--vcpus", str(result.vcpus)] if result.vcpus else []
                about = f"{result.name}, {result.vcpus or result.cpus} on {result.cpus}"
                setting.say(f"{about}, round {number + 1} of {setting.rounds}")
                outcome = _ours(material, script, FAST, words)
                seen = _answers(seen, outcome, about, PARALLEL)
                result.enter(outcome, True)
        others = []
        if setting.qemu and not setting.quick:
            elf = _elf(folder, material)
            for cpus in QEMU_CPUS:
                setting.say(f"{setting.qemu.name}, {cpus} CPUs, at most {QEMU_LIMIT_S} s")
                others.append(_limited(setting.qemu, cpus, elf, material))
    return [*bare, *guests, *others]


def _limited(qemu: Qemu, cpus: int, elf: Path, material: Material) -> Boot:
    result = Boot(qemu.name, FAST, cpus)
    try:
        result.enter(qemu.boot(elf, material.initrd, _words(FAST), PARALLEL, cpus=cpus, limit_s=QEMU_LIMIT_S), True)
    except UnfinishedError as error:
        result.online, result.finished = online(error.console), False
        result.wall_s.append(QEMU_LIMIT_S)
    return result


def online(console: str) -> int:
    """How many CPUs the kernel has brought up, by what it says; 1 is the one that boots."""
    done = ONLINE.search(console)
    return int(done[1]) if done else max(len(set(SECONDARY.findall(console))), 1)


def cold_start(setting: Setting, folder: str, environment: Mapping[str, str]) -> float:
    """Wall seconds of a boot with the default command line."""
    return _ours(setting.kernel, _script(folder, SCRIPT), "", environment=environment).wall_s


def _script(folder: str, lines: Sequence[str]) -> Path:
    path = Path(folder) / "script"
    path.write_text("\n".join(lines) + "\n")
    return path


def _elf(folder: str, material: Material) -> Path:
    path = Path(folder) / "vmlinux"
    path.write_bytes(kernel_elf(material.kernel))
    return path


def _words(words: str) -> str:
    return " ".join((*DEFAULT_WORDS, words))


def _ours(
    material: Material,
    script: Path,
    words: str,
    options: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> Outcome:
    given = ("--kernel", material.kernel, "--initrd", material.initrd, "--script", script, "--append", words)
    return runs.soc("boot", *given, *options, environment=environment)


def _answers(before: list[str] | None, outcome: Outcome, name: str, lines: Sequence[str]) -> list[str]:
    found = answers(outcome.output)
    if len(found) != len(lines):
        raise BenchError(f"{name} shows {len(found)} prompts, {len(lines)} were expected: {outcome.output[-200:]!r}")
    # What the kernel says after the last command carries its own time.
    if before is not None and found[:-1] != before[:-1]:
        raise BenchError(f"the shell answers differ: {before[:-1]} but {found[:-1]} on {name}")
    return found


def answers(console: str) -> list[str]:
    """What the shell printed after each prompt, without the escape sequences of its line editor."""
    prompt = PROMPT.decode()
    return [part.replace("\x1b[6n", "").strip() for part in console.split(prompt)[1:]]
