"""Python in other processes: what it finds, and that a helper which fails makes no difference."""

import sys
import time

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


@pytest.mark.parametrize("ends", ["raise SystemExit(3)", "import os; os.abort()"])
def test_how_it_ends_makes_no_difference(ends):
    with alongside("-c", ends):
        pass


def test_that_it_cannot_start_makes_no_difference(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    done = []
    with alongside("-c", "pass"):
        done.append(1)
    assert done


def test_it_is_ended_with_what_it_ran_beside():
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt), alongside("-c", "import time; time.sleep(100)"):
        raise KeyboardInterrupt
    assert time.monotonic() - began < 50
