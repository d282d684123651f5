"""What does it take Debian's own KVM to run a second Debian, and does the KVM model count the same exits?"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from scenarios import kvm, vmm
from scenarios.debian import material
from scenarios.library import within
from scenarios.registry import Run, scenario
from scenarios.table import table
from soc.fetch.initramfs import READY
from soc.firmware.cmdline import FAST
from soc.nodes import MAX_CPUS
from soc.result import Result

MIB = 1 << 20
RAM_MIB = 512
GUEST_RAM_MIB = 256
START = "vmm -s guest.img; echo status $?"
GUEST_SCRIPT = ("uname -a", "cat /proc/interrupts", "poweroff -f")
SCRIPT = (START, *GUEST_SCRIPT, "poweroff -f")
PHASES = ("boot", "guest's boot", "guest's shell, power off")
COUNTER = re.compile(r"^kvm (\w+) (\d+)$", re.MULTILINE)
CURSOR_QUERY = "\x1b[6n"
"""The shell asks the terminal where its cursor is."""
MOST_VIRTUAL = "60 s"


@scenario(cpus=1, vcpus=1, compare=True, platform="virt", tier="auto")
def debian_kvm(run: Run, cpus: int, vcpus: int, compare: bool, platform: str, tier: str) -> None:
    """Debian on `cpus` cores with VZ runs `vmm`, whose guest is the same Debian on `vcpus` virtual CPUs."""
    within("cpus", cpus, 1, 16)
    within("vcpus", vcpus, 1, MAX_CPUS)
    archive = initrd(vcpus)
    run.keep("initrd.cpio", archive)
    run.keep("machine.toml", f'[machine]\nplatform = "{platform}"\nvz = true\ncpus = {cpus}\nram = {RAM_MIB}\n')
    machine = host(archive, cpus, platform=platform, tier=tier)
    results = [machine.run(until=until, max_virtual=MOST_VIRTUAL) for until in (READY, READY, None)]
    console = machine.console.decode("utf-8", "replace").replace("\r", "").replace(CURSOR_QUERY, "")
    run.keep("console.log", machine.console)
    run.expect([result.ended for result in results], equals=["until", "until", "poweroff"], what="how the phases end")
    run.expect("\nstatus 0\n" in console, equals=True, what="the guest has switched off")
    if not run.ok:
        run.show(console[-2000:], results[-1].reason)
        return
    run.show(f"{START.split(';')[0]}, from the guest's shell on:", console.rsplit(READY, 1)[1].strip(), "")
    run.show(phases(results), "")
    run.show(exits(counters(console), modelled(cpus, vcpus, tier) if compare else None), "")
    run.result(Result.of_parts(results), machine)


def initrd(vcpus: int = 1, programs: Mapping[str, bytes] = MappingProxyType({})) -> bytes:
    """Debian's initramfs, `vmm`, and as its guest the same kernel and initramfs; both have `programs`, by path."""
    from soc.fetch import cpio
    from soc.firmware.boot import prepare

    debian, ram = material(), GUEST_RAM_MIB * MIB
    both = debian.initrd.read_bytes() + cpio.archive([cpio.file(*each, 0o755) for each in programs.items()])
    guest = prepare(debian.kernel, ram=ram, initrd=both, append=FAST, cpus=vcpus)
    files = [cpio.file("bin/vmm", vmm.program(), 0o755), cpio.file("guest.img", vmm.image(guest, ram, vcpus))]
    return both + cpio.archive(files)


def host(archive: bytes, cpus: int = 1, script: Iterable[str] = SCRIPT, platform: str = "virt", **options: Any) -> Any:
    """A machine about to boot Debian with `archive`, then to have `script` typed: to Debian and to what it starts."""
    from soc import Machine

    machine = Machine(platform, cpus=cpus, ram=RAM_MIB, **{"vz": True, "trace": True, **options})
    machine.load(material().kernel, initrd=archive, append=FAST, kind="linux")
    machine.script(script)
    return machine


def phases(results: Iterable[Any]) -> str:
    """One line for each phase of the run."""
    rows = (
        (name, f"{result.instructions / 1e6:.1f} M", f"{result.virtual_s * 1e3:.1f} ms", f"{result.wall_s:.1f} s")
        for name, result in zip(PHASES, results, strict=True)
    )
    return table(("phase", "instructions", "virtual", "wall"), rows)


def counters(console: str) -> Counter[str]:
    """KVM's counters as `vmm -s` printed them, by the names that the model has for them."""
    return Counter({name.removesuffix("_exits"): int(count) for name, count in COUNTER.findall(console)})


def modelled(cpus: int, vcpus: int, tier: str = "auto") -> Counter[str]:
    """The exits of the same guest with the same script under the KVM model."""
    from soc import Machine

    debian = material()
    options = {"hypervisor": "kvm", "irqchip": "user", "vcpus": vcpus}
    machine = Machine("virt", cpus=cpus, ram=GUEST_RAM_MIB, tier=tier, **options)
    machine.load(debian.kernel, initrd=debian.initrd, append=FAST, kind="linux")
    machine.script(GUEST_SCRIPT)
    machine.run(max_virtual=MOST_VIRTUAL)
    return kvm.reasons(machine)


def exits(counted: Counter[str], model: Counter[str] | None) -> str:
    """One line for each reason, the most frequent first."""
    from cpu.kvm.stats import REASONS

    columns = {"Debian's KVM": counted} if model is None else {"Debian's KVM": counted, "the model": model}
    names = [name for name, _ in sum(columns.values(), Counter()).most_common() if name in REASONS]
    rows = ((name, *(column[name] for column in columns.values())) for name in names)
    return table(("exits", *columns), rows)
