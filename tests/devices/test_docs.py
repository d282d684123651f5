"""The example of docs/adding-a-device.md works as printed."""

import re
from pathlib import Path

import pytest

from devices.fake import FakeOutside
from devices.registers import markdown
from devices.rig import Rig

PAGE = Path(__file__).parents[2] / "docs" / "adding-a-device.md"
TEXT = PAGE.read_text()
NAMES: dict = {}
for block in re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL):
    exec(compile(block, str(PAGE), "exec"), NAMES)
TESTS = [name for name in NAMES if name.startswith("test_")]


def test_the_page_has_its_tests():
    assert len(TESTS) == TEXT.count("def test_") >= 4


@pytest.mark.parametrize("name", TESTS)
def test_example(name):
    NAMES[name](Rig())


def test_the_table_on_the_page_is_the_generated_one():
    assert markdown(NAMES["Watchdog"]) in TEXT


def test_the_example_saves_and_restores_its_running_count():
    first, second = NAMES["Watchdog"](tick_ps=10), NAMES["Watchdog"](tick_ps=10)
    for device in (first, second):
        FakeOutside(device)
    first.reset()
    first.write(0, 4, 1)
    first.outside.advance(600)
    second.outside.now = 600
    second.restore(first.save())
    second.outside.advance(10_000)
    assert second.outside.events == [(10_000, "line", "irq", 1)]


def test_the_example_refuses_a_nonsense_configuration():
    with pytest.raises(NAMES["DeviceError"], match="tick_ps 0"):
        NAMES["Watchdog"](tick_ps=0)
