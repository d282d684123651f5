"""`python -m soc run`: exit status, limits, the dump, and files that cannot run."""

from __future__ import annotations

import json
import re
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from cpu.isa.assembler import assemble
from soc.commands.line import main

ROOT = Path(__file__).resolve().parents[2]
HELLO = """
_start: li      $t0, 0xe0               # KX, SX, UX; BEV and ERL off
        mtc0    $t0, $status
        dli     $s0, 0x900000001fe001e0
        dla     $s1, text
1:      lbu     $t0, 0($s1)
        beqz    $t0, 2f
        nop
        sb      $t0, 0($s0)
        b       1b
        daddiu  $s1, $s1, 1
2:      dli     $s2, 0x9000000010080010
        li      $v0, 0x1234
        dli     $v1, 0xfedcba9876543210
        li      $t0, 0xff
        sb      $t0, 0($s2)
        b       .
        nop
text:   .asciz  "hello\\n"
"""
LOOP = "_start: b _start\nnop"


@pytest.fixture
def soc(tmp_path, capfdbinary):
    """Runs `soc run` on assembler text or on bytes; gives (status, standard output, standard error, result)."""

    def run(program: str | bytes, *options: str):
        path = tmp_path / "prog.elf"
        path.write_bytes(program if isinstance(program, bytes) else assemble(program).to_elf())
        guard = [] if "--max-insns" in options else ["--max-insns", "1000000"]
        status = main(["run", str(path), "--ram-mb", "16", *guard, *options])
        out, error = capfdbinary.readouterr()
        text = error.decode()
        last = text.rstrip("\n").split("\n")[-1]
        assert last.startswith("result: ")
        return status, out, text, json.loads(last.removeprefix("result: "))

    return run


def test_the_console_alone_is_on_standard_output_and_power_off_is_0(soc):
    status, out, _, result = soc(HELLO)
    assert (status, out, result["ended"]) == (0, b"hello\n", "poweroff")
    assert {"instructions", "virtual_s", "wall_s", "mips", "exits", "trace_hash", "ended"} <= set(result)


def test_it_is_the_same_as_a_command_of_its_own(tmp_path, soc):
    path = tmp_path / "own.elf"
    path.write_bytes(assemble(HELLO).to_elf())
    command = [sys.executable, "-m", "soc", "run", str(path), "--ram-mb", "16", "--max-insns", "1000000"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, b"hello\n"), done.stderr
    result = json.loads(done.stderr.decode().rstrip().split("result: ")[-1])
    assert result["trace_hash"] == soc(HELLO)[3]["trace_hash"]


@pytest.mark.parametrize("limit", [1000, 1001, 54321])
def test_the_limit_is_3_and_exact(soc, limit):
    status, out, _, result = soc(LOOP, "--max-insns", str(limit))
    # A delay slot may complete past the limit.
    assert (status, out, result["ended"], result["instructions"]) == (3, b"", "limit", limit + limit % 2)


def test_both_tiers_and_any_slice_give_the_same_hash(soc):
    hashes = {
        soc(HELLO, *more)[3]["trace_hash"]
        for more in ([], ["--tier", "reference"], ["--tier", "threaded"], ["--slice", "3"])
    }
    assert len(hashes) == 1


def test_a_deadlock_is_1_and_says_what_it_waits_for(soc):
    status, _, error, result = soc("_start: wait 0\nnop")
    assert (status, result["ended"]) == (1, "deadlock") and "core 0 waits" in error and "no interrupt at all" in error


def test_an_instruction_that_is_not_modelled_is_1_and_named(soc):
    status, _, error, result = soc("_start: nop\nderet")
    assert (status, result["ended"]) == (1, "error")
    assert "deret" in error and f"{assemble('nop').base + 4:#018x}" in error


