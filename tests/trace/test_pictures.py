"""The PNG and the page: of the right form, equal for equal traces, and self-contained."""

import json
import re
import struct
from html.parser import HTMLParser

import pytest

from soc.errors import ConfigurationError, SocError
from soc.trace import page, picture, words
from tests.trace.log import Log

ABOUT = {"platform": "ls7a", "trace hash": "5f1c9a"}


def test_the_png_is_one_and_equal_for_equal_traces(trace, tmp_path):
    pytest.importorskip("matplotlib", reason="matplotlib (extra `plots`) is not installed")
    for name in ("uart", "virtio_blk", "timer", "ipi"):
        picture.draw(trace.latency(name), tmp_path / "a.png", ABOUT)
        picture.draw(trace.latency(name), tmp_path / "b.png", ABOUT)
        data = (tmp_path / "a.png").read_bytes()
        assert data[:8] == b"\x89PNG\r\n\x1a\n" and data == (tmp_path / "b.png").read_bytes()
        width, height = struct.unpack(">II", data[16:24])
        assert width >= 1500 and height >= 800


def test_without_matplotlib_it_says_what_to_install(trace, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    with pytest.raises(ConfigurationError, match=r"pip install '.\[plots\]'"):
        picture.draw(trace.latency("uart"), tmp_path / "a.png")


def test_nothing_complete_is_nothing_to_draw(trace, tmp_path):
    held = trace.latency("ls7a_uart0")
    for write in (picture.draw, page.write):
        with pytest.raises(SocError, match="ls7a_uart0: no interrupt came to its end"):
            write(held, tmp_path / "x")


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open, self.text, self.loads = [], [], []

    def handle_starttag(self, tag, attributes):
        if tag not in ("meta", "link", "br"):
            self.open.append(tag)
        self.loads += [value for name, value in attributes if name in ("src", "href", "xlink:href")]

    def handle_startendtag(self, tag, attributes):
        """Nothing opens."""

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.mark.parametrize("name", ["uart", "virtio_blk", "timer", "ipi"])
def test_the_page_is_whole_and_loads_nothing(trace, name):
    latency = trace.latency(name)
    text = page.page(latency, ABOUT)
    reader = _Reader()
    reader.feed(text)
    assert reader.open == [] and reader.loads == [] and "@@" not in text
    assert not re.search(r"https?://|@import|url\(", text)
    shown = " ".join("".join(reader.text).split())
    for piece in ("trace hash 5f1c9a", f"{latency.total.count} interrupts", *(hop.name for hop in latency.hops)):
        assert piece in shown
    rows = json.loads(re.search(r"const rows = (.*);\n", text)[1])
    by_name = {row["name"]: row for row in rows}
    assert sum(n for _, _, n in by_name["total"]["bins"]) == latency.total.count
    for hop in latency.hops:
        assert sum(n for _, _, n in by_name[hop.name]["bins"]) == hop.count


def test_names_from_outside_cannot_break_the_page():
    log = Log()
    log.taken(0, 1250, 7, deadline=0)
    text = page.page(log.done().latency("timer"), {"<script>alert(1)</script>": "</script><b>"})
    assert "<script>alert" not in text and "</script><b>" not in text


@pytest.mark.parametrize(
    ("ps", "text"), [(0, "0"), (999, "999 ps"), (1250, "1.25 ns"), (10_000, "10 ns"), (2_340_000, "2.34 us")]
)
def test_short_times(ps, text):
    assert words.short(ps) == text
