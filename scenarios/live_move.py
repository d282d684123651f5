"""Does a guest that moves to another process while it runs end as if it had stayed, and what does the move cost it?"""

from __future__ import annotations

import subprocess
import sys
from hashlib import blake2b
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import msgpack

from scenarios.kvm import FIELD, PAGE_SHIFT, refills
from scenarios.library import guest, within
from scenarios.registry import Run, scenario
from scenarios.table import table
from soc import migration
from soc.time import duration

PAGES = 64
RAM = "32 MiB"


class Outcome(NamedTuple):
    """How a guest ended: console, digest of its pages, root refills and model time (ps) of the machine it ended on."""

    ended: str
    console: bytes
    digest: bytes
    refills: int
    time: int


@scenario(vcpus=4, cpus=2, rounds=400, work=50, at="60 us", moves=2, tier="auto")
def live_move(run: Run, vcpus: int, cpus: int, rounds: int, work: int, at: str, moves: int, tier: str) -> None:
    """`first_light` on one vCPU with its timer and UART at work, and `vcpus` vCPUs that write pages on `cpus` cores,
    are stopped after `at`, in further runs of `moves` after 3, 5, ... times as long; registers, memory, controllers and
    devices go to a new process, and on it goes."""
    within("vcpus", vcpus, 1, 16)
    within("cpus", cpus, 1, vcpus)
    within("rounds", rounds, 1, 1_000_000)
    within("moves", moves, 1, 100)
    options = {"hypervisor": "kvm", "ram": RAM, "tier": tier, "timing": {"kvm_slice": "20 us"}}
    pages = guest("pages.S", cores=vcpus, rounds=rounds, work=work, pages=PAGES)
    guests = {
        "first_light": (guest("first_light.S"), {**options, "cpus": 1}),
        f"pages, {vcpus} on {cpus}": (pages, {**options, "cpus": cpus, "vcpus": vcpus}),
    }
    rows = []
    for name, (program, given) in guests.items():
        machine = new_machine(given, trace=True)
        machine.load(program.to_elf())
        result = machine.run(max_virtual="10 s")
        whole = outcome(machine, result)
        run.trace(machine, result, name.partition(",")[0])
        run.expect(whole.ended, equals="poweroff", what=f"the end of {name} that stays")
        for when in (duration(at) * (2 * number + 1) for number in range(moves)):
            before, saved = leave(program, given, when)
            after = arrive(given, saved)
            console = before.console + after.console
            rows.append(
                (name, f"{when / 1e6:.0f} us", f"{len(saved) >> 10} KiB", before.refills, after.refills, whole.refills,
                 before.refills + after.refills - whole.refills)
            )  # fmt: skip
            run.expect(after.ended, equals="poweroff", what=f"the end of {name} that moved")
            run.expect(console == whole.console, equals=True, what=f"the same console of {name}")
            run.expect(after.digest == whole.digest, equals=True, what=f"the same pages of {name}")
    head = ("guest", "moved at", "state", "refills before", "after", "of one that stays", "more")
    text = table(head, rows)
    run.show("Root TLB refills: no translation comes along", text, "")
    run.keep("moves.txt", text + "\n")
    run.result(result, machine)


def new_machine(options: dict[str, Any], trace: bool = False) -> Any:
    """The machine that a guest is on, before it is loaded."""
    from soc import Machine

    return Machine("virt", trace=trace, **options)


def outcome(machine: Any, result: Any) -> Outcome:
    """How a run on `machine` ended."""
    digest = blake2b(machine.memory.read(FIELD, PAGES << PAGE_SHIFT), digest_size=16).digest()
    return Outcome(result.ended, machine.console, digest, refills(machine), machine.now)


def leave(program: Any, options: dict[str, Any], when: int) -> tuple[Outcome, bytes]:
    """Runs a guest for `when` ps and stops it: how far it came, and all of it as bytes."""
    machine = new_machine(options)
    machine.load(program.to_elf())
    machine.run(max_virtual=when)
    machine.hypervisor.stop_guest()
    result = machine.run(max_virtual="100 ms")
    machine.run(max_virtual="1 us")  # what is on its way arrives
    return outcome(machine, result), msgpack.packb(migration.leave(machine))


def arrive(options: dict[str, Any], saved: bytes) -> Outcome:
    """Goes on with a guest in a process of its own."""
    with TemporaryDirectory() as folder:
        state, end = Path(folder, "state"), Path(folder, "end")
        state.write_bytes(msgpack.packb([options, saved]))
        subprocess.run([sys.executable, "-m", "scenarios.live_move", str(state), str(end)], check=True)
        return Outcome(*msgpack.unpackb(end.read_bytes()))


def _go_on(state: str, end: str) -> None:
    options, saved = msgpack.unpackb(Path(state).read_bytes())
    machine = new_machine(options)
    migration.arrive(machine, msgpack.unpackb(saved, strict_map_key=False))
    result = machine.run(max_virtual="10 s")
    Path(end).write_bytes(msgpack.packb(outcome(machine, result)))


if __name__ == "__main__":
    _go_on(*sys.argv[1:])
