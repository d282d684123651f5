"""Timer and UART interrupts on a bare machine. How long does an interrupt take, and where does the time go?"""

from __future__ import annotations

from typing import Any

from scenarios.library import KSEG0_BITS, guest, within
from scenarios.registry import Run, scenario
from soc.time import PS_PER_SECOND, duration, in_ns


@scenario(rounds=100, typing="first light", type_at="50 us", tier="auto")
def first_light(run: Run, rounds: int, typing: str, type_at: str, tier: str) -> None:
    """Runs `guests/first_light.S`: `rounds` timer and transmit interrupts, and a person who types `typing`."""
    from soc import Machine, PoweredOff

    within("rounds", rounds, 1, 10_000_000)
    machine = Machine("virt", trace=True, tier=tier)
    program = guest("first_light.S", rounds=rounds)
    machine.load(program.to_elf())
    if typing:
        machine.replay([(duration(type_at), typing.encode())])
    result = machine.run(until=PoweredOff, max_virtual="600 s")

    console = machine.console.decode("utf-8", "replace")
    run.show(console.rstrip())
    run.keep("console.log", machine.console)
    run.expect(result.ended, equals="poweroff", what="the end of the run")
    if not run.ok:
        run.show(result.reason)
        run.result(result, machine)
        return

    path = machine.trace.latency("uart")
    run.show("", "UART interrupt, hop by hop", path.table(), "", *timer_lines(machine, program, rounds), "")
    run.keep("latency.txt", path.table() + "\n")
    run.result(result, machine)
    run.expect(
        f"timer interrupts {rounds}, UART transmit interrupts {rounds}" in console, equals=True, what="the count"
    )
    run.expect(path.total.p99, below="100 us", what="the UART interrupt's p99")


def timer_lines(machine: Any, program: Any, rounds: int) -> list[str]:
    """How late the timer's handler read Count, from the figures the guest keeps in its memory."""
    tick = PS_PER_SECOND * machine.timing.count_divider // machine.timing.core_clock

    def word(name: str) -> int:
        return int.from_bytes(machine.memory.read(program.symbol(name) & KSEG0_BITS, 8), "little")

    figures = (word("timer_least"), word("timer_sum") // rounds, word("timer_most"))
    least, mean, most = (f"{in_ns(ticks * tick)} ns" for ticks in figures)
    return [f"timer interrupt, deadline to the handler's read of Count: min {least}, mean {mean}, max {most}"]
