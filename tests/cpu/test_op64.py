"""64-bit operations and addresses in user mode, by Status.UX and PX; rows and priorities as on QEMU in
tests/cpu/test_differential.py, and what QEMU does not have."""

from __future__ import annotations

import pytest

from cpu.isa import TABLE
from tests.cpu.core_rig import (
    ADEL,
    CPU,
    CU0,
    CU1,
    EXL,
    FR,
    KSEG0,
    MIB,
    RI,
    SM,
    SYS,
    TIERS,
    TLBL,
    UM,
    UX,
    V,
    lo,
    on_both_tiers,
    physical,
)
from tests.cpu.vz_rig import Entry, GuestRun, P, VzRig, guest_lo

rig = on_both_tiers()

PX = 1 << 23
USER, PAGE = 0x10000, 0x400000
TAIL = "\nsyscall 0"


@pytest.fixture
def user(rig):
    """Runs a program in user mode, with a page of data in a0, to its first exception."""
    rig.tlb(0, USER, lo(USER, V), lo(USER + 0x1000, V))
    rig.tlb(1, PAGE, lo(4 * MIB), lo(4 * MIB + 0x1000))

    def run(text: str, status: int, **gpr: int):
        return rig.go(text + TAIL, USER, USER, status=status | UM, **{"a0": PAGE, **gpr})

    run.rig = rig
    return run


OPERATIONS = ("daddu $v0, $a0, $a1", "dsll32 $v0, $a0, 1", "lwu $v0, 0($a0)", "sd $v0, 0($a0)", "dmfc1 $v0, $f2")


@pytest.mark.parametrize("text", OPERATIONS)
def test_user_mode_needs_one_of_two_bits(user, text):
    for before in ("", "b .+8\n"):
        end = user(before + text, CU1)
        assert (end.code, end.epc, end.bd) == (RI, USER, bool(before))
        for enable in (UX, PX, UX | PX):
            assert user(before + text, CU1 | enable).code == SYS


@pytest.mark.parametrize("text", OPERATIONS)
def test_other_modes_need_none(user, text):
    rig = user.rig
    assert rig.go(text + "\nwait 0", status=CU1, a0=KSEG0 + 4 * MIB).vector is None
    end = rig.go(text + TAIL, USER, USER, status=CU1 | SM, a0=PAGE)
    assert end.code == SYS, "Status.SX is of addresses alone"


def test_an_unusable_coprocessor_comes_first(user):
    moves = (("dmfc1 $v0, $f2", 1, CU1), ("dmfc0 $v0, $12", 0, CU0), ("dmtc0 $v0, $31, 2", 0, CU0))
    for text, coprocessor, usable in moves:
        end = user(text, 0)
        assert (end.code, end.ce) == (CPU, coprocessor)
        assert user(text, usable).code == RI
        assert user(text, usable | PX).code == SYS


def test_the_operations_on_words_stay(user):
    text = "addu $v0, $a1, $a1\nsll $v1, $a1, 4\nldc1 $f2, 0($a0)\nsdc1 $f2, 8($a0)\ncvt.l.d $f6, $f2"
    end = user(text, CU1 | FR, a1=0x4000_0001)
    assert (end.code, end["v0"], end["v1"]) == (SYS, 0xFFFF_FFFF_8000_0002, 0x10)


def test_which_rows_are_64_bit_operations():
    """By their names: those of the MIPS64 manual, none of Loongson's or MSA's."""
    named = {name for name, row in TABLE.items() if row.op64}
    doublewords = {name for name, row in TABLE.items() if name.startswith("d") and row.unit in (None, "fpu")}
    words = {"di", "div", "divu", "div.s", "div.d", "deret"}
    of_loongson = {"drdtime", "drdcsr", "dwrcsr", "drdgcsr", "dwrgcsr"}
    accesses = {"lwu", "ld", "sd", "ldl", "ldr", "sdl", "sdr", "lld", "scd"}
    assert named == doublewords - words - of_loongson | accesses


