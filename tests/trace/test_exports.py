"""Exports: each is read back and compared with what the trace says."""

import json
import re
from collections import defaultdict

import pytest

from soc.trace import ftrace, perfetto, vcd
from soc.trace.path import END


def exported(trace, tmp_path):
    perfetto.write(trace.activity, tmp_path / "t.json", {"trace hash": "5f1c9a"})
    document = json.loads((tmp_path / "t.json").read_text())
    assert document["otherData"] == {"trace hash": "5f1c9a"} and document["displayTimeUnit"] == "ns"
    return document["traceEvents"]


def ps(event, key="ts"):
    value = event[key] * 10**6
    assert abs(value - round(value)) < 1e-3
    return round(value)


def test_perfetto_events_have_the_documented_fields(trace, tmp_path):
    events = exported(trace, tmp_path)
    needed = {"X": {"ts", "dur", "cat"}, "b": {"ts", "id", "cat"}, "e": {"ts", "id", "cat"}, "M": {"args"}}
    needed |= {phase: {"ts", "id", "cat"} for phase in "stf"}
    for event in events:
        assert needed[event["ph"]] | {"name", "pid", "tid"} <= event.keys()
        assert type(event["pid"]) is type(event["tid"]) is int
    names = {event["args"]["name"] for event in events if event["name"] == "process_name"}
    assert {"cpu0", "cpu1", "uart", "ls3a_ipi", "ls3a_ext_irq", "virtio_blk", "interrupts"} <= names
    assert {event["pid"] for event in events} == {e["pid"] for e in events if e["name"] == "process_name"}


def test_perfetto_slices_of_a_track_nest(trace, tmp_path):
    tracks = defaultdict(list)
    for event in exported(trace, tmp_path):
        if event["ph"] == "X":
            tracks[event["tid"]].append((ps(event), ps(event) + ps(event, "dur")))
    for slices in tracks.values():
        open_until = []
        for start, end in sorted(slices, key=lambda s: (s[0], -s[1])):
            while open_until and open_until[-1] <= start:
                open_until.pop()
            assert not open_until or end <= open_until[-1]
            open_until.append(end)


def test_perfetto_arrows_follow_each_interrupt(trace, tmp_path):
    events = exported(trace, tmp_path)
    slices = defaultdict(list)
    for event in events:
        if event["ph"] == "X":
            slices[event["tid"]].append((ps(event), ps(event) + ps(event, "dur")))
    flows = defaultdict(list)
    for event in events:
        if event["ph"] in "stf":
            flows[event["id"]].append(event)
            # An arrow hangs on a slice at its time.
            assert any(start <= ps(event) <= end for start, end in slices[event["tid"]])
    process = {e["pid"]: e["args"]["name"] for e in events if e["name"] == "process_name"}
    ways = defaultdict(int)
    for flow in flows.values():
        phases = "".join(event["ph"] for event in flow)
        assert re.fullmatch("st*f", phases) and flow[-1]["bp"] == "e"
        assert [ps(event) for event in flow] == sorted(ps(event) for event in flow)
        ways[" ".join(process[event["pid"]] for event in flow)] += 1
    assert ways == {
        "uart ls3a_router_irq cpu0": 4,
        "uart ls3a_router_irq cpu1": 4,
        "cpu0 ls3a_ipi cpu1": 4,
        "cpu1 ls3a_ipi cpu0": 4,
        "virtio_blk memory ls3a_ht_irq ls3a_ext_irq cpu0": 8,
    }


def test_perfetto_has_every_hop_with_its_time(trace, tmp_path):
    begun, hops, origin = {}, defaultdict(list), {}
    for event in exported(trace, tmp_path):
        if event["ph"] == "b":
            origin.setdefault(event["id"], event["name"])
            begun[event["id"], event["name"]] = ps(event)
        elif event["ph"] == "e":
            took = ps(event) - begun.pop((event["id"], event["name"]))
            hops[origin[event["id"]], event["name"]].append(took)
    assert not begun
    for name, values in trace.latency("virtio_blk").samples.items():
        assert hops["virtio_blk.dma", name] == values
    assert hops["ls3a_ipi.pin[0]", "ls3a_ipi.pin[0]"] == trace.latency("ls3a_ipi.pin[0]").totals


