"""Every scenario runs with small parameters, meets its expectations, and keeps what it says it keeps."""

from __future__ import annotations

import importlib.util
import json
import re
from collections import Counter
from pathlib import Path

import pytest

from scenarios import cyclictest, debian, list_scenarios, load
from scenarios.ipi_pingpong import round_trips
from scenarios.library import FOLDER, loaded
from soc.errors import ConfigurationError
from soc.fetch import cpio
from soc.files import cache_root
from soc.trace import Trace
from tests.material import debian_material

PAGE = Path(__file__).parents[2] / "docs" / "scenarios.md"
SMALL = {
    "ipi_pingpong": {"rounds": 5},
    "ipi_storm": {"rounds": 3},
    "timer_jitter": {"cpus": 2, "rounds": 5},
    "irq_affinity": {"rounds": 2},
    "msi_path": {"rounds": 2},
    "eiointc_pins": {"rounds": 8},
    "irqfd_injection": {"rounds": 4},
    "tour": {"rounds": 2},
    "exit_cost": {"rounds": 4},
    "mmio_in_kernel_or_user": {"rounds": 4},
    "ipi_in_guest": {"rounds": 5},
    "irqfd_or_ioctl": {"rounds": 4},
    "timer_across_exit": {"cpus": 1, "rounds": 4},
    "dirty_logging": {"rounds": 40, "pages": 32},
    "vcpu_migration": {"rounds": 400, "tick": "20 us"},
    "live_move": {"rounds": 100, "moves": 1},
    "overcommit": {"rounds": 200, "every": 50, "tick": "50 us"},
}
KEEPS = {
    "ipi_pingpong": ["latency.txt"],
    "ipi_storm": ["latency.txt"],
    "timer_jitter": ["jitter.txt"],
    "irq_affinity": ["uart/trace.soc", "latency-uart.txt", "latency-pic_htvec.txt", "latency-msi_eiointc.txt"],
    "msi_path": ["htvec/trace.soc", "latency-msi_htvec.txt", "latency-msi_eiointc.txt"],
    "eiointc_pins": ["reads.txt"],
    "irqfd_injection": ["latency.txt"],
    "tour": ["latency.txt", "latency.html"],
    "exit_cost": ["costs.txt", "hypercall/trace.soc"],
    "mmio_in_kernel_or_user": ["accesses.txt", "user-write/trace.soc"],
    "ipi_in_guest": ["ipis.txt", "kernel/trace.soc"],
    "irqfd_or_ioctl": ["injection.txt", "irqfd/trace.soc"],
    "timer_across_exit": ["timer.txt", "VM-asleep/trace.soc"],
    "dirty_logging": ["polls.txt", "without/trace.soc"],
    "vcpu_migration": ["migrations.txt", "2-cores/trace.soc"],
    "live_move": ["moves.txt", "pages/trace.soc"],
    "overcommit": ["overcommit.txt", "together-2/trace.soc"],
}
BOOTING = ("cyclictest", "debian_kvm")
ELSEWHERE = ("first_light",)


def test_every_scenario_is_tested():
    assert sorted([*SMALL, *BOOTING, *ELSEWHERE]) == list_scenarios()


@pytest.mark.parametrize("name", SMALL)
def test_a_scenario_runs_and_keeps_its_artefacts(name, tmp_path):
    run = load(name)(out=tmp_path, **SMALL[name])
    assert run.ok, run.failures
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["ended"] == "poweroff"
    for kept in ["shown.txt", "trace.soc", *KEEPS[name]]:
        assert (tmp_path / kept).stat().st_size > 0, kept
    trace = Trace.load(tmp_path / "trace.soc")
    assert (trace.run_hash, trace.about["scenario"]) == (result["trace_hash"], name)
    assert any(line.startswith(f"{name}  ") and "hash" in line for line in run.shown)


@pytest.mark.parametrize("name", [name for name in SMALL if name != "live_move"])
def test_the_same_scenario_gives_the_same_hash(name, tmp_path):
    for folder in "ab":
        load(name)(out=tmp_path / folder, **SMALL[name])
    first, second = (json.loads((tmp_path / folder / "result.json").read_text()) for folder in "ab")
    assert first["trace_hash"] == second["trace_hash"]


