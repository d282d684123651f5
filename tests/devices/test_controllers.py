"""State machines: each controller against a model that follows the reference event by event, with save points anywhere.

The devices derive their outputs from state; the models here do what each event does, one after the other. Agreement
means that no edge is lost, no message sent twice and no pin raised without cause.
"""

from fractions import Fraction

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from devices.ls3a_ext_irq import Ls3aExtIrq
from devices.ls3a_ht_irq import Ls3aHtIrq
from devices.ls3a_ipi import Ls3aIpi
from devices.ls7a_irq import Ls7aIrq
from devices.stable_timer import StableTimer
from tests.devices.revive import EXAMPLES, left, powered, revive

LIMITS = settings(deadline=None, max_examples=EXAMPLES, stateful_step_count=60)
bits = st.integers(0, 1)
PINS = (0, 31, 32, 63)
pins = st.sampled_from(PINS)
pin_sets = st.sets(pins).map(lambda chosen: sum(1 << pin for pin in chosen))


class PinModel:
    """One pin by the rules P1 to P9 of the reference."""

    def __init__(self, number, sent):
        self.number, self.sent = number, sent
        self.line = self.low_active = self.edge = self.en = self.latch = self.isr = 0
        self.mask, self.route = 1, 1
        self.vector = number if number < 32 else number + 32

    @property
    def active(self):
        return self.line ^ self.low_active

    @property
    def request(self):
        return self.latch if self.edge else self.active

    def issue(self):
        if self.request and not self.mask and not self.isr:
            self.isr = 1
            if self.en and self.route & 3:
                self.sent.append(("lo" if self.route & 1 else "hi", self.vector))

    def became(self, active):
        if self.edge:
            self.latch |= active
        elif not active:
            self.isr = 0
        self.issue()

    def set_line(self, level):
        if level != self.line:
            self.line = level
            self.became(self.active)

    def set_polarity(self, low_active):
        if low_active != self.low_active:
            self.low_active = low_active
            if not self.edge:
                self.became(self.active)

    def set_mask(self, mask):
        self.mask = mask
        if mask:
            self.isr = 0
        self.issue()

    def set_edge(self, edge):
        if edge != self.edge:
            self.edge, self.latch = edge, 0
            self.isr &= self.request
            self.issue()

    def set_en(self, en):
        if en and not self.en:
            self.isr = 0
        self.en = en
        self.issue()

    def clear(self):
        self.isr = self.latch = 0
        self.issue()


class PicMachine(RuleBasedStateMachine):
    """Four pins; after every step messages, registers and lines are those of the model."""

    def __init__(self):
        super().__init__()
        self.device = powered(Ls7aIrq)
        self.sent = []
        self.model = {pin: PinModel(pin, self.sent) for pin in PINS}

    def write(self, offset, value, size):
        for place in range(0, 8, size):
            self.device.write(offset + place, size, value >> 8 * place & (1 << 8 * size) - 1)

    @rule(pin=pins, level=bits)
    def line(self, pin, level):
        self.device.line_in(f"input[{pin}]", level)
        self.model[pin].set_line(level)

    @rule(pin=pins)
    def pulse(self, pin):
        for level in (1, 0):
            self.line(pin, level)

    @rule(
        what=st.sampled_from([(0x20, "set_mask"), (0x40, "set_en"), (0x60, "set_edge"), (0x3E0, "set_polarity")]),
        chosen=pin_sets,
        size=st.sampled_from((1, 2, 4, 8)),
    )
    def configure(self, what, chosen, size):
        offset, setter = what
        others = (1 << 64) - 1 - sum(1 << pin for pin in PINS) if offset == 0x20 else 0
        self.write(offset, chosen | others, size)
        for pin in PINS:
            getattr(self.model[pin], setter)(chosen >> pin & 1)

    @rule(chosen=pin_sets, size=st.sampled_from((1, 2, 4, 8)))
    def clear(self, chosen, size):
        self.write(0x80, chosen, size)
        for pin in PINS:
            if chosen >> pin & 1:
                self.model[pin].clear()

    @rule(pin=pins, vector=st.integers(0, 255), route=st.integers(0, 3))
    def steer(self, pin, vector, route):
        self.device.write(0x200 + pin, 1, vector)
        self.device.write(0x100 + pin, 1, route)
        self.model[pin].vector, self.model[pin].route = vector, route

    @rule()
    def save_point(self):
        self.device = revive(self.device)

    @invariant()
    def agrees(self):
        vectors = [event for event in left(self.device, "vector") if event[0] != "cleared"]
        assert vectors == self.sent
        self.sent.clear()
        for offset, wanted in ((0x380, "request"), (0x3A0, "isr")):
            assert self.device.read(offset, 8) == sum(getattr(m, wanted) << pin for pin, m in self.model.items())
        held = self.device.read(0x300, 8) | self.device.read(0x320, 8)
        assert held & ~self.device.intisr == 0
        waits = self.device.intisr & ~self.device.htmsi_en
        assert self.device.intn0.level == (waits & self.device.intisr_chip0 != 0)
        assert self.device.intn1.level == (waits & self.device.intisr_chip1 != 0)


