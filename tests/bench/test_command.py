"""`soc bench`: what it refuses, what it prints and what it keeps, with the measurements replaced."""

from __future__ import annotations

import json
import re

import pytest

from cpu.engine import tiers as tiers_module
from soc.__main__ import main
from soc.bench import cores, measure, qemu, separation
from soc.bench.cores import Cores
from soc.bench.errors import BenchError
from soc.bench.measure import Program
from soc.bench.separation import Separation
from soc.commands import bench


@pytest.fixture
def measured(monkeypatch):
    """A QEMU that is four times as fast as ours; the guest is never built."""

    def program(make, tiers, other, rounds, say, theirs=None):
        names = [*tiers, *([other.name] if other else [])]
        return [Program(n, 9, [5.0] * rounds if n in tiers else [2.0] * rounds, [1.0] * rounds, 10**9) for n in names]

    monkeypatch.setattr(bench, "_guest", lambda: lambda count: b"")

    def by(unit):
        return lambda rounds, say: [Cores(n, unit * n, 10**6, [0.01 / n] * rounds) for n in (1, 2, 4)]

    monkeypatch.setattr(measure, "program", program)
    monkeypatch.setattr(cores, "by_count", by(100_000))
    monkeypatch.setattr(cores, "by_window", by(50_000))
    monkeypatch.setattr(qemu, "find", lambda program, cpu: qemu.Qemu((program,), cpu, "99"))


def test_figures_are_shown_and_kept(measured, tmp_path, capsys):
    out = tmp_path / "new" / "bench.json"
    assert main(["bench", "--no-boot", "--no-cold", "--rounds", "2", "--out", str(out)]) == 0
    tables = capsys.readouterr().out.split("\n\n")
    tiers = list(dict.fromkeys((tiers_module.choose("auto").name, "threaded", "reference")))
    assert [row.split()[-1] for row in tables[1].splitlines()[2:]] == ["0.25"] * len(tiers) + ["1"]
    parts = [row.split() for row in tables[2].splitlines()[2:]]
    assert [row[0] for row in parts] == ["mixed", "integer", "double", "memory", "calls", "geometric"]
    assert [row[-3:] for row in parts[:-1]] == [["0.25"] * 3] * 5 and parts[-1][-1] == "0.25"
    kept = json.loads(out.read_text())
    assert kept["rounds"] == 2 and kept["qemu"] == "QEMU 99 Loongson-3A1000"
    assert [result["wall_s"] for result in kept["program"]] == [[5.0, 5.0]] * len(tiers) + [[2.0, 2.0]]
    assert [part["ratios"] for part in kept["compute"]] == [[0.25, 0.25]] * 5
    assert [result["cores"] for result in kept["cores"]] == [1, 2, 4] and "windows" not in kept
    assert {"processor", "processors", "python", "numba"} <= set(kept["host"])


def test_the_speed_over_the_window_is_shown_when_it_is_asked_for(measured, tmp_path, capsys):
    out = tmp_path / "bench.json"
    words = [
        "bench",
        "--no-program",
        "--no-compute",
        "--no-boot",
        "--no-cold",
        "--no-cores",
        "--windows",
        "--out",
        str(out),
    ]
    assert main(words) == 0
    table = capsys.readouterr().out.split("over the window", 1)[1].splitlines()[1:]
    assert [row.split()[0] for row in table[1:]] == ["50.000", "100.000", "200.000"]
    assert [row.split()[-1] for row in table[1:]] == ["0.25", "0.50", "1.00"]
    kept = json.loads(out.read_text())
    assert [result["mips"] for result in kept["windows"]] == pytest.approx([100.0, 200.0, 400.0])
    assert "cores" not in kept


def test_the_cost_of_separation_is_a_command_of_its_own(monkeypatch, tmp_path, capsys):
    def measured(rounds, material, say):
        assert (rounds, material) == (2, None)
        return [Separation("accesses", 100, 100, [1.0, 1.0], [1.5, 1.5], [0.2, 0.2])]

    monkeypatch.setattr(separation, "separation", measured)
    monkeypatch.setattr(bench, "_material", lambda: None)
    out = tmp_path / "separation.json"
    assert main(["bench", "separation", "--rounds", "2", "--out", str(out)]) == 0
    assert capsys.readouterr().out.splitlines()[-1].split() == "accesses 1.00 1.50 50 % 67 67 2000.0 2500.0".split()
    kept = json.loads(out.read_text())
    assert kept["rounds"] == 2 and kept["separation"][0]["overhead"] == 0.5


def test_runs_that_disagree_end_with_status_1_and_no_table(measured, monkeypatch, capsys):
    def program(*_):
        raise BenchError("3 iterations: threaded prints 'a', QEMU 99 prints 'b'")

    monkeypatch.setattr(measure, "program", program)
    assert main(["bench", "--no-boot", "--no-cold", "--no-cores"]) == 1
    said = capsys.readouterr()
    assert "soc: 3 iterations: threaded prints 'a', QEMU 99 prints 'b'" in said.err
    assert "MIPS" not in said.out


def test_a_qemu_that_is_asked_for_must_be_there(capsys):
    assert main(["bench", "--qemu", "no-such-qemu"]) == 2
    assert "--qemu no-such-qemu is no QEMU with a machine loongson3-virt" in capsys.readouterr().err


def test_without_qemu_the_bench_still_runs(measured, monkeypatch, capsys):
    monkeypatch.setattr(qemu, "find", lambda program, cpu: None)
    assert main(["bench", "--no-boot", "--no-cold", "--no-cores"]) == 0
    said = capsys.readouterr()
    assert "qemu-system-mips64el is not here" in said.err
    assert "threaded" in said.out


def test_a_missing_compiler_names_the_extra_and_the_way_round(monkeypatch, capsys):
    from scenarios.guests import build

    monkeypatch.setattr(build, "COMPILER", "no-such-compiler-package")
    assert main(["bench", "--no-boot", "--no-cold", "--no-cores"]) == 2
    said = capsys.readouterr().err
    assert "`pip install '.[guests]'`" in said and "`soc bench --no-program --no-compute`" in said


def results(path, mips: float, wall: float, **more) -> str:
    program = {"name": "threaded", "mips": mips}
    boot = {"name": "soc", "command_line": "", "wall_s": [wall, wall + 1, wall + 2]}
    path.write_text(json.dumps({"host": {}, "program": [program], "boot": [boot], **more}))
    return str(path)


def test_two_result_files_are_put_side_by_side(tmp_path, capsys):
    before = results(tmp_path / "a.json", 100.0, 3.0)
    part = {"part": "double", "ours": {"name": "stencil", "mips": 900.0}, "ratios": [3.0, 5.0, 4.0]}
    after = results(tmp_path / "b.json", 150.0, 1.0, compute=[part])
    assert main(["bench", "compare", before, after]) == 0
    cells = [re.split("  +", row) for row in capsys.readouterr().out.splitlines()]
    rows = {first: rest for first, *rest in cells}
    assert rows["program, threaded"] == ["MIPS", "100", "150", "1.500"]
    assert rows["boot, soc, default"] == ["s", "4", "2", "2.000"]
    assert rows["double, of QEMU"] == ["times", "4"]


@pytest.mark.parametrize("text", [None, "no json", "[]", "{}"])
def test_what_is_no_result_file_is_refused(tmp_path, capsys, text):
    path = tmp_path / "a.json"
    if text is not None:
        path.write_text(text)
    assert main(["bench", "compare", str(path), str(path)]) == 2
    assert "Give a file of `soc bench --out`" in capsys.readouterr().err
