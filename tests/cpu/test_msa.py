"""MSA on the tiers: when it is off, memory accesses of 16 bytes, branches on vectors, floating-point exceptions.

What each instruction computes is compared with QEMU in test_differential.py.
"""

from __future__ import annotations

import pytest

from cpu.core import StopKind
from cpu.isa.assembler import AssemblerError, assemble
from tests.cpu.core_rig import CODE, CU1, FR, KSEG1, M64, MOD, MSADIS, RI, STATUS, TLBL, TLBS, D, V, lo, on_both_tiers

rig = on_both_tiers()

MSAFPE = 14
PAGE, ODD, EVEN = 0x10000, 0x40_0000, 0x50_0000  # a virtual page, and the physical ones behind it and the next
ENABLE, CAUSE, FLAG = ({"Z": 1 << at + 3, "I": 1 << at, "V": 1 << at + 4} for at in (7, 12, 2))
NX = 1 << 18


def vector(*words: int) -> tuple[int, int]:
    """A register from its four words, the lowest first."""
    return words[0] | words[1] << 32, words[2] | words[3] << 32


def prepare(rig, msacsr: int = 0, **registers: tuple[int, int]) -> None:
    msa = [(0x1111 * n, 0x2222 * n) for n in range(32)]
    for name, value in registers.items():
        msa[int(name[1:])] = value
    rig.core.set_state({"msa": msa, "msacsr": msacsr})


def go(rig, text: str, status: int = STATUS, enabled: int = 1, **start):
    return rig.go(text, status=status, cp0={"config5_msaen": enabled}, **start)


def register(rig, number: int) -> tuple[int, int]:
    return rig.core.get_state()["msa"][number]


# Enabling
@pytest.mark.parametrize("text", ["ld.b $w0, 0($a0)", "addv.d $w0, $w1, $w2", "bz.v $w0, 0f\n0: nop", "cfcmsa $a1, $0"])
def test_an_instruction_of_msa_while_msa_is_off(rig, text):
    end = go(rig, text, enabled=0, a0=CODE)
    assert (end.code, end.epc, end.vector) == (MSADIS, CODE, 0x180)


@pytest.mark.parametrize("enabled", [0, 1])
def test_msa_with_32_bit_floating_point_registers_is_reserved(rig, enabled):
    end = go(rig, "addv.d $w0, $w1, $w2", status=STATUS & ~FR, enabled=enabled)
    assert (end.code, end.epc) == (RI, CODE)


def test_msa_does_not_need_coprocessor_1(rig):
    prepare(rig)
    end = go(rig, "addv.d $w0, $w1, $w2\nwait 0", status=STATUS & ~CU1 & ~FR)
    assert end.vector is None
    assert register(rig, 0) == (0x3333, 0x6666)


# Memory
def two_pages(rig, second: int = V | D) -> None:
    rig.tlb(0, PAGE, lo(EVEN), lo(ODD, second))


@pytest.mark.parametrize("offset", [0, 1, 8, 0xFF0, 0xFF1, 0xFF8, 0xFFF])
def test_sixteen_bytes_at_any_address_and_across_pages(rig, offset):
    two_pages(rig)
    prepare(rig)
    data = bytes(range(0x40, 0x50))
    split = min(16, 0x1000 - offset)
    rig.memory.write(EVEN + offset, data[:split])
    rig.memory.write(ODD, data[split:])
    end = go(rig, "ld.b $w3, 0($a0)\nst.d $w5, 0($a0)\nwait 0", a0=PAGE + offset)
    assert end.vector is None
    assert register(rig, 3) == (int.from_bytes(data[:8], "little"), int.from_bytes(data[8:], "little"))
    stored = (5 * 0x1111).to_bytes(8, "little") + (5 * 0x2222).to_bytes(8, "little")
    assert rig.memory.read(EVEN + offset, split) + rig.memory.read(ODD, 16 - split) == stored


@pytest.mark.parametrize(
    ("text", "second", "code"),
    [("ld.w $w3, 0($a0)", 0, TLBL), ("st.w $w3, 0($a0)", 0, TLBS), ("st.w $w3, 0($a0)", V, MOD)],
)
def test_a_fault_in_the_second_page_leaves_everything(rig, text, second, code):
    two_pages(rig, second)
    prepare(rig)
    rig.memory.write(EVEN + 0xFF0, b"x" * 16)
    end = go(rig, text, a0=PAGE + 0xFF8)
    assert (end.code, end.epc, end.badvaddr) == (code, CODE, PAGE + 0x1000)
    assert register(rig, 3) == (0x3333, 0x6666)
    assert rig.memory.read(EVEN + 0xFF0, 16) == b"x" * 16


@pytest.mark.parametrize("text", ["ld.d $w0, 0($a0)", "st.d $w0, 0($a0)"])
def test_a_vector_to_a_device_ends_the_run_with_its_name(rig, text):
    rig.load(text, CODE)
    rig.set(pc=CODE, cp0={"config5_msaen": 1}, a0=KSEG1 + 0x1E00_0000)
    stop = rig.run()
    assert stop.kind is StopKind.UNMODELLED
    assert "vector" in stop.text and text[:4] in stop.text and "0x1e000000" in stop.text


def test_a_vector_stored_over_the_code_behind_it_is_seen(rig):
    words = assemble("li $v0, 1\nli $v1, 2\nwait 0\nnop").words
    prepare(rig, w1=vector(*words))
    end = go(rig, "st.w $w1, 0($a0)\nli $v0, 7\nli $v1, 7\nnop\nwait 0", a0=CODE + 4)
    assert (end.vector, end["v0"], end["v1"]) == (None, 1, 2)


