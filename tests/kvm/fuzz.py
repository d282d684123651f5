"""A guest that does anything: `python -m tests.kvm.fuzz --seeds 1000 --seed 1 --tier auto`.

Each seed is a VM of one to three vCPUs on one or two cores with its memory in two slots (one of them read-only), the
rest of RAM filled with a pattern. Every vCPU runs some shots: random registers, a random guest TLB, random code in
kernel or user mode, devices that answer at random, signals and interrupts from outside. Whatever it does, root's
registers, root's TLB tags and foreign memory stay what they are, the run ends, and every exit is counted by a reason.
"""

from __future__ import annotations

import argparse
import heapq
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import count
from random import Random

import numpy as np

from cpu import state
from cpu.cluster import Cluster
from cpu.core import StopKind
from cpu.cp0 import registers
from cpu.cp0.fields import CONFIG6_EXTIMER
from cpu.isa import TABLE
from cpu.isa.assembler import assemble
from cpu.kvm import onereg
from cpu.kvm.emulate import Access
from cpu.kvm.errors import KvmError
from cpu.kvm.host import Host
from cpu.kvm.mips import Kvm
from cpu.kvm.run import Steps
from cpu.kvm.stats import REASONS
from cpu.kvm.threads import ThreadState
from cpu.kvm.uapi import MEM_READONLY, Cap, ExitReason, MemoryRegion
from cpu.kvm.vcpu import Vcpu
from cpu.memory import Memory
from soc.options import TIERS
from soc.time import Clock
from soc.timing import Timing
from tests.oracles import pools

MIB = 1 << 20
KSEG0, XKPHYS = 0xFFFFFFFF80000000, 0x9800000000000000
RAM, VM_SIZE, VM_AT, ROM_SIZE, ROM_GPA, ROM_AT = 4 * MIB, MIB, 2 * MIB, 1 << 14, 0x1FC0_0000, 3 * MIB + (1 << 14)
CODE, VECTORS, PROLOGUE, WORDS = 0x4000, 0x8000, 0xC000, 256
"""Guest physical: each vCPU's code is a page further on, its vectors and its prologue too."""
USER = 0x10000
WINDOW, LATENCY = 80, 160
TIMING = Timing()
COSTS = {name: value for name, value, unit, _ in TIMING.rows() if name.startswith("kvm_") and unit == "cycle"}
IE, EXL, ERL, USER_MODE = 1, 2, 4, 2 << 3
UX, SX, KX, BEV, FR, CU0, CU1 = 1 << 5, 1 << 6, 1 << 7, 1 << 22, 1 << 26, 1 << 28, 1 << 29
ENTRY_LO_FLAGS = 0x1E
LIMIT = 4000
"""Cluster runs after which a seed counts as hung."""

# Root registers that an exit, a root refill or KVM's own work change; every other one stays as it is.
CHANGES = {
    "index", "random", "entrylo0", "entrylo1", "context", "pagemask", "badvaddr", "badinstr", "badinstrp", "count",
    "entryhi", "guestctl0", "guestctl1", "guestctl2", "compare", "status", "gtoffset", "cause", "epc", "config5",
    "lladdr", "xcontext", "gscause", "nestedexc", "nestedepc", "config",
}  # fmt: skip
KEPT = np.array([r.slot for r in registers.REGISTERS.values() if r.name not in CHANGES])
KEPT_SLOTS = np.array([
    state.HYPERVISOR, state.REFILL_COST, state.CACHE_COST, state.NUMBER, state.CPUCFG1, state.CPUCFG2,
    state.UNMODELLED_RI, state.COUNT_DIVIDER, state.EXCEPTION_ENTRY, state.CORE_CLOCK, state.STABLE_CLOCK,
    state.STATE_ADDRESS, state.VZ_CHOICES, state.GUEST_IDS,
])  # fmt: skip

ROWS = [row for row in TABLE.values() if row.helper != "hypcall"]
PRIVILEGED = [row for row in ROWS if row.helper]
MEMORY = [row for row in ROWS if any(f.name == "base" for f in row.fields)]
COMMON_C0 = [8 * r.number + r.select for r in registers.REGISTERS.values()]


ALL_UNITS = (1 << 32) - 1
"""For Config registers, of which user space can set what the VM has: FPU, MSA, LASX and their enables."""

