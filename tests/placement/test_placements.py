"""Where a device runs changes nothing of what happens: the same trace hash everywhere."""

from __future__ import annotations

import json
import random
import subprocess
import sys

import pytest

from scenarios import list_scenarios, load
from scenarios.library import guest
from soc import Machine, PoweredOff
from soc.errors import SocError
from soc.files import cache_root
from soc.options import placed
from soc.placement.supervision import Supervisor
from soc.platforms import find
from soc.trace import Trace
from tests.material import debian_material
from tests.placement.conftest import ROOT
from tests.placement.test_strikes import second, undisturbed
from tests.scenarios.test_scenarios import SMALL

PLATFORMS = ("virt", "ls7a")
SCENARIOS = {
    **SMALL,
    "first_light": {"rounds": 10},
    "cyclictest": {"cpus": 2, "loops": 20},
    "debian_kvm": {"compare": False},
}
IN_DEFAULT_RUN = ("first_light", "irqfd_injection", "ipi_in_guest")
MIXES = 10


def hashes_of(name, placement, folder):
    """The trace hash of each machine of a scenario that must meet its expectations, by the folder of its trace."""
    with placed(placement):
        run = load(name)(out=folder, **SCENARIOS[name])
    assert run.ok, run.failures
    traces = {str(path.parent.relative_to(folder)): Trace.load(path).run_hash for path in folder.rglob("trace.soc")}
    assert json.loads((folder / "result.json").read_text())["trace_hash"] in traces.values()
    return traces


def mix(seed, places):
    """A place for every device of every platform, drawn with `seed`."""
    draw = random.Random(seed)
    names = sorted({part.name for name in PLATFORMS for part in find(name).with_devices({}).parts})
    return {"all": draw.choice(places), **{name: draw.choice(places) for name in names if name != "eventfd"}}


def needs_its_material(name):
    if name in ("debian_kvm", "cyclictest"):
        debian_material()
    if name == "cyclictest" and not (cache_root() / "rt-tests" / "manifest.json").exists():
        pytest.skip("rt-tests is not in the cache: `soc scenario run cyclictest` fetches it")


def test_every_scenario_is_placed():
    assert set(SCENARIOS) == set(list_scenarios())


@pytest.mark.parametrize("name", IN_DEFAULT_RUN)
def test_a_scenario_has_one_hash_in_process_and_with_every_device_in_a_process_of_its_own(name, tmp_path):
    here = hashes_of(name, {"all": "inprocess"}, tmp_path / "here")
    assert hashes_of(name, {"all": "process"}, tmp_path / "there") == here


@pytest.fixture
def started(monkeypatch):
    """Where devices of the machines of this process were started elsewhere: `process` or the server."""
    places, start = set(), Supervisor.start
    monkeypatch.setattr(Supervisor, "start", lambda self: (places.add(self.place.where), start(self)))
    return places


@pytest.mark.slow
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_scenario_has_one_hash_everywhere(name, tmp_path, server, started):
    needs_its_material(name)
    there = server()
    here = hashes_of(name, {"all": "inprocess"}, tmp_path / "here")
    assert not started
    assert hashes_of(name, {"all": "process"}, tmp_path / "process") == here
    assert hashes_of(name, {"all": there}, tmp_path / "tcp") == here
    assert started == {"process", there}
    for seed in range(MIXES):
        placement = mix(seed, ("inprocess", "process", there))
        assert hashes_of(name, placement, tmp_path / str(seed)) == here, placement


def first_light(placement, **options):
    machine = Machine("virt", placement=placement, **options)
    machine.load(guest("first_light.S", rounds=5).to_elf())
    return machine


def test_a_guest_has_one_hash_over_tcp_and_in_a_random_mix(server):
    there = server()
    expected = first_light("inprocess").run(until=PoweredOff).trace_hash
    for placement in (there, mix(0, ("inprocess", "process", there))):
        known = {part.name for part in find("virt").parts} | {"all"}
        placement = {n: p for n, p in placement.items() if n in known} if type(placement) is dict else placement
        with first_light(placement) as machine:
            assert machine.run(until=PoweredOff).trace_hash == expected


