"""Bad usage, and the small commands."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from soc.commands import doctor
from soc.commands.line import main, parser
from soc.commands.scenario import parameters
from soc.errors import ConfigurationError

ROOT = Path(__file__).parents[2]
DOCTOR = ("-m", "soc", "doctor")


def soc(*words: str, **streams: object) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "soc", *words]
    return subprocess.run(command, stderr=subprocess.PIPE, text=True, timeout=60, **streams)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ([], "COMMAND"),
        (["bot"], "invalid choice: 'bot'"),
        (["run"], "PROG.elf"),
        (["run", "x", "--platform", "ls7a"], "unrecognized arguments: --platform ls7a.\n     `soc run --help` lists"),
        (["run", "x", "--max-insns", "0"], "'0' is not a positive whole number"),
        (["run", "x", "--ram-mb", "many"], "'many' is not a positive whole number"),
        (["boot", "--max-virtual", "3x"], "cannot read duration '3x'"),
        (["run", "x", "--until", ""], "--until: a text that is not empty is needed"),
        (["run", "x", "--out", ""], "--out: a text that is not empty is needed"),
        (["boot", "--tier", "warp"], "invalid choice: 'warp'"),
        (["boot", "--platform", "pc"], "invalid choice: 'pc'"),
        (["fetch"], "WHAT"),
    ],
)
def test_bad_usage_exits_2_and_says_why(arguments, why, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("soc: ")
    assert why in error


def test_the_options_that_scripts_use_are_there():
    boot = "--platform virt --cpus 1 --ram-mb 512 --kernel F --initrd F --append S --disk I --script F --until T"
    boot += " --max-virtual 120s --max-insns 5 --hypervisor kvm --vcpus 1 --place all=process --slice 9 --tier auto"
    arguments = parser().parse_args(["boot", *boot.split(), "--strict", "--out", "D"])
    assert (arguments.max_virtual, arguments.slice, arguments.strict) == (120 * 10**12, 9, True)
    run = "run P.elf --cpus 1 --ram-mb 512 --max-insns 7 --dump-state F.json"
    assert parser().parse_args(run.split()).dump_state == "F.json"


def test_doctor_looks_for_the_packages_that_the_project_asks_for():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = [word for words in project["optional-dependencies"].values() for word in words]
    assert [word.partition(">=")[0] for word in project["dependencies"]] == list(doctor.REQUIRED)
    assert [word.partition(">=")[0] for word in extras] == list(doctor.EXTRAS)


def test_doctor_reports_python_packages_tools_and_material(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("ok      simpy ") for line in lines)
    assert lines[-1].split(maxsplit=1) == ["missing", f"{'Debian kernel':34}`soc fetch debian` gets it"]


DEFAULTS = {"rounds": 100, "typing": "x", "quick": False, "type_at": "50 us"}


def test_parameters_have_the_types_of_their_defaults():
    words = ["--rounds", "0x10", "--typing=12", "--quick", "--type-at", "1 ms"]
    assert parameters(words, DEFAULTS) == {"rounds": 16, "typing": "12", "quick": True, "type_at": "1 ms"}
    assert parameters(["--quick", "no"], DEFAULTS) == {"quick": False}


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--speed", "1"], "unknown parameter '--speed'; allowed: --rounds"),
        (["rounds"], "unknown parameter 'rounds'"),
        (["--rounds"], "--rounds lacks its value"),
        (["--rounds", "x"], "--rounds x: a whole number is needed"),
        (["--quick", "maybe"], "--quick maybe: yes or no is needed"),
    ],
)
def test_bad_parameters_are_named(words, why):
    with pytest.raises(ConfigurationError, match=why):
        parameters(words, DEFAULTS)


def test_the_version_is_that_of_the_package(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith("loongson-soc")


def test_help_for_a_scenario_has_its_parameters(capsys):
    assert main(["scenario", "run", "first_light", "--rounds", "3", "--help"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("usage: soc scenario run NAME") and "--rounds 100\n" in shown


def test_placing_a_device_that_no_machine_of_a_scenario_has_is_bad_input(capsys):
    assert main(["scenario", "run", "first_light", "--rounds", "1", "--place", "uart=inprocess,pump=inprocess"]) == 2
    assert capsys.readouterr().err.endswith("soc: --place: no machine of first_light has a device pump.\n")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this host has no /dev/full")
def test_output_that_the_host_refuses_is_told():
    with open("/dev/full", "w") as full:
        told = soc("scenario", "list", stdout=full)
    assert (told.returncode, told.stderr) == (1, "soc: cannot write: No space left on device.\n")


def test_an_interrupt_while_it_loads_ends_like_a_later_one():
    program = """
import sys, soc.__main__
class Interrupt:
    def find_spec(name, path=None, target=None):
        if name == "soc.commands.line":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupt)
soc.__main__.command()
"""
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (told.returncode, told.stderr) == (130, "soc: interrupted.\n")


def test_output_that_nobody_reads_ends_without_a_word():
    reading, writing = os.pipe()
    os.close(reading)
    told = soc("scenario", "list", stdout=writing)
    os.close(writing)
    assert (told.returncode, told.stderr) == (141, "")


@pytest.mark.parametrize("closed", [0, 1, 2])
def test_a_closed_standard_stream_leads_nowhere(closed):
    program = f"import os, runpy; os.close({closed}); os.execv({sys.executable!r}, {[sys.executable, *DOCTOR]!r})"
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert told.returncode == 0 and told.stderr == ""
    assert (told.stdout == "") == (closed == 1)


def test_an_unknown_scenario_lists_those_there_are(capsys):
    assert main(["scenario", "run", "nothing"]) == 2
    assert "unknown scenario 'nothing'; allowed: " in capsys.readouterr().err