GO_ON = """
        mfc0    k0, c0_status
        ori     k0, k0, 1
        xori    k0, k0, 1
        mtc0    k0, c0_status
        mfc0    k0, c0_count
        andi    k0, k0, 0xff
        sll     k0, k0, 2
        dli     k1, {entry:#x}
        daddu   k0, k0, k1
        dmtc0   k0, c0_epc
        eret
"""
"""A guest's exception handler: interrupts off, and on somewhere in the code, by what Count says."""


class FuzzError(AssertionError):
    """A guest got where it must not, or something was not accounted for; the text has the seed."""


@dataclass
class Report:
    """What the seeds ran through."""

    seeds: int = 0
    instructions: int = 0
    shots: int = 0
    exits: Counter = field(default_factory=Counter)
    ends: Counter = field(default_factory=Counter)
    exceptions: Counter = field(default_factory=Counter)
    """The guests' own, by ExcCode."""
    unmodelled: int = 0
    digests: list[bytes] = field(default_factory=list)
    """Of memory and guest registers after each seed: equal on every tier."""

    def summary(self) -> str:
        def shown(counts: Counter) -> str:
            return ", ".join(f"{name} {n}" for name, n in counts.most_common())

        return "\n".join([
            f"{self.seeds} seeds, {self.shots} shots, {self.instructions} instructions, {self.unmodelled} of them real "
            "but not modelled",
            f"exits {sum(self.exits.values())}: {shown(self.exits)}",
            f"shots ended by: {shown(self.ends)}",
            f"the guests' own exceptions: {shown(self.exceptions)}",
        ])  # fmt: skip