def test_the_dump_has_its_format(soc, tmp_path):
    path = tmp_path / "state.json"
    assert soc(HELLO, "--dump-state", str(path))[0] == 0
    dump = json.loads(path.read_text())
    assert set(dump) == {"cpus"} and len(dump["cpus"]) == 1
    cpu = dump["cpus"][0]
    assert set(cpu) == {"pc", "gpr", "hi", "lo", "fpr", "msa", "fcsr", "msacsr", "cp0"}
    wide, narrow = re.compile("0x[0-9a-f]{16}"), re.compile("0x[0-9a-f]{8}")
    for value in (
        cpu["pc"],
        cpu["hi"],
        cpu["lo"],
        *cpu["gpr"],
        *cpu["fpr"],
        *(half for pair in cpu["msa"] for half in pair),
    ):
        assert wide.fullmatch(value)
    assert [len(cpu[k]) for k in ("gpr", "fpr", "msa")] == [32, 32, 32] and all(len(pair) == 2 for pair in cpu["msa"])
    assert narrow.fullmatch(cpu["fcsr"]) and narrow.fullmatch(cpu["msacsr"])
    assert (cpu["gpr"][2], cpu["gpr"][3]) == ("0x0000000000001234", "0xfedcba9876543210")
    cp0 = cpu["cp0"]
    for name in ("epc", "badvaddr", "entryhi", "entrylo0", "ebase", "xcontext"):
        assert wide.fullmatch(cp0[name]), name
    for name in ("status", "cause", "count", "compare", "config1", "prid", "index", "wired"):
        assert narrow.fullmatch(cp0[name]), name
    assert cp0["prid"] == "0x0014c000" and all(name == name.lower() for name in cp0)


def test_the_dump_is_written_at_a_limit_too(soc, tmp_path):
    path = tmp_path / "state.json"
    assert soc(LOOP, "--max-insns", "10", "--dump-state", str(path))[0] == 3
    assert json.loads(path.read_text())["cpus"][0]["pc"] == f"{assemble(LOOP).base:#018x}"


def test_the_timer_interrupt_arrives_on_ip7(soc):
    text = """
    _start: mfc0    $t0, $count
            addiu   $t0, $t0, 5000
            mtc0    $t0, $compare
            lui     $t0, 0x8020             # vectors at the program's own page
            dmtc0   $t0, $ebase
            li      $t0, 0x8001
            mtc0    $t0, $status
    1:      b       1b
            addiu   $s0, $s0, 1
            .org    0x180
            mfc0    $s3, $cause
            dli     $s2, 0x9000000010080010
            li      $t1, 0xe1
            mtc0    $t1, $status
            li      $t0, 0xff
            sb      $t0, 0($s2)
            b       .
            nop
    """
    assert soc(text, "--max-insns", "100000")[0] == 0


def good() -> bytearray:
    return bytearray(assemble(HELLO).to_elf())


def changed(at: int, form: str, value: int) -> bytes:
    image = good()
    struct.pack_into(form, image, at, value)
    return bytes(image)


BAD = {
    "empty": (b"", ""),
    "text": (b"#!/bin/sh\necho hello\n", "ELF"),
    "only the magic": (b"\x7fELF", ""),
    "a header cut short": (bytes(good()[:40]), ""),
    "a segment cut short": (bytes(good()[:0x1010]), ""),
    "32-bit": (changed(4, "<B", 1), "32-bit"),
    "big-endian": (changed(5, "<B", 2), "big-endian"),
    "x86": (changed(18, "<H", 62), "x86"),
    "entry outside": (changed(24, "<Q", 0xFFFF_FFFF_9000_0000), ""),
    "entry unaligned": (changed(24, "<Q", 0xFFFF_FFFF_8020_0002), ""),
    "a segment beyond the RAM": (changed(64 + 40, "<Q", 64 << 20), ""),
    "a user address": (changed(64 + 16, "<Q", 0x40_0000), ""),
}


@pytest.mark.parametrize("name", BAD)
def test_a_file_that_cannot_run_is_2_and_says_why(soc, name):
    data, word = BAD[name]
    status, out, error, result = soc(data)
    assert (status, out, result["ended"], result["instructions"]) == (2, b"", "error", 0), error
    assert "prog.elf" in error and word in error and "Traceback" not in error
    assert len(error.split("result: ")[0].strip().splitlines()) >= 2, "a fact and an advice"


def test_a_missing_file_is_2(tmp_path, capsys):
    assert main(["run", str(tmp_path / "none.elf")]) == 2
    assert "none.elf" in capsys.readouterr().err
