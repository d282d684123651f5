"""`soc.testing`: what a script or a replay can rely on."""

from __future__ import annotations

import numpy as np
import pytest

from cpu.core import CoreError
from cpu.isa.assembler import assemble
from cpu.memory import MemoryRangeError
from soc.testing import StoppedRun, make_machine
from tests.cpu.core_rig import CODE, IE, IP, KSEG0, M64, STATUS, SYS, TIERS, physical

VECTOR = KSEG0 + 0x180


@pytest.fixture(params=TIERS)
def m(request):
    return make_machine(ram_mb=16, tier=request.param)


def put(m, text: str, base: int = CODE):
    program = assemble(text, base)
    m.mem_write(physical(base), program.data)
    return program


def start(m, text: str, status: int = STATUS, **state):
    program = put(m, text)
    cp0 = {"status": status, "cause": 0, "ebase": KSEG0, **state.pop("cp0", {})}
    m.set_state(0, {"pc": CODE, "cp0": cp0, **state})
    return program


def gpr(**values: int) -> list[int]:
    return [values.get(f"r{n}", 0) for n in range(32)]


def test_no_firmware_and_ram_is_zero(m):
    assert m.mem_read(0, 4096) == bytes(4096) and m.mem_read(16 * (1 << 20) - 64, 64) == bytes(64)


def test_memory_is_read_back(m):
    m.mem_write(0x1003, b"hello")
    assert m.mem_read(0x1002, 7) == b"\0hello\0"


def test_code_written_by_mem_write_executes_also_over_code_that_ran(m):
    for value in (1, 2, 3):
        start(m, f"li $v0, {value}\nwait 0")
        assert m.run() == 2
        assert m.get_state(0)["gpr"][2] == value


def test_get_state_has_all_keys_as_unsigned_integers(m):
    state = m.get_state(0)
    assert set(state) == {"pc", "gpr", "hi", "lo", "fpr", "msa", "fcsr", "msacsr", "cp0"}
    assert {"status", "cause", "epc", "badvaddr"} <= set(state["cp0"])
    numbers = [state[k] for k in ("pc", "hi", "lo", "fcsr", "msacsr")] + state["gpr"] + state["fpr"]
    numbers += [half for pair in state["msa"] for half in pair] + list(state["cp0"].values())
    assert all(type(v) is int and 0 <= v <= M64 for v in numbers)
    assert [len(state[k]) for k in ("gpr", "fpr", "msa")] == [32, 32, 32]


def test_what_is_set_is_read_back_and_what_is_missing_stays(m):
    everything = {
        "pc": CODE, "gpr": [0, *(M64 - n for n in range(31))], "hi": 1 << 63, "lo": M64,
        "fpr": [n << 58 | n for n in range(32)], "msa": [(n << 58 | n, M64 - n) for n in range(32)],
        "fcsr": 0x0180_0003, "msacsr": 1,
        "cp0": {"status": 0x2400_00E0, "cause": 0x8000_0300, "epc": M64 - 3, "badvaddr": 1 << 62, "ebase": KSEG0,
                "config5_msaen": 1},
    }  # fmt: skip
    m.set_state(0, everything)
    first = m.get_state(0)
    for key, value in everything.items():
        if key == "cp0":
            assert {name: first["cp0"][name] for name in value} == value
        else:
            assert first[key] == value, key
    for key in set(everything) - {"fpr"}:  # which alone clears the upper halves
        m.set_state(0, {key: everything[key]})
        assert m.get_state(0) == first, key
    m.set_state(0, {})
    assert m.get_state(0) == first
    m.set_state(0, first)
    assert m.get_state(0) == first


def test_gpr_0_stays_zero(m):
    m.set_state(0, {"gpr": [5] * 32})
    assert m.get_state(0)["gpr"] == [0] + [5] * 31


def test_fpr_and_msa_are_views_of_one_file(m):
    m.set_state(0, {"msa": [(n, n + 100) for n in range(32)]})
    assert m.get_state(0)["fpr"] == list(range(32))
    m.set_state(0, {"fpr": [n + 7 for n in range(32)]})
    assert m.get_state(0)["msa"] == [(n + 7, 0) for n in range(32)]
    m.set_state(0, {"fpr": [n + 9 for n in range(32)], "msa": [(n + 9, 3) for n in range(32)]})
    state = m.get_state(0)
    assert state["fpr"] == [n + 9 for n in range(32)] and state["msa"] == [(n + 9, 3) for n in range(32)]


