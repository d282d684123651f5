"""The real gdb, where the host has one that knows MIPS."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.gdb.client import Run
from tests.gdb.programs import guest, machine

GDB = shutil.which("gdb-multiarch")
pytestmark = pytest.mark.skipif(GDB is None, reason="no gdb-multiarch")
PATIENCE_S = 120


def gdb(run: Run, *commands: str, file: Path | None = None) -> str:
    """What gdb says to the commands, after it has connected."""
    before = ["set pagination off", "set confirm off", f"target remote {run.server.address}"]
    if file is None:
        before = ["set architecture mips:isa64r2", "set mips abi n64", "set endian little", *before]
    arguments = [part for command in (*before, *commands) for part in ("-ex", command)]
    line = [GDB, "-nx", "-q", "-batch", *arguments, *([str(file)] if file else [])]
    done = subprocess.run(line, capture_output=True, text=True, timeout=PATIENCE_S)
    return done.stdout + done.stderr


@pytest.fixture
def elf(tmp_path):
    guest().to_elf(tmp_path / "guest.elf")
    return tmp_path / "guest.elf"


@pytest.mark.parametrize("tier", ["reference", "threaded", "stencil"])
def test_a_session_changes_nothing(elf, tier):
    run = Run(machine(cpus=2, tier=tier))
    said = gdb(
        run,
        "info threads",
        "break *count if $a0 == 7",
        "continue",
        "info threads",
        "p $a0",
        *("stepi", "stepi", "stepi"),
        "x/i $pc",
        "x/gx &cells",
        "thread apply all p/x $prid",
        "info registers f2 fcsr fir",
        "backtrace 1",
        "continue",
        "delete",
        "tbreak *done",
        "continue",
        *("monitor time", "monitor cores", "monitor tlb", "stepi"),
        "continue",
        file=elf,
    )
    for expected in (
        'Thread 1 "cpu0" (kernel mode)',
        'Thread 2 "cpu1" (held at reset)',
        'Thread 2 "cpu1" hit Breakpoint 1',
        'Thread 1 "cpu0" hit Breakpoint 1',
        'Thread 2 "cpu1" hit Temporary breakpoint 2',
        "$1 = 7",
        "<count+12>:\tjr\tra",
        "<cells>:\t0x0000000000001000",
        "$3 = 0x14c000",
        "of model time",
        "exited normally",
    ):
        assert expected in said, said
    assert run.end().trace_hash == machine(cpus=2, tier=tier).run(max_virtual="1 s").trace_hash


def test_watchpoints(elf):
    run = Run(machine(cpus=2))
    watch = "watch *(long *)&cells", "continue", "continue", "info breakpoints"
    said = gdb(run, *watch, "delete", "rwatch *(long *)((long)&cells + 8)", "continue", "delete", "continue", file=elf)
    for expected in (
        "Hardware watchpoint 1",
        "Old value = 4096\nNew value = 4099",
        "Old value = 4099\nNew value = 4102",
        "breakpoint already hit 2 times",
        "Hardware read watchpoint 2",
        "exited normally",
    ):
        assert expected in said, said
    assert run.end().trace_hash == machine(cpus=2).run(max_virtual="1 s").trace_hash


def test_what_gdb_writes(elf):
    run = Run(machine(waits=True))
    said = gdb(
        run,
        "tbreak *count",
        "continue",
        "set var $a0 = 3",
        "set var $kscratch1 = 0x1122334455667788",
        "set var $f4 = 2.5",
        "set var *(long *)&go_on = 1",
        "set var *(int *)$pc = *(int *)$pc",
        "p/x $kscratch1",
        "p $f4",
        "continue",
        file=elf,
    )
    assert "$1 = 0x1122334455667788" in said and "$2 = 2.5" in said and "exited normally" in said, said
    assert run.end().ended == "poweroff"
    cell = run.machine.memory.read(guest().symbols["cells"] & 0x1FFF_FFFF, 8)
    assert int.from_bytes(cell, "little") == 0x1000 + 3 * 3


def test_without_a_file_and_with_an_early_end():
    run = Run(machine(waits=True))
    said = gdb(run, "stepi", "info registers pc", "detach")
    assert f"{guest().entry + 4:#x}" in said, said
    run.machine.interrupt()
    assert run.end().ended == "limit"
    run = Run(machine(waits=True))
    assert "killed" in gdb(run, "stepi", "kill")
    assert run.end().reason == "gdb killed the run"
