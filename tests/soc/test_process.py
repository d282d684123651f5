"""Python in other processes: what it finds, and that a helper which fails makes no difference."""

import sys
import time
from signal import SIGKILL, SIGSTOP

import pytest

from soc import process
from soc.process import alongside, python


def test_it_finds_the_modules_of_this_process_and_none_of_the_current_folder(tmp_path, monkeypatch):
    here, added = tmp_path / "here", tmp_path / "added"
    for folder in (here, added):
        folder.mkdir()
    (added / "added_module.py").write_text("")
    (here / "current_module.py").write_text("")
    monkeypatch.chdir(here)
    monkeypatch.setattr(sys, "path", [str(added), *(entry for entry in sys.path if entry)])
    assert python("-c", "import added_module, soc.process").wait(60) == 0
    assert python("-c", "import current_module", stderr=process.subprocess.DEVNULL).wait(60) == 1


def test_it_runs_meanwhile_and_its_end_is_waited_for(tmp_path):
    path = tmp_path / "done"
    with alongside("-c", f"import time; time.sleep(0.2); open({str(path)!r}, 'w')"):
        assert not path.exists()
    assert path.exists()


@pytest.mark.parametrize(
    ("ends", "told"),
    [
        ("pass", []),
        ("raise SystemExit(3)", ["ended with status 3"]),
        ("import os; os.abort()", ["ended with status -6"]),
    ],
)
def test_how_it_ends_makes_no_difference_and_a_failure_is_told(ends, told, caplog):
    with alongside("-c", ends):
        pass
    assert caplog.messages == [f"the second Python process {fact}; this one does its work too" for fact in told]


@pytest.mark.parametrize("signal", [None, SIGSTOP])
def test_one_that_hangs_is_waited_for_so_long_and_no_longer(signal, monkeypatch, caplog):
    monkeypatch.setattr(process, "PATIENCE_S", 0.1)
    started = []
    monkeypatch.setattr(process, "python", lambda *words, **options: started.append(python(*words)) or started[0])
    with alongside("-c", "import time; time.sleep(100)"):
        if signal is not None:
            started[0].send_signal(signal)
    assert started[0].returncode == -SIGKILL
    assert "the second Python process has not ended in 0.1 s" in caplog.text


def test_that_it_cannot_start_makes_no_difference_and_is_told(monkeypatch, caplog):
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    done = []
    with alongside("-c", "pass"):
        done.append(1)
    assert done and "cannot start: No such file or directory" in caplog.text


def test_it_is_ended_with_what_it_ran_beside():
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt), alongside("-c", "import time; time.sleep(100)"):
        raise KeyboardInterrupt
    assert time.monotonic() - began < 50
