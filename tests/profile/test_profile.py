"""A profile finds what is hot and where host time went, and changes nothing."""

import json
import re
import xml.etree.ElementTree as xml
from collections import Counter
from pathlib import Path
from time import perf_counter

import pytest

from cpu.engine.meter import Meter
from scenarios.library import guest, loaded
from soc import Machine, PoweredOff
from soc.commands.line import main
from soc.errors import ConfigurationError
from soc.profile import report, symbols
from soc.profile.profile import CORES, DEVICES, ELSEWHERE, KVM, Profile

EVERY = 3000
SHARE = 0.75
TOLERANCE = 0.06
"""About four standard deviations of 800 samples."""


@pytest.fixture(scope="module")
def program():
    return guest(Path(__file__).with_name("two_functions.S")).to_elf()


def run(program, profile=None, **options):
    with Machine("virt", ram="16 MiB", **options) as machine:
        machine.load(program)
        result = machine.run(until=PoweredOff, max_virtual="1 s", profile=profile)
    return result.ended, result.trace_hash, machine.cpu[0].cycles, result.instructions


@pytest.fixture(scope="module")
def plain(program):
    return run(program)


@pytest.fixture(scope="module")
def profiled(program):
    profile = Profile(EVERY)
    return run(program, profile), profile


def test_the_hot_function_is_found_with_its_share(program, profiled):
    first, second, *_ = report.functions(profiled[1], symbols.from_elf(program, "two_functions"))
    assert (first.mode, first.function, second.function) == ("kernel", "hot", "warm")
    assert first.share == pytest.approx(SHARE, abs=TOLERANCE)
    assert second.share == pytest.approx(1 - SHARE, abs=TOLERANCE)
    # Nearly all of it in the loop, whose block is the function's second.
    assert first.blocks[first.start + 4] > 0.95 * first.instructions


def test_a_profile_changes_no_result(plain, profiled):
    assert profiled[0] == plain and plain[0] == "poweroff"


@pytest.mark.parametrize("tier", ["threaded", "reference"])
def test_in_every_tier(plain, profiled, tier, program):
    if tier == "reference":
        program = guest("first_light.S", rounds=3).to_elf()
        plain = run(program)
    profile = Profile(EVERY)
    assert run(program, profile, tier=tier) == plain
    if tier == "threaded":
        assert profile.samples.places == profiled[1].samples.places


def test_on_several_cores():
    results, profile = [], Profile(100)
    for given in (profile, None):
        with loaded("ipi_pingpong.S", "virt", 2, {}, rounds=50).machine as machine:
            result = machine.run(until=PoweredOff, max_virtual="1 s", profile=given)
            results.append((result.ended, result.trace_hash, result.instructions))
    assert results[0] == results[1]
    assert results[0][0] == "poweroff"
    assert {place.core for place in profile.samples.places} == {0, 1}


def test_a_guest_of_kvm_is_sampled_in_guest_mode_only():
    program, profile = guest("first_light.S", rounds=10).to_elf(), Profile(100)
    assert run(program, profile, hypervisor="kvm") == run(program, hypervisor="kvm")
    assert {place.mode for place in profile.samples.places} == {"guest kernel"}
    assert [item.name for item in profile.items() if item.group == KVM] == ["root mode"]


def test_every_sampled_instruction_is_counted_once(profiled):
    (_, _, _, instructions), profile = profiled
    sampled = sum(count for _, count in profile.samples.places.values())
    assert profile.instructions == instructions
    assert 0 <= instructions - sampled < 2 * EVERY
    assert profile.samples.taken == pytest.approx(instructions / EVERY, rel=0.1)


def test_devices_and_code_are_told_apart():
    program, profile = guest("first_light.S", rounds=20).to_elf(), Profile(EVERY)
    began = perf_counter()
    machine = Machine("virt", ram="16 MiB")
    machine.load(program)
    result = machine.run(until=PoweredOff, max_virtual="1 s", profile=profile)
    elapsed = perf_counter() - began
    items = {(item.group, item.name): item for item in profile.items()}
    assert {name for group, name in items if group == DEVICES} >= {"uart", "ls3a_router_irq", "power"}
    accesses = sum(item.count for item in items.values() if item.group == DEVICES)
    assert accesses >= result.exits
    assert {"translated code", "blocks built", "helpers"} <= {name for group, name in items if group == CORES}
    assert all(item.seconds >= 0 for item in items.values())
    # The kernel's time is what is left of the whole: the items add up to it, and to no more than passed here.
    assert 0 < sum(item.seconds for item in items.values()) <= 1.05 * elapsed


