"""The threaded tier and the reference: the same whole state after every random program, however the host cuts the run.

The programs use what the differential tests against QEMU leave out: TLB and ASID changes, interrupts of the timer and
of software, self-modifying code, page crossings, uncached accesses, WAIT, exceptions in delay slots.
"""

from __future__ import annotations

from random import Random

import pytest

from cpu import state
from cpu.core import StopKind
from cpu.engine import stencils, tiers
from cpu.engine.code_buffer import usable
from cpu.isa.assembler import assemble
from tests.cpu.core_rig import CODE, CU0, IE, IP, KSEG0, M64, STATUS, Rig, physical
from tests.oracles.layout import KERNEL
from tests.oracles.sequences import generate

HANDLERS = """
        .org 0x000
        b       refill
        nop
        .org 0x080
refill: dmfc0   $k0, $badvaddr          # page pair n of any segment is at 2 MiB + n % 8 * 8 KiB
        dsrl    $k0, $k0, 13
        andi    $k1, $k0, 7
        dsll    $k1, $k1, 13
        lui     $at, 0x20
        daddu   $k1, $k1, $at
        dsrl    $k1, $k1, 6
        andi    $k0, $k0, 2             # every other two pairs are read-only
        dsll    $k0, $k0, 1
        xori    $k0, $k0, 0x1e
        or      $k1, $k1, $k0
        dmtc0   $k1, $entrylo0
        ori     $k1, $k1, 0x40
        dmtc0   $k1, $entrylo1
        tlbwr
        daddiu  $s7, $s7, 1
        eret
        .org 0x180
        mfc0    $k0, $cause
        mfc0    $at, $count
        xor     $s7, $s7, $at
        daddu   $s7, $s7, $k0
        dmfc0   $k1, $epc
        daddu   $s7, $s7, $k1
        andi    $at, $k0, 0x7c
        bnez    $at, 2f
        nop
        andi    $at, $k0, 0x8000
        beqz    $at, 1f
        nop
        mfc0    $at, $count
        addiu   $at, $at, 391
        mtc0    $at, $compare
1:      mtc0    $0, $cause
        eret
2:      bgezl   $k0, 3f
        daddiu  $k1, $k1, 4
        daddiu  $k1, $k1, 8             # behind the delay slot
3:      dmtc0   $k1, $epc
        eret
"""

TEMPORARIES = ("t0", "t1", "t2", "t3", "v0", "v1", "a0", "a1")
PATCHES = ("addiu $v0, $v0, 3", "xor $v1, $v1, $t0", "dsll $a0, $a0, 1", "daddu $a1, $a1, $s7", "syscall 1")
BODY = 70


