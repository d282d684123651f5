"""`soc doctor`: what this host offers, and what is missing for which feature."""

import argparse
import importlib.metadata
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from typing import NamedTuple

from soc.commands.output import FAILED, OK
from soc.errors import SocError

REQUIRED = ("simpy", "numba", "numpy", "msgpack", "pytest", "pyelftools", "rich")
EXTRAS = {
    "hypothesis": "property tests (extra `dev`)",
    "ruff": "`make lint` (extra `dev`)",
    "ziglang": "guests written in C (extra `guests`)",
    "matplotlib": "pictures (extra `plots`)",
    "pyvcd": "`soc trace export --vcd` (extra `waves`)",
}
TOOLS = {
    "apt-get": "`soc fetch debian`",
    "qemu-mips64el": "differential tests of user instructions",
    "qemu-system-mips64el": "differential tests of the machine",
    "mips64el-linux-gnuabi64-objdump": "tests of the assembler and disassembler",
    "gdb-multiarch": "tests of the debugger interface",
}


class Check(NamedTuple):
    """One finding: `state` is 'ok', 'missing' (an optional thing) or 'BAD' (the simulator cannot run)."""

    state: str
    what: str
    detail: str


def add(commands: argparse._SubParsersAction) -> None:
    """Declares the command."""
    parser = commands.add_parser("doctor", help="check this host: Python, packages, tools, fetched material")
    parser.set_defaults(command=doctor)


def doctor(arguments: argparse.Namespace) -> int:
    """Prints a line per check on standard output; status 1 when something required is missing."""
    checks = list(findings())
    for check in checks:
        print(f"{check.state:8}{check.what:34}{check.detail}")
    return FAILED if any(check.state == "BAD" for check in checks) else OK


def findings() -> Iterator[Check]:
    """Every check, in the order of printing."""
    version = platform.python_version()
    yield Check("ok" if sys.version_info >= (3, 11) else "BAD", f"Python {version}", "3.11 or newer is needed")
    yield Check("ok", f"host {platform.machine()} {platform.system()}", f"{os.cpu_count()} processors")
    for name in REQUIRED:
        yield _package(name, "required", "BAD")
    for name, purpose in EXTRAS.items():
        yield _package(name, purpose, "missing")
    for name, purpose in TOOLS.items():
        path = shutil.which(name)
        yield Check("ok" if path else "missing", name, purpose)
    yield _material()


def _package(name: str, purpose: str, state: str) -> Check:
    try:
        return Check("ok", f"{name} {importlib.metadata.version(name)}", purpose)
    except importlib.metadata.PackageNotFoundError:
        return Check(state, name, purpose)


def _material() -> Check:
    from soc.fetch import debian

    try:
        material = debian.cached()
    except SocError as error:
        return Check("missing", "Debian kernel", str(error).replace("\n", " "))
    if material is None:
        return Check("missing", "Debian kernel", "`soc fetch debian` gets it")
    kernel = material.manifest["kernel"]
    return Check("ok", f"Debian kernel {kernel['version']}", str(material.directory))
