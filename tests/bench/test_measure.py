"""What is counted, what is compared before it is counted, and how it is shown; with contestants made up here."""

from __future__ import annotations

import struct
import sys

import pytest

from soc.bench import compute, measure, qemu, report, runs
from soc.bench.errors import BenchError
from soc.bench.measure import Boot, Program
from soc.bench.runs import Outcome
from soc.firmware.elf import read_elf
from tests.firmware.images import BANNER, elf

KERNEL = 0xFFFF_FFFF_8020_0000


class FakeQemu:
    """Twice as fast as the fake tier below."""

    name = "QEMU 99"

    def __init__(self, output: str = "sum {}\n") -> None:
        self.output = output

    def run(self, path) -> Outcome:
        count = int(path.read_bytes())
        return Outcome(0.5 + count * 0.01, self.output.format(count), {})


@pytest.fixture
def fake_soc(monkeypatch):
    asked = []

    def soc(command, option, tier, path, environment=None):
        asked.append((tier, int(path.read_bytes())))
        count = asked[-1][1]
        wall = 1.0 + count * {"threaded": 0.02, "reference": 2.0}[tier]
        return Outcome(wall, f"sum {count}\n", {"instructions": 40 + 1000 * count})

    monkeypatch.setattr(runs, "soc", soc)
    return asked


def make(count: int) -> bytes:
    return str(count).encode()


def test_start_up_cancels_out_and_contestants_take_turns(fake_soc):
    tiers = {"threaded": 101, "reference": 3}
    threaded, reference, other = measure.program(make, tiers, FakeQemu(), 2)
    one_round = [("threaded", 1), ("threaded", 101), ("reference", 1), ("reference", 3)]
    assert fake_soc == [("threaded", 1), ("reference", 1), *one_round, *one_round]
    assert threaded.instructions == other.instructions == 100_000
    assert threaded.engine_s == [pytest.approx(2.0)] * 2
    assert threaded.mips == pytest.approx(0.05)
    assert threaded.whole_mips == pytest.approx(0.1 / 3.02)
    assert reference.instructions == 2000
    table = report.program_table([threaded, reference, other], other.name)
    ratios = {line.split("  ")[0]: line.split()[-1] for line in table.splitlines()[1:]}
    assert ratios == {"threaded": "0.5", "reference": "0.005", "QEMU 99": "1"}


def test_nothing_is_compared_when_the_outputs_differ(fake_soc):
    with pytest.raises(BenchError, match=r"1 iterations: threaded prints 'sum 1\\n', QEMU 99 prints 'other 1\\n'"):
        measure.program(make, {"threaded": 5}, FakeQemu("other {}\n"), 1)


def test_without_qemu_there_is_no_ratio(fake_soc):
    results = measure.program(make, {"threaded": 5}, None, 1)
    assert [result.name for result in results] == ["threaded"]
    assert report.program_table(results, None).splitlines()[1].split()[0] == "threaded"


def test_a_ratio_is_the_median_of_the_rounds():
    assert measure.ratio([2.0, 4.0, 1.0], [1.0, 1.0, 1.0]) == 0.5


def test_the_boot_table_pairs_contestants_by_command_line():
    rows = [Boot("soc", "", [4.0], [3.0], 10**9), Boot("QEMU 99", "", [1.0])]
    rows += [Boot("soc", "quiet", [2.0], [1.0], 10**8), Boot("QEMU 99", "quiet", [1.0])]
    table = [line.split() for line in report.boot_table(rows).splitlines()[1:]]
    assert [float(line[-1]) for line in table] == [0.25, 1, 0.5, 1]
    assert table[0][-3:-1] == ["1000.0", "M"]


def test_plain_data_holds_every_round():
    data = Program("x", 7, [3.0, 2.0], [1.0, 1.0], 10_000_000).as_dict()
    assert data["engine_s"] == [2.0, 1.0] and data["mips"] == pytest.approx(10 / 1.5)


def test_answers_are_what_follows_each_prompt():
    console = "boot\nsoc# \x1b[6nuname -a\nLinux\nsoc# \x1b[6npoweroff -f\nbye\n"
    assert measure.answers(console) == ["uname -a\nLinux", "poweroff -f\nbye"]


def test_a_run_reports_wall_time_output_and_the_result_line():
    code = "import sys; print('out\\r'); print('result: {\"instructions\": 3}', file=sys.stderr)"
    outcome = runs.run([sys.executable, "-c", code])
    assert (outcome.output, outcome.result) == ("out\n", {"instructions": 3})
    assert outcome.wall_s > 0


def test_a_failing_run_is_named_with_what_it_said():
    with pytest.raises(BenchError, match=r"ended with status 5: no luck"):
        runs.run([sys.executable, "-c", "import sys; print('no luck', file=sys.stderr); sys.exit(5)"])


def test_lines_are_typed_after_prompts_only():
    code = "for i in range(2): print('$ ', end='', flush=True); print(input()[::-1], flush=True)"
    assert qemu.converse([sys.executable, "-c", code], ["abc", "de", "never"], b"$ ") == (0, "$ cba\n$ ed\n")


def test_a_program_that_is_no_qemu_is_not_found():
    assert qemu.find("no-such-qemu") is None
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


def test_ratios_of_the_compute_set_are_per_round(fake_soc):
    (part,) = compute.compute({"double": make}, "threaded", FakeQemu(), 2, iterations={"double": (101, 51)})
    assert (part.name, part.ratios) == ("double", [pytest.approx(0.5)] * 2)
    assert compute.geometric_mean([part, part]) == pytest.approx(0.5)
    rows = report.compute_table([part]).splitlines()
    assert rows[1].split() == ["double", "threaded", "100,000", "0", "0", "0.5", "0.5", "0.5"]


def test_the_compute_set_runs_without_qemu(fake_soc):
    (part,) = compute.compute({"calls": make}, "threaded", None, 1, iterations={"calls": (5, 5)})
    assert part.ratios == [] and "geometric" not in report.compute_table([part])


def test_a_host_too_busy_to_measure_is_named(fake_soc):
    with pytest.raises(BenchError, match="calls: a start took longer"):
        compute.compute({"calls": make}, "threaded", None, 1, iterations={"calls": (1, 1)})