def test_vcd_read_back_has_every_edge(trace, tmp_path):
    reader = pytest.importorskip("vcd.reader", reason="pyvcd (extra `waves`) is not installed")
    vcd.write(trace.activity, tmp_path / "t.vcd", {"platform": "ls7a"})
    scope, names, changes, time = [], {}, defaultdict(list), 0
    with (tmp_path / "t.vcd").open("rb") as file:
        for token in reader.tokenize(file):
            kind, data = token.kind.name, token.data
            if kind == "TIMESCALE":
                assert (int(data.magnitude), data.unit.value) == (1, "ps")
            elif kind == "SCOPE":
                scope.append(data.ident)
            elif kind == "UPSCOPE":
                scope.pop()
            elif kind == "VAR":
                names[data.id_code] = ".".join([*scope, data.reference])
            elif kind == "CHANGE_TIME":
                assert data >= time
                time = data
            elif kind in ("CHANGE_SCALAR", "CHANGE_VECTOR"):
                changes[names[data.id_code]].append((time, data.value))
    activity = trace.activity
    for port, stays in activity.lines.items():
        edges = [(0, "0")]
        for stay in stays:
            edges += [(stay.rose, "1"), *([(stay.fell, "0")] if stay.fell is not None else [])]
        assert changes[vcd.identifier(port)] == edges
    pins = [(stay.rose + 10_000, "1") for stay in activity.lines["ls3a_ipi.pin[1]"]]
    assert [change for change in changes["cpu1.ip_6"] if change[1] == "1"] == pins
    handlers = [time for time, _ in changes["cpu0.handler"] if time]
    assert handlers == sorted({entry.time for entry in activity.taken["cpu0"]})
    assert [value for _, value in changes["memory.msi"]][1:3] == [3, "z"]


def test_vcd_without_pyvcd_says_what_to_install(trace, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "vcd", None)
    with pytest.raises(Exception, match=r"pip install '.\[waves\]'"):
        vcd.write(trace.activity, tmp_path / "t.vcd")


def test_ftrace_lines_are_in_order_and_exact(trace, tmp_path):
    ftrace.write(trace.activity, tmp_path / "t.ftrace", {"trace hash": "5f1c9a"})
    line = re.compile(r" *(\w+)-0 +\[(\d{3})\] +(\d+)\.(\d{12}): (\w+): irq=(\d+) (.*)")
    text = (tmp_path / "t.ftrace").read_text().splitlines()
    found = [line.fullmatch(each) for each in text if not each.startswith("#")]
    assert all(found) and "# trace hash: 5f1c9a" in text
    times = [int(m[3]) * 10**12 + int(m[4]) for m in found]
    assert times == sorted(times)
    for number, path in enumerate(trace.activity.paths, 1):
        own = {m[5]: (time, m[2]) for m, time in zip(found, times, strict=True) if int(m[6]) == number}
        assert own["irq_raise"][0] == path.began
        if path.core:
            core = f"{int(path.core[3:]):03d}"
            assert own["irq_handler_entry"] == (path.hops[f"{path.core} handler"], core)
        if path.core and END in path.hops:
            assert own["irq_handler_exit"][0] == path.hops[END]


def test_equal_traces_give_equal_exports(trace, tmp_path):
    for name, module in (("json", perfetto), ("ftrace", ftrace)):
        for place in "ab":
            module.write(trace.activity, tmp_path / f"{place}.{name}")
        assert (tmp_path / f"a.{name}").read_bytes() == (tmp_path / f"b.{name}").read_bytes()
