"""Our sides of a differential run: the int backend, and the tiers of the core."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from cpu.core import Core, StopKind
from cpu.engine import shared
from cpu.memory import Memory
from soc.errors import SocError
from tests.oracles import layout as at
from tests.oracles import qemu
from tests.oracles.compare import Side
from tests.oracles.interpreter import run_case
from tests.oracles.layout import Layout, Result
from tests.oracles.sequences import Case

EBASE = 0xFFFFFFFF80000000
VECTORS = (0x000, 0x080, 0x100, 0x180)
STEPS = 1000
PHYSICAL = 0x1FFFFFFF
M64 = (1 << 64) - 1


class TierError(SocError):
    """A tier cannot run the cases of a layout, or did not bring one to its end."""


def _int(layout: Layout) -> Side:
    if layout.window is not None:
        raise TierError(f"tier int has no TLB: it runs the layouts user and kernel, not {layout.name}")

    def run(cases: Sequence[Case]) -> list[Result]:
        return [run_case(case) for case in cases]

    return run


class CoreSide:
    """A core that runs each case alone, its state set and read from outside."""

    def __init__(self, tier: str, layout: Layout):
        self.layout, self.tier = layout, tier
        self.memory = Memory(qemu.RAM_BYTES)
        self.core = Core(memory=self.memory, number=0, tier=tier)
        self.vectors = {EBASE + offset: offset for offset in VECTORS}

    def __call__(self, cases: Sequence[Case]) -> list[Result]:
        for case in cases:
            self.memory.write(case.start & PHYSICAL, b"".join(word.to_bytes(4, "little") for word in case.words()))
            self.memory.write(case.scratch_address & PHYSICAL, case.scratch)
        return [self.run(case) for case in cases]

    def run(self, case: Case) -> Result:
        core, stops = self.core, (self.layout.done, *self.vectors)
        registers = {name: getattr(case, name) for name in ("gpr", "hi", "lo", "fcsr", "msacsr")}
        registers["msa"] = [(value & M64, value >> 64) for value in case.vectors]
        cp0 = {"status": case.status, "cause": 0, "ebase": EBASE, "config5_msaen": case.config5 >> 27 & 1}
        core.set_state({"pc": case.start, "cp0": cp0, **registers})
        stop = core.run(None, max_insns=STEPS, stop_pcs=stops)
        while stop.kind is StopKind.SLICE:
            stop = core.run(None, max_insns=STEPS, stop_pcs=stops)
        if stop.kind is not StopKind.PC:
            raise TierError(f"case {case.number} on tier {self.tier} ended with {stop}, expected one of its stops")
        now = core.get_state()
        scratch = self.memory.read(case.scratch_address & PHYSICAL, at.SCRATCH_BYTES)
        vectors = [low | high << 64 for low, high in now["msa"]]
        end = (now["gpr"], now["hi"], now["lo"], now["fcsr"], now["msacsr"], vectors, scratch)
        if now["pc"] == self.layout.done:
            return at.result(*end)
        return at.result(*end, self.vectors[now["pc"]], *(now["cp0"][name] for name in ("cause", "epc", "badvaddr")))


def _core(tier: str, layout: Layout) -> Side:
    if layout.window is None and not layout.kernel:
        raise TierError(f"tier {tier} runs the kernel layout, not {layout.name}: compare it with --oracle system")
    # Stop pcs keep blocks from being translated.
    if layout.window is not None or tier == "stencil":
        return _whole_program(tier, layout)
    return CoreSide(tier, layout)


def _whole_program(tier: str, layout: Layout) -> Side:
    """The oracle's own program, with runner and handlers, on the core: CP0, TLB and ERET are then compared as well."""

    def run(cases: Sequence[Case]) -> list[Result]:
        memory = run_image(tier, layout, qemu.bare_image(layout, cases), len(cases)).memory
        return [at.unpack_block(memory.read(layout.physical(case.block), at.BLOCK)) for case in cases]

    return run


def run_image(tier: str, layout: Layout, image: Sequence[tuple[int, bytes]], cases: int) -> Core:
    """A core of its own that has run the program of `cases` cases to its end; every block was hot at once."""
    memory = Memory(qemu.RAM_BYTES)
    core = Core(memory=memory, number=0, tier=tier)
    memory.shared[shared.HOT_AFTER] = 0
    for address, data in image:
        memory.write(address, data)
    core.set_state({"pc": layout.runner})
    stop = core.run(None, max_insns=STEPS * (cases + 1))
    while stop.kind is StopKind.SLICE:
        stop = core.run(None)
    if (stop.kind, stop.address) != (StopKind.MMIO_WRITE, qemu.RESET_REGISTER & PHYSICAL):
        raise TierError(f"the program of {cases} cases ended with {stop}, expected its store to the reset register")
    return core


TIERS: dict[str, Callable[[Layout], Side]] = {
    "int": _int,
    "stencil": partial(_core, "stencil"),
    "threaded": partial(_core, "threaded"),
    "reference": partial(_core, "reference"),
}


def open_tier(name: str, layout: Layout) -> Side:
    """The side that runs cases of `layout` on tier `name`."""
    return TIERS[name](layout)
