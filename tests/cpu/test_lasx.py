"""LASX on the tiers: encodings, what the rows compute, accesses of 32 bytes, which exception says that it is off."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from cpu import state
from cpu.core import StopKind
from cpu.isa.assembler import assemble
from tests.cpu.core_rig import CODE, FR, GSEXC, KSEG0, KSEG1, M64, MSADIS, RI, STATUS, TIERS, TLBS, D, Rig, lo

CONFIG, CONFIG6 = 0x80004482, 0x40
LASXEN, MSAEN, LASXMODE = 1 << 19, 1 << 27, 1 << 21
PAGE, ODD, EVEN = 0x10000, 0x40_0000, 0x50_0000  # a virtual page, and the physical ones behind it and the next
SIZE = 32
AT, T0 = 1, 12
# Rows, and their words as the macros of the Loongson 4.19 tree make them: arch/mips/include/asm/asmmacro.h.
ENCODINGS = [
    ("xvld.b $w17, 32(at)", 0xC8000819 | 17 << 6 | 32 << 16),
    ("xvst.b $w0, -512(at)", 0xE8000819 | (512 << 16)),
    ("xinsert.d $w5[2], at", 0x79380819 | 2 << 16 | 5 << 6),
    ("xinsert.d $w5[3], at", 0x79380819 | 3 << 16 | 5 << 6),
    ("insert.d $w5[1], at", 0x79380819 | 1 << 16 | 5 << 6),
    ("xvcopy_s.d at, $w9[2]", 0x78B80059 | 2 << 16 | 9 << 11),
    ("xvseli.d $w30, $w0, 12", 0xED00000A | 30 << 6 | 12 << 16),
]


class Enables(NamedTuple):
    """What of the chain is set."""

    mode: bool = True
    lasx: bool = True
    msa: bool = True

    @property
    def cp0(self) -> dict[str, int]:
        return {
            "config6": CONFIG6 | LASXMODE * self.mode,
            "config": CONFIG | LASXEN * self.lasx,
            "config5": 1 | MSAEN * self.msa,
        }


@pytest.fixture(params=TIERS)
def rig(request) -> Rig:
    return Rig(request.param, lasx=True)


def lanes(register: int) -> list[int]:
    """The lanes that `prepare` gives a register, the lowest first."""
    return [(0x111 * (register + 1)) << 15 * lane for lane in range(4)]


def prepare(rig: Rig) -> None:
    file = rig.S[state.FPR : state.FPR + 32 * state.FPR_STRIDE].reshape(32, -1)
    for number in range(32):
        file[number] = lanes(number)


def register(rig: Rig, number: int) -> list[int]:
    at = state.FPR + state.FPR_STRIDE * number
    return [value & M64 for value in rig.S[at : at + 4].tolist()]


def go(rig: Rig, text: str, enables: Enables = Enables(), status: int = STATUS, **start):  # noqa: B008
    prepare(rig)
    return rig.go(text, status=status, cp0=enables.cp0, **start)


def as_bytes(values: list[int]) -> bytes:
    return b"".join(value.to_bytes(8, "little") for value in values)


@pytest.mark.parametrize(("text", "word"), ENCODINGS, ids=[text.split()[0] for text, _ in ENCODINGS])
def test_words_are_those_of_the_kernels_macros(text, word):
    assert assemble(text).words == [word]


# What the rows compute
def test_a_lane_to_a_general_register_and_back(rig):
    end = go(rig, "xvcopy_s.d v0, $w3[2]\nxvcopy_s.d v1, $w3[3]\nxinsert.d $w4[3], v0\nxinsert.d $w5[2], a0\nwait 0",
             a0=0x1234)  # fmt: skip
    assert (end["v0"], end["v1"]) == tuple(lanes(3)[2:])
    assert register(rig, 4) == [*lanes(4)[:3], lanes(3)[2]]
    assert register(rig, 5) == [*lanes(5)[:2], 0x1234, lanes(5)[3]]


@pytest.mark.parametrize("select", [0, 0b1100, 0b0101, 0b1111])
def test_lanes_selected_by_a_number(rig, select):
    go(rig, f"xvseli.d $w6, $w2, {select}\nwait 0")
    assert register(rig, 6) == [lanes(2 if select >> k & 1 else 6)[k] for k in range(4)]


@pytest.mark.parametrize("offset", [0, 1, 24, 0xFE0, 0xFE1, 0xFF8, 0xFFF])
def test_32_bytes_at_any_address_and_across_pages(rig, offset):
    rig.tlb(0, PAGE, lo(EVEN), lo(ODD))
    data = bytes(range(0x40, 0x40 + SIZE))
    split = min(SIZE, 0x1000 - offset)
    rig.memory.write(EVEN + offset, data[:split])
    rig.memory.write(ODD, data[split:])
    end = go(rig, "xvld.b $w3, 32(a0)\nxvst.b $w5, 32(a0)\nwait 0", a0=PAGE + offset - 32)
    assert end.vector is None
    assert as_bytes(register(rig, 3)) == data
    assert rig.memory.read(EVEN + offset, split) + rig.memory.read(ODD, SIZE - split) == as_bytes(lanes(5))


def test_a_fault_in_the_second_page_leaves_everything(rig):
    rig.tlb(0, PAGE, lo(EVEN), lo(ODD, D))
    end = go(rig, "xvst.b $w3, 0(a0)", a0=PAGE + 0xFF0)
    assert (end.code, end.epc, end.badvaddr) == (TLBS, CODE, PAGE + 0x1000)
    assert rig.memory.read(EVEN + 0xFF0, 16) == bytes(16)


def test_a_vector_to_a_device_ends_the_run_with_its_name(rig):
    rig.load("xvst.b $w0, 0(a0)", CODE)
    rig.set(pc=CODE, cp0=Enables().cp0, a0=KSEG1 + 0x1E00_0000)
    stop = rig.run()
    assert stop.kind is StopKind.UNMODELLED
    assert "vector" in stop.text and "xvst" in stop.text


def test_a_vector_stored_over_the_code_behind_it_is_seen(rig):
    words = assemble("li v0, 1\nli v1, 2\nwait 0" + "\nnop" * 5).data
    rig.memory.write(0x8000, words)
    behind = "xvst.b $w1, 0(a1)" + "\nli v0, 7\nli v1, 7" * 4 + "\nwait 0"
    end = go(rig, f"xvld.b $w1, 0(a0)\n{behind}", a0=KSEG0 + 0x8000, a1=CODE + 8)
    assert (end.vector, end["v0"], end["v1"]) == (None, 1, 2)


def test_msa_and_the_fpu_leave_the_upper_half_alone(rig):
    go(rig, "addv.d $w1, $w2, $w3\nmov.d $f4, $f5\nwait 0")
    assert register(rig, 1) == [(a + b) & M64 for a, b in zip(lanes(2), lanes(3), strict=True)][:2] + lanes(1)[2:]
    assert register(rig, 4)[2:] == lanes(4)[2:]


# Enabling
EVERY_ROW = ("xvld.b $w0, 0(a0)", "xvst.b $w0, 0(a0)", "xvcopy_s.d v0, $w0[2]", "xinsert.d $w0[2], v0",
             "xvseli.d $w0, $w1, 3", ".word 0xf8380894", ".word 0xec000000")  # fmt: skip


@pytest.mark.parametrize("text", EVERY_ROW)
def test_every_row_asks_for_the_whole_chain(rig, text):
    """Config6.LASXMODE is for the core, LASXEN before MSAEn."""
    for enables, code in (
        (Enables(mode=False), RI), (Enables(lasx=False), GSEXC), (Enables(msa=False), MSADIS),
        (Enables(lasx=False, msa=False), GSEXC), (Enables(mode=False, lasx=False, msa=False), RI),
    ):  # fmt: skip
        end = go(rig, text, enables, a0=CODE)
        assert (end.code, end.epc, end.vector) == (code, CODE, 0x180), enables
        assert end.cp0["gscause"] == (7 << 2 if code == GSEXC else 0)
        rig.core.reset()


def test_lasx_with_32_bit_floating_point_registers_is_reserved(rig):
    assert go(rig, "xvseli.d $w0, $w1, 3", status=STATUS & ~FR).code == RI


def test_a_kernel_enables_it_by_itself(rig):
    """CPUCFG word 1, then the bits of Config6, Config5 and Config."""
    text = f"""li a0, 1
        cpucfg v0, a0
        mfc0 t0, $16, 6
        li t1, {LASXMODE:#x}
        or t0, t0, t1
        mtc0 t0, $16, 6
        li t0, {1 | MSAEN:#x}
        mtc0 t0, $16, 5
        li t0, {CONFIG | LASXEN:#x}
        mtc0 t0, $16
        xvcopy_s.d v1, $w3[3]
        wait 0"""
    end = go(rig, text, Enables(False, False, False))
    assert end.vector is None
    assert end["v0"] >> 11 & 1 and end["v1"] == lanes(3)[3]


@pytest.mark.parametrize("tier", TIERS)
def test_a_core_without_lasx_reserves_it(tier):
    rig = Rig(tier)
    end = rig.go(f"li a0, 1\ncpucfg v0, a0\nli t0, {LASXMODE:#x}\nmtc0 t0, $16, 6\nmfc0 v1, $16, 6\n"
                 f"li t0, {CONFIG | LASXEN:#x}\nmtc0 t0, $16\nmfc0 a1, $16\nxvseli.d $w0, $w1, 3",
                 cp0={"config5_msaen": 1})  # fmt: skip
    assert not end["v0"] >> 11 & 1
    assert not (end["v1"] & LASXMODE or end["a1"] & LASXEN)
    assert end.code == RI


# The rest of its opcodes
@pytest.mark.parametrize(("word", "name"), [(0xEC000000, "lasx"), (0xF8380894, "xvsd")])
def test_what_is_not_modelled_ends_the_run_and_is_named(rig, word, name):
    rig.load(f".word {word:#x}", CODE)
    rig.set(pc=CODE, cp0=Enables().cp0)
    stop = rig.run()
    assert stop.kind is StopKind.UNMODELLED
    assert name in stop.text and f"{word:#010x}" in stop.text


@pytest.mark.parametrize("tier", TIERS)
def test_what_is_not_modelled_raises_ri_where_the_machine_wants_that(tier):
    rig = Rig(tier, unmodelled_ri=True, lasx=True)
    assert go(rig, ".word 0xec000000").code == RI
    assert rig.core.unmodelled == 1
