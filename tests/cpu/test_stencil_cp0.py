"""Tier E reads CP0 registers itself, where reading is no more than that: the same values as in the other tiers, in
kernel mode alone, and never the root's registers for a guest."""

from __future__ import annotations

from random import Random

import pytest

from cpu.cp0.registers import READ_AS_STORED, READ_WIDE, READ_WORD, REGISTERS
from cpu.engine import shared
from tests.cpu.core_rig import CPU, RI, STATUS, SYS, TIERS, UM, D, G, Rig, V, lo, needs_stencil
from tests.cpu.vz_rig import CP0, D0, GE, GPSI, HC, GuestRun, VzRig

USER = 0x10000
RESULTS = 0x20000
DRIVING = {"status", "cause", "count", "compare", "config", "config3", "config5", "config6", "ebase", "random"}
"""Registers that keep their values: others would change how the program itself runs."""
LOOP = """
        li      $t0, 4
1:      {read}
        addiu   $t0, $t0, -1
        bnez    $t0, 1b
        move    $v0, $t1
"""


def read(mnemonic: str, name: str) -> str:
    register = REGISTERS[name]
    return f"{mnemonic} $t1, ${register.number}, {register.select}"


def loop(mnemonic: str, name: str) -> str:
    return LOOP.format(read=read(mnemonic, name)) + "wait 0"


def filled(tier: str, **options) -> Rig:
    """A core whose registers hold what no reset gives them."""
    rig, random = Rig(tier, hot_after=0, **options), Random(1)
    rig.set()
    for register in REGISTERS.values():
        value = random.getrandbits(register.width)
        if register.modelled and register.name not in DRIVING:
            rig.S[register.slot] = value - (1 << 64) if value >> 63 else value
    return rig


@pytest.mark.parametrize("mnemonic", ["mfc0", "dmfc0"])
def test_every_register_reads_alike_on_every_tier(mnemonic):
    text = f"la $a0, {RESULTS:#x}\nli $t0, 4\n1:\n"
    names = [r.name for r in REGISTERS.values() if r.modelled and not r.vz and r.name not in ("count", "random")]
    for k, name in enumerate(names):
        text += f"{read(mnemonic, name)}\nsd $t1, {8 * k}($a0)\n"
    text += "addiu $t0, $t0, -1\nbnez $t0, 1b\nnop\nwait 0"
    found = {}
    for tier in TIERS:
        rig = filled(tier)
        rig.tlb(0, RESULTS, lo(RESULTS, V | D | G), lo(RESULTS + 0x1000, V | D | G))
        program = rig.load(text)
        rig.core.set_state({"pc": program.entry})
        assert rig.finish().vector is None
        found[tier] = rig.memory.read(RESULTS, 8 * len(names))
    assert len(set(found.values())) == 1
    assert found[TIERS[0]] != bytes(8 * len(names))


@needs_stencil
def test_what_is_read_as_stored_leaves_no_block_to_tier_t():
    for name, register in REGISTERS.items():
        for mnemonic, way in (("mfc0", READ_WORD), ("dmfc0", READ_WIDE)):
            if not register.modelled or register.vz:
                assert not READ_AS_STORED[register.index]
                continue
            rig = Rig("stencil", hot_after=0)
            assert rig.go(loop(mnemonic, name)).vector is None
            # The loop is a block that begins with the read.
            with_it, without_it = 2, 1
            wanted = with_it if READ_AS_STORED[register.index] & way else without_it
            assert rig.memory.shared[shared.BLOCKS_TRANSLATED] == wanted, (mnemonic, name)


@pytest.mark.parametrize("tier", TIERS)
def test_translated_in_kernel_mode_it_still_raises_in_user_mode(tier):
    rig = Rig(tier, hot_after=0)
    rig.tlb(0, USER, lo(USER, V | G), lo(USER + 0x1000, V | G))
    assert rig.go(loop("dmfc0", "epc"), base=USER, at=USER, cp0={"epc": 0x1234})["v0"] == 0x1234
    loop_start = USER + 4
    rig.set(pc=loop_start, status=STATUS | UM)
    outcome = rig.finish()
    assert (outcome.code, outcome.ce, outcome.epc) == (CPU, 0, loop_start)


@pytest.mark.parametrize("tier", TIERS)
def test_a_guest_reads_its_own(tier):
    rig = VzRig(tier, hot_after=0)
    rig.go_guest(GuestRun(LOOP.format(read=read("dmfc0", "epc")), gcp0={"epc": 0x5678}))
    assert rig.exit == (GE, HC)
    assert rig.reg("v0") == 0x5678


USERLOCAL = "rdhwr $t1, $29"
ENABLED = {"hwrena": 1 << 29, "userlocal": 0x1234}


@pytest.mark.parametrize("tier", TIERS)
def test_userlocal_is_read_in_user_mode_while_hwrena_allows_it(tier):
    rig = Rig(tier, hot_after=0)
    rig.tlb(0, USER, lo(USER, V | G), lo(USER + 0x1000, V | G))
    text = LOOP.format(read=USERLOCAL) + "syscall 0"
    outcome = rig.go(text, USER, USER, status=STATUS | UM, cp0=ENABLED)
    assert (outcome.code, outcome["v0"]) == (SYS, 0x1234)
    rig.set(pc=USER, status=STATUS | UM, cp0=ENABLED | {"hwrena": 0xF})
    assert rig.finish().code == RI
    rig.set(pc=USER, status=STATUS, cp0=ENABLED | {"hwrena": 0})
    outcome = rig.finish()
    assert (outcome.code, outcome["v0"]) == (SYS, 0x1234), "kernel mode needs no leave"


@needs_stencil
def test_reading_userlocal_leaves_no_block_to_tier_t():
    rig = Rig("stencil", hot_after=0)
    rig.go(LOOP.format(read=USERLOCAL) + "wait 0", cp0=ENABLED)
    assert rig.memory.shared[shared.BLOCKS_TRANSLATED] == 2


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize(("control", "reason"), [(D0, HC), (D0 & ~CP0, GPSI)])
def test_a_guest_has_its_own_userlocal_if_root_lets_it(tier, control, reason):
    rig = VzRig(tier, hot_after=0)
    root = {"guestctl0": control, "hwrena": 0, "userlocal": 0x9999}
    rig.go_guest(GuestRun(LOOP.format(read=USERLOCAL), root=root, gcp0=ENABLED, gpr={"v0": 0}))
    assert rig.exit == (GE, reason)
    assert rig.reg("v0") == (0x1234 if reason == HC else 0)
