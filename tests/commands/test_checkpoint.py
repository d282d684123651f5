"""`--save-at`, `--checkpoint`, `--restore` and `--device` on the command line."""

import json

import pytest

from cpu.isa.assembler import assemble
from soc.commands.line import main
from tests.soc.test_checkpoint import ASKS
from tests.soc.test_cluster import BASE


@pytest.fixture
def program(tmp_path):
    path = tmp_path / "asks.elf"
    path.write_bytes(assemble(ASKS.replace("work:", "work: move $s7, $0\n"), BASE).to_elf())
    return str(path)


def outcome(capfd) -> tuple[dict, str, str]:
    out, err = capfd.readouterr()
    return json.loads(err.splitlines()[-1].removeprefix("result: ")), out, err


def test_a_run_is_saved_on_its_way_and_another_goes_on(program, tmp_path, capfd):
    file = str(tmp_path / "half")
    limits = ["--max-virtual", "40 us"]
    assert main(["run", program, *limits]) == 3
    plain, console, _ = outcome(capfd)
    assert main(["run", program, *limits, "--save-at", "1 us", "--checkpoint", file]) == 3
    saving, _, _ = outcome(capfd)
    assert saving["trace_hash"] == plain["trace_hash"]
    assert main(["run", "--restore", file, *limits, "--tier", "reference", "--out", str(tmp_path / "out")]) == 3
    rest, later, _ = outcome(capfd)
    assert rest["trace_hash"] == plain["trace_hash"]
    assert rest["instructions"] < plain["instructions"]
    assert console.endswith(later) and (tmp_path / "out/console.log").read_text() == console
    assert main(["boot", "--restore", file, "--max-virtual", "1 us"]) == 2
    assert "the model time ends at 1e-06 s, and the checkpoint is of " in outcome(capfd)[2]


def test_a_run_that_ends_before_says_so(program, tmp_path, capfd):
    file = tmp_path / "none"
    assert main(["run", program, "--max-insns", "100", "--save-at", "1 s", "--checkpoint", str(file)]) == 3
    assert f"the run ended before --save-at: there is no {file}." in outcome(capfd)[2]
    assert not file.exists()


def test_a_checkpoint_that_the_host_refuses_does_not_end_the_run(program, tmp_path, capfd, monkeypatch):
    def refused(machine, stream):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("soc.checkpoint._write", refused)
    words = ["--max-virtual", "40 us", "--save-at", "1 us", "--checkpoint", str(tmp_path / "half")]
    assert main(["run", program, *words]) == 1
    result, _, err = outcome(capfd)
    assert "soc: cannot write the checkpoint" in err and "No space left on device" in err
    assert result["ended"] == "limit" and result["instructions"] > 0
    assert list(tmp_path.glob("half*")) == []


@pytest.mark.parametrize(
    ("file", "why"), [("/dev/null", "it is no regular file"), ("/nonexistent/x", "there is no folder /nonexistent")]
)
def test_a_checkpoint_that_cannot_be_is_refused_before_the_run(program, capfd, file, why):
    assert main(["run", program, "--save-at", "1 us", "--checkpoint", file]) == 2
    result, _, err = outcome(capfd)
    assert f"cannot write the checkpoint {file}: {why}" in err and result["instructions"] == 0


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--save-at", "1 s"], "--save-at without --checkpoint"),
        (["--checkpoint", "x"], "--checkpoint without --save-at"),
        (["--restore", "/nonexistent"], "cannot read the checkpoint /nonexistent: No such file"),
        (["--restore", "x", "--cpus", "4"], "--cpus with --restore: the checkpoint says what the machine is"),
        (["--restore", "x", "--run-stub"], "--run-stub with --restore"),
        (["--restore", "x", "--ftlb"], "--ftlb with --restore"),
        (["--restore", "x", "--unimplemented", "ri"], "--unimplemented with --restore"),
        (["--device", "virtio_gpu"], "unknown device 'virtio_gpu'; allowed: virtio_blk"),
        (["--device", "virtio_rng:speed=1"], "no option 'speed'.\n     virtio_rng has seed."),
        (["--device", "virtio_rng:seed"], "seed lacks its value"),
        (["--device", "virtio_rng:seed=x"], "--device virtio_rng:seed x: a whole number is needed"),
        (["--device", "virtio_console:a=b"], "virtio_console has none"),
        (
            ["--device", "virtio_rng", "--device", "virtio_rng"],
            "A second one is virtio_rng_2",
        ),
        (["--disk", "a", "--device", "virtio_blk:image=b"], "virtio_blk is given twice"),
    ],
)
def test_bad_input(capfd, arguments, why):
    assert main(["boot", *arguments]) == 2
    result, _, err = outcome(capfd)
    assert why in err and result["ended"] == "error"


def test_devices_have_the_options_their_models_take():
    from soc.commands.line import parser
    from soc.commands.options import devices

    words = (
        "--device virtio_net:peer=loopback,mac=020000000001,delay=0x10 --device virtio_rng_2:seed=7 --disk d,readonly"
    )
    words += " --device virtio_blk_2:image=e,readonly --device virtio_blk_3:image=f,readonly=no"
    found = devices(parser().parse_args(["boot", *words.split()]))
    assert list(found) == ["virtio_blk", "virtio_net", "virtio_rng_2", "virtio_blk_2", "virtio_blk_3"]
    assert found["virtio_net"] == {"peer": "loopback", "mac": "020000000001", "delay": 16}
    assert found["virtio_rng_2"] == {"seed": 7}
    assert found["virtio_blk_2"] == {"image": "e", "readonly": True}
    assert found["virtio_blk_3"] == {"image": "f", "readonly": False}
