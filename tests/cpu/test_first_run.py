"""The first run after an installation: what another process compiles, and that nothing needs it to."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import nullcontext

import pytest

from cpu.engine import cache, tiers
from soc import process

RUN = """
import sys
from cpu.engine import cache, tiers
{change}
from cpu.cluster import Cluster
from cpu.engine import threaded
from cpu.memory import PAGE, Memory
compiled = []
make = threaded.Threaded._compile
threaded.Threaded._compile = lambda self: compiled.append("here") or make(self)
cluster = Cluster(Memory(PAGE), 1, "threaded")
cluster.run(1000)
print(*compiled or ["elsewhere"], cluster.cores[0].cycles, cluster.cores[0].instructions)
"""
CHANGES = {
    "one processor": "import os; os.cpu_count = lambda: 1",
    "it fails": "tiers.CORE = 'raise SystemExit(1)'",
    "it cannot start": "sys.executable = '/nowhere/python'",
}


@pytest.fixture
def empty(tmp_path, monkeypatch):
    """An empty cache of compiled code, in which nothing is really compiled."""
    monkeypatch.setattr(cache, "directory", lambda: tmp_path)
    started = []
    monkeypatch.setattr(process, "alongside", lambda *arguments: started.append(arguments) or nullcontext())
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    return started


@pytest.mark.parametrize("tier", ["threaded", "stencil"])
def test_a_process_is_started_for_what_is_not_compiled_yet(empty, tier):
    assert not tiers.is_compiled(tier)
    with tiers.compiling_elsewhere(tier):
        pass
    ((option, code),) = empty
    assert option == "-c" and repr(tier) in code


def test_none_is_started_for_what_is_compiled_or_needs_nothing(empty):
    from cpu.engine import stencil_tables, threaded

    assert tiers.is_compiled("reference")
    threaded.kept_at().write_bytes(b"")
    assert tiers.is_compiled("threaded") and not tiers.is_compiled("stencil")
    stencil_tables.kept_at().write_bytes(b"")
    assert tiers.is_compiled("stencil") and tiers.is_compiled("auto")
    for tier in ("reference", "threaded", "stencil", "auto"):
        with tiers.compiling_elsewhere(tier):
            pass
    assert not empty


def test_none_is_started_where_it_could_leave_nothing(empty, tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "directory", lambda: tmp_path / "none")
    with tiers.compiling_elsewhere("threaded"):
        pass
    assert not empty


def test_none_is_started_on_one_processor(empty, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    with tiers.compiling_elsewhere("threaded"):
        pass
    assert not empty


def test_what_the_process_runs_makes_a_core():
    subprocess.run([sys.executable, "-c", tiers.CORE.format("auto")], check=True, timeout=200)


def first_run(folder, change: str = "") -> list[str]:
    """Who compiled tier T in a first run of a cluster, and how far the core came."""
    environment = {**os.environ, "XDG_CACHE_HOME": str(folder)}
    environment.pop("NUMBA_CACHE_DIR", None)
    code = RUN.format(change=change)
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=300, check=True
    )
    return done.stdout.split()


@pytest.mark.slow
@pytest.mark.skipif(os.cpu_count() == 1, reason="one processor")
def test_the_first_run_comes_as_far_with_the_other_process_and_without(tmp_path):
    who, *reached = first_run(tmp_path / "whole")
    assert who == "elsewhere"
    for name, change in CHANGES.items():
        assert first_run(tmp_path / name, change) == ["here", *reached], name
    (tmp_path / "file").touch()
    assert first_run(tmp_path / "file") == ["here", *reached]
    assert first_run(tmp_path / "whole", "tiers.CORE = 'raise SystemExit(1)'") == ["elsewhere", *reached]
