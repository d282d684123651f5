"""The page docs/adding-a-device.md: its files are written out and run as in a project of somebody else's."""

import re

import pytest

from tests.kit import pages


@pytest.fixture
def project(tmp_path):
    pages.write_files(tmp_path)
    return tmp_path


def golden(project):
    path = project / pages.GOLDEN
    path.parent.mkdir(parents=True)
    path.write_text(pages.blocks()[pages.GOLDEN])


def test_the_page_names_its_files():
    files = {"gpio.py", "test_gpio.py", "gpio.vectors.toml", "board.toml", "edges.S", "test_board.py"}
    assert pages.blocks().keys() == files | pages.OUTPUTS.keys()


def test_all_tests_of_the_page_pass_with_the_golden_trace_it_shows(project):
    golden(project)
    done = pages.pytest(project)
    assert re.search(r"^10 passed", done.stdout, re.MULTILINE), done.stdout
    assert {path.name for path in project.rglob("*.txt")} == {pages.GOLDEN.rpartition("/")[2]}


@pytest.mark.parametrize("title", pages.OUTPUTS)
def test_an_output_on_the_page_is_what_comes_out(project, title):
    assert pages.OUTPUTS[title](project) == pages.blocks()[title], "`python -m tests.kit.pages` writes it anew"


def test_the_table_on_the_page_is_the_generated_one(project):
    assert pages.table(project) in pages.PAGE.read_text(encoding="utf-8")


def commands():
    """(command without its $, its output) of every example at the command line."""
    blocks = re.findall(r"```\n(\$ .*?)```", pages.PAGE.read_text(encoding="utf-8"), re.DOTALL)
    return [(command, output) for block in blocks for command, output in re.findall(r"\$ (.*)\n([^$]*)", block)]


def test_the_command_lines_do_what_the_page_says(project):
    (assemble, nothing), (run, text), (place, same) = commands()
    assert assemble.startswith("python -c ") and run.startswith("soc ") and place.startswith("soc ")
    source = re.fullmatch(r"python -c '(.*)'", assemble)[1]
    (project / "assemble.py").write_text(source)
    assert pages.run(project, "assemble").returncode == 0 and nothing == ""
    done = [pages.run(project, *command.split()) for command in (run, place)]
    assert [each.stdout for each in done] == [text, same]
    hashes = [re.search(r'"trace_hash": "(\w+)"', each.stderr)[1] for each in done]
    assert hashes[0] == hashes[1]