class Vmm:
    """The VM of one seed."""

    backends: tuple[str, ...] = ("vz", "vz", "ls3acomp")
    host_pages = range(0)
    """Root physical memory that is the host kernel's to use."""

    def __init__(self, seed: int, tier: str, shots: int, cycles: int) -> None:
        self.seed, self.random, self.shots, self.cycles = seed, Random(seed), shots, cycles
        cores, vcpus = self.random.choice((1, 1, 2)), self.random.choice((1, 2, 3))
        backend = self.random.choice(self.backends)
        self.memory = Memory(RAM)
        # Where there can be such a thing: LASX, and for every other seed the stable timer.
        loongson = backend == "ls3acomp"
        self.cluster = Cluster(self.memory, cores, tier, WINDOW, vz=True, unmodelled_ri=True, lasx=loongson)
        for core in self.cluster.cores if loongson and seed & 1 else ():
            core.vz.set_c0("config6", core.vz.c0("config6") | CONFIG6_EXTIMER)
        slice_cycles = self.random.choice((5_000, 20_000))
        self.host = Host(self.cluster.cores, Clock(TIMING.core_clock), COSTS, self, slice_cycles)
        self.kvm = Kvm(self.host, backend, pages=self.host_pages)
        self.vm = self.kvm.create_vm()
        self.vm.set_user_memory_region(MemoryRegion(0, 0, VM_SIZE, VM_AT))
        self.vm.set_user_memory_region(MemoryRegion(1, ROM_GPA, ROM_SIZE, ROM_AT, MEM_READONLY))
        self._events: list[tuple[int, int, Callable[..., None], tuple]] = []
        self._order = count()
        self.memory.write(0, np.random.default_rng(seed).bytes(RAM))
        self.report = Report(seeds=1)
        for number in range(vcpus):
            vcpu = self.vm.create_vcpu(number)
            vcpu.enable_cap(Cap.MIPS_FPU)
            vcpu.enable_cap(Cap.MIPS_MSA)
            self.host.add(vcpu, self._thread(vcpu, Random(f"{seed} {number}")))
        self.foreign = self._foreign()
        self.root = [core.S[KEPT].copy() for core in self.cluster.cores]
        self.fixed = [core.S[KEPT_SLOTS].copy() for core in self.cluster.cores]

    # Outside of the host.

    def _at(self, cycle: int, call: Callable[..., None], *arguments: object) -> None:
        heapq.heappush(self._events, (cycle, next(self._order), call, arguments))

    def kick(self, core: int, cycle: int) -> None:
        self._at(cycle + LATENCY, self.cluster.line, core, cycle + LATENCY, 6, 1)

    def arrives(self, core: int, cycle: int) -> None:
        self._at(cycle, self.cluster.line, core, cycle, 6, 1)

    def access(self, vcpu: int, cycle: int, access: Access) -> None:
        answer = None if self.random.randrange(20) == 0 else self.random.getrandbits(64)
        self._at(cycle + LATENCY, self.cluster.answer, self.host.answer_core(vcpu), cycle + LATENCY, answer)

    # A vCPU's thread.

    def _thread(self, vcpu: Vcpu, random: Random) -> Steps:
        run = vcpu.kvm_run
        for _ in range(self.shots):
            self.report.shots += 1
            try:
                self.load(vcpu, random)
            except KvmError as error:
                self.report.ends[f"register refused ({error.errno})"] += 1
            while True:
                try:
                    yield from vcpu.run()
                except KvmError:
                    self.report.ends["signal"] += 1
                    break
                if run.exit_reason is ExitReason.MMIO:
                    mmio = run.mmio
                    mmio.data = yield Access(mmio.phys_addr, mmio.len, mmio.is_write, mmio.data)
                elif run.exit_reason is ExitReason.HYPERCALL:
                    run.hypercall.ret = random.getrandbits(64)
                else:
                    self.report.ends[run.exit_reason.name] += 1
                    break
                # A signal that came with the exit is user space's; immediate_exit completes what is under way.
                run.immediate_exit, vcpu.signal = vcpu.signal, False
            run.immediate_exit = False

    def load(self, vcpu: Vcpu, random: Random) -> None:
        """The next shot: code, vectors, a prologue that fills the guest's TLB, and registers."""
        page = vcpu.number << 14 << 2
        at = {name: base + page for name, base in (("code", CODE), ("vectors", VECTORS), ("prologue", PROLOGUE))}
        words = b"".join(instruction(random).to_bytes(4, "little") for _ in range(WORDS))
        self.memory.write(VM_AT + at["code"], words)
        status = EXL | KX | SX | UX | random.getrandbits(16) & 0xFF01 | random.choice((0, 0, FR, FR | CU1))
        status |= random.choice((0, 0, CU0, BEV)) | random.choice((0, USER_MODE, USER_MODE))
        mapped = status & USER_MODE or random.randrange(2)
        entry = USER + at["code"] if mapped else KSEG0 + at["code"]
        for vector in (0, 0x080, 0x100, 0x180, 0x200):
            self.memory.write(VM_AT + at["vectors"] + vector, assemble(GO_ON.format(entry=entry), KSEG0).data)
        text = tlb_code(random, at["code"]) + (
            f"dli k0, {entry + 4 * random.randrange(WORDS // 2):#x}\n dmtc0 k0, c0_epc\n"
            f"dli k0, {status:#x}\n mtc0 k0, c0_status\n ehb\n eret\n"
        )
        self.memory.write(VM_AT + at["prologue"], assemble(text, KSEG0 + at["prologue"]).data)
        gprs = [0, *(value(random, at["code"]) for _ in range(31))]
        vcpu.set_regs(gprs, random.getrandbits(64), random.getrandbits(64), KSEG0 + at["prologue"])
        given = {"status": KX, "ebase": KSEG0 + at["vectors"] + vcpu.number, "wired": random.choice((0, 0, 3))}
        given |= {name: pools.integer(random) for name in random.sample(OTHERS, 3)}
        if vcpu.has_lasx and random.randrange(2):
            given |= dict.fromkeys(("config1", "config3", "config5", "config"), ALL_UNITS)
        for name, number in given.items():
            width = 8 * onereg.size(onereg.cp0(name))
            vcpu.set_one_reg(onereg.cp0(name), number & (1 << width) - 1)

    # Running.

    def run(self) -> Report:
        """Runs all shots; checks after each piece. Raises FuzzError."""
        limit = LIMIT
        while any(thread.state is not ThreadState.EXITED for thread in self.host.threads):
            self._piece(self.cycles)
            self.check()
            for vcpu in self.vm.vcpus:
                if self.random.randrange(3) == 0:
                    line = self.random.choice((2, 3, 6))
                    self.host.line(vcpu.number, self._now(), line, bool(self.random.getrandbits(1)))
                else:
                    vcpu.signal = True
                    self.host.kick(vcpu)
                    vcpu.wake()
            limit -= 1
            if not limit:
                raise FuzzError(f"seed {self.seed}: no end after {LIMIT} pieces of {self.cycles} cycles")
        self._account()
        return self.report

    def _now(self) -> int:
        return max(core.cycles for core in self.cluster.cores) + 1

    def _piece(self, cycles: int) -> None:
        last = (self._now() + cycles) // WINDOW * WINDOW
        while self.cluster.grid < last:
            while self._events and self._events[0][0] < self.cluster.grid + WINDOW:
                _, _, call, arguments = heapq.heappop(self._events)
                call(*arguments)
            # What a hypervisor's turn sends may come before `last`: the target is looked for anew after each.
            due = self._events[0][0] // WINDOW * WINDOW if self._events else last
            stop = self.cluster.run(max(min(last, due), self.cluster.grid + WINDOW))
            if stop.kind is StopKind.EXIT:
                self.host.exit(stop.core)
            elif stop.kind is StopKind.DEADLOCK and "without completing" in stop.text:
                # The guest's vector faults for ever, in no time. The host's clock goes on all the same.
                self.report.ends["storm"] += 1
                core = self.cluster.cores[stop.core]
                core.S[state.FAULT_COUNT] = 0
                core.vz.charge(WINDOW)
                vcpu = self.host.cpus[stop.core].thread.vcpu
                vcpu.signal = True
                self.kick(stop.core, core.cycles)
            elif stop.kind not in (StopKind.HORIZON, StopKind.SLICE):
                raise FuzzError(f"seed {self.seed}: the cores stopped: {stop}")

    # Judging.

    def _foreign(self) -> bytes:
        data = bytearray(self.memory.read(0, RAM))
        for start, end in ((VM_AT, VM_AT + VM_SIZE), (self.host_pages.start, self.host_pages.stop)):
            data[start:end] = bytes(end - start)
        return bytes(data)

    def check(self) -> None:
        """Root state and foreign memory are what they were; root's TLB leads nowhere else."""
        if self._foreign() != self.foreign:
            raise FuzzError(f"seed {self.seed}: memory outside the writable slot has changed")
        for core, kept, fixed in zip(self.cluster.cores, self.root, self.fixed, strict=True):
            if (core.S[KEPT] != kept).any():
                names = {r.slot: name for name, r in registers.REGISTERS.items()}
                changed = [names[slot] for slot in KEPT[core.S[KEPT] != kept].tolist()]
                raise FuzzError(f"seed {self.seed}: root registers changed: {', '.join(changed)}")
            if (core.S[KEPT_SLOTS] != fixed).any():
                raise FuzzError(f"seed {self.seed}: the core's own slots changed")
            self._check_tlb(core.S)

    def _check_tlb(self, S: np.ndarray) -> None:
        entries = S[state.TLB : state.TLB + state.TLB_ENTRIES * state.TLB_FIELDS].reshape(-1, state.TLB_FIELDS)
        for vpn2, mask, _, _, lo0, lo1, tag in entries.tolist():
            if mask < 0:
                continue
            if not self._is_guests(vpn2, tag):
                raise FuzzError(f"seed {self.seed}: an entry of root's own in its TLB, {vpn2:#x}")
            for lo in (lo0, lo1):
                page = lo >> 6 << 12 & (1 << 48) - 1
                writable = VM_AT <= page < VM_AT + VM_SIZE or page in self.host_pages
                if lo & 2 and not writable and not (ROM_AT <= page < ROM_AT + ROM_SIZE and not lo & 4):
                    raise FuzzError(f"seed {self.seed}: root's TLB has {page:#x} for the guest ({lo:#x})")

    def _is_guests(self, vpn2: int, tag: int) -> bool:
        """Whether an entry with that address and GuestID in root's TLB is a guest's."""
        return tag != 0

    def _account(self) -> None:
        report = self.report
        for vcpu in self.vm.vcpus:
            reasons = {name: vcpu.stats[name] for name in REASONS if vcpu.stats[name]}
            if sum(reasons.values()) != vcpu.stats["exits"]:
                raise FuzzError(f"seed {self.seed}: {vcpu.stats['exits']} exits, but reasons are {reasons}")
            report.exits.update(reasons)
        whole = blake2b(self.memory.read(VM_AT, VM_SIZE), digest_size=16)
        for vcpu in self.vm.vcpus:
            whole.update(repr(vcpu.get_regs()).encode())
        for core in self.cluster.cores:
            report.instructions += core.instructions
            report.unmodelled += core.unmodelled
            counts = core.S[state.GEXCEPTIONS : state.GEXCEPTIONS + 32].tolist()
            report.exceptions.update({code: n for code, n in enumerate(counts) if n})
            whole.update(core.cycles.to_bytes(8, "little") + core.instructions.to_bytes(8, "little"))
        report.digests = [whole.digest()]


