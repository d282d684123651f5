"""Runs as processes of their own: what they printed and took; how QEMU is found, typed to and given a kernel."""

from __future__ import annotations

import struct
import sys

import pytest

from soc.bench import qemu, runs
from soc.bench.errors import BenchError, UnfinishedError
from soc.firmware.elf import read_elf
from tests.firmware.images import BANNER, elf

KERNEL = 0xFFFF_FFFF_8020_0000


def test_a_run_reports_wall_time_output_and_the_result_line():
    code = "import sys; print('out\\r'); print('result: {\"instructions\": 3}', file=sys.stderr)"
    outcome = runs.run([sys.executable, "-c", code])
    assert (outcome.output, outcome.result) == ("out\n", {"instructions": 3})
    assert outcome.wall_s > 0


def test_time_in_which_a_process_waits_is_not_cpu_time():
    outcome = runs.run([sys.executable, "-c", "import time; time.sleep(1)"])
    assert outcome.cpu_s < 1 < outcome.wall_s


def test_the_most_memory_that_was_resident_is_known():
    code = "import time; held = bytearray(64 << 20); held = None; time.sleep(0.5)"
    assert 64 < runs.run([sys.executable, "-c", code]).peak_mib < 128
    assert runs.resident(0) == 0


def test_a_failing_run_is_named_with_what_it_said():
    with pytest.raises(BenchError, match=r"ended with status 5: no luck"):
        runs.run([sys.executable, "-c", "import sys; print('no luck', file=sys.stderr); sys.exit(5)"])


def test_lines_are_typed_after_prompts_only():
    code = "for i in range(2): print('$ ', end='', flush=True); print(input()[::-1], flush=True)"
    outcome, status = qemu.converse([sys.executable, "-c", code], ["abc", "de", "never"], b"$ ")
    assert (status, outcome.output) == (0, "$ cba\n$ ed\n")
    assert outcome.wall_s > 0


def test_what_does_not_end_is_stopped_and_its_console_kept():
    code = "import time; print('so far', flush=True); time.sleep(60)"
    with pytest.raises(UnfinishedError, match="did not end within 2 s") as raised:
        qemu.converse([sys.executable, "-c", code], [], b"$ ", limit_s=2)
    assert raised.value.console == "so far\n"


def test_a_program_that_is_no_qemu_is_not_found():
    assert qemu.find("no-such-qemu") is None and qemu.find_user("no-such-qemu") is None
    assert qemu.probe((sys.executable,), "any") is None


def test_the_kernel_is_wrapped_into_one_segment_at_its_address(tmp_path):
    parts = [(KERNEL, BANNER + b"code", 64), (KERNEL + 0x100, b"data", 32)]
    path = tmp_path / "vmlinux"
    path.write_bytes(elf(parts, entry=KERNEL + 4))
    data = qemu.kernel_elf(path)
    image = read_elf(data, "made", qemu.RAM_MIB << 20)
    assert image.entry == KERNEL + 4
    assert [(s.address, len(s.data)) for s in image.segments] == [(0x20_0000, 0x120)]
    assert image.segments[0].data.startswith(BANNER) and image.segments[0].data[0x100:0x104] == b"data"
    assert struct.unpack_from("<H", data, 56) == (1,)
