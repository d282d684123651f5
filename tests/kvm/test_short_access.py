"""An access to a device in user space that the core sends and finishes itself is the same access: registers, time,
counters, messages, kvm_run, what a checkpoint has. `passes_over` allows it.
"""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from cpu.isa.assembler import assemble
from cpu.kvm.run import Mode
from cpu.kvm.trace import Event
from cpu.kvm.uapi import ExitReason
from cpu.vz import account
from soc import Machine, PoweredOff
from tests.soc.test_cluster import BASE, START, STORM, TYPED_AT, random_program
from tests.soc.test_passing_over import device_program

LEFT_OVER = ("pc", "hi", "lo", "gprs", "exit", "timer_came_at")
"""What a vCPU in guest mode has from its last exit, and nobody looks at before the next."""
END = {"until": PoweredOff, "max_virtual": "10 ms"}
PIECES = [{"max_virtual": f"{time} ns"} for time in (1, 249, 250, 777, 3_000, 5_000, 9_999)] * 3
ALL_KINDS = """
work:   dli     $s3, UNCACHED + 0x10000000      # nothing is there
        dli     $a1, UNCACHED + 0x18000000      # all ones
        li      $s4, 12
1:      lb      $v0, 1($a1)
        daddu   $s5, $s5, $v0
        lwl     $s5, 1($a1)
        lwr     $s5, 2($a1)
        ldl     $s5, 3($a1)
        ldr     $s5, 6($s3)
        swl     $s5, 1($s3)
        sdr     $s5, 3($s3)
        sh      $s5, 2($s3)
        lwr     $s5, 0($a1)
        sd      $s5, 8($s3)
        ld      $0, 0($a1)
        addiu   $s4, $s4, -1
        beqz    $s4, finish
        lhu     $v1, 2($a1)                     # in a delay slot
        mtc1    $s4, $f2                        # with the FPU live
        lwu     $v1, 4($a1)
        daddu   $s5, $s5, $v1
        add.s   $f4, $f4, $f2
        andi    $v1, $s4, 4
        srl     $v1, $v1, 2
        mtc0    $v1, $wired                     # with a wired entry
        lbu     $v1, 5($a1)
        lhu     $v1, 6($s3)
        mtc0    $0, $wired
        lw      $t0, 0x20($s0)                  # in user space or in the kernel, as the machine is made
        b       1b
        daddu   $s5, $s5, $t0
handler:
        eret
"""


def look_at(vcpu: Any) -> dict[str, Any]:
    """All of a vCPU, as far as it says anything now."""
    saved = vcpu.save()
    if vcpu.mode is Mode.IN_GUEST:
        for name in LEFT_OVER:
            del saved[name]
    if saved["mmio"] is None or saved["mmio"][2]:
        del saved["_io_pc"]  # of the last load
    return saved


class Run:
    """A guest run in pieces, and what was there after each."""

    def __init__(
        self, text: str, passes_over: bool, typed=(), pieces=PIECES, vcpus: int = 1, follows=(), **options: Any
    ) -> None:
        """`follows`: events of KVM that somebody listens to from the end of the first piece on."""
        program = assemble(text, BASE)
        options = {"hypervisor": "kvm", "irqchip": "user", "trace": True, **options}
        m = Machine("virt", vcpus=vcpus, ram="16 MiB", **options)
        m.memory.write(BASE & 0x1FFF_FFFF, program.data)
        registers = [0] * 32
        registers[23] = vcpus
        m.hypervisor.load({"pc": program.symbol("_start"), "gpr": registers})
        m._cluster.passes_over = passes_over
        m.replay([(at, b"x") for at in typed])
        self.events: list[Event] = []
        self.asked, self._exit = 0, m._cluster.hypervisor
        m._cluster.hypervisor = self._asked
        self.seen = []
        with m:
            for piece in (*pieces, END):
                if not m.is_off:
                    result = m.run(**piece)
                    self.seen.append(self._state(m, result))
                    m.hypervisor.kvm.tracer.listen(self.events.append, *follows)
            self.records = [str(record) for record in m.trace.records]
            self.taken = sorted(m.trace._taken)
            self.ended, self.console, self.details = result.ended, m.console, result.details

    def _asked(self, core: int) -> None:
        self.asked += 1
        self._exit(core)

    @staticmethod
    def _state(m: Machine, result: Any) -> tuple:
        host = m.hypervisor.host
        return (
            result.ended, result.reason, result.trace_hash, result.details, m.exits, m.now, m.console,
            [core.digest() for core in m.cpu], [look_at(vcpu) for vcpu in m.hypervisor.vcpus], host.save(),
        )  # fmt: skip


