"""What `soc run` and `soc boot` print, return and leave behind."""

import io
import json
import os
import signal
from types import SimpleNamespace

import pytest

from cpu.cp0 import registers
from soc.commands import boot, run
from soc.commands.dump import dump
from soc.commands.line import main
from soc.commands.run_folder import FILES, RunFolder
from soc.commands.session import settled
from soc.errors import SocError
from tests.commands.fake import FakeMachine, FakeResult
from tests.firmware.images import elf, vmlinuz

CPIO = b"070701" + bytes(506)


@pytest.fixture
def program(tmp_path):
    path = tmp_path / "prog.elf"
    path.write_bytes(elf())
    return str(path)


@pytest.fixture
def kernel(tmp_path):
    (tmp_path / "vmlinuz").write_bytes(vmlinuz())
    (tmp_path / "initrd").write_bytes(CPIO)
    return ["--kernel", str(tmp_path / "vmlinuz"), "--initrd", str(tmp_path / "initrd")]


@pytest.fixture
def with_machine(monkeypatch):
    def use(machine):
        monkeypatch.setattr(run, "build", lambda arguments: machine)
        monkeypatch.setattr(boot, "build", lambda arguments: machine)
        return machine

    return use


def last_result(captured) -> dict:
    line = captured.err.splitlines()[-1]
    assert line.startswith("result: {")
    return json.loads(line.removeprefix("result: "))


def test_standard_output_is_the_console_and_nothing_else(with_machine, program, capfdbinary):
    with_machine(FakeMachine((b"\x00raw \xff", b"bytes\r\n")))
    assert main(["run", program]) == 0
    captured = capfdbinary.readouterr()
    assert captured.out == b"\x00raw \xffbytes\r\n"
    assert captured.err.splitlines()[-1].startswith(b"result: {")


def test_the_result_line_names_what_replays_read(with_machine, program, capsys):
    with_machine(FakeMachine())
    main(["run", program])
    result = last_result(capsys.readouterr())
    assert list(result)[:7] == ["instructions", "virtual_s", "wall_s", "mips", "exits", "trace_hash", "ended"]
    assert (result["instructions"], result["ended"]) == (1_234_567, "poweroff")


@pytest.mark.parametrize(
    ("ended", "status"), [("poweroff", 0), ("until", 0), ("limit", 3), ("deadlock", 1), ("error", 1)]
)
def test_exit_status(with_machine, program, capsys, ended, status):
    with_machine(FakeMachine(result=FakeResult(ended=ended, reason="because")))
    assert main(["run", program]) == status
    assert last_result(capsys.readouterr())["ended"] == ended


def test_the_summary_is_for_people(with_machine, program, capsys):
    details = {"exception syscall": 644, "refill xtlb": 1066, "messages": 9, "exception trap": 0}
    with_machine(FakeMachine(result=FakeResult(unmapped=7, details=details)))
    main(["run", program])
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("soc: 1.235 M instructions  virtual 12.500 ms  wall 0.50 s  2.5 MIPS  poweroff")
    assert "     exceptions: syscall 644" in lines
    assert "     TLB refills: xtlb 1066" in lines
    assert "     MMIO: 42 accesses, 84 per second, 7 of them where nothing is" in lines
    assert "     trace hash 5f1c9a" in lines


def test_limits_are_passed_on(with_machine, program):
    machine = with_machine(FakeMachine())
    main(["run", program, "--max-insns", "1_000", "--max-virtual", "2 ms", "--until", "ok", "--slice", "50"])
    given = {name: machine.given[name] for name in ("max_insns", "max_virtual", "until", "slice", "pace")}
    assert given == {"max_insns": 1000, "max_virtual": 2 * 10**9, "until": "ok", "slice": 50, "pace": False}