def test_set_state_clears_the_ll_bit(m):
    start(m, "ll $t0, 0($a0)\nli $t1, 5\nsc $t1, 0($a0)\nwait 0", gpr=gpr(r4=CODE + 0x1000))
    assert m.run(max_insns=2) == 2
    m.run()
    assert m.get_state(0)["gpr"][13] == 1
    m.set_state(0, {"pc": CODE})
    m.run(max_insns=2)
    m.set_state(0, {"hi": 0})
    m.run()
    assert m.get_state(0)["gpr"][13] == 0


def test_run_returns_the_instructions_completed(m):
    start(m, "nop\n" * 300 + "b .\nnop")
    assert [m.run(max_insns=n) for n in (1, 7, 63, 64, 65)] == [1, 7, 63, 64, 65]
    assert m.get_state(0)["pc"] == CODE + 4 * 200
    assert m.run(max_insns=0) == 0


def test_run_may_complete_a_delay_slot_rather_than_stop_before_it(m):
    start(m, "1: nop\nb 1b\nnop")
    for wanted in (1, 2, 3, 4, 5, 600, 601, 602):
        m.set_state(0, {"pc": CODE})
        done = m.run(max_insns=wanted)
        assert done == wanted + (wanted % 3 == 2)
        assert m.get_state(0)["pc"] in (CODE, CODE + 4)


def test_run_stops_before_a_stop_pc(m):
    start(m, "li $v0, 1\nli $v0, 2\nli $v0, 3\nwait 0")
    assert m.run(stop_pcs=(CODE + 8,)) == 2
    assert (m.get_state(0)["pc"], m.get_state(0)["gpr"][2]) == (CODE + 8, 2)
    assert m.run(stop_pcs=(CODE + 8,)) == 0, "it stops before it executes, also where it starts"
    assert m.run(stop_pcs=[CODE]) == 2


def test_exception_entry_counts_as_reaching_the_vector(m):
    start(m, "nop\nsyscall 0")
    assert m.run(stop_pcs=(VECTOR,)) == 1, "an instruction that raises does not count as completed"
    state = m.get_state(0)
    assert (state["pc"], state["cp0"]["epc"], state["cp0"]["cause"] >> 2 & 31) == (VECTOR, CODE + 4, SYS)
    start(m, "lw $t0, 0($a0)", gpr=gpr(r4=0x4000))
    assert m.run(stop_pcs=(KSEG0 + 0x80,)) == 0
    assert m.get_state(0)["cp0"]["badvaddr"] == 0x4000


def test_no_interrupt_while_ie_is_0(m):
    start(m, "b .\nnop", status=STATUS | 0xFF00, cp0={"cause": IP[0], "count": 0, "compare": 5})
    m.run(max_insns=1000)
    assert m.get_state(0)["pc"] == CODE and m.get_state(0)["cp0"]["epc"] == 0
    m.set_state(0, {"cp0": {"status": STATUS | 0xFF00 | IE}})
    m.run(max_insns=10, stop_pcs=(VECTOR,))
    assert m.get_state(0)["pc"] == VECTOR


def test_wait_that_nothing_can_end_returns(m):
    start(m, "li $v0, 1\nwait 0\nli $v0, 2")
    assert m.run(max_insns=100) == 2
    assert m.get_state(0)["gpr"][2] == 1
    assert m.run(max_insns=100) == 0
    m.set_state(0, {"pc": CODE})
    assert m.run(max_insns=100) == 2, "set_state leaves WAIT"


def test_wait_that_the_timer_ends_goes_on(m):
    text = "wait 0\nli $v0, 2\nmtc0 $0, $status\nmtc0 $0, $compare\nwait 0"
    start(m, text, status=STATUS | IP[7], cp0={"count": 0, "compare": 100_000})
    m.run(max_insns=100)
    assert m.get_state(0)["gpr"][2] == 2


def test_devices_of_the_platform_answer(m):
    base = KSEG0 + 0x2000_0000 + 0x1FE0_01E0  # the UART's scratch register, in kseg1
    start(m, "sb $a1, 7($a0)\nlbu $v0, 7($a0)\nwait 0", gpr=gpr(r4=base, r5=0x5A))
    m.run()
    assert m.get_state(0)["gpr"][2] == 0x5A