def test_the_same_code_under_both_modes(user):
    """The handler sends the program back with PX changed, so that blocks of both kinds stand at the same addresses."""
    user.rig.load(
        f"""
        mfc0    $k0, $13
        andi    $k0, $k0, 0x7c
        addiu   $k1, $0, {RI << 2}
        bne     $k0, $k1, 1f
        dmfc0   $k0, $14
        addiu   $s1, $s1, 1
        daddiu  $k0, $k0, 4
        dmtc0   $k0, $14
        eret
1:      dmtc0   $s7, $14
        mfc0    $k0, $12
        li      $k1, {PX:#x}
        xor     $k0, $k0, $k1
        mtc0    $k0, $12
        beqz    $s2, 2f
        addiu   $s2, $s2, -1
        eret
2:      wait    0
        """,
        KSEG0 + 0x180,
    )
    end = user("daddiu $s0, $s0, 1\naddiu $s4, $s4, 1\nsd $s3, 0($a0)", 0, s0=0, s1=0, s2=39, s3=1, s4=0, s7=USER)
    assert (end["s0"], end["s1"], end["s4"]) == (20, 40, 40)


WRAPPED = ("lw $v0, {0}($a0)", "lwl $v0, {0}+3($a0)", "ll $v0, {0}($a0)", "lwc1 $f2, {0}($a0)\nmfc1 $v0, $f2")


@pytest.mark.parametrize("text", WRAPPED)
def test_addresses_have_32_bits_without_ux(user, text):
    user.rig.memory.write(4 * MIB + 8, (0x1234_5678).to_bytes(4, "little"))
    for upper in (0, 1 << 32, 0xFFFF_FFFF << 32, 0x9800_0000 << 32):
        end = user(text.format(8), CU1 | PX, a0=upper | PAGE)
        assert (end.code, end["v0"]) == (SYS, 0x1234_5678)
        assert user(text.format(8), CU1 | UX, a0=upper | PAGE).code == (ADEL if upper >> 48 else TLBL if upper else SYS)


def test_stores_and_faults_of_such_addresses(user):
    user("sw $a1, 4($a0)\nsh $a1, 10($a0)\nsw $a1, 0xffe($a0)", PX, a0=1 << 32 | PAGE, a1=0xABCD_1234)
    assert user.rig.memory.read(4 * MIB + 4, 8) == bytes.fromhex("3412cdab 0000 3412")
    assert user.rig.memory.read(4 * MIB + 0xFFE, 4) == bytes.fromhex("3412cdab")
    end = user("lw $v0, 4($a0)", PX, a0=1 << 32 | 0x8000_0000)
    assert (end.code, end.badvaddr) == (ADEL, 0xFFFF_FFFF_8000_0004)
    end = user("lw $v0, -4($a0)", PX, a0=0x8000_0000)
    assert (end.code, end.badvaddr, end.vector) == (TLBL, 0x7FFF_FFFC, 0x000)
    end = user("jr $a0\nnop", PX, a0=1 << 32 | USER)
    assert (end.code, end.badvaddr) == (ADEL, 1 << 32 | USER), "of fetches all 64 bits count"


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize(("status", "code"), [(UM, RI), (UM | PX, SYS), (UM | UX, SYS), (0, SYS)])
def test_a_guest_goes_by_its_own_status(tier, status, code):
    """Root's Status has UX and PX clear throughout."""
    rig = VzRig(tier)
    rig.guest_load("daddu $v0, $a0, $a0\nsyscall 0", P + 0x800)
    rig.go_guest(
        GuestRun(
            f"mtc0 $a1, $12\ndli $t0, {USER + 0x800:#x}\ndmtc0 $t0, $14\neret",
            gpr={"a0": 1 << 40, "a1": status | EXL, "v0": 0},
            gtlb=(Entry(USER, guest_lo(physical(P))),),
        )
    )
    assert rig.gcp0("cause") >> 2 & 31 == code
    assert rig.reg("v0") == (1 << 41 if code == SYS else 0)
