"""The measurements made of small programs: which contestants, and how long each of them runs.

Iterations keep everybody busy for longer than a start-up varies; ours and QEMU's differ where the speeds do.
"""

from collections.abc import Iterator

from soc.bench.contest import Make, Pair, Program, contest
from soc.bench.setting import Setting

MIXED = "mixed"
TIERS, REFERENCE = 12_000, 3
COMPUTE = {
    MIXED: (60_000, 60_000),
    "integer": (300_000, 300_000),
    "double": (40_000, 4_000),
    "memory": (3_000, 60),
    "calls": (80_000, 20_000),
}
VECTOR = {"saxpy": (60_000, 4_000), "dot": (45_000, 4_000), "bytes": (15_000, 5_000)}
SYSTEM = {
    "system call": (4_000_000, 6_000_000),
    "software interrupt": (3_000_000, 6_000_000),
    "timer interrupt": (300_000, 20_000),
    "TLB refill": (1_000_000, 1_500_000),
    "process switch": (4_000_000, 400_000),
    "modified code": (600_000, 200_000),
}


def tiers(setting: Setting) -> list[Program]:
    """The mixed program on every tier and on QEMU."""
    make = setting.program("bench")
    lengths = {setting.tier: TIERS, "threaded": TIERS, "reference": REFERENCE}
    contestants = [setting.ours(make, count, tier) for tier, count in lengths.items()]
    theirs = setting.theirs(make, TIERS)
    return contest([*contestants, *([theirs] if theirs else [])], setting.rounds, setting.say)


def compute(setting: Setting) -> list[Pair]:
    """One kind of work per program, the fastest tier beside QEMU."""
    return [
        setting.pair(name, setting.ours(make, COMPUTE[name][0]), setting.theirs(make, COMPUTE[name][1]))
        for name, make in _compute_set(setting)
    ]


def guest(setting: Setting) -> list[Pair]:
    """The compute set as a guest of the KVM model, beside the same program on the bare core."""
    return [
        setting.pair(name, setting.guest(make, COMPUTE[name][0]), setting.ours(make, COMPUTE[name][0]))
        for name, make in _compute_set(setting)
    ]


def _compute_set(setting: Setting) -> Iterator[tuple[str, Make]]:
    for name in COMPUTE:
        yield name, setting.program("bench") if name == MIXED else setting.program("compute", name)


def vector(setting: Setting) -> list[Pair]:
    """Vector instructions on the bare core, beside QEMU's user mode: its loongson3-virt has no processor with MSA."""
    return [
        setting.pair(
            name,
            setting.ours(setting.program("vector", name), mine),
            setting.theirs_in_user_mode(setting.program("vector", name, system="linux"), theirs),
        )
        for name, (mine, theirs) in VECTOR.items()
    ]


def system(setting: Setting) -> list[Pair]:
    """What a kernel does all day: an iteration is one operation."""
    makes = {name: setting.program("system", name) for name in SYSTEM}
    return [
        setting.pair(name, setting.ours(makes[name], mine), setting.theirs(makes[name], theirs))
        for name, (mine, theirs) in SYSTEM.items()
    ]