class Program:
    """One random program of `BODY` pieces in a loop."""

    def __init__(self, number: int):
        self.random = random = Random(f"tiers {number}")
        lines = ["top:"]
        for n in range(BODY):
            lines.append(f"p{n}:")
            lines += self.piece(n)
        lines += [f"p{BODY}:", "addiu $s6, $s6, -1", "bnez $s6, top", "nop", "di", "1: mtc0 $0, $compare"]
        lines += ["mtc0 $0, $cause", "mtc0 $0, $status", "wait 0", "b 1b", "nop"]
        lines += ["f0: daddiu $s7, $s7, 7", "jr $ra", "daddu $v0, $v0, $s7", "words:"]
        lines += [f".word {assemble(patch).words[0]}" for patch in PATCHES]
        # Sometimes across a page: branches, delay slots and patched words then lie on both sides.
        self.base = CODE + random.choice((0, 0xF00 - 4 * random.randrange(16), 0x80))
        self.image = assemble("\n".join(lines), self.base)
        self.loops = random.randrange(2, 6)
        self.gpr = {name: random.getrandbits(64) for name in TEMPORARIES}
        self.compare = random.randrange(1, 2000)

    def reg(self) -> str:
        return "$" + self.random.choice(TEMPORARIES)

    def simple(self) -> str:
        """An instruction that may stand in a delay slot."""
        random, reg = self.random, self.reg
        kind = random.randrange(12)
        if kind < 4:
            name = random.choice(("daddu", "dsubu", "xor", "addu", "sltu", "nor", "dsllv", "movn"))
            return f"{name} {reg()}, {reg()}, {reg()}"
        if kind == 4:
            return f"daddiu {reg()}, {reg()}, {random.randrange(-99, 99)}"
        if kind < 8:
            name = random.choice(("lb", "lhu", "lw", "ld", "ldl", "lwr", "sb", "sh", "sw", "sd", "sdr", "swl"))
            return f"{name} {reg()}, {self.place()}"
        if kind == 8:
            return f"mfc0 {reg()}, $count"
        if kind == 9:
            return f"teqi {reg()}, {random.randrange(4)}"
        if kind == 10:
            return random.choice(
                ("nop", "syscall 0", "tlbp", "rdhwr $v1, $cc", "dmfc0 $a0, $entryhi", "add.d $f2, $f2, $f4")
            )
        return random.choice(("mtc0 $0, $compare", "tlbwi", "mtc0 $s5, $cause", "dmtc0 $s4, $entryhi"))

    def place(self) -> str:
        random = self.random
        base = random.choice(("s0", "s1", "s1", "s2", "s2"))
        if random.randrange(3) == 0:
            return f"{0x1000 - random.randrange(12)}(${base})"
        return f"{random.randrange(-0x2000, 0x7000, random.choice((1, 4, 8)))}(${base})"

    def piece(self, n: int) -> list[str]:
        random, reg = self.random, self.reg
        ahead = f"p{random.randint(n + 1, min(n + 4, BODY))}"
        kind = random.randrange(20)
        if kind < 9:
            return [self.simple()]
        if kind < 12:
            name = random.choice(("beq", "bne", "beql", "bnel"))
            return [f"{name} {reg()}, {random.choice((reg(), '$0'))}, {ahead}", self.simple()]
        if kind == 12:
            return [f"{random.choice(('bgez', 'bltzl', 'bgtz', 'blezl'))} {reg()}, {ahead}", self.simple()]
        if kind == 13:
            return [random.choice(("jal f0", "bal f0")), random.choice(("nop", "ld $t0, 0($s1)"))]
        if kind == 14:
            # Over an instruction somewhere near, also of the block that is running, also of the next.
            victim = f"p{min(BODY - 1, n + random.randrange(3))}"
            if random.randrange(2):
                return [f"la $at, words\nlw $at, {4 * random.randrange(len(PATCHES))}($at)\nla $k0, patch{n}\nb 1f",
                        "sw $at, 0($k0)", f"patch{n}: nop", "1: nop", self.simple()]  # fmt: skip
            return [f"la $at, words\nlw $at, {4 * random.randrange(len(PATCHES))}($at)\nla $k0, patch{n}",
                    "sw $at, 0($k0)", *[self.simple() for _ in range(random.randrange(3))], f"patch{n}: nop",
                    f"# {victim}"]  # fmt: skip
        if kind == 15:
            field = random.choice(("entryhi", "index", "pagemask", "wired"))
            value = {"entryhi": 0x400000 + random.randrange(8) * 0x2000 + random.randrange(3),
                     "index": random.randrange(64), "pagemask": random.choice((0, 0x6000)),
                     "wired": random.randrange(8)}[field]  # fmt: skip
            return [f"li $at, {value}", f"mtc0 $at, ${field}"]
        if kind == 16:
            # An empty entry read leaves EHINV set, with which the handler could map nothing.
            return [random.choice(("tlbwr", "tlbwi", "tlbp", "tlbr\ndmtc0 $s4, $entryhi", "tlbinvf", "tlbinv"))]
        if kind == 17:
            return random.choice((["di"], ["ei"], ["ei"], ["mtc0 $s5, $cause"], ["wait 0"], ["mtc0 $s3, $status"]))
        if kind == 18:
            return [f"ll $t0, {4 * random.randrange(8)}($s0)", self.simple(), f"sc $t1, {4 * random.randrange(8)}($s0)"]
        return [f"{random.choice(('lw', 'lbu', 'sb', 'sw'))} {reg()}, {4 * random.randrange(4)}($s8)"]

    def prepare(self, tier: str, **options) -> Rig:
        rig = Rig(tier, latency=37, devices={0x1FE0_0000 + k: 0x1234_5678_9ABC * (k + 1) for k in range(16)}, **options)
        rig.load(HANDLERS, KSEG0)
        rig.memory.write(physical(self.base), self.image.data)
        rig.set(
            pc=self.base, status=STATUS | CU0 | IE | IP[7] | IP[0] | IP[1],
            cp0={"compare": self.compare, "ebase": KSEG0}, s0=KSEG0 + 0x30_2000, s1=0x40_2000,
            s2=0xC000_0000_0000_2000, s3=STATUS | CU0 | IE | IP[7], s4=0x40_0001, s5=0x100,
            s6=self.loops, s8=0xFFFF_FFFF_BFE0_0000, **self.gpr,
        )  # fmt: skip
        return rig


def whole_state(rig: Rig) -> dict:
    """Everything a run leaves behind."""
    core, S = rig.core, rig.S
    random = (int(S[state.RANDOM]), int(S[state.COUNT_BASE]), int(S[state.TIMER]), int(S[state.LLBIT]))
    return {
        **core.get_state(),
        "cycles": core.cycles,
        "instructions": core.instructions,
        "exceptions": core.exceptions,
        "refills": core.tlb_refills,
        "mmio": core.mmio_count,
        "written": rig.written,
        "tlb": [rig.entry(k) for k in range(state.TLB_ENTRIES)],
        "internal": random,
        "interrupts": core.drain_irq_log(),
        "memory": rig.memory.digest().hex(),
        "digest": core.digest().hex(),
    }


def different(ours: dict, theirs: dict) -> dict:
    """What differs, for the message of a failure."""
    return {k: (ours[k], theirs[k]) for k in ours if ours[k] != theirs[k]}


LIMIT = 6000


def run_whole(program: Program, tier: str, **options) -> dict:
    rig = program.prepare(tier, **options)
    stop = rig.run(max_insns=LIMIT)
    assert stop.kind in (StopKind.DEADLOCK, StopKind.LIMIT), stop
    return whole_state(rig)


