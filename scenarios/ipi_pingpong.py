"""Two cores play ping-pong over their mailboxes and interrupts. How long is a round trip, and where does it go?"""

from __future__ import annotations

from itertools import pairwise

from scenarios.library import Loaded, loaded, within
from scenarios.registry import Run, scenario
from scenarios.table import spreads

MOST_ROUNDS = 16_384
"""So many stamps has ipi_pingpong.S room for."""


@scenario(cpus=2, rounds=1000, partner=1, platform="virt", tier="auto")
def ipi_pingpong(run: Run, cpus: int, rounds: int, partner: int, platform: str, tier: str) -> None:
    """Core 0 and core `partner`, which may be of another node."""
    within("rounds", rounds, 2, MOST_ROUNDS)
    within("cpus", cpus, 2, 16)
    within("partner", partner, 1, cpus - 1)
    game = loaded("ipi_pingpong.S", platform, cpus, {"tier": tier}, rounds=rounds, partner=partner)
    result = game.run()
    run.expect(result.ended, equals="poweroff", what="the end of the run")
    if run.ok:
        path = game.machine.trace.latency()
        run.show("Inter-processor interrupts, hop by hop", path.table(), "")
        trips = round_trips(game, rounds)
        run.show(spreads("by Count of core 0", {"round trip": trips}), "")
        run.keep("latency.txt", path.table() + "\n")
        run.expect(game.counters(0)[0], equals=rounds, what="balls core 0 got")
        run.expect(game.counters(partner)[0], equals=rounds, what=f"balls core {partner} got")
        run.expect(path.total.p99, below="2 us", what="an interrupt's p99")
        run.expect(max(trips), below="5 us", what="the longest round trip")
    run.result(result, game.machine)


def round_trips(game: Loaded, rounds: int) -> list[int]:
    """Times between the balls core 0 got, in ps, to the tick of Count."""
    stamps = game.words("stamps", rounds, size=4)
    return [(after - before) % (1 << 32) * game.tick for before, after in pairwise(stamps)]
