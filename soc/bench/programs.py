"""The measurements made of small programs: which contestants, and how long each of them runs.

Iterations keep everybody busy for longer than a start-up varies; ours and QEMU's differ where the speeds do.
"""

from functools import partial

from soc.bench.contest import Make, Pair, Program, contest, pair
from soc.bench.setting import Setting

MIXED = "mixed"
TIERS, REFERENCE = 12_000, 3
COMPUTE = {
    MIXED: (30_000, 30_000),
    "integer": (150_000, 150_000),
    "double": (20_000, 4_000),
    "memory": (1_500, 60),
    "calls": (40_000, 20_000),
}
VECTOR = {"saxpy": (4_000, 4_000), "dot": (3_000, 4_000), "bytes": (15_000, 5_000)}
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
    make = setting.program(setting.guests.bench)
    lengths = {setting.tier: TIERS, "threaded": TIERS, "reference": REFERENCE}
    contestants = [setting.ours(make, count, tier) for tier, count in lengths.items()]
    theirs = setting.theirs(make, TIERS)
    return contest([*contestants, *([theirs] if theirs else [])], setting.rounds, setting.say)


def compute(setting: Setting) -> list[Pair]:
    """One kind of work per program, the fastest tier beside QEMU."""
    found = []
    for name, (mine, theirs) in COMPUTE.items():
        make = _compute(setting, name)
        both = setting.ours(make, mine), setting.theirs(make, theirs)
        found.append(pair(name, *both, setting.rounds, setting.say))
    return found


def guest(setting: Setting) -> list[Pair]:
    """The compute set as a guest of the KVM model, beside the same program on the bare core."""
    found = []
    for name, (count, _) in COMPUTE.items():
        make = _compute(setting, name)
        both = setting.guest(make, count), setting.ours(make, count)
        found.append(pair(name, *both, setting.rounds, setting.say))
    return found


def vector(setting: Setting) -> list[Pair]:
    """Vector instructions on the bare core, beside QEMU's user mode: its loongson3-virt has no processor with MSA."""
    found = []
    for name, (mine, theirs) in VECTOR.items():
        make = partial(setting.guests.vector, name)
        ours = setting.ours(setting.program(make), mine)
        other = setting.user.contestant(partial(make, system="linux"), setting.count(theirs)) if setting.user else None
        found.append(pair(name, ours, other, setting.rounds, setting.say))
    return found


def system(setting: Setting) -> list[Pair]:
    """What a kernel does all day: an iteration is one operation."""
    found = []
    for name, (mine, theirs) in SYSTEM.items():
        make = partial(setting.guests.system, name)
        both = setting.ours(make, mine), setting.theirs(make, theirs)
        found.append(pair(name, *both, setting.rounds, setting.say))
    return found


def _compute(setting: Setting, name: str) -> Make:
    guests = setting.guests
    return setting.program(guests.bench if name == MIXED else partial(guests.compute, name))
