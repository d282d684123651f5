"""Who may import whom, checked in fresh processes and in the sources (docs/architecture.md)."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GROUND = {
    f"soc.{name}"
    for name in ("time", "messages", "ports", "errors", "files", "garbage", "process", "ram", "nodes", "bits")
}


@pytest.mark.parametrize(
    ("imported", "absent"),
    [
        ("devices", {"simpy", "numba", "cpu"}),
        ("devices.uart16550, devices.ls3a_router_irq, devices.rtc", {"simpy", "numba", "cpu"}),
        ("cpu", {"simpy", "devices"}),
        ("soc", {"simpy", "numba", "cpu", "devices"}),
        ("soc.messages, soc.ports, soc.time, soc.errors", {"simpy", "numba", "cpu", "devices"}),
        ("soc.machine", {"numba", "cpu", "devices"}),
    ],
)
def test_what_an_import_brings_along(imported, absent):
    code = f"import sys, {imported}; print(sorted(set(sys.modules) & {absent!r}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


@pytest.mark.parametrize("package", ["cpu", "devices"])
def test_lower_floors_import_only_the_ground_floor_of_soc(package):
    other = {"cpu": "devices", "devices": "cpu"}[package]
    wrong = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in (ROOT / package).rglob("*.py")
        for name in imports(path)
        if (name.split(".")[0] == "soc" and name not in GROUND) or name.split(".")[0] in (other, "simpy", "scenarios")
    }
    assert not wrong


def test_nothing_imports_scenarios():
    wrong = {
        str(path.relative_to(ROOT))
        for package in ("soc", "cpu", "devices")
        for path in (ROOT / package).rglob("*.py")
        if any(name.split(".")[0] == "scenarios" for name in imports(path))
    }
    assert not wrong - {"soc/commands/scenario.py"}


def test_the_lazy_package_names_what_it_offers():
    import soc

    assert soc.SocError is __import__("soc.errors", fromlist=["SocError"]).SocError
    assert {"Machine", "PoweredOff", "Timing"} <= set(dir(soc))
    with pytest.raises(AttributeError, match="Machine"):
        _ = soc.Nothing
