"""`soc trace`: what it prints, writes and returns."""

import pytest

from soc.commands.line import main
from tests.trace.conftest import some_of_everything


@pytest.fixture
def folder(tmp_path):
    some_of_everything().done().save(tmp_path / "trace.soc", {"platform": "ls7a"}, "5f1c9a0000000000")
    return str(tmp_path)


def test_without_a_name_it_lists_where_interrupts_began(folder, capsys):
    assert main(["trace", "latency", folder]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:5]] == ["ls3a_ipi", "timer", "uart", "virtio_blk"]
    assert lines[5] == "(ls7a_uart0: of 1 interrupts, 1 on their way or held back when the trace ended)"


def test_one_kind_hop_by_hop_with_everything(folder, capsys, tmp_path):
    status = main(
        [
            "trace",
            "latency",
            folder,
            "ipi",
            "--per-core",
            "--histogram",
            "--outliers",
            "2",
            "--html",
            f"{tmp_path}/p.html",
        ]
    )
    got = capsys.readouterr()
    assert status == 0 and "store leaves cpu* to ls3a_ipi" in got.out and "total at cpu1" in got.out
    assert "█" in got.out and got.out.count("store leaves cpu") == 3
    assert "trace hash 5f1c9a000000" in (tmp_path / "p.html").read_text() and "wrote" in got.err


def test_the_name_may_follow_options(folder, capsys):
    assert main(["trace", "latency", folder, "--histogram", "ipi"]) == 0
    after = capsys.readouterr().out
    assert main(["trace", "latency", folder, "ipi", "--histogram"]) == 0
    assert capsys.readouterr().out == after
    with pytest.raises(SystemExit):
        main(["trace", "latency", folder, "ipi", "--histogram", "uart"])
    assert "unrecognized arguments: uart" in capsys.readouterr().err


def test_through_a_controller(folder, capsys):
    assert main(["trace", "latency", folder, "--through", "eiointc"]) == 0
    assert "ls3a_ext_irq.message to cpu0.ip[2]" in capsys.readouterr().out
    assert main(["trace", "latency", folder, "uart", "--through", "eiointc"]) == 2
    assert "none of 8 interrupts passed 'eiointc'" in capsys.readouterr().err


def test_exports_are_written(folder, tmp_path, capsys):
    pytest.importorskip("vcd", reason="pyvcd (extra `waves`) is not installed")
    wanted = {name: tmp_path / f"out.{name}" for name in ("perfetto", "vcd", "ftrace", "text")}
    words = [word for name, path in wanted.items() for word in (f"--{name}", str(path))]
    assert main(["trace", "export", folder, *words]) == 0
    assert all(path.stat().st_size > 1000 for path in wanted.values())
    assert capsys.readouterr().err.count("soc: wrote") == 4


def test_a_damaged_trace_is_told_and_read_as_far_as_it_goes(folder, tmp_path, capsys):
    data = (tmp_path / "trace.soc").read_bytes()
    (tmp_path / "cut.soc").write_bytes(data[:-3])
    assert main(["trace", "latency", str(tmp_path / "cut.soc")]) == 1
    got = capsys.readouterr()
    assert "is cut off after" in got.err and "can be read" in got.err and "uart" in got.out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["latency", "{}/none"], "cannot read the trace"),
        (["latency", "{}", "rtc"], "no interrupt began at 'rtc'"),
        (["latency", "{}", "--histogram"], "--histogram is about one kind of interrupt"),
        (["export", "{}"], "no form to export to"),
        (["export", "{}", "--ftrace", "{}/no/folder"], "cannot write"),
        (["latency", "{}", "uart", "--outliers", "0"], "not a positive whole number"),
    ],
)
def test_bad_input(folder, words, says, capsys):
    try:
        status = main(["trace", *(word.format(folder) for word in words)])
    except SystemExit as stop:
        status = stop.code
    assert status == 2 and says in capsys.readouterr().err