def test_the_run_folder_holds_result_console_and_trace(with_machine, program, tmp_path):
    with_machine(FakeMachine((b"hello\n",)))
    main(["run", program, "--out", str(tmp_path / "out")])
    assert (tmp_path / "out/console.log").read_bytes() == b"hello\n"
    assert json.loads((tmp_path / "out/result.json").read_text())["trace_hash"] == "5f1c9a"
    assert (tmp_path / "out/trace.soc").read_text() == "trace of 5f1c9a"
    assert not (tmp_path / "out/typed.json").exists()


def test_a_run_folder_that_cannot_be_made_is_bad_input(with_machine, program, tmp_path, capsys):
    with_machine(FakeMachine())
    (tmp_path / "file").touch()
    assert main(["run", program, "--out", str(tmp_path / "file/out")]) == 2
    assert "cannot write the run folder" in capsys.readouterr().err


def test_a_run_folder_that_another_run_writes_to_is_bad_input(with_machine, program, tmp_path, capsys):
    with_machine(FakeMachine((b"hello\n",)))
    first = RunFolder(tmp_path)
    first.console.write(b"mine\n")
    first.console.flush()
    assert main(["run", program, "--out", str(tmp_path)]) == 2
    assert f"soc: another run is writing to --out {tmp_path}.\n" in capsys.readouterr().err
    assert (tmp_path / "console.log").read_bytes() == b"mine\n"
    first.finish({}, [])
    assert main(["run", program, "--out", str(tmp_path)]) == 0
    assert (tmp_path / "console.log").read_bytes() == b"hello\n"


@pytest.mark.parametrize("name", FILES)
def test_a_fifo_in_the_place_of_a_file_is_bad_input_and_waits_for_nobody(name, with_machine, program, tmp_path, capsys):
    with_machine(FakeMachine())
    os.mkfifo(tmp_path / name)
    assert main(["run", program, "--out", str(tmp_path)]) == 2
    assert f"cannot write the run folder --out {tmp_path}: {name} is no regular file." in capsys.readouterr().err


def test_the_state_dump_has_its_form(with_machine, program, tmp_path):
    with_machine(FakeMachine())
    main(["run", program, "--dump-state", str(tmp_path / "state.json")])
    (core,) = json.loads((tmp_path / "state.json").read_text())["cpus"]
    assert core["pc"] == "0xffffffff80100000"
    assert core["gpr"][31] == "0xffffffffffffffff"
    assert core["msa"][0] == ["0x0000000000000001", "0x0000000000000002"]
    assert core["fcsr"] == "0x00000000"
    assert core["cp0"] == {"cause": "0x00000000", "epc": "0xffffffff80000000", "status": "0x100000e0"}


def test_the_state_dump_cuts_no_register():
    full = {row.name: (1 << row.width) - 1 for row in registers.REGISTERS.values()}
    wide = dict.fromkeys(("pc", "hi", "lo", "fcsr", "msacsr"), 0)
    (core,) = dump([{**wide, "gpr": [], "fpr": [], "msa": [], "cp0": full}])["cpus"]
    assert {name: int(text, 0) for name, text in core["cp0"].items()} == full
    assert (core["cp0"]["perfcnt0"], core["cp0"]["status"]) == ("0xffffffffffffffff", "0xffffffff")


def test_an_error_of_the_run_is_a_failure_with_a_result_line(with_machine, program, capsys):
    with_machine(FakeMachine(error=SocError("cp0 register 31.7 is real but not modelled.\nUse unimplemented='ri'.")))
    assert main(["run", program]) == 1
    captured = capsys.readouterr()
    assert "soc: cp0 register 31.7 is real but not modelled.\n     Use unimplemented='ri'." in captured.err
    assert last_result(captured)["ended"] == "error"


def test_what_the_host_refuses_at_the_end_costs_no_result(with_machine, program, tmp_path, capsys):
    with_machine(FakeMachine((b"hello\n",)))
    state = tmp_path / "missing/state.json"
    assert main(["run", program, "--dump-state", str(state), "--out", str(tmp_path / "out")]) == 1
    captured = capsys.readouterr()
    assert f"soc: cannot write --dump-state {state}: No such file or directory." in captured.err
    assert last_result(captured)["ended"] == "poweroff"
    assert json.loads((tmp_path / "out/result.json").read_text()) == last_result(captured)