def test_the_tour_keeps_a_picture_where_there_is_something_to_draw_it(tmp_path):
    run = load("tour")(out=tmp_path, **SMALL["tour"])
    if importlib.util.find_spec("matplotlib") is None:
        assert any("no picture" in line for line in run.shown)
    else:
        assert (tmp_path / "latency.png").read_bytes().startswith(b"\x89PNG")
    shown = "\n".join(run.shown)
    for path in ("uart", "ipi", "timer", "pic_htvec", "pic_eiointc", "msi_htvec", "msi_eiointc"):
        assert re.search(rf"^{path} +2/2/2/2 ", shown, re.MULTILINE), path


def test_the_tour_also_goes_where_there_is_no_bridge(tmp_path):
    run = load("tour")(platform="virt", cpus=2, rounds=2, out=tmp_path)
    assert run.ok, run.failures
    assert "pic_htvec" not in "\n".join(run.shown)


@pytest.mark.parametrize(
    ("name", "wrong", "said"),
    [
        ("ipi_pingpong", {"rounds": 1}, "rounds = 1; allowed: 2 to 16384"),
        ("ipi_pingpong", {"partner": 2}, "partner = 2; allowed: 1 to 1"),
        ("ipi_storm", {"cpus": 17}, "cpus = 17; allowed: 2 to 16"),
        ("ipi_storm", {"platform": "none"}, "unknown platform 'none'; allowed: virt, ls7a"),
        (
            "timer_jitter",
            {"load": "heavy"},
            "unknown load 'heavy'; allowed: asleep, arithmetic, memory, registers, all",
        ),
        ("timer_jitter", {"timer": "hpet"}, "unknown timer 'hpet'; allowed: compare, stable, both"),
        ("irq_affinity", {"path": "msi"}, "unknown path of platform ls7a 'msi'"),
        ("msi_path", {"traffic": "disk"}, "unknown traffic 'disk'; allowed: doorbell, virtio, linux"),
        ("eiointc_pins", {"target": 2}, "target = 2; allowed: 0 to 1"),
        ("irqfd_injection", {"pin_core": 4}, "pin_core = 4; allowed: 0 to 3"),
        ("tour", {"cpus": 5}, "cpus = 5; allowed: 1 to 4"),
        ("exit_cost", {"rounds": 1}, "rounds = 1; allowed: 2 to 4096"),
        ("exit_cost", {"kvm": "te"}, "unknown KVM back-end for a guest of the library 'te'; allowed: vz, ls3acomp"),
        ("mmio_in_kernel_or_user", {"rounds": 0}, "rounds = 0; allowed: 2 to 4096"),
        ("ipi_in_guest", {"cpus": 3}, "cpus = 3; allowed: 1 to 2"),
        ("irqfd_or_ioctl", {"rounds": 5000}, "rounds = 5000; allowed: 1 to 4096"),
        ("timer_across_exit", {"cpus": 9}, "cpus = 9; allowed: 1 to 8"),
        ("dirty_logging", {"cpus": 5}, "cpus = 5; allowed: 1 to 4"),
        ("vcpu_migration", {"vcpus": 1}, "vcpus = 1; allowed: 2 to 16"),
        ("live_move", {"moves": 0}, "moves = 0; allowed: 1 to 100"),
        ("overcommit", {"every": 9999}, "every = 9999; allowed: 1 to 2000"),
        ("cyclictest", {"loops": 0}, "loops = 0; allowed: 1 to 1000000"),
        ("debian_kvm", {"vcpus": 17}, "vcpus = 17; allowed: 1 to 16"),
    ],
)
def test_wrong_parameters_are_refused_with_what_is_allowed(name, wrong, said, tmp_path):
    with pytest.raises(ConfigurationError, match=re.escape(said)):
        load(name)(out=tmp_path, **wrong)