OTHERS = [name for name in onereg.FIXED_NAMES if name not in ("status", "ebase", "wired", "prid")]


def instruction(random: Random) -> int:
    """A random instruction word: of a row of the table, a row that needs privilege, an access, or any bits at all."""
    kind = random.randrange(16)
    if kind == 0:
        return random.getrandbits(32)
    if kind < 4:
        row = random.choice(PRIVILEGED)
    elif kind < 7:
        row = random.choice(MEMORY)
    else:
        row = random.choice(ROWS)
    word = row.match | random.getrandbits(32) & ~row.mask & 0xFFFFFFFF
    if row.name in ("mfc0", "mtc0", "dmfc0", "dmtc0") and random.randrange(4):
        index = random.choice(COMMON_C0)
        word = word & ~0xFFFF | (index >> 3) << 11 | index & 7
    elif any(f.name == "offset" and f.width == 16 for f in row.fields) and row.flow.value in ("branch", "likely"):
        word = word & ~0xFFFF | random.randrange(-32, 64) & 0xFFFF
    return word


def value(random: Random, code: int) -> int:
    """A register: an address inside or outside the guest's memory by one of its many names, or any number."""
    kind = random.randrange(8)
    if kind < 2:
        return pools.integer(random)
    inside = code + random.randrange(0x4000) if kind < 5 else random.randrange(0x8000, VM_SIZE)
    physical = random.choice((inside, inside, inside, ROM_GPA + 0x100, VM_SIZE + 0x40, 1 << 30, random.getrandbits(47)))
    base = random.choice((KSEG0, XKPHYS, 0x9000000000000000, USER, 0xC000000000000000, 0xFFFFFFFFA0000000))
    if base in (KSEG0, 0xFFFFFFFFA0000000):
        physical &= 0x1FFFFFFF
    return base + physical & (1 << 64) - 1


