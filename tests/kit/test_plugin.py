"""The plugin in somebody else's project: found by its entry point, and unnoticed where it is not used."""

import os
import re
import subprocess
import sys
import textwrap
import tomllib

import pytest

from tests.kit import pages

DEVICE = """
from devices.device import Device
from devices.lines import LineOut
from devices.registers import Register, RegisterArray


class Blinker(Device):
    period = Register(0x00, reset=10)
    control = Register(0x04, mask=0x7, fields={"on": 0, "mode": (2, 1)})
    marks = RegisterArray(0x10, count=2)
    done = Register(0x20, access="w1c", mask=0x1)
    lamp = LineOut()

    def on_reset(self):
        self.lamp.level = 0

    def on_write_control(self, value, old):
        if value & 1:
            self.after(1000 * max(1, self.period), "blink")

    def on_timer_blink(self):
        self.lamp.level = not self.lamp.level
        self.done = 1
"""
TEST = """
from blinker import Blinker

PERIOD = 10


def test_it_blinks(rig, golden):
    lamp = rig.device(Blinker)
    lamp.period = PERIOD
    lamp.control = 1
    rig.advance("30 ns")
    assert lamp.done == 1
    lamp.done = 1
    lamp.marks[1] = 5
    golden(rig)
"""


@pytest.fixture
def project(tmp_path):
    """Runs pytest in a folder with a device and files of tests; the package is there as an installed one is."""
    folder, installed = tmp_path / "project", tmp_path / "installed"
    package = installed / "loongson_soc-0.dist-info"
    folder.mkdir()
    package.mkdir(parents=True)
    (folder / "blinker.py").write_text(DEVICE)
    points = tomllib.loads((pages.ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["pytest11"]
    lines = [f"{name} = {module}\n" for name, module in points.items()]
    (package / "entry_points.txt").write_text(f"[pytest11]\n{''.join(lines)}")
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: loongson-soc\nVersion: 0\n")

    def run(*arguments, **files):
        for name, text in files.items():
            (folder / name.replace("__", ".")).write_text(textwrap.dedent(text))
        path = os.pathsep.join([str(installed), str(pages.ROOT), os.environ.get("PYTHONPATH", "")])
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
        environment = {**os.environ, "PYTHONPATH": path}
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
        return done.returncode, done.stdout + done.stderr

    run.folder = folder
    return run


def test_an_unrelated_run_loads_nothing(project):
    status, output = project(
        test_other__py="""
        import sys

        def test_what_is_loaded():
            ours = {name for name in sys.modules if name.split(".")[0] in ("soc", "devices", "cpu", "scenarios")}
            assert ours == {"soc", "soc.kit", "soc.kit.plugin"}
            assert not {"msgpack", "simpy", "numba", "numpy", "hypothesis"} & sys.modules.keys()
        """
    )
    assert status == 0, output


def test_a_golden_trace_from_first_record_to_difference(project):
    status, output = project(test_blinker__py=TEST)
    assert status == 1 and "there is no golden trace" in output and "run once with --update-golden" in output

    status, output = project("--update-golden")
    path = project.folder / "golden" / "test_blinker" / "test_it_blinks.txt"
    assert status == 0 and f"golden trace written: {path}" in output
    assert path.read_text().splitlines()[-4:] == [
        "          10.000 ns    lamp = 1",
        "          30.000 ns  read done = 0x1",
        "          30.000 ns  write done = 0x1",
        "          30.000 ns  write marks[1] = 0x5",
    ]
    assert project()[0] == 0

    status, output = project(test_blinker__py=TEST.replace("PERIOD = 10", "PERIOD = 25"))
    assert status == 1 and "they part at line 2 (golden 7 lines, now 7)" in output
    assert re.search(r"E +- +10.000 ns    lamp = 1\nE +\+ +25.000 ns    lamp = 1", output), output
    assert "--update-golden takes what is now" in output


VECTORS = """
device = "blinker.py:Blinker"
[[vector]]
name = "it is off"
steps = [{ read = { control = 0 } }]
[[vector]]
name = "it is on"
steps = [{ read = { "control.on" = 1 } }]
"""


def test_vectors_are_collected_as_tests(project):
    (project.folder / "blinker.vectors.toml").write_text(VECTORS)
    status, output = project("-vv")
    assert status == 1
    assert "blinker.vectors.toml::it is off PASSED" in output
    assert "blinker.vectors.toml::it is on FAILED" in output
    assert "  control.on: expected 0x1, got 0x0 (the register holds 0x0)" in output
    assert "Traceback" not in output and "vectors.py" not in output
    assert project("-k", "off")[0] == 0


def test_a_file_of_vectors_that_is_wrong_is_a_collection_error(project):
    (project.folder / "blinker.vectors.toml").write_text(VECTORS.replace("steps", "step"))
    status, output = project()
    assert status == 2 and "vector 1: unknown key 'step'; allowed: name, after" in output


def test_register_coverage_tells_what_no_test_touched(project):
    status, output = project("--register-coverage", "--update-golden", test_blinker__py=TEST)
    report = re.search(r"register coverage =+\n(.*?)golden", output, re.DOTALL)[1].splitlines()
    assert status == 0
    # Written: period, control, marks, done; read: done; set: on, two bits of marks, done; cleared: done.
    # Of four registers that are read and written, with 32, 3, 32 and 1 bits to set and clear.
    assert report[0] == "Blinker: 6 % (10 of 144: registers read and written, bits set and cleared)"
    told = {line.split()[0]: " ".join(line.split()[1:]) for line in report[1:]}
    assert told["control"] == "never read, never set: mode, never cleared: on, mode"
    assert told["marks"] == "never read, never set: 31:3 1, never cleared: all"
    assert "done" not in told


def test_random_tries_are_no_coverage(project):
    text = "from blinker import Blinker\nfrom soc.kit import check_device\ndef test_it():\n    check_device(Blinker)\n"
    status, output = project("--register-coverage", test_blinker__py=text)
    assert status == 0 and "no device was accessed" in output, output