def test_a_guest_of_every_device_has_one_hash_in_processes_and_over_tcp(server):
    """Its cores write configuration registers of one device by another, which neither scenarios nor a boot do."""
    expected, times = undisturbed()
    draw, places = random.Random(1), ("process", server())
    with second(placement={name: draw.choice(places) for name in times if name != "eventfd"}) as machine:
        assert machine.run(until=PoweredOff).trace_hash == expected


def test_records_and_latencies_are_the_same(tmp_path):
    tables = []
    for placement in ("inprocess", "process"):
        with first_light(placement, trace=True) as machine:
            machine.run(until=PoweredOff)
            tables.append((machine.trace.latency().table(), [str(record) for record in machine.trace.records]))
    assert tables[0] == tables[1]


def test_the_host_sees_a_device_in_another_process_as_one_of_its_own():
    with first_light({"uart": "process", "ls3a_router_irq": "process"}) as machine:
        assert machine.bus.read(0x1FE0_01E5, 1) == 0x60
        machine.bus.write(0x1FE0_01E7, 1, 0x5A)
        assert machine.bus.read(0x1FE0_01E7, 1) == 0x5A == machine.devices["uart"].state["scr"]
        here = first_light("inprocess")
        here.bus.write(0x1FE0_01E7, 1, 0x5A)
        assert machine.devices["uart"].state == here.devices["uart"].state
        assert machine.components["uart"].save() == here.components["uart"].save()


def test_a_device_process_loads_neither_numba_nor_simpy():
    with first_light({"uart": "process"}) as machine:
        pid = machine.components["uart"].supervisor.connection.process.pid
        with open(f"/proc/{pid}/maps") as maps:
            mapped = maps.read()
        assert "msgpack" in mapped
        assert not [name for name in ("numba", "llvmlite", "numpy") if name in mapped]
    code = "import sys, soc.placement.serve, soc.commands.device; print({'simpy', 'numba', 'cpu'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize(
    ("platform", "options", "says"),
    [
        ("ls7a", {"placement": {"eventfd": "process"}}, "the host calls this device"),
        (
            "virt",
            {"devices": {"virtio_net": {"peer": lambda frame: []}}, "placement": "process"},
            "its option peer = .* cannot be sent to another process",
        ),
        ("virt", {"devices": {"virtio_rng": {"sead": 7}}, "placement": "process"}, "virtio_rng.*sead"),
        ("virt", {"placement": "tcp://127.0.0.1:1"}, "no device server at 127.0.0.1:1"),
    ],
)
def test_what_cannot_be_placed_is_refused_with_the_device_named(platform, options, says):
    with pytest.raises(SocError, match=says):
        Machine(platform, **options)


def boots(platform, cpus, places, limits):
    material = debian_material()
    found = []
    for place in places:
        with Machine(platform, cpus=cpus, placement=place, append="nokaslr cryptomgr.notests") as machine:
            machine.load(material.kernel, initrd=material.initrd)
            found.append(machine.run(**limits).trace_hash)
    return found


def test_the_first_instructions_of_a_boot_have_one_hash():
    assert len(set(boots("virt", 1, ("inprocess", "process"), {"max_insns": 20_000_000}))) == 1


@pytest.mark.slow
@pytest.mark.parametrize(("platform", "cpus"), [("virt", 1), ("ls7a", 4)])
def test_a_boot_has_one_hash_everywhere(platform, cpus, server):
    there = server()
    known = {"all", *(part.name for part in find(platform).with_devices({}).parts)}
    mixes = [mix(seed, ("inprocess", "process", there)) for seed in range(MIXES)]
    places = ["inprocess", "process", there, *({n: p for n, p in m.items() if n in known} for m in mixes)]
    assert len(set(boots(platform, cpus, places, {"until": "INIT-UP", "max_virtual": "20 s"}))) == 1
