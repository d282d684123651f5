"""Compiled code follows its sources: an edit in a callee under cpu/ shows in the next process.

The packages are copied, so that nothing here touches the cache of the tree under test.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OTHER_FILE = """
from cpu import state
from cpu.cp0.timer import count
from cpu.engine.jit import jit

@jit
def doubled(S, cycle):
    S[state.COUNT_DIVIDER] = 2
    return 2 * count(S, 0, cycle)
"""
RUN = """
from pathlib import Path
import numpy as np
from cpu import state
from cpu.engine import cache
from cpu.doubled import doubled
assert Path(cache.__file__).is_relative_to(Path.cwd()), cache.__file__
print(doubled(np.zeros(state.SIZE, np.int64), 1000), cache.source_hash(), sum(doubled.stats.cache_hits.values()))
"""


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    """The packages, and one more compiled function that calls into another file."""
    folder = tmp_path_factory.mktemp("copy")
    for package in ("cpu", "soc"):
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "cpu" / "doubled.py").write_text(OTHER_FILE)
    return folder


def run(tree: Path, cache: Path, told: str = "") -> tuple[int, str, int]:
    """(result, source hash, hits of numba's cache) of a fresh process, which has `told` that on standard error."""
    environment = {
        **os.environ,
        "XDG_CACHE_HOME": str(cache),
        "PYTHONPATH": str(tree),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    environment.pop("NUMBA_CACHE_DIR", None)
    done = subprocess.run(
        [sys.executable, "-c", RUN], cwd=tree, env=environment, capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, told)
    result, key, hits = done.stdout.split()
    return int(result), key, int(hits)


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))


def test_an_edit_in_a_callee_shows_and_its_undoing_too(tree):
    timer = tree / "cpu" / "cp0" / "timer.py"
    kept = tree / "cache"
    cold = run(tree, kept)
    assert cold[0] == 1000 and cold[2] == 0
    warm = run(tree, kept)
    assert warm[:2] == cold[:2] and warm[2] > 0, "the second process finds what the first one compiled"
    right, wrong = "        value += cycle // S", "        value += cycle // 2 // S"
    edit(timer, right, wrong)
    edited = run(tree, kept)
    assert edited[0] == 500 and edited[1] != cold[1] and edited[2] == 0
    edit(timer, wrong, right)
    again = run(tree, kept)
    assert again[:2] == cold[:2] and again[2] > 0, "the old code is still there"


def test_a_host_that_lets_nothing_be_kept_is_told_and_ends_no_run(tree, tmp_path):
    (tmp_path / "file").touch()
    (tree / "cpu" / "__pycache__").mkdir(exist_ok=True)
    key = run(tree, tmp_path)[1]
    where = tmp_path / "file" / "loongson-soc" / "code" / key
    told = f"compiled code cannot be kept in {where}: Not a directory; each run takes seconds to compile it\n"
    for _ in range(2):
        assert run(tree, tmp_path / "file", told) == (1000, key, 0)
    assert not any((tree / "cpu" / "__pycache__").iterdir()), "nor is it kept elsewhere"


def test_the_key_covers_every_source_its_name_and_the_versions(tree, monkeypatch):
    from cpu.engine import cache

    def key(root: Path = tree / "cpu") -> str:
        with monkeypatch.context() as patch:
            patch.setattr(cache, "ROOT", root)
            return cache.source_hash.__wrapped__()

    first = key()
    assert key() == first
    for path in sorted([*(tree / "cpu").rglob("*.py"), *(tree / name for name in cache.CONSTANTS)]):
        text = path.read_bytes()
        path.write_bytes(text + b"\n")
        if path.is_relative_to(tree / "cpu" / cache.NOT_COMPILED):
            assert key() == first and b"jit" not in text, path
        else:
            assert key() != first, path
        path.write_bytes(text)
    moved = tree / "cpu" / "moved.py"
    (tree / "cpu" / "doubled.py").rename(moved)
    assert key() != first
    moved.rename(tree / "cpu" / "doubled.py")
    assert key() == first
    with monkeypatch.context() as patch:
        patch.setattr(cache.metadata, "version", lambda name: "0")
        assert key() != first
    with monkeypatch.context() as patch:
        patch.setattr(cache, "_host_cpu", lambda: "another")
        assert key() != first


