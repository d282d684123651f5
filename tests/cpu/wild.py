"""A kernel that does anything, on the bare core: `python -m tests.cpu.wild --seeds 1000 --seed 1`.

Each seed is a core, with VZ, LASX, the FTLB and configuration registers or without, that runs some shots: random code
in root's kernel or user mode, random registers, a random TLB, devices that answer at random or not at all. The handlers
go on somewhere in the code; the code may write over them. Whatever it does, it ends in the same state on every tier.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from random import Random

import numpy as np

from cpu.core import Core, Stop, StopKind
from cpu.cp0.fields import CONFIG5_MSAEN
from cpu.isa.assembler import assemble
from cpu.memory import Memory
from cpu.tlb.operations import write_entry
from tests.cpu.core_rig import CU0, CU1, EXL, FR, KSEG0, KX, M64, MIB, SX, TIERS, UM, UX, VECTORS
from tests.kvm.fuzz import GO_ON, instruction, value

RAM, CODE, HANDLERS, WORDS = MIB, 0x4000, 0x8000, 256
USER = 0x10000
STEP, STOPS = 3000, 300
"""Instructions of a shot, and most cycles between two things that happen to the core from outside; most of those."""


class Wild:
    """The core of one seed."""

    def __init__(self, seed: int, tier: str) -> None:
        self.random = Random(seed)
        vz, ftlb, csr, lasx = (bool(self.random.getrandbits(1)) for _ in range(4))
        self.memory = Memory(RAM)
        self.memory.write(0, np.random.default_rng(seed).bytes(RAM))
        self.core = Core(0, self.memory, tier, vz=vz, ftlb=ftlb, csr=csr, lasx=lasx, unmodelled_ri=True)
        self.ends: Counter[str] = Counter()

    def shoot(self) -> None:
        """The next shot: code, handlers, TLB, registers, and a run."""
        core, random = self.core, self.random
        words = b"".join(instruction(random).to_bytes(4, "little") for _ in range(WORDS))
        self.memory.write(CODE, words)
        status = KX | SX | UX | random.getrandbits(16) & 0xFF01 | random.choice((0, FR, FR | CU1))
        status |= random.choice((0, 0, CU0, EXL)) | random.choice((0, 0, UM))
        mapped = bool(status & UM) or not random.randrange(4)
        entry = (USER if mapped else KSEG0) + CODE
        for vector in VECTORS:
            self.memory.write(HANDLERS + vector, assemble(GO_ON.format(entry=entry), KSEG0).data)
        for index in range(5):
            self._map(index, USER + CODE if index == 0 else random.choice((USER, 0xC0000000 << 32, 0)) + (index << 15))
        gprs = [0, *(value(random, CODE) for _ in range(31))]
        config5 = core.cp0("config5") & ~CONFIG5_MSAEN | random.choice((0, CONFIG5_MSAEN))
        cp0 = {"status": status, "cause": 0, "ebase": KSEG0 + HANDLERS, "config5": config5}
        core.set_state({"pc": entry + 4 * random.randrange(WORDS // 2), "gpr": gprs, "cp0": cp0})
        limit = core.instructions + STEP
        for _ in range(STOPS):
            stop = core.run(core.cycles + random.randrange(1, STEP), limit - core.instructions)
            if not self._goes_on(stop):
                self.ends[stop.kind.name] += 1
                return
        self.ends["waits"] += 1

    def _map(self, index: int, va: int) -> None:
        core, random = self.core, self.random
        page = CODE if index == 0 else random.choice((random.randrange(RAM), random.getrandbits(40)))
        lo = page >> 12 << 6 | (6 if index == 0 else random.randrange(64))
        mask = 0x6000 if index == 0 else random.choice((0, 0x6000, 0x1E000))
        core.set_state({"cp0": {"entryhi": va & ~0x1FFF & M64, "entrylo0": lo, "entrylo1": lo, "pagemask": mask}})
        write_entry(core.S, 0, index, True, 0)

    def _goes_on(self, stop: Stop) -> bool:
        core, random = self.core, self.random
        if stop.kind is StopKind.MMIO_READ or stop.kind is StopKind.MMIO_WRITE:
            cycle = core.cycles + random.randrange(200)
            if not random.randrange(8):
                core.finish_error(cycle)
            elif stop.kind is StopKind.MMIO_READ:
                core.finish_read(random.getrandbits(64), cycle)
            else:
                core.finish_write(cycle)
        elif stop.kind is StopKind.HORIZON:
            core.set_line(random.randrange(2, 7), random.getrandbits(1))
        else:
            return False
        return True


def run_seed(seed: int, tier: str, shots: int = 6) -> tuple[bytes, Counter[str], int]:
    """(digest of core and memory, how the shots ended, instructions completed) of one seed."""
    wild = Wild(seed, tier)
    for _ in range(shots):
        wild.shoot()
    return wild.core.digest() + wild.memory.digest(), wild.ends, wild.core.instructions


def differing(seed: int, tiers: Sequence[str]) -> str:
    """What the tiers end in, where it is not the same; else an empty text."""
    found = {tier: run_seed(seed, tier) for tier in tiers}
    first = found[tiers[0]]
    if all(one == first for one in found.values()):
        return ""
    return f"seed {seed}: " + "; ".join(
        f"{tier} {digest[-4:].hex()}, {instructions} instructions, {dict(ends)}"
        for tier, (digest, ends, instructions) in found.items()
    )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.cpu.wild", description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=1000, metavar="N", help="how many seeds (default 1000)")
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="the first seed (default 1)")
    parser.add_argument("--tiers", nargs="+", choices=TIERS, default=TIERS, help="compared (default: all)")
    options = parser.parse_args(arguments)
    for seed in range(options.seed, options.seed + options.seeds):
        print(f"\rseed {seed}", end="", file=sys.stderr, flush=True)
        if wrong := differing(seed, options.tiers):
            print(f"\nFAILED: {wrong}")
            return 1
    print(f"\n{options.seeds} seeds, the same on {', '.join(options.tiers)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
