"""The guests of `soc bench`: the compiler that may be missing, and the same output on every tier and on QEMU."""

from __future__ import annotations

from importlib import metadata

import pytest

from scenarios.guests import build
from soc import Machine, PoweredOff
from soc.bench import programs, qemu
from soc.errors import ConfigurationError

try:
    metadata.version(build.COMPILER)
    NO_COMPILER = ""
except metadata.PackageNotFoundError:
    NO_COMPILER = f"the package {build.COMPILER} is not installed (extra `guests`)"
needs_compiler = pytest.mark.skipif(bool(NO_COMPILER), reason=NO_COMPILER or "-")


def finished(elf: bytes, tier: str):
    machine = Machine("virt", ram="32 MiB", tier=tier)
    machine.load(elf)
    result = machine.run(until=PoweredOff, max_virtual="1 s")
    assert result.ended == "poweroff", result.reason
    return machine.console.decode(), result.instructions, result.trace_hash


@needs_compiler
def test_the_tiers_agree_on_output_count_and_hash():
    assert finished(build.bench(1), "threaded") == finished(build.bench(1), "reference")


@needs_compiler
def test_every_iteration_counts_and_changes_what_is_printed():
    seen = [finished(build.bench(count), "threaded") for count in (1, 2, 3)]
    assert len({console for console, _, _ in seen}) == 3
    counts = [instructions for _, instructions, _ in seen]
    assert counts == sorted(counts)
    assert counts[1] - counts[0] == pytest.approx(counts[2] - counts[1], rel=0.05)
    assert seen[2][0].startswith("bench: iterations 0x00000003  list 0x")


@needs_compiler
@pytest.mark.qemu
def test_qemu_prints_the_same(tmp_path):
    other = qemu.find()
    if other is None:
        pytest.skip(f"no {qemu.PROGRAM} with a machine {qemu.MACHINE} is installed")
    elf = tmp_path / "bench.elf"
    elf.write_bytes(build.bench(20))
    assert other.run(elf).output == finished(build.bench(20), "threaded")[0]


@needs_compiler
def test_a_word_that_is_not_there_is_refused():
    with pytest.raises(ConfigurationError, match="no symbol rounds"):
        build.with_word(build.build("bench"), "rounds", 1)


@pytest.mark.parametrize("iterations", [0, 1 << 32])
def test_a_senseless_number_of_iterations_is_refused(iterations):
    with pytest.raises(ConfigurationError, match=f"iterations = {iterations}; allowed: 1 to 4294967295"):
        build.bench(iterations)


def test_without_the_compiler_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr(build, "COMPILER", "no-such-compiler-package")
    with pytest.raises(ConfigurationError, match=r"not installed\.\n`pip install '\.\[guests\]'`"):
        build.bench(1)


@needs_compiler
@pytest.mark.parametrize("part", build.COMPUTE_PARTS)
def test_the_fast_tiers_agree_on_the_compute_set(part):
    said, *counts = finished(build.compute(part, 2), "auto")
    assert [said, *counts] == list(finished(build.compute(part, 2), "threaded"))
    assert said.startswith(f"compute: part 0x{build.COMPUTE_PARTS.index(part) + 1:x}  iterations 0x00000002  sum 0x")


@needs_compiler
@pytest.mark.parametrize("tier", ["threaded", pytest.param("reference", marks=pytest.mark.slow)])
@pytest.mark.parametrize("part", build.VECTOR_PARTS)
def test_the_tiers_agree_on_vector_instructions(part, tier):
    said, *counts = finished(build.vector(part, 1), "auto")
    assert said.startswith(f"vector: part 0x{build.VECTOR_PARTS.index(part) + 1:x}  iterations 0x00000001  sum 0x")
    assert [said, *counts] == list(finished(build.vector(part, 1), tier))


@needs_compiler
@pytest.mark.qemu
@pytest.mark.parametrize("part", build.VECTOR_PARTS)
def test_qemu_s_user_mode_prints_the_same_for_vector_instructions(part, tmp_path):
    other = qemu.find_user()
    if other is None:
        pytest.skip(f"{qemu.USER_PROGRAM} is not installed")
    elf = tmp_path / "vector.elf"
    elf.write_bytes(build.vector(part, 3, "linux"))
    elf.chmod(0o755)
    assert other.run(elf).output == finished(build.vector(part, 3), "auto")[0]


@pytest.mark.parametrize("operation", build.OPERATIONS)
def test_the_tiers_agree_on_the_operations_of_a_kernel(operation):
    said, *counts = finished(build.system(operation, 40), "auto")
    kind, done, *_ = said.splitlines()
    assert (int(kind, 16), int(done, 16)) == (build.OPERATIONS.index(operation), 40)
    for tier in ("threaded", "reference"):
        assert [said, *counts] == list(finished(build.system(operation, 40), tier))


@pytest.mark.parametrize("operation", build.OPERATIONS)
def test_every_operation_does_what_it_is_called(operation):
    def counted(iterations: int) -> dict[str, int]:
        machine = Machine("virt", ram="32 MiB")
        machine.load(build.system(operation, iterations))
        return machine.run(until=PoweredOff, max_virtual="1 s").details

    once, often = counted(1), counted(101)
    more = {name: often[name] - once.get(name, 0) for name in often}
    wanted = {"system call": "exception Sys", "process switch": "exception Sys", "TLB refill": "refill xtlb"}
    interrupts = dict.fromkeys(("software interrupt", "timer interrupt"), "exception Int")
    name = (wanted | interrupts).get(operation)
    assert name is None or more[name] == 100
    assert more.get("refill xtlb", 0) == (100 if operation == "TLB refill" else 0)


@pytest.mark.qemu
@pytest.mark.parametrize("operation", build.OPERATIONS)
def test_qemu_prints_the_same_for_the_operations_of_a_kernel(operation, tmp_path):
    other = qemu.find()
    if other is None:
        pytest.skip(f"no {qemu.PROGRAM} with a machine {qemu.MACHINE} is installed")
    elf = tmp_path / "system.elf"
    elf.write_bytes(build.system(operation, 2100))
    assert other.run(elf).output == finished(build.system(operation, 2100), "auto")[0]


@needs_compiler
@pytest.mark.qemu
@pytest.mark.parametrize("part", build.COMPUTE_PARTS)
def test_qemu_prints_the_same_for_the_compute_set(part, tmp_path):
    other = qemu.find()
    if other is None:
        pytest.skip(f"no {qemu.PROGRAM} with a machine {qemu.MACHINE} is installed")
    elf = tmp_path / "compute.elf"
    elf.write_bytes(build.compute(part, 2))
    assert other.run(elf).output == finished(build.compute(part, 2), "auto")[0]


def test_all_that_can_be_built_is_measured():
    assert list(programs.COMPUTE) == [programs.MIXED, *build.COMPUTE_PARTS]
    assert list(programs.VECTOR) == list(build.VECTOR_PARTS)
    assert list(programs.SYSTEM) == list(build.OPERATIONS)


def test_a_part_that_does_not_exist_is_refused():
    with pytest.raises(ConfigurationError, match="unknown part of the compute set 'msa'"):
        build.compute("msa")
    with pytest.raises(ConfigurationError, match="unknown system 'windows'; allowed: bare, linux"):
        build.vector("dot", system="windows")
    with pytest.raises(ConfigurationError, match="unknown operation of the system 'sleep'"):
        build.system("sleep")
    with pytest.raises(ConfigurationError, match="iterations = 0; allowed"):
        build.system("system call", 0)