def test_an_error_is_told_once_and_kept(with_machine, program, tmp_path, capsys):
    with_machine(FakeMachine(result=FakeResult(ended="error", reason="uart is lost.\nStart it again.")))
    assert main(["run", program, "--out", str(tmp_path)]) == 1
    captured = capsys.readouterr()
    assert "soc: the run failed: uart is lost.\n     Start it again.\n" in captured.err
    assert captured.err.count("uart is lost") == 2  # there, and in the result line
    assert json.loads((tmp_path / "result.json").read_text())["ended"] == "error"


def test_a_console_that_the_host_refuses_ends_the_run_and_is_told(with_machine, program, capsys, monkeypatch):
    machine = with_machine(FakeMachine((b"hello\n", b"again\n")))

    class Full(io.BytesIO):
        name = "<stdout>"

        def write(self, data):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("sys.stdout", SimpleNamespace(buffer=Full(), isatty=lambda: False, fileno=lambda: spare))
    spare = os.open(os.devnull, os.O_WRONLY)
    monkeypatch.setattr("sys.stdout.flush", lambda: None, raising=False)
    assert main(["run", program]) == 1
    os.close(spare)
    assert machine.interrupted
    assert "soc: cannot write the guest's console to <stdout>: No space left on device." in capsys.readouterr().err


def test_an_exception_of_a_model_of_the_users_own_is_shown_and_has_a_result_line(with_machine, program, capsys):
    with_machine(FakeMachine(error=KeyError(3)))
    assert main(["run", program]) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith("Traceback")
    assert (last_result(captured)["ended"], last_result(captured)["reason"]) == ("error", "KeyError: 3")


def test_control_c_before_the_run_has_a_result_line_too(with_machine, program, capsys, monkeypatch):
    def interrupted(arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "build", interrupted)
    assert main(["run", program]) == 130
    result = last_result(capsys.readouterr())
    assert (result["ended"], result["reason"], result["instructions"]) == ("limit", "interrupted", 0)


def test_the_first_run_of_a_version_says_what_takes_time(with_machine, program, tmp_path, capsys, monkeypatch):
    from cpu.engine import stencil_tables, threaded

    monkeypatch.setattr("cpu.engine.cache.directory", lambda: tmp_path)
    with_machine(FakeMachine())
    (tmp_path / "cpu").mkdir()
    for tier, leaves in (
        ("reference", [tmp_path / "cpu/loop.nbi"]),
        ("auto", [threaded.kept_at(), stencil_tables.kept_at()]),
    ):
        main(["run", program, "--tier", tier])
        assert "soc: the first run of this version compiles the core" in capsys.readouterr().err
        for file in leaves:
            file.touch()
        main(["run", program, "--tier", tier])
        assert "compiles" not in capsys.readouterr().err
    monkeypatch.setattr("cpu.engine.cache.directory", lambda: tmp_path / "none")
    main(["run", program])
    assert "compiles" not in capsys.readouterr().err, "it is no first run where nothing can be kept"


def test_control_c_ends_with_a_summary_and_130(with_machine, program, capsys):
    machine = with_machine(FakeMachine(result=FakeResult(ended="limit", reason="interrupted")))
    machine.during = lambda: os.kill(os.getpid(), signal.SIGINT)
    before = signal.getsignal(signal.SIGINT)
    assert main(["run", program]) == 130
    assert machine.interrupted
    assert signal.getsignal(signal.SIGINT) is before
    assert last_result(capsys.readouterr())["ended"] == "limit"


