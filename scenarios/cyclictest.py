"""Debian's cyclictest in the guest: what it measures, next to what the simulator saw of the same timer interrupts."""

from __future__ import annotations

import re
from collections import Counter

from scenarios.debian import RT_TESTS, material, programs
from scenarios.library import within
from scenarios.registry import Run, scenario
from scenarios.table import spreads, table
from soc.fetch.initramfs import READY
from soc.firmware.cmdline import FAST
from soc.result import Result

COMMAND = "cyclictest"
MOST_US = 1000
PS_PER_US = 1_000_000


@scenario(cpus=4, loops=1000, interval_us=500, platform="virt", tier="auto")
def cyclictest(run: Run, cpus: int, loops: int, interval_us: int, platform: str, tier: str) -> None:
    """One thread on each CPU sleeps `loops` times for about `interval_us`; how late does it wake?"""
    within("cpus", cpus, 1, 16)
    within("loops", loops, 1, 1_000_000)
    within("interval_us", interval_us, 50, 1_000_000)
    from soc import Machine, PoweredOff

    debian = material()
    initrd = debian.initrd.read_bytes() + programs("rt-tests", RT_TESTS)
    machine = Machine(platform, cpus=cpus, tier=tier, trace=True)
    machine.load(debian.kernel, initrd=initrd, append=FAST, kind="linux")
    command = f"{COMMAND} -q -m -p 80 -t {cpus} -a -i {interval_us} -d 0 -l {loops} -h {MOST_US}"
    machine.script([command, "poweroff -f"])
    booted = machine.run(until=READY, max_virtual="60 s")
    began = machine.now
    result = machine.run(until=PoweredOff, max_virtual="600 s")
    console = machine.console.decode("utf-8", "replace")
    run.keep("console.log", machine.console)
    run.expect(booted.ended, equals="until", what="the end of the boot")
    run.expect(result.ended, equals="poweroff", what="the end of the run")
    measured = histogram(console, cpus)
    counts = [sum(counter.values()) for counter in measured]
    # A thread stops as the first one is done; its last wake-up may be missing.
    run.expect(len(counts), equals=cpus, what="threads with a histogram")
    if not run.ok:
        run.show(console[-2000:], result.reason)
        return
    run.expect(min(counts), above=loops - 2, what="wake-ups of a thread")
    run.show(f"$ {command}", bars(sum(measured, Counter())), "")
    guest = {
        f"cyclictest, thread {cpu}": [us * PS_PER_US for us, n in counter.items() for _ in range(n)]
        for cpu, counter in enumerate(measured)
    }
    run.show(spreads("wake-up, by the guest's clock", guest), "")
    seen = [path for path in machine.trace.latency("timer").paths if path.ended and path.began >= began]
    own = {f"timer of cpu{cpu}": [path.total for path in seen if path.core == f"cpu{cpu}"] for cpu in range(cpus)}
    run.show(spreads("deadline to handler, by the simulator", own), "")
    run.result(Result.of_parts([booted, result]), machine)


def histogram(console: str, cpus: int) -> list[Counter]:
    """Wake-up latency in us -> how often, for each thread, from what `cyclictest -h` prints."""
    found = [Counter() for _ in range(cpus)]
    for line in re.findall(rf"^(\d{{6}}(?:\s+\d{{6}}){{{cpus}}})\s*$", console, re.MULTILINE):
        us, *counts = (int(word) for word in line.split())
        for counter, count in zip(found, counts, strict=True):
            if count:
                counter[us] += count
    return found


def bars(counts: Counter, width: int = 50) -> str:
    """A histogram as text, one line for each microsecond that occurred."""
    tallest = max(counts.values())
    rows = [(f"{us} us", count, "#" * -(-count * width // tallest)) for us, count in sorted(counts.items())]
    return table(("latency", "wake-ups", ""), rows)