def test_a_cache_file_is_whole_or_not_there(tmp_path):
    from soc.files import write_atomically

    path = tmp_path / "code.o"
    write_atomically(path, b"first")
    write_atomically(path, b"second, longer")
    assert path.read_bytes() == b"second, longer" and [p.name for p in tmp_path.iterdir()] == ["code.o"]


def test_what_the_host_refuses_is_made_again_and_told_once(tmp_path, monkeypatch, caplog):
    from cpu.engine import cache

    (tmp_path / "file").touch()
    monkeypatch.setattr(cache, "directory", lambda: tmp_path / "file" / "code")
    cache._say_refused.cache_clear()
    made = []
    for _ in range(2):
        assert cache.kept("rows", lambda: made.append(1) or {"rs": 1}) == {"rs": 1}
    assert len(made) == 2 and len(caplog.messages) == 1
    cache._say_refused.cache_clear()


def test_a_file_that_cannot_be_read_is_as_good_as_none(tmp_path, caplog):
    from cpu.engine import cache

    cache._say_refused.cache_clear()
    assert cache.find(tmp_path) is None and "Is a directory" in caplog.text
    assert cache.find(tmp_path / "none") is None
    cache._say_refused.cache_clear()


def test_what_is_derived_from_the_sources_is_derived_once_and_a_damaged_file_is_replaced(tmp_path, monkeypatch):
    from cpu.engine import cache

    monkeypatch.setattr(cache, "directory", lambda: tmp_path)
    calls = []

    def derive():
        calls.append(1)
        return {"add": (["rs"], None)}

    first = cache.kept("rows", derive)
    assert first == cache.kept("rows", derive) == {"add": [["rs"], None]} and len(calls) == 1
    (tmp_path / "rows.json").write_bytes(b"{")
    assert cache.kept("rows", derive) == first and len(calls) == 2


def test_a_part_takes_integers_as_int64_and_arrays_as_addresses_and_is_no_code_of_its_own():
    from numba import types

    from cpu.cp0.exceptions import take_address_exception
    from cpu.engine.borrowed import BORROWED
    from cpu.engine.jit import jit

    @jit
    def faults(S, delay_slot):
        take_address_exception(S, 4, 0, 0, delay_slot)
        take_address_exception(S, S[0], 0, 0, S[1] == 0)

    faults.compile((types.Array(types.int64, 1, "C"), types.boolean))
    (arguments,) = take_address_exception._part.overloads
    assert arguments == (BORROWED, *(types.int64,) * 4)
    (part,) = take_address_exception._part.overloads.values()
    with pytest.raises(RuntimeError, match="no compiled object"):
        part.library._get_compiled_object()


def test_borrowed_arrays_are_read_and_written_through_parts():
    import numpy as np

    from cpu.engine.jit import jit

    @jit
    def add(words, at, value):
        words[at] += value
        words[0] = at
        return words[at]

    @jit
    def in_rows(rows, words):
        for row in range(rows.shape[0]):
            add(rows[row], row + 1, True)
        return add(words, 2, words[1])

    rows, words = np.zeros((2, 4), np.int64), np.array([0, -5, 7], np.int64)
    assert in_rows(rows, words) == 2
    assert rows.tolist() == [[1, 1, 0, 0], [2, 0, 1, 0]] and words.tolist() == [2, -5, 2]


def test_compiling_leaves_the_collection_of_garbage_as_it_was():
    import gc

    import numpy as np

    from cpu.engine.jit import jit

    def half(words):
        return words[0] >> 1

    words = np.array([6], np.int64)
    assert jit(half)(words) == 3 and gc.isenabled()
    gc.disable()
    try:
        assert jit(half)(words) == 3 and not gc.isenabled()
    finally:
        gc.enable()