def test_a_device_elsewhere_has_its_place(program):
    profile = Profile(EVERY)
    run(program, profile, placement={"uart": "process"})
    assert [item.name for item in profile.items() if item.group == ELSEWHERE] == ["uart (process)"]


def test_the_machine_is_as_before(program):
    with Machine("virt", ram="16 MiB") as machine:
        entries = machine.memory.shared.copy()
        component = machine._cluster
        receivers = [link._deliver for link in machine.links.values()]
        before = dict(vars(component))
        profile = Profile(EVERY)
        machine.load(program)
        for _ in range(2):
            machine.run(max_insns=50_000, profile=profile)
        assert profile.instructions == 100_000
        assert vars(component).keys() == before.keys()
        assert [link._deliver for link in machine.links.values()] == receivers
        from cpu.engine import shared

        for slot in (shared.ENTER, shared.ENTER_SLOW):
            assert machine.memory.shared[slot] == entries[slot]
    with Machine("virt", ram="16 MiB") as other, pytest.raises(ConfigurationError, match="another machine"):
        other.load(program)
        other.run(max_insns=1000, profile=profile)


def test_both_clocks_measure_the_same_spans(program):
    counts = Counter()
    for cycle_counter in (True, False):
        with Machine("virt", ram="16 MiB") as machine:
            machine.load(program)
            meter = Meter(machine.memory.shared, cycle_counter)
            meter.attach()
            began = perf_counter()
            meter.called()
            machine.run(max_insns=300_000)
            meter.returned()
            elapsed = perf_counter() - began
            meter.detach()
        spans = meter.spans()
        assert 0 < sum(span.seconds for span in spans) <= 1.05 * elapsed
        counts[tuple(span[:2] for span in spans)] += 1
    assert list(counts.values()) == [2]


def test_samples_that_are_too_near():
    with pytest.raises(ConfigurationError, match="at least 100"):
        Profile(99)


def test_the_command_leaves_data_and_a_page(tmp_path, program, plain, capsys):
    elf = tmp_path / "two.elf"
    elf.write_bytes(program)
    out = tmp_path / "out"
    status = main(["run", str(elf), "--ram-mb", "16", "--profile", "--profile-every", str(EVERY), "--out", str(out)])
    shown = capsys.readouterr().err
    assert status == 0 and f'"trace_hash": "{plain[1]}"' in shown
    assert "translated code" in shown and "hot" in shown
    data = json.loads((out / "profile.json").read_text())
    assert data["guest"]["functions"][0]["function"] == "hot"
    assert data["guest"]["instructions"] == plain[3]
    assert {item["group"] for item in data["host"]["items"]} >= {"start-up", "cores", "devices", "kernel"}
    page = (out / "profile.html").read_text()
    assert "<script" not in page and "http" not in page
    host, own = [xml.fromstring(drawn) for drawn in re.findall(r"<svg.*?</svg>", page, re.DOTALL)]
    assert any(title.text.startswith("cores: ") for title in host.iter("title"))
    assert any(title.text.startswith("hot+0x4: ") for title in own.iter("title"))


def test_symbols_need_a_profile(tmp_path, program, capsys):
    elf = tmp_path / "two.elf"
    elf.write_bytes(program)
    assert main(["run", str(elf), "--symbols", str(elf)]) == 2
    assert "--symbols without --profile" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("status", "mode"), [(0xE0, "kernel"), (0xE8, "supervisor"), (0xF0, "user asid 5"), (0xF2, "kernel")]
)
def test_the_mode_of_a_core(status, mode):
    with Machine("virt", ram="16 MiB") as machine:
        machine.cpu[0].set_state({"cp0": {"status": status, "entryhi": 5}})
        assert machine.cpu[0].mode == mode