@pytest.mark.parametrize("number", range(40))
def test_both_tiers_leave_the_same_state(number):
    program = Program(number)
    assert different(run_whole(program, "threaded"), run_whole(program, "reference")) == {}


@pytest.mark.parametrize("number", range(40, 70))
def test_how_the_host_cuts_the_run_changes_nothing(number):
    program = Program(number)
    free = run_whole(program, "threaded")
    random = Random(number)
    for cycles in (1, 3, 100, 1001):
        assert different(free, run_whole(program, "threaded", slice_cycles=cycles)) == {}, cycles
    for largest in (2, 20, 300):
        rig = program.prepare("threaded")
        while rig.core.instructions < LIMIT:
            left = LIMIT - rig.core.instructions
            stop = rig.run(max_insns=min(left, random.randint(1, largest)))
            if stop.kind is StopKind.DEADLOCK:
                break
        assert different(free, whole_state(rig)) == {}, largest
    rig = program.prepare("threaded")
    horizon = 0
    while (
        stop := rig.run(until=(horizon := horizon + random.randint(1, 400)), max_insns=None)
    ).kind is StopKind.HORIZON:
        if (rig.core.waiting and horizon > 1 << 20) or rig.core.instructions >= LIMIT:
            break
    assert rig.core.exceptions


@pytest.mark.parametrize("number", range(70, 90))
def test_stop_pcs_change_nothing_but_where_it_stops(number):
    program = Program(number)
    stops = tuple(program.base + 4 * Random(number).randrange(len(program.image.data) // 4) for _ in range(5))
    free = run_whole(program, "threaded")
    places = {}
    for tier in ("threaded", "reference"):
        rig = program.prepare(tier)
        places[tier] = []
        for _ in range(400):
            stop = rig.run(max_insns=LIMIT - rig.core.instructions, stop_pcs=stops)
            if stop.kind is not StopKind.PC:
                break
            assert stop.address in stops
            places[tier].append((stop.address, rig.core.instructions))
            if rig.run(max_insns=1).kind is StopKind.DEADLOCK:
                break
        else:
            rig.run(max_insns=LIMIT - rig.core.instructions)
        assert different(free, whole_state(rig)) == {}
    assert places["threaded"] == places["reference"]


def test_the_programs_reach_what_they_are_for():
    seen: dict[int, int] = {}
    refills = devices = dropped = 0
    from cpu.engine import shared

    for number in range(40):
        rig = Program(number).prepare("threaded")
        rig.run(max_insns=LIMIT)
        for code, count in rig.core.exceptions.items():
            seen[code] = seen.get(code, 0) + count
        refills += rig.core.tlb_refills
        devices += rig.core.mmio_count
        dropped += int(rig.memory.shared[shared.PAGES_DROPPED])
    assert {0, 1, 2, 3, 8, 13} <= set(seen)
    assert refills and devices and dropped


@pytest.mark.parametrize("start", range(0, 400, 100))
def test_the_oracles_sequences_cost_the_same_cycles_on_both_tiers(start):
    """The sequences that QEMU checks elsewhere; here with cycles, exception counts and memory."""
    rigs = [Rig(tier) for tier in ("threaded", "reference")]
    for number in range(start, start + 100):
        case = generate(KERNEL, 20267, number)
        states = []
        for rig in rigs:
            rig.memory.write(physical(case.start), b"".join(word.to_bytes(4, "little") for word in case.words()))
            rig.memory.write(physical(KERNEL.done), assemble("wait 0").data)
            rig.memory.write(physical(case.scratch_address), case.scratch)
            rig.core.set_state(
                {"pc": case.start, "gpr": case.gpr, "hi": case.hi, "lo": case.lo, "fcsr": case.fcsr,
                 "msacsr": case.msacsr, "msa": [(value & M64, value >> 64) for value in case.vectors],
                 "cp0": {"status": case.status, "cause": 0, "ebase": KSEG0, "config5_msaen": case.config5 >> 27 & 1}}
            )  # fmt: skip
            rig.finish()
            states.append(whole_state(rig))
        assert different(*states) == {}, number


def test_an_interrupt_line_that_changes_between_runs_is_seen_at_the_next_boundary():
    """Stopped inside a block, by a limit: the line is sampled at the block's end, in both tiers alike."""
    results = []
    for tier in ("threaded", "reference"):
        rig = Rig(tier)
        rig.load("1: " + "addiu $v0, $v0, 1\n" * 20 + "b 1b\nnop")
        rig.set(pc=CODE, status=STATUS | IE | IP[2])
        rig.run(max_insns=5)
        assert rig.core.pc == CODE + 20
        rig.core.set_line(2, 1)
        rig.run(max_insns=1000)
        results.append(whole_state(rig))
    assert different(*results) == {}
    assert results[0]["cp0"]["epc"] == CODE and results[0]["gpr"][2] == 20


def test_another_architecture_has_no_tier_stencil(monkeypatch):
    monkeypatch.setattr(stencils.platform, "machine", lambda: "aarch64")
    assert not usable()
    assert tiers.choose("auto").name == "threaded"