@pytest.mark.parametrize(("df", "step", "most"), [("b", 1, 511), ("h", 2, 1022), ("w", 4, 2044), ("d", 8, 4088)])
def test_the_offset_counts_elements(rig, df, step, most):
    prepare(rig)
    go(rig, f"st.{df} $w1, {most}($a0)\nst.{df} $w2, {-most - step}($a0)\nwait 0", a0=CODE + 0x10000)
    base = (CODE + 0x10000) & 0x1FFF_FFFF
    assert rig.memory.read(base + most, 8) == (0x1111).to_bytes(8, "little")
    assert rig.memory.read(base - most - step, 8) == (0x2222).to_bytes(8, "little")


# Branches
@pytest.mark.parametrize(
    ("name", "value", "taken"),
    [("bz.v", (0, 0), True), ("bz.v", (0, 1 << 63), False), ("bnz.v", (0, 0), False), ("bnz.v", (1, 0), True),
     ("bz.b", (M64, M64 << 8 & M64), True), ("bz.h", (M64, M64 << 8 & M64), False), ("bz.h", (M64, M64 << 16), True),
     ("bnz.b", (M64, M64 << 8 & M64), False), ("bnz.w", (M64, 1 << 32 | 1), True), ("bnz.d", (1, 0), False)],
)  # fmt: skip
def test_branches_test_the_register_before_their_delay_slot(rig, name, value, taken):
    prepare(rig, w1=(value[0], value[1] & M64))
    end = go(rig, f"li $v0, 0\n{name} $w1, 1f\nxori.b $w1, $w1, 255\nli $v0, 1\n1: wait 0")
    assert (end["v0"] == 0) == taken


def test_an_element_copied_to_r0_is_lost(rig):
    prepare(rig)
    end = go(rig, "copy_s.d $0, $w3[0]\nor $v0, $0, $0\nwait 0")
    assert (end["zero"], end["v0"]) == (0, 0)


# Floating point: word 2 of four divides by zero.
ONES, DIVISOR, OLD = vector(*[0x3F800000] * 4), vector(0x40000000, 0x40400000, 0, 0x40000000), (5, 6)
THIRD = 0x3EAAAAAB


def divide(rig, msacsr: int):
    prepare(rig, msacsr, w0=OLD, w1=ONES, w2=DIVISOR)
    return go(rig, "fdiv.w $w0, $w1, $w2\nwait 0")


def test_exceptions_that_are_not_enabled_collect_in_cause_and_flags(rig):
    end = divide(rig, CAUSE["V"] | FLAG["V"])
    assert end.vector is None
    assert register(rig, 0) == vector(0x3F000000, THIRD, 0x7F800000, 0x3F000000)
    assert rig.core.get_state()["msacsr"] == CAUSE["Z"] | CAUSE["I"] | FLAG["Z"] | FLAG["I"] | FLAG["V"]


def test_an_enabled_exception_traps_with_cause_only(rig):
    end = divide(rig, ENABLE["Z"] | FLAG["V"])
    assert (end.code, end.epc, end.vector) == (MSAFPE, CODE, 0x180)
    assert register(rig, 0) == OLD
    assert rig.core.get_state()["msacsr"] == ENABLE["Z"] | CAUSE["Z"] | CAUSE["I"] | FLAG["V"]


def test_non_trapping_mode_marks_the_element_instead(rig):
    end = divide(rig, NX | ENABLE["Z"])
    assert end.vector is None
    assert register(rig, 0) == vector(0x3F000000, THIRD, 0x7F800008, 0x3F000000)
    assert rig.core.get_state()["msacsr"] == NX | ENABLE["Z"] | CAUSE["I"] | FLAG["I"]


def test_nans_have_the_2008_encoding(rig):
    prepare(rig, w1=vector(0x7FC12345, 0x7F812345, 0xFF800000, 0x7F800000), w2=vector(*[0x7F800000] * 4))
    go(rig, "fadd.w $w0, $w1, $w2\nwait 0")
    assert register(rig, 0) == vector(0x7FC12345, 0x7FC12345, 0x7FC00000, 0x7F800000)
    assert rig.core.get_state()["msacsr"] == CAUSE["V"] | FLAG["V"]


def test_fmadd_rounds_once(rig):
    """(1 + 2^-52)^2 - (1 + 2^-51) is 2^-104."""
    one = 0x3FF0000000000000
    prepare(rig, w0=(one + 2 | 1 << 63, 0), w1=(one + 1, 0), w2=(one + 1, 0))
    go(rig, "fmadd.d $w0, $w1, $w2\nwait 0")
    assert register(rig, 0) == ((1023 - 104) << 52, 0)


def test_scalar_results_leave_the_upper_half(rig):
    one = 0x3FF0000000000000
    prepare(rig, w1=(one, 77))
    go(rig, "add.d $f1, $f1, $f1\nwait 0")
    assert register(rig, 1) == (one + (1 << 52), 77)


# Assembly
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ld.d $w0, 4($a0)", "multiple of 8"),
        ("ld.w $w0, 2048($a0)", "-2048 to 2044"),
        ("copy_s.b $v0, $w1[16]", "0 to 15"),
        ("insve.b $w1[0], $w2[1]", "allowed: 0"),
        ("splati.h $w1, $w2", "ws[n]"),
        ("addv.b $w0, $w1, $f2", "MSA register"),
        ("maxi_s.b $w0, $w1, 16", "-16 to 15"),
    ],
)
def test_operands_that_do_not_fit_are_named(text, message):
    with pytest.raises(AssemblerError) as error:
        assemble(text)
    assert message in str(error.value)