def test_round_trips_are_equal_and_no_longer_to_another_node():
    near, far = (
        loaded("ipi_pingpong.S", "virt", cpus, rounds=6, partner=partner) for cpus, partner in ((2, 1), (8, 5))
    )
    for game in (near, far):
        assert game.run().ended == "poweroff"
    trips = round_trips(near, 6)
    timing = near.machine.timing
    assert len(set(trips)) == 1
    # Each way: three accesses of the handler, the ball, and the interrupt on its way; every access but the last waits.
    accesses = 2 * (4 * (timing.mmio_request + timing.mmio_reply) + timing.mmio_request + timing.ipi_pin)
    assert accesses < trips[0] < accesses + timing.core.time(2 * 200)
    assert round_trips(far, 6) == trips, "a node's distance is not modelled"


def test_the_page_names_every_scenario_and_its_parameters():
    text = PAGE.read_text(encoding="utf-8")
    for name in list_scenarios():
        assert f"`{name}`" in text, name
        for parameter in load(name).scenario_defaults:
            assert f"`{parameter}`" in text, f"{name}: {parameter}"


# Debian.


def test_cyclictest_in_the_guest_and_the_simulator_agree(tmp_path):
    debian_material()
    if not (cache_root() / "rt-tests" / "manifest.json").exists():
        pytest.skip("rt-tests is not in the cache: `soc scenario run cyclictest` fetches it")
    run = load("cyclictest")(cpus=2, loops=20, out=tmp_path)
    assert run.ok, run.failures
    console = (tmp_path / "console.log").read_text("utf-8", "replace")
    found = cyclictest.histogram(console, 2)
    assert all(sum(counts.values()) >= 19 for counts in found)
    assert any("deadline to handler, by the simulator" in line for line in run.shown)


@pytest.mark.slow
def test_linux_reads_a_virtio_rng_by_msi(tmp_path):
    debian_material(modules=True)
    run = load("msi_path")(traffic="linux", cpus=2, rounds=5, out=tmp_path)
    assert run.ok, run.failures
    table = (tmp_path / "latency.txt").read_text()
    for place in ("memory.msi doorbell", "ls3a_ht_irq.message", "ls3a_router_irq.input[", "end of interrupt"):
        assert place in table


HISTOGRAM = """soc# cyclictest -q
# /dev/cpu_dma_latency set to 0us
# Histogram
000000 000000\t000000
000007 000018\t000020
000041 000002\t000000
# Total: 000000020 000000020
"""


def test_the_histogram_of_cyclictest_is_read():
    assert cyclictest.histogram(HISTOGRAM, 2) == [Counter({7: 18, 41: 2}), Counter({7: 20})]
    assert cyclictest.histogram("cyclictest: not found", 2) == [Counter(), Counter()]
    assert cyclictest.bars(Counter({7: 38, 41: 2})).splitlines()[1].split()[:3] == ["7", "us", "38"]


def test_programs_are_kept_and_an_altered_archive_is_refused(tmp_path, monkeypatch):
    calls = []

    def download(wanted):
        calls.append(wanted)
        return {"package": "1.0"}, {"bin/tool": b"tool", "lib/x/y": b"library"}

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(debian, "_download", download)
    wanted = {"package": {"usr/bin/tool": "bin/tool"}}
    data = debian.programs("tools", wanted)
    entries = [cpio.directory(path) for path in ("bin", "lib", "lib/x")]
    entries += [cpio.file("bin/tool", b"tool", 0o755), cpio.file("lib/x/y", b"library", 0o755)]
    assert data == cpio.archive(entries)
    assert debian.programs("tools", wanted) == data
    assert len(calls) == 1
    kept = tmp_path / "loongson-soc" / "tools" / "tools.cpio"
    kept.write_bytes(b"altered")
    with pytest.raises(ConfigurationError, match="changed since it was fetched"):
        debian.programs("tools", wanted)


def test_the_code_and_the_routines_on_the_page_exist():
    text = PAGE.read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    exec(compile(code, str(PAGE), "exec"), {})
    cores = (FOLDER / "cores.S").read_text()
    section = text[text.index("## Guests for several cores") :]
    for name in re.findall(r"`([a-z_]+)`", section):
        known = re.search(rf"^{name}:|\.macro +{name}\b", cores, re.MULTILINE)
        common = re.search(
            rf"^{name}:", (FOLDER / "common.S").read_text() + (FOLDER / "routes.S").read_text(), re.MULTILINE
        )
        assert known or common or name in ("main", "gp", "_start"), name