def tlb_code(random: Random, code: int) -> str:
    """Guest code that writes some entries: the user's view of its own code, and anything else."""
    text = ""
    for index in range(random.randrange(1, 6)):
        hi = USER + code if index == 0 else random.choice((USER, 0xC000000000000000, 0)) + random.getrandbits(20)
        page = code if index == 0 else random.choice((random.randrange(VM_SIZE), ROM_GPA, random.getrandbits(40)))
        mask = 0x6000 if index == 0 else random.choice((0, 0, 0x6000, 0x1E000, 0x7FFE000))
        for name, number in (
            ("entryhi", hi & ~0x1FFF | (0 if index == 0 else random.randrange(4))),
            ("entrylo0", page >> 14 << 8 | (7 if index == 0 else random.getrandbits(5))),
            ("entrylo1", page >> 14 << 8 | (7 if index == 0 else random.getrandbits(5))),
            ("pagemask", mask),
            ("index", index),
        ):
            found = registers.register(name)
            text += f"dli k0, {number:#x}\n {'d' * (found.width == 64)}mtc0 k0, ${found.number}, {found.select}\n"
        text += "ehb\n tlbwi\n" if index == 0 or random.randrange(4) else "ehb\n tlbwr\n"
    return text


def run_seed(seed: int, tier: str, shots: int = 6, cycles: int = 4000, vmm: type[Vmm] = Vmm) -> Report:
    """One seed: `shots` a vCPU, of about `cycles` each. Raises FuzzError, and FuzzError from any error of the host."""
    try:
        return vmm(seed, tier, shots, cycles).run()
    except FuzzError:
        raise
    except Exception as error:
        raise FuzzError(f"seed {seed}: {type(error).__name__}: {error}") from error


def fuzz(seeds: int, first: int, tier: str, each: Callable[[Report], None] = lambda report: None) -> Report:
    """Runs `seeds` seeds from `first` on. Raises FuzzError at the first that is wrong."""
    total = Report()
    for seed in range(first, first + seeds):
        one = run_seed(seed, tier)
        total.seeds += 1
        total.instructions += one.instructions
        total.shots += one.shots
        total.unmodelled += one.unmodelled
        for name in ("exits", "ends", "exceptions"):
            getattr(total, name).update(getattr(one, name))
        total.digests += one.digests
        each(total)
    return total


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.kvm.fuzz", description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=1000, metavar="N", help="how many seeds (default 1000)")
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="the first seed (default 1)")
    parser.add_argument("--tier", choices=TIERS, default="auto")
    options = parser.parse_args(arguments)
    began = time.monotonic()

    def tell(total: Report) -> None:
        if total.seeds % 100 == 0:
            print(f"{total.seeds} seeds, {total.instructions} instructions", flush=True)

    try:
        total = fuzz(options.seeds, options.seed, options.tier, tell)
    except FuzzError as error:
        print(f"FAILED: {error}")
        return 1
    print(total.summary())
    print(f"tier {options.tier}, {time.monotonic() - began:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