def test_boot_loads_the_kernel_and_types_the_script(with_machine, kernel, tmp_path):
    machine = with_machine(FakeMachine())
    (tmp_path / "script").write_text("uname -a\npoweroff -f\n")
    assert main(["boot", *kernel, "--script", str(tmp_path / "script"), "--append", "nokaslr"]) == 0
    assert machine.lines == ["uname -a", "poweroff -f"]
    assert machine.loaded.kind == "linux"
    assert machine.loaded.command_line.endswith("console=ttyS0,115200 rdinit=/init nokaslr")


def test_a_boot_that_nobody_watches_is_limited(with_machine, kernel):
    machine = with_machine(FakeMachine())
    main(["boot", *kernel])
    assert machine.given["max_virtual"] == 120 * 10**12


def test_boot_takes_what_was_fetched(with_machine, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with_machine(FakeMachine())
    assert main(["boot"]) == 2
    error = capsys.readouterr().err
    assert "there is no kernel and no initrd to boot" in error
    assert "`soc fetch debian` gets both" in error


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--place", "uart=elsewhere"], "placement of uart: unknown place 'elsewhere'"),
        (["--place", "uart"], "'uart' is not DEVICE=PLACE"),
        (["--ram-mb", "128"], "128 MiB is too little memory"),
        (["--initrd", "/nonexistent"], "cannot load initrd /nonexistent: No such file"),
        (["--script", "/nonexistent"], "cannot read --script /nonexistent: No such file"),
        (["--vcpus", "2"], "vcpus = 2 without a hypervisor"),
        (["--kvm", "te"], "kvm = 'te' without a hypervisor"),
        (["--irqchip", "user"], "irqchip = 'user' without a hypervisor"),
        (["--disk", "d.img,cow"], "--disk d.img,cow: 'cow' is no option of a disk"),
    ],
)
def test_bad_input_to_boot(with_machine, kernel, capsys, arguments, why):
    with_machine(FakeMachine())
    assert main(["boot", *kernel, *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("soc: ")
    assert why in captured.err
    assert last_result(captured)["ended"] == "error"
    assert captured.out == ""


def test_a_kernel_given_to_run_is_pointed_to_boot(with_machine, tmp_path, capsys):
    with_machine(FakeMachine())
    (tmp_path / "vmlinuz").write_bytes(vmlinuz())
    assert main(["run", str(tmp_path / "vmlinuz")]) == 2
    assert "is a Linux kernel, not a bare-metal program" in capsys.readouterr().err


def test_a_foreign_kernel_reads_as_the_taste_page_shows(with_machine, tmp_path, capsys):
    (tmp_path / "vmlinuz-amd64").write_bytes(bytes(0x202) + b"HdrS" + bytes(64))
    assert main(["boot", "--kernel", str(tmp_path / "vmlinuz-amd64"), "--initrd", "x"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].endswith("it is an x86 Linux image (bzImage), this machine runs 64-bit little-endian MIPS ELF.")
    assert lines[1] == "     `soc fetch debian` gets a kernel that boots; `--kernel FILE` takes another."


BOARD = """
[machine]
platform = "ls7a"
cpus = 2
ram = "256 MiB"
"""


def test_a_machine_file_describes_the_machine_and_options_replace_what_it_says(tmp_path, monkeypatch, program):
    (tmp_path / "board.toml").write_text(BOARD)
    built = []
    monkeypatch.setattr(run, "build", lambda arguments: built.append(settled(arguments)) or FakeMachine())
    assert main(["run", program, "--machine", str(tmp_path / "board.toml"), "--ram-mb", "512"]) == 0
    assert (built[0].platform.name, built[0].cpus, built[0].ram) == ("ls7a", 2, 512 << 20)


def test_a_machine_file_leaves_no_choice_of_platform(tmp_path, kernel, capsys):
    (tmp_path / "board.toml").write_text(BOARD)
    assert main(["boot", *kernel, "--platform", "virt", "--machine", str(tmp_path / "board.toml")]) == 2
    assert "--platform virt with --machine" in capsys.readouterr().err
