"""Files of register vectors: what they can say, how they fail, and what is wrong in them."""

import re
import textwrap
from pathlib import Path

import pytest

from soc.errors import SocError
from soc.kit import run_vectors
from soc.kit.vectors import KEYS, MODIFIERS, VectorError, VectorFailure

PAGE = Path(__file__).parents[2] / "docs" / "test-kit.md"
MODEL = '''
from devices.device import Device
from devices.lines import LineIns, LineOuts
from devices.ports import EventIn, EventOut, VectorIn, VectorOut
from devices.registers import Register, RegisterArray


class Relay(Device):
    """Passes on what comes: lines, vectors, events, bytes; a write of `stop` stops the machine."""

    mode = Register(0x00, fields={"on": 0, "level": (3, 1)}, reset=0x2)
    words = RegisterArray(0x10, count=4, width=2, accepts=(2, 4))
    seen = Register(0x20, access="ro")
    stop = Register(0x24, access="wo")
    who = Register(0x28, access="ro", space="csr")
    pin = LineIns(2)
    out = LineOuts(2)
    taken, given = VectorIn(vectors=16), VectorOut()
    told, tell = EventIn(), EventOut()

    def on_vector_taken(self, vector):
        self.seen += 1
        self.given.send(vector)

    def on_event_told(self, descriptor, count):
        self.tell.send(descriptor, count)

    def on_receive_rx(self, data):
        self.outside.output("tx", data.upper())

    def on_write_stop(self, value, old):
        self.outside.stop("reset")

    def on_read_who(self):
        return self.core

    def settle(self):
        self.out.levels = self.pin.levels
'''


STEP = "[[vector]]\nname = 'x'\nsteps = [%s]"


@pytest.fixture
def vectors(tmp_path):
    """Writes a file of vectors for Relay; returns its path."""
    (tmp_path / "relay.py").write_text(MODEL)

    def write(text, head='device = "relay.py:Relay"\n'):
        path = tmp_path / "relay.vectors.toml"
        path.write_text(head + textwrap.dedent(text))
        return path

    return write


def test_everything_a_step_can_say(vectors):
    run_vectors(
        vectors(
            """
            [[vector]]
            name = "all"
            steps = [
                { write = { mode = 0x9, "words[2]" = 0xbeef, "0x10/4" = 0x20001 }, note = "three writes" },
                { read = { mode = 0x9, "mode.on" = 1, "mode.level" = 4, "words[1]" = 2, "0x14/2" = 0xbeef } },
                { write = { "mode.level" = 1 }, read = { mode = 0x3 } },
                { drive = { "pin[1]" = 1 }, lines = { "out[0]" = 0, "out[1]" = 1 }, asserted = ["out[1]"] },
                { vector = { taken = 3 }, sent = { given = [3] } },
                { vector = { taken = 4 }, sent = { given = [4] }, read = { seen = 2 } },
                { event = { told = [7, 2] }, sent = { tell = [[7, 2]], given = [] } },
                { receive = { rx = "ab" }, output = { tx = "AB" } },
                { receive = { rx = "c" }, output = { tx = "C" } },
                { core = 3, read = { who = 3 } },
                { core = 2, space = "csr", read = { "0x28/4" = 2 } },
                { wait = "5 us", write = { stop = 1 }, stops = ["reset"] },
                { reset = true, read = { mode = 2 } },
            ]
            """
        )
    )


def test_a_vector_goes_on_where_another_ended(vectors):
    run_vectors(
        vectors(
            """
            [[vector]]
            name = "first"
            steps = [{ write = { mode = 1 } }]
            [[vector]]
            name = "second"
            after = "first"
            steps = [{ read = { mode = 1 } }]
            [[vector]]
            name = "third, on its own"
            steps = [{ read = { mode = 2 } }]
            """
        )
    )