def check(text: str, **options: Any) -> Run:
    """Both ways; what the shorter one gave."""
    short, long = Run(text, True, **options), Run(text, False, **options)
    for piece, (one, other) in enumerate(zip(short.seen, long.seen, strict=True)):
        assert one == other, piece
    assert short.records == long.records
    assert short.taken == long.taken
    assert short.events == long.events
    assert short.asked <= long.asked
    return short


@pytest.mark.parametrize("backend", ["vz", "ls3acomp"])
@pytest.mark.parametrize("seed", range(3))
def test_one_vcpu_and_its_devices(seed, backend):
    typed = [n * 1_700_001 for n in range(1, 9)]
    short = check(device_program(seed), typed=typed, kvm=backend)
    assert short.ended == "poweroff"
    assert short.details["kvm mmio_user"] > 20


@pytest.mark.parametrize("irqchip", ["user", "kernel"])
@pytest.mark.parametrize("tier", ["auto", "reference"])
def test_loads_and_stores_of_every_kind(tier, irqchip):
    short = check(START + ALL_KINDS, tier=tier, irqchip=irqchip)
    assert short.ended == "poweroff"
    assert short.asked < short.details["kvm exits"]


@pytest.mark.parametrize(("vcpus", "cpus"), [(2, 1), (2, 2), (4, 2)])
def test_many_vcpus(vcpus, cpus):
    for text in (STORM, random_program(vcpus)):
        short = check(text, typed=TYPED_AT, vcpus=vcpus, cpus=cpus, timing={"kvm_slice": "50 us"})
        assert short.ended == "poweroff"


@pytest.mark.parametrize(
    "fault",
    [
        {"channel": "uart.mmio -> cpu0.mmio", "delay": "3 us", "probability": 0.3},
        {"channel": "uart.mmio -> cpu0.mmio", "drop": 0.02},
        {"channel": "cpu0.mmio -> open_bus.mmio", "delay": "77 ns", "probability": 0.5},
    ],
    ids=["late replies", "lost replies", "late requests"],
)
def test_faults_on_the_way(fault):
    check(device_program(0), typed=[5_000_000], faults=[{**fault, "seed": 5}])


@pytest.mark.parametrize("timing", [{"core_clock": 333_333_333}, {"kvm_user": 1, "kvm_put": 1}, {"mmio_reply": "9 us"}])
def test_other_times(timing):
    check(device_program(1), typed=[3_000_000], timing=timing)


def test_a_device_in_another_process():
    typed = [2_000_000, 31_000_007]
    here, there = (check(device_program(1), typed=typed, placement=place) for place in (None, {"uart": "process"}))
    assert here.seen == there.seen


def test_kvm_run_shows_the_last_access():
    m = Run(START + ALL_KINDS, True, pieces=[{"max_virtual": "40 us"}])
    _, *_, vcpus, _ = m.seen[0]
    assert vcpus[0]["run"][0] == ExitReason.MMIO
    assert vcpus[0]["run_mmio"][0] >> 24 in (0x10, 0x18)


def test_who_follows_exits_sees_each():
    short = check(START + ALL_KINDS, pieces=[{"max_virtual": "50 us"}], follows=["kvm_exit", "kvm_out"])
    left = [event for event in short.events if event.name == "kvm_out"]
    assert 20 < len(left) < short.details["kvm mmio_user"]


def test_the_table_of_what_is_not_user_spaces():
    ranges = [(50, 60), (0, 8), (8, 16), (20, 40), (30, 35), (1 << 62, 1 << 64)]
    count, *bounds = account.own_table(ranges).tolist()
    assert bounds == [0, 16, 20, 40, 50, 60, 1 << 62]
    assert count == len(bounds)
    assert account.own_table(()).tolist() == [0]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 140))
def test_many_programs(seed):
    random = Random(seed)
    typed = sorted(random.sample(range(1_000_000, 90_000_000), 6))
    pieces = [{"max_virtual": f"{random.randrange(1, 30_000)} ns"} for _ in range(40)]
    backend = random.choice(("vz", "ls3acomp"))
    check(device_program(seed), typed=typed, pieces=pieces, kvm=backend)
    vcpus = 2 + seed % 3
    check(random_program(seed), vcpus=vcpus, cpus=random.randrange(1, vcpus + 1), pieces=pieces, kvm=backend)
