"""The machine around the real core: a guest with interrupts gives the same run however the host cuts it."""

import pytest

from scenarios.library import guest
from soc import Machine, PoweredOff, SocError

TYPED = [(50_000_000, b"typed at the guest"), (400_000_000, b"!")]


def run(slice=None, pieces=(), **options):
    m = Machine("virt", ram="16 MiB", **options)
    m.load(guest("first_light.S", rounds=20).to_elf())
    m.replay(TYPED)
    for insns in pieces:
        m.run(max_insns=insns, slice=slice)
    result = m.run(until=PoweredOff, max_virtual="1 s", slice=slice)
    return result.ended, result.trace_hash, m.console, m.cpu[0].cycles, m.cpu[0].instructions


@pytest.fixture(scope="module")
def plain():
    return run()


def test_the_guest_runs_to_its_end(plain):
    ended, _, console, _, _ = plain
    assert ended == "poweroff" and b"timer interrupts 20" in console


@pytest.mark.parametrize(
    "how",
    [
        {"slice": 1},
        {"slice": 101},
        {"pieces": (1, 2, 300, 1001)},
        {"trace": True},
        {"wire": True},
        {"tier": "reference"},
    ],
    ids=str,
)
def test_how_the_host_runs_it_changes_nothing(plain, how):
    assert run(**how) == plain


def test_another_latency_is_another_run(plain):
    assert run(timing={"core_pin": "11 ns"})[1] != plain[1]


DEAR = {"cycles_load": 3, "cycles_branch": 2, "cycles_cp0": 5, "exception_entry": 20, "count_divider": 4}


def test_instructions_that_take_longer_are_another_run_and_the_same_for_every_host(plain):
    ended, *rest = dear = run(timing=DEAR)
    assert ended == "poweroff" and rest[0] != plain[1]
    for how in ({"tier": "reference"}, {"slice": 101}, {"pieces": (1, 2, 300, 1001)}, {"wire": True}):
        assert run(timing=DEAR, **how) == dear, how


def test_a_machine_file_says_what_instructions_take(tmp_path, plain):
    file = tmp_path / "machine.toml"
    lines = [f"{name} = {value}" for name, value in DEAR.items()]
    file.write_text("\n".join(["[machine]", 'platform = "virt"', 'ram = "16 MiB"', "[timing]", *lines]))
    m = Machine(file)
    assert m.cpu[0].costs.classes["load"] == 3 and m.cpu[0].costs.exception_entry == 20


def test_a_bus_error_reaches_the_guest():
    m = Machine("virt", ram="16 MiB")
    # ld $t0, 0($a0) at the start of high memory; the exception goes to the ROM's bootstrap vector.
    m.memory.write(0x8000_1000, (0xDC880000).to_bytes(4, "little"))
    gpr = [0] * 32
    gpr[4] = 0x9000_0000_2000_0000
    m.cpu[0].set_state({"pc": 0x9800_0000_8000_1000, "gpr": gpr, "cp0": {"status": 0x0040_00E0}})
    m.run(max_insns=1)
    assert m.cpu[0].cp0("cause") >> 2 & 31 == 7
    assert m.cpu[0].cp0("epc") == 0x9800_0000_8000_1000
    assert m.bus.unmapped == {0x2000_0000: 1}


def test_a_machine_file_chooses_the_tlb_and_the_model_of_vz(tmp_path):
    path = tmp_path / "machine.toml"
    path.write_text('[machine]\nram = "16 MiB"\nftlb = true\nvz = { rad = true, guest_id_bits = 3 }\n')
    with Machine(path) as m:
        core = m.cpu[0]
        assert core.cp0("config") >> 7 & 7 == 4 and core.cp0("config4") & 0x1FFF == 0x0268
        assert core.cp0("guestctl0") >> 9 & 1 == 1 and core.cp0("config3") >> 23 & 1 == 1
    with Machine("virt", vz={}) as m:
        assert m.cpu[0].cp0("config3") >> 23 & 1 == 1 and m.cpu[0].cp0("config") >> 7 & 7 == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"vz": 1}, "vz = 1; allowed: true, false, or a table of choices"),
        ({"vz": {"rda": True}}, "unknown choice 'rda'; allowed: rad, guest_id_bits"),
        ({"vz": {"rad": 1}}, "rad = 1; allowed: true, false"),
        ({"vz": {"guest_id_bits": 9}}, "guest_id_bits = 9; 1 to 8 are possible"),
        ({"vz": {"gva": True}, "hypervisor": "kvm"}, "the KVM model knows the default VZ alone"),
        ({"ftlb": "yes"}, "ftlb = 'yes'; allowed: true, false"),
    ],
)
def test_a_wrong_choice_is_named(options, said):
    with pytest.raises(SocError, match=said):
        Machine("virt", **options)