def test_a_failure_tells_register_field_step_and_source(vectors):
    path = vectors(
        """
        [[vector]]
        name = "it stays on"
        source = "manual, 4.2"
        steps = [
            { write = { mode = 0x5 } },
            { wait = "2 us", read = { mode = 0x10b } },
        ]
        """
    )
    with pytest.raises(VectorFailure) as failed:
        run_vectors(path)
    shown = re.findall(r"```text\n(.*?)\n```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert [str(failed.value)] == shown, "docs/test-kit.md shows it"


@pytest.mark.parametrize(
    ("step", "says"),
    [
        ('{ read = { "mode.level" = 3 } }', r"mode.level: expected 0x3, got 0x1 \(the register holds 0x2\)"),
        ('{ lines = { "out[0]" = 1 } }', r"line out\[0\]: expected 1, got 0"),
        ('{ asserted = ["out[0]"] }', r"lines that are high: expected \['out\[0\]'\], got \[\]"),
        ("{ sent = { given = [1] } }", r"sent at given: expected \[1\], got \[\]"),
        ('{ output = { tx = "x" } }', "bytes out of tx: expected b'x', got b''"),
        ('{ stops = ["reset"] }', r"requests to stop: expected \['reset'\], got \[\]"),
    ],
)
def test_every_expectation_can_fail(vectors, step, says):
    with pytest.raises(VectorFailure, match=says):
        run_vectors(vectors(f'[[vector]]\nname = "x"\nsteps = [{step}]\n'))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("vector = 3", "vector = 3; a list is needed"),
        ("[[vector]]\nname = 'x'", "vector 1: steps is missing"),
        (STEP % "{ wirte = {} }", r"step 1: unknown key 'wirte'; allowed: write, read"),
        ("[[vector]]\nname = 'x'\nstep = []", "vector 1: unknown key 'step'; allowed: name, after"),
        ("[[vector]]\nname = 'x'\nsteps = []\n" * 2, "vector 2: the name 'x' is taken"),
        ("[[vector]]\nname = 'x'\nafter = 'y'\nsteps = []", "unknown earlier vector 'y'"),
        (STEP % "{ write = 3 }", "write = 3; a table is needed"),
        (STEP % "{ write = { mod = 3 } }", "unknown register 'mod'; allowed: mode, words"),
        (
            "[[vector]]\nname = 'x'\nsteps = [{ write = { 'mode.off' = 3 } }]",
            "unknown field of mode 'off'; allowed: on",
        ),
        (STEP % "{ write = { 'mode.on' = 3 } }", "mode.on = 0x3; it has 1 bits"),
        (STEP % "{ read = { mode = 0x1_0000_0000_0000_0000 } }", "mode = 0x10000000000000000; it has"),
        (STEP % "{ write = { mode = -1 } }", "step 1: write mode = -1; a number is needed"),
        (STEP % "{ read = { mode = 'x' } }", "step 1: read mode = 'x'; a number is needed"),
        (STEP % "{ drive = { 'pin[0]' = 7 } }", r"step 1: drive pin\[0\] = 7; 0 or 1 is needed"),
        (STEP % "{ event = { signal = [1] } }", r"event signal = \[1\]; \[descriptor, count\] is needed"),
        (STEP % "{ receive = { rx = 3 } }", "receive rx = 3; text is needed"),
        (STEP % "{ asserted = 'out' }", "asserted = 'out'; a list is needed"),
        (STEP % "{ core = -1 }", "core = -1; a number is needed"),
        (STEP % "{ space = 'io' }", "space = 'io'; one of memory, csr, config"),
        (STEP % "{ write = { words = 3 } }", r"'words': write words\[0\] to \[3\]"),
        (
            "[[vector]]\nname = 'x'\nsteps = [{ write = { 'words[4]' = 3 } }]",
            r"'words\[4\]': write words\[0\] to \[3\]",
        ),
        (STEP % "{ write = { 'mode[0]' = 3 } }", r"'mode\[0\]': it is no array"),
        (STEP % "{ drive = { pin = 1 } }", "no input line 'pin'; it has pin"),
        (STEP % "{ lines = { irq = 1 } }", "unknown output line 'irq'; allowed: out"),
        (STEP % "{ wait = '5' }", "cannot read duration '5'"),
        (STEP % "{ vector = { taken = 16 } }", "vector 16; allowed are 0 to 15"),
        (STEP % "{ sent = { taken = [] } }", "unknown output 'taken'"),
        ("[[vector]]\nname = 'x'\noptions = { pins = 3 }\nsteps = []", "options .*'pins': 3.* unexpected keyword"),
    ],
)
def test_what_is_wrong_in_a_file_is_named(vectors, text, says):
    with pytest.raises(VectorError, match=says):
        run_vectors(vectors(text))


@pytest.mark.parametrize(
    ("head", "says"),
    [
        ("device = 3\n", "device = 3; a str is needed"),
        ("", "device is missing"),
        ("device = ", "is not TOML"),
    ],
)
def test_a_file_needs_a_device(vectors, head, says):
    with pytest.raises(VectorError, match=says):
        run_vectors(vectors("vector = []" if head != "device = " else "", head))


def test_a_device_there_is_not(vectors):
    with pytest.raises(SocError, match=r"'toaster' is not a device; available: .*uart16550"):
        run_vectors(vectors(STEP % "", 'device = "toaster"\n'))


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(VectorError, match=r"cannot read .*none.vectors.toml: No such file"):
        run_vectors(tmp_path / "none.vectors.toml")


def test_a_device_that_breaks_its_declarations_is_told(vectors, tmp_path):
    (tmp_path / "wide.py").write_text(
        "from devices.device import Device\n"
        "from devices.registers import Register\n"
        "class Wide(Device):\n"
        "    small = Register(0, width=1)\n"
        "    def on_write_small(self, value, old):\n"
        "        self.small = 256\n"
    )
    with pytest.raises(VectorFailure, match="the device broke its declarations: small holds 256"):
        run_vectors(vectors("[[vector]]\nname = 'x'\nsteps = [{ write = { small = 1 } }]", 'device = "wide.py:Wide"\n'))


def test_the_page_has_every_key():
    text = PAGE.read_text(encoding="utf-8")
    assert all(f"`{key} = " in text for key in (*KEYS, *MODIFIERS))


def test_kinds_are_found_by_name(vectors):
    step = "{ write = { irq_enabled = 0xff }, read = { irq_enabled = 1 } }"
    run_vectors(vectors(STEP % step, "device = 'rtc'\n"))
