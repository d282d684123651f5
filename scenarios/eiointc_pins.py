"""The extended controller on one pin of a core, or on four: how often must a handler read its status?"""

from __future__ import annotations

from scenarios.library import Loaded, loaded, within
from scenarios.registry import Run, scenario
from scenarios.table import spreads, table

SERVED, READS = 0, 1
ISR = range(0x1FE0_1800, 0x1FE0_1C00)


@scenario(cpus=2, rounds=400, target=1, tier="auto")
def eiointc_pins(run: Run, cpus: int, rounds: int, target: int, tier: str) -> None:
    """Core 0 raises interrupts of all four quarters of the vectors at core `target`."""
    rows, times = [], {}
    for pins in (1, 4):
        machine = prepare(cpus, rounds, target, pins, tier)
        result = machine.run()
        run.trace(machine.machine, result, f"pins-{pins}")
        run.expect(result.ended, equals="poweroff", what="the end of the run")
        if not run.ok:
            run.show(result.reason)
            break
        count, reads = machine.counters(target)[SERVED], machine.counters(target)[READS]
        times[f"{pins} pin" + "s" * (pins > 1)] = machine.machine.trace.latency("ls7a_msi", "ls3a_ext_irq").totals
        rows.append((pins, count, reads, f"{reads / count:g}"))
        run.expect(count, equals=rounds, what=f"interrupts with {pins} pins")
        run.expect(reads, equals=rounds * 4 // pins, what=f"reads of the status with {pins} pins")
        run.expect(status_reads(machine), equals=reads, what="reads that reached the controller")
    text = table(("pins", "interrupts", "status reads", "per interrupt"), rows)
    run.show(text, "", spreads("from the store to the end of interrupt", times), "")
    run.keep("reads.txt", text + "\n")
    run.result(result, machine.machine)


def prepare(cpus: int, rounds: int, target: int, pins: int, tier: str = "auto") -> Loaded:
    """The machine for one wiring of the controller's eight groups."""
    within("cpus", cpus, 1, 4)
    within("rounds", rounds, 1, 1_000_000)
    within("target", target, 0, cpus - 1)
    return loaded("eiointc_pins.S", "ls7a", cpus, {"tier": tier}, rounds=rounds, target=target, pins=pins)


def status_reads(machine: Loaded) -> int:
    """Reads of a core's status words in the machine's trace."""
    messages = (record.message for record in machine.machine.trace)
    return sum(type(message).__name__ == "MmioRead" and message.address in ISR for message in messages)
