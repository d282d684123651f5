"""`soc bench`: what it refuses, what it prints and what it keeps, with the measurements replaced."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

from scenarios.guests import build
from soc.bench import qemu, results, sections
from soc.bench.boots import Boot
from soc.bench.contest import Pair, Program
from soc.bench.cores import Cores
from soc.bench.errors import BenchError
from soc.bench.results import Results
from soc.bench.separation import Separation
from soc.commands.line import main

SEPARATION = sections.SECTIONS["separation"]


def program(name: str, engine_s: float, iterations: int = 1001) -> Program:
    """Two rounds."""
    times = [1.0 + engine_s] * 2, [1.0] * 2
    return Program(name, iterations, *times, *times, 10**9)


def pairs(setting) -> list[Pair]:
    """Ours is four times as slow as QEMU."""
    theirs = program(setting.qemu.name, 1.0) if setting.qemu else None
    return [Pair(name, program(setting.tier, 4.0), theirs) for name in ("one", "two")]


@pytest.fixture
def measured(monkeypatch):
    """A QEMU and three sections that measure nothing."""
    known = sections.SECTIONS
    fakes = {
        "compute": pairs,
        "system": pairs,
        "cores": lambda setting: [Cores(n, 100_000, 10**6, [0.01 * n] * 2) for n in (1, 4)],
    }
    monkeypatch.setattr(
        sections, "SECTIONS", {name: replace(known[name], measure=measure) for name, measure in fakes.items()}
    )
    monkeypatch.setattr(qemu, "find", lambda program, cpu: qemu.Qemu((program,), cpu, "99"))


def test_figures_are_shown_and_kept(measured, tmp_path, capsys):
    out = tmp_path / "new" / "bench.json"
    assert main(["bench", "--rounds", "2", "--out", str(out)]) == 0
    compute, system, cores = (text.splitlines() for text in capsys.readouterr().out.split("\n\n")[1:])
    assert compute[0] == "Compute set; 2 rounds"
    assert [line.split()[-3:] for line in compute[2:4]] == [["0.25"] * 3] * 2
    assert compute[4].split() == ["geometric", "mean", "0.25"]
    assert system[2].split()[:4] == ["one", "1000000", "4000000", "1000000"], "instructions and ns of an operation"
    assert cores[3].split()[-3:] == ["4.00"] * 3
    kept = results.read(out)
    assert (kept.rounds, kept.qemu, list(kept.sections)) == (
        2,
        "QEMU 99 Loongson-3A1000",
        ["compute", "system", "cores"],
    )
    assert kept.sections["compute"][0].ratios == [0.25, 0.25]
    assert {"processor", "processors", "python", "numba"} <= set(kept.host)


@pytest.mark.parametrize(("out", "why"), [("/dev/null", "it is no regular file"), ("/dev/null/x", "File exists")])
def test_results_that_could_not_be_kept_are_not_measured(measured, capsys, out, why):
    assert main(["bench", "--out", out]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and f"soc: cannot write --out {out}: {why}.\n     Give another file." in captured.err


def test_sections_can_be_chosen(measured, capsys):
    assert main(["bench", "--only", "cores, system"]) == 0
    shown = capsys.readouterr().out
    assert re.findall("^(.*); 5 rounds$", shown, re.M) == [
        "Operations of a kernel",
        "The same busy program on every core",
    ]
    assert main(["bench", "--only", "cors"]) == 2
    assert "unknown section 'cors'" in capsys.readouterr().err
    assert main(["bench", "--only", "help"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["compute", "system", "cores"]


def test_runs_that_disagree_end_with_status_1_and_the_other_sections_are_measured(measured, monkeypatch, capsys):
    def measure(setting):
        raise BenchError("3 iterations: threaded prints 'a', QEMU 99 prints 'b'")

    monkeypatch.setitem(sections.SECTIONS, "compute", replace(sections.SECTIONS["compute"], measure=measure))
    assert main(["bench", "--quick"]) == 1
    said = capsys.readouterr()
    assert "soc: 3 iterations: threaded prints 'a', QEMU 99 prints 'b'" in said.err
    assert "Compute set" not in said.out and "Operations of a kernel; 1 round\n" in said.out


def test_the_cost_of_separation_is_a_command_of_its_own(measured, monkeypatch, tmp_path, capsys):
    def measure(setting):
        return [Separation("accesses", 100, 100, *([value] * setting.rounds for value in (1.0, 1.5, 0.2)))]

    monkeypatch.setitem(sections.SECTIONS, "separation", replace(SEPARATION, measure=measure))
    out = tmp_path / "bench.json"
    assert main(["bench", "separation", "--rounds", "2", "--out", str(out)]) == 0
    assert capsys.readouterr().out.splitlines()[-1].split()[:4] == ["accesses", "1.00", "1.50", "50"]
    assert list(results.read(out).sections) == ["separation"]


def test_what_was_measured_before_an_interruption_is_kept(measured, monkeypatch, tmp_path, capsys):
    def measure(setting):
        raise KeyboardInterrupt

    monkeypatch.setitem(sections.SECTIONS, "system", replace(sections.SECTIONS["system"], measure=measure))
    out = tmp_path / "bench.json"
    assert main(["bench", "--out", str(out)]) == 130
    assert "soc: interrupted." in capsys.readouterr().err
    assert list(results.read(out).sections) == ["compute"]


@pytest.mark.parametrize(("option", "wanted"), [("--qemu", "with a machine loongson3-virt"), ("--qemu-user", "")])
def test_a_qemu_that_is_asked_for_must_be_there(capsys, option, wanted):
    assert main(["bench", option, "no-such-qemu"]) == 2
    assert f"{option} no-such-qemu is no QEMU {wanted}".strip() in capsys.readouterr().err


def test_without_qemu_the_bench_still_runs(measured, monkeypatch, capsys):
    monkeypatch.setattr(qemu, "find", lambda program, cpu: None)
    assert main(["bench", "--only", "compute"]) == 0
    said = capsys.readouterr()
    assert "qemu-system-mips64el is not here" in said.err
    assert "geometric" not in said.out


def test_without_the_compiler_its_sections_are_left_out_unless_they_are_asked_for(monkeypatch, capsys):
    monkeypatch.setattr(build, "COMPILER", "no-such-compiler-package")
    known = sections.SECTIONS
    monkeypatch.setattr(sections, "SECTIONS", {name: known[name] for name in ("compute", "vector", "tiers", "guest")})
    assert main(["bench"]) == 0
    said = capsys.readouterr().err
    assert said.count("is left out") == 4 and "`pip install '.[guests]'`" in said
    assert main(["bench", "--only", "vector"]) == 2
    assert "`pip install '.[guests]'`" in capsys.readouterr().err


def kept(path, engine_s: float, wall_s: float, **more) -> str:
    """A result file."""
    found = Results({}, 2)
    boot = Boot("soc", "", wall_s=[wall_s, wall_s], engine_s=[1.0, 1.0], peak_mib=[100.0 * wall_s])
    found.sections = {"tiers": [program("threaded", engine_s)], "boot": [boot], **more}
    found.write(path)
    return str(path)


def test_two_result_files_are_put_side_by_side(tmp_path, capsys):
    before = kept(tmp_path / "a.json", 10.0, 4.0)
    part = Pair("double", program("stencil", 1.0), program("QEMU 99 CPU", 4.0))
    after = kept(tmp_path / "b.json", 5.0, 2.0, compute=[part], system=[part])
    assert main(["bench", "compare", before, after]) == 0
    cells = [re.split("  +", row) for row in capsys.readouterr().out.splitlines()]
    rows = {first: rest for first, *rest in cells}
    assert rows["tiers: threaded"] == ["MIPS", "100", "200", "2.000"]
    assert rows["boot: soc, default"] == ["s", "4", "2", "2.000"]
    assert rows["boot: soc, default, peak"] == ["MiB", "400", "200", "2.000"]
    assert rows["compute: double, of QEMU"] == ["times", "4"]
    assert rows["system: double"] == ["ns", "1e+06"]


@pytest.mark.parametrize("text", [None, "no json", "[]", "{}"])
def test_what_is_no_result_file_is_refused(tmp_path, capsys, text):
    path = tmp_path / "x.json"
    if text is not None:
        path.write_text(text)
    assert main(["bench", "compare", str(path), str(path)]) == 2
    assert "Give a file of `soc bench --out`" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        (lambda data: data.update(version=1), "is of version 1; this `soc bench` reads version 2"),
        (lambda data: data.pop("rounds"), "the file has no rounds"),
        (lambda data: data.update(more=1), "the file has more, which is unknown here"),
        (lambda data: data.update(qemu=7), "qemu = 7, str is needed"),
        (lambda data: data["sections"].update(speed=[]), "unknown section 'speed'"),
        (lambda data: data["sections"].update(tiers=[]), r"tiers: a list of rows is needed, not []"),
        (lambda data: data["sections"]["tiers"][0].pop("wall_s"), r"tiers[0] has no wall_s"),
        (lambda data: data["sections"]["tiers"][0]["wall_s"].append("2"), r"tiers[0].wall_s[2] = '2', float is needed"),
        (lambda data: data["sections"]["boot"][0].update(counters=[]), r"boot[0].counters = [], an object is needed"),
    ],
)
def test_a_damaged_file_is_named_with_the_place(tmp_path, capsys, change, wanted):
    path = tmp_path / "x.json"
    kept(path, 1.0, 1.0)
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))
    assert main(["bench", "compare", str(path), str(path)]) == 2
    assert wanted in capsys.readouterr().err