class HtvecMachine(RuleBasedStateMachine):
    """256 pending bits, 256 enable bits, and the table of lines of the manual."""

    MEMBERS = {
        (8, 1): lambda n: set(range(32 * n, 32 * n + 32)),
        (4, 1): lambda n: set(range(64 * n, 64 * n + 64)) if n < 4 else set(),
        (4, 2): lambda n: set(range(128 * (n // 2) + n % 2, 128 * (n // 2) + 128, 2)) if n < 4 else set(),
        (4, 4): lambda n: set(range(n, 256, 4)) if n < 4 else set(),
        (8, 2): lambda n: set(sorted(range(128 * (n // 4) + n // 2 % 2, 128 * (n // 4) + 128, 2))[32 * (n % 2) :][:32]),
        (8, 4): lambda n: set(sorted(range(n // 2, 256, 4))[32 * (n % 2) :][:32]),
    }
    vectors = st.sampled_from((0, 1, 31, 32, 63, 64, 127, 128, 200, 254, 255))

    @initialize(mode=st.sampled_from(sorted(MEMBERS)))
    def start(self, mode):
        self.options = {"lines": mode[0], "stripe": mode[1]}
        self.device = powered(Ls3aHtIrq, **self.options)
        self.members = [self.MEMBERS[mode](n) for n in range(8)]
        self.pending, self.enabled, self.forward = set(), set(), []
        self.ext = 0

    @rule(vector=vectors)
    def message(self, vector):
        self.device.vector_in("message", vector)
        if self.ext:
            self.forward.append(("forward", vector))
        else:
            self.pending.add(vector)

    @rule(vector=vectors, size=st.sampled_from((1, 2, 4, 8)))
    def acknowledge(self, vector, size):
        place = vector // (8 * size) * size
        self.device.write(0x80 + place, size, 1 << vector - 8 * place)
        self.pending.discard(vector)

    @rule(chosen=st.sets(vectors), word=st.integers(0, 7))
    def enable(self, chosen, word):
        inside = {vector for vector in chosen if vector // 32 == word}
        self.device.write(0xA0 + 4 * word, 4, sum(1 << vector % 32 for vector in inside))
        self.enabled = {vector for vector in self.enabled if vector // 32 != word} | inside

    @rule(level=bits)
    def extended(self, level):
        self.device.line_in("ext_int", level)
        self.ext = level

    @rule()
    def save_point(self):
        self.device = revive(self.device, **self.options)

    @invariant()
    def agrees(self):
        assert left(self.device, "vector") == self.forward
        self.forward.clear()
        shown = {32 * w + b for w in range(8) for b in range(32) if self.device.read(0x80 + 4 * w, 4) >> b & 1}
        assert shown == self.pending
        lines = [n for n in range(8) if self.pending & self.enabled & self.members[n]]
        assert [n for n in range(8) if self.device.outside.levels[f"line[{n}]"]] == lines


def test_every_vector_has_one_line_in_every_mode():
    for mode, members in HtvecMachine.MEMBERS.items():
        assert sorted(v for n in range(mode[0]) for v in members(n)) == list(range(256)), mode


NODE = 1


class EiointcMachine(RuleBasedStateMachine):
    """Rules E1 to E6 of the reference, vector by vector, on node 1 of several."""

    vectors = st.sampled_from((0, 1, 31, 32, 100, 255))

    def __init__(self):
        super().__init__()
        self.device = powered(Ls3aExtIrq, node=NODE)
        self.device.write(0x420, 8, 1 << 48)
        self.node_type, self.ipmap = [0] * 16, [0] * 8
        self.coremap, self.bounce, self.en, self.last = {}, set(), set(), {}
        self.at: dict[int, int | None] = {}
        self.sent = []

    def deliver(self, vector):
        entry = self.coremap.get(vector, 0)
        nodes = [n for n in range(16) if self.node_type[entry >> 4] >> n & 1] or [NODE]
        places = [(n, c) for n in nodes for c in range(4) if (entry & 15 or 1) >> c & 1]
        if vector in self.bounce:
            later = [place for place in places if place > self.last.get(vector, (-1, 0))]
            node, core = self.last[vector] = (later or places)[0]
        else:
            node, core = places[0]
        if node == NODE:
            self.at[vector] = core
        else:
            del self.at[vector]
            self.sent.append((f"to_node[{node}]", core << 8 | vector))

    @rule(vector=vectors, how=st.sampled_from(("message", "send")))
    def message(self, vector, how):
        if how == "message":
            self.device.vector_in("message", vector)
        else:
            self.device.write(0x1140, 4, vector)
        if vector not in self.at:
            self.at[vector] = None
        if self.at[vector] is None and vector in self.en:
            self.deliver(vector)

    @rule(vector=vectors, core=st.integers(0, 3))
    def from_another_node(self, vector, core):
        self.device.vector_in("from_node", core << 8 | vector)
        if self.at.setdefault(vector, None) is None and vector in self.en:
            self.at[vector] = core

    @rule(vector=vectors, on=bits)
    def enable(self, vector, on):
        place = 0x1600 + vector // 8
        old = self.device.read(place, 1)
        self.device.write(place, 1, old | 1 << vector % 8 if on else old & ~(1 << vector % 8))
        (self.en.add if on else self.en.discard)(vector)
        if on and vector in self.at and self.at[vector] is None:
            self.deliver(vector)

    @rule(vector=vectors, core=st.integers(0, 3), csr=st.booleans())
    def handle(self, vector, core, csr):
        """As software does: read the core's words, write back what is set."""
        base = 0x1800 if csr else 0x1800 + 0x100 * core
        where = {"core": core + 4 * NODE, "space": "csr"} if csr else {"core": 3}
        place = base + vector // 64 * 8
        found = self.device.read(place, 8, **where)
        group = {v for v, at in self.at.items() if at == core and v // 64 == vector // 64}
        assert found == sum(1 << v % 64 for v in group)
        self.device.write(place, 8, found, **where)
        for v in group:
            del self.at[v]

    @rule(vector=vectors, entry=st.integers(0, 255), bounce=st.booleans())
    def steer(self, vector, entry, bounce):
        self.device.write(0x1C00 + vector, 1, entry)
        place = 0x1680 + vector // 8
        old = self.device.read(place, 1)
        self.device.write(place, 1, old | 1 << vector % 8 if bounce else old & ~(1 << vector % 8))
        self.coremap[vector] = entry
        (self.bounce.add if bounce else self.bounce.discard)(vector)

    @rule(place=st.integers(0, 15), nodes=st.sampled_from((0, 1, 2, 3, 6, 0x8002)), group=st.integers(0, 7), pin=bits)
    def maps(self, place, nodes, group, pin):
        self.device.write(0x14A0 + 2 * place, 2, nodes)
        self.device.write(0x14C0 + group, 1, pin << group % 4 | 8)
        self.node_type[place], self.ipmap[group] = nodes, pin << group % 4 | 8

    @rule()
    def save_point(self):
        self.device = revive(self.device, node=NODE)

    @invariant()
    def agrees(self):
        assert left(self.device, "vector") == self.sent
        self.sent.clear()
        pending = [self.device.read(0x1700 + 8 * quad, 8) for quad in range(4)]
        assert {64 * q + b for q, word in enumerate(pending) for b in range(64) if word >> b & 1} == set(self.at)
        wanted = set()
        for vector, core in self.at.items():
            chosen = self.ipmap[vector // 32]
            if core is not None and vector in self.en and chosen:
                wanted.add(f"pin[{4 * core + next(k for k in range(4) if chosen >> k & 1)}]")
        assert {p for p, level in self.device.outside.levels.items() if level and p.startswith("pin")} == wanted


class IpiMachine(RuleBasedStateMachine):
    """Status words and mailboxes of eight cores as plain numbers; node 0 is the device, node 1 what leaves it."""

    cores = st.integers(0, 3)
    words = st.integers(0, 2**32 - 1) | st.sampled_from((0, 1, 2**31))

    def __init__(self):
        super().__init__()
        self.device = powered(Ls3aIpi)
        self.status, self.enable = [0] * 4, [0] * 4
        self.boxes = [bytearray(32) for _ in range(4)]
        self.sent = []

    def act(self, core, place, value, csr):
        if csr:
            self.device.write(0x1000 + place, 4, value, core, "csr")
        else:
            self.device.write(0x100 * core + place, 4, value, 3 - core)

    @rule(core=cores, value=words, csr=st.booleans())
    def set(self, core, value, csr):
        self.act(core, 8, value, csr)
        self.status[core] |= value

    @rule(core=cores, value=words, csr=st.booleans())
    def clear(self, core, value, csr):
        self.act(core, 12, value, csr)
        self.status[core] &= ~value

    @rule(core=cores, value=words, csr=st.booleans())
    def gate(self, core, value, csr):
        self.act(core, 4, value, csr)
        self.enable[core] = value

    @rule(sender=cores, core=st.integers(0, 7), action=st.integers(0, 31), wait=bits)
    def send(self, sender, core, action, wait):
        self.device.write(0x1040, 4, wait << 31 | core << 16 | action, sender, "csr")
        if core < 4:
            self.status[core] |= 1 << action
        else:
            self.sent.append((core, 0x1008, 4, 1 << action))

    @rule(core=st.integers(0, 7), half=st.integers(0, 7), data=words, skip=st.integers(0, 15), anyway=st.booleans())
    def mail(self, core, half, data, skip, anyway):
        place, low = (0x1158, 0x1020 + 4 * half) if anyway else (0x1048, half << 2)
        self.device.write(place, 8, data << 32 | skip << 27 | core << 16 | low, 0, "csr")
        kept = [byte for byte in range(4) if not skip >> byte & 1]
        if core < 4:
            for byte in kept:
                self.boxes[core][4 * half + byte] = data >> 8 * byte & 0xFF
        elif not skip:
            self.sent.append((core, 0x1020 + 4 * half, 4, data))
        else:
            self.sent += [(core, 0x1020 + 4 * half + byte, 1, data >> 8 * byte & 0xFF) for byte in kept]

    @rule(offset=st.sampled_from((0x420, 0x1600, 0x1C04)), core=st.integers(0, 7), data=words)
    def elsewhere(self, offset, core, data):
        self.device.write(0x1158, 8, data << 32 | core << 16 | offset, 0, "csr")
        self.sent.append((core, offset, 4, data))

    @rule()
    def save_point(self):
        self.device = revive(self.device)

    @invariant()
    def agrees(self):
        assert [value for _, value in left(self.device, "csr")] == self.sent
        self.sent.clear()
        for core in range(4):
            assert self.device.read(0x100 * core, 4) == self.status[core]
            for box in range(4):
                own = int.from_bytes(self.boxes[core][8 * box : 8 * box + 8], "little")
                assert self.device.read(0x100 * core + 0x20 + 8 * box, 8) == own
                assert self.device.read(0x1020 + 8 * box, 8, core, "csr") == own
            assert self.device.outside.levels[f"pin[{core}]"] == (self.status[core] & self.enable[core] != 0)


class TimerMachine(RuleBasedStateMachine):
    """Each timer as a line of expiry ticks; ticks are exact rationals."""

    cores = st.integers(0, 3)
    FREQUENCIES = (100_000_000, 33_333_333, Fraction(100_000_000, 3), 1)

    @initialize(hz=st.sampled_from(FREQUENCIES))
    def start(self, hz):
        self.hz = Fraction(hz)
        self.device = powered(StableTimer, hz=hz)
        self.running: dict[int, tuple[int, int]] = {}
        self.still = [0] * 4
        self.latched: set[int] = set()
        self.edges = []

    def tick(self):
        """Number of the last tick: tick k is at floor(k * 10**12 / hz) ps."""
        return ((self.device.outside.now + 1) * self.hz.numerator - 1) // (10**12 * self.hz.denominator)

    def time(self, tick):
        return tick * 10**12 * self.hz.denominator // self.hz.numerator

    def ticks_left(self, core):
        return self.running[core][0] - self.tick() if core in self.running else self.still[core]

    def expire(self, core, now):
        self.edges.append((now, core))
        self.latched.add(core)

    @rule(core=cores, count=st.integers(0, 40), periodic=bits, on=st.sampled_from((1, 1, 0)), csr=st.booleans())
    def configure(self, core, count, periodic, on, csr):
        value = periodic << 62 | on << 61 | count
        if csr:
            self.device.write(0x1060, 8, value, core, "csr")
        else:
            self.device.write(0x1060 + 0x100 * core, 8, value, 3)
        self.still[core] = self.ticks_left(core)
        self.running.pop(core, None)
        if not on:
            return
        if count or periodic:
            self.running[core] = (self.tick() + max(1, count), max(1, count) if periodic else 0)
        if not count:
            self.expire(core, self.device.outside.now)
            if not periodic:
                self.still[core] = (1 << 48) - 1

    @rule(core=cores)
    def acknowledge(self, core):
        self.device.vector_in("compare", core)
        self.latched.discard(core)

    @rule(ticks=st.integers(0, 100), more=st.integers(0, 10**7))
    def wait(self, ticks, more):
        before = self.device.outside.now
        self.device.outside.advance(self.time(ticks) + (0 if self.hz == 1 else more))
        now = self.device.outside.now
        due = []
        for core, (end, period) in list(self.running.items()):
            while self.time(end) <= now:
                due.append((self.time(end), core))
                if not period:
                    del self.running[core]
                    self.still[core] = (1 << 48) - 1
                    break
                end += period
                self.running[core] = (end, period)
        assert all(time > before or time == now for time, _ in due)
        for time, core in sorted(due):
            self.expire(core, time)

    @rule()
    def save_point(self):
        self.device = revive(self.device, hz=self.hz)

    @invariant()
    def agrees(self):
        if not hasattr(self, "hz"):
            return
        rises = [(t, int(p[4:-1])) for t, k, p, level in self.device.outside.events if k == "line" and level]
        assert sorted(rises) == sorted(self.edges)
        self.device.outside.events = []
        self.edges.clear()
        for core in range(4):
            assert self.device.outside.levels[f"pin[{core}]"] == (core in self.latched)
            assert self.device.read(0x1070, 8, core, "csr") == self.ticks_left(core)
        assert self.device.counter == self.tick()


@pytest.mark.parametrize(
    "machine",
    [PicMachine, HtvecMachine, EiointcMachine, IpiMachine, TimerMachine],
    ids=["ls7a_irq", "ls3a_ht_irq", "ls3a_ext_irq", "ls3a_ipi", "stable_timer"],
)
def test_controller(machine):
    case = machine.TestCase
    case.settings = LIMITS
    case("runTest").runTest()