def test_what_the_core_cannot_do_is_raised_and_named(m):
    start(m, "nop\nderet")
    with pytest.raises(StoppedRun, match="deret"):
        m.run()
    start(m, "syscall 0", cp0={"ebase": 0xFFFF_FFFF_9E00_0000})
    with pytest.raises(StoppedRun, match="without completing an instruction"):
        m.run()


def test_misuse_is_refused(m):
    with pytest.raises(CoreError, match=r"cpu 1: this machine has 0\.\.0"):
        m.get_state(1)
    with pytest.raises(CoreError, match="'regs'"):
        m.set_state(0, {"regs": []})
    with pytest.raises(CoreError, match="max_insns = -1"):
        m.run(max_insns=-1)
    for count in (-1, 1 << 40):
        with pytest.raises(MemoryRangeError, match="bytes at physical 0x1000"):
            m.mem_read(0x1000, count)
    for pc in (1 << 64, 0.5):
        with pytest.raises(MemoryRangeError, match="stop pc"):
            m.run(stop_pcs=(pc,))


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"pc": 1 << 64}, "pc = 18446744073709551616; a whole number of 64 bits"),
        ({"hi": -(1 << 63) - 1}, "hi = -"),
        ({"lo": 1.0}, "lo = 1.0"),
        ({"lo": True}, "lo = True"),
        ({"lo": "1"}, "lo = '1'"),
        ({"gpr": [0] * 31 + [1 << 64]}, r"gpr\[31\] = "),
        ({"fpr": [1 << 65] + [0] * 31}, r"fpr\[0\] = "),
        ({"msa": [(0, 1 << 64)] * 32}, r"msa\[0\] = "),
        ({"msa": [5] * 32}, r"msa\[0\] = 5; a pair is needed"),
        ({"fcsr": 1 << 32}, "fcsr = 4294967296; a whole number of 32 bits"),
        ({"cp0": {"status": 1 << 32}}, "cp0 status = 4294967296; a whole number of 32 bits"),
        ({"cp0": {"cause": -(1 << 31) - 1}}, "cp0 cause = -2147483649"),
        ({"cp0": {"config5_msaen": 2}}, "config5_msaen = 2; allowed: 0, 1"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_and_nothing_is_set(m, values, says):
    before = m.get_state(0)
    with pytest.raises(CoreError, match=says):
        m.set_state(0, {"hi": 5, **values})
    assert m.get_state(0) == before


def test_a_value_may_be_signed(m):
    m.set_state(0, {"hi": -1, "fcsr": -(1 << 31), "cp0": {"cause": 0xFFFF_FFFF_8000_0000, "config5_msaen": True}})
    state = m.get_state(0)
    assert (state["hi"], state["fcsr"], state["cp0"]["cause"]) == (M64, 1 << 31, 1 << 31)
    assert state["cp0"]["config5_msaen"] == 1


@pytest.mark.parametrize("base", [0x8000_2000, 0xFFFF_FFFF_8000_2000])
def test_ebase_may_be_given_as_a_32_bit_address(base):
    m = make_machine(ram_mb=16)
    m.mem_write(0x1_0000, (0x0000_000C).to_bytes(4, "little"))  # syscall
    m.set_state(0, {"pc": 0xFFFF_FFFF_8001_0000, "cp0": {"status": 0x3400_00E0, "ebase": base}})
    assert m.get_state(0)["cp0"]["ebase"] == 0xFFFF_FFFF_8000_2000
    m.run(0, max_insns=10, stop_pcs=(0xFFFF_FFFF_8000_2180,))
    assert m.get_state(0)["pc"] == 0xFFFF_FFFF_8000_2180


def test_set_state_takes_the_numbers_of_numpy():
    machine = make_machine(1, 16)
    gprs = np.arange(32, dtype=np.uint64) + np.uint64(1 << 63)
    cp0 = {"epc": np.uint64(M64), "ebase": np.uint32(1 << 31)}
    machine.set_state(0, {"pc": np.int64(-(1 << 31)), "gpr": gprs, "cp0": cp0})
    state = machine.get_state(0)
    assert (state["pc"], state["gpr"]) == (0xFFFFFFFF80000000, [0, *gprs[1:].tolist()])
    assert (state["cp0"]["epc"], state["cp0"]["ebase"]) == (M64, 0xFFFFFFFF80000000)
