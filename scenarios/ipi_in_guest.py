"""How many exits does an inter-processor interrupt between vCPUs take, and how much longer is it than bare?"""

from __future__ import annotations

from collections import Counter

from scenarios.ipi_pingpong import MOST_ROUNDS, round_trips
from scenarios.kvm import each, in_vm, reasons
from scenarios.library import Loaded, loaded, within
from scenarios.registry import Run, scenario
from scenarios.table import spreads, table

WAYS = ("bare", "kernel", "user")
FEW = 2


@scenario(rounds=100, cpus=2, platform="virt", kvm="vz", tier="auto")
def ipi_in_guest(run: Run, rounds: int, cpus: int, platform: str, kvm: str, tier: str) -> None:
    """Two vCPUs on `cpus` cores play ping-pong, with controllers in the kernel and in user space; and bare."""
    within("rounds", rounds, FEW + 1, MOST_ROUNDS)
    within("cpus", cpus, 1, 2)
    trips: dict[str, list[int]] = {}
    taken: dict[str, Counter[str]] = {}
    for way in WAYS:
        for count in (FEW, rounds):
            game = _game(way, platform, cpus, count, {"tier": tier}, {"kvm": kvm})
            result = game.run()
            run.expect(result.ended, equals="poweroff", what=f"the end of {way}")
            if not run.ok:
                run.show(result.reason)
                return
            run.expect(game.counters(0)[0], equals=count, what=f"balls vCPU 0 got, {way}")
            # The difference between a long game and a short one is the game alone.
            taken[way] = reasons(game.machine) - taken.get(way, Counter())
        trips[way] = round_trips(game, rounds)
        run.trace(game.machine, result, way)
    sent = 2 * (rounds - FEW)
    rows = [(way, f"{taken[way].total() / sent:.2f}", each(taken[way], sent)) for way in WAYS]
    text = "\n\n".join(
        (
            spreads("round trip by Count, controllers in", trips),
            table(("controllers in", "exits per IPI", "by reason"), rows),
        )
    )
    run.show(text, "")
    run.keep("ipis.txt", text + "\n")
    run.result(result, game.machine)
    run.expect(taken["bare"].total(), equals=0, what="exits on the bare cores")
    run.expect(min(trips["kernel"]), above=max(trips["bare"]), what="a round trip between vCPUs")
    run.expect(min(trips["user"]), above=min(trips["kernel"]), what="a round trip through user space")


def _game(way: str, platform: str, cpus: int, rounds: int, options: dict, hosted: dict) -> Loaded:
    if way == "bare":
        return loaded("ipi_pingpong.S", platform, 2, options, rounds=rounds)
    return in_vm("ipi_pingpong.S", cpus, 2, {**options, **hosted, "irqchip": way}, platform, rounds=rounds)
