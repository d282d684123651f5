"""The machine around a fake core: accesses, interrupts, ends, determinism."""

from __future__ import annotations

import random
import threading
from dataclasses import replace
from itertools import pairwise

import pytest

from soc.errors import ConfigurationError, SocError, TimeError, UnmappedAccessError
from soc.machine import Machine, PoweredOff
from soc.result import Result
from soc.timing import Timing
from tests.soc.fakes import machine

UART, LIOINTC, IPI, POWER = 0x1FE0_01E0, 0x3FF0_1400, 0x3FF0_1000, 0x1008_0010
CYCLE = 1250
ACCESS = (Timing().mmio_request + Timing().mmio_reply) // CYCLE + 1
"""Cycles of an access to a device: there, back, and the instruction."""
WINDOW = Timing().core_window // CYCLE


def power_off():
    yield ("write", POWER, 1, 0xFF)


def say(text):
    def program(core):
        for byte in text:
            yield ("run", 10)
            while not (yield ("read", UART + 5, 1)) & 0x20:
                pass
            yield ("write", UART, 1, byte)
        yield from power_off()

    return program


def receiver(core):
    """Routes the UART to IP2, switches its receive interrupt on, and waits."""
    yield ("write", LIOINTC, 1, 0x11)
    yield ("write", LIOINTC + 0x28, 4, 1)
    yield ("write", UART + 1, 1, 1)
    while True:
        yield ("wait",)


def echo(core):
    """Interrupt handler: mask at the router, take what has come and write it back, unmask."""
    yield ("run", 20)
    pending = yield ("read", LIOINTC + 0x40, 4)
    yield ("write", LIOINTC + 0x2C, 4, pending)
    while (yield ("read", UART + 5, 1)) & 1:
        byte = yield ("read", UART, 1)
        yield ("write", UART, 1, byte)
        if byte == ord("!"):
            yield from power_off()
    # Reading IIR takes the transmitter's interrupt back.
    yield ("read", UART + 2, 1)
    yield ("write", LIOINTC + 0x28, 4, pending)


def test_a_program_prints_and_powers_off():
    m = machine(say(b"hello\n"))
    seen = []
    m.on_console(seen.append)
    result = m.run(until=PoweredOff)
    assert (result.ended, m.console, b"".join(seen)) == ("poweroff", b"hello\n", b"hello\n")
    assert result.ok and result.exits == 13 and result.instructions == 6 * 10 + 12
    assert result.as_dict()["ended"] == "poweroff"


def test_an_access_takes_request_and_reply_latency():
    def program(core):
        yield ("run", 7)
        yield ("read", UART + 5, 1)
        yield ("read", UART + 5, 1)

    m = machine(program, timing={"mmio_request": 3 * CYCLE, "mmio_reply": "5 ns"})
    m.run(max_virtual="1 us")
    # 3.75 ns there and 5 ns back are 7 cycles; the access itself is one instruction of one cycle.
    assert [cycle for cycle, _ in m.cpu[0].seen] == [7 + 7, 7 + 7 + 1 + 7]
    assert [value for _, value in m.cpu[0].seen] == [0x60, 0x60]


def test_windows_and_bus_errors_reach_the_core():
    def program(core):
        for address in (0x1000_0000, 0x1A00_0000, 0x4000_0000, 0x2000_0000):
            yield ("read", address, 2)
        yield ("write", 0x1234_5678, 4, 1)
        yield from power_off()

    m = machine(program)
    result = m.run()
    assert [value for _, value in m.cpu[0].seen] == [0, 0xFFFF, 0xFFFF, "bus error"]
    assert result.ended == "poweroff" and result.unmapped == 5
    assert m.bus.unmapped[0x2000_0000] == 1


@pytest.mark.parametrize(("address", "where"), [(0x1000_0000, "window 'configuration'"), (UART + 5, "uart")])
def test_strict_ends_the_run_at_an_access_to_nothing(address, where):
    def program(core):
        yield ("read", address, 8)
        yield from power_off()

    result = machine(program, strict=True).run()
    assert result.ended == "error" and where in result.reason and "strict" in result.reason
    assert machine(program).run().ended == "poweroff"


def test_an_interrupt_is_taken_at_the_first_boundary_after_its_line_rose():
    """The line reaches the pin while a block runs; the handler starts at that block's end, whatever else is due."""

    def program(core):
        yield ("write", LIOINTC, 1, 0x11)
        yield ("write", LIOINTC + 0x28, 4, 1)
        yield ("write", UART + 1, 1, 1)
        while True:
            yield ("run", 97)

    for extra in ((), (777, 300_000, 300_001, 999_999_999)):
        m = machine(program, echo, trace=True)
        for time in extra:
            m.kernel.post(time, 4, 0, time, lambda _: None)
        m.replay([(2_000_000, b"a")])
        m.run(max_virtual="10 us")
        path = m.trace.latency("uart").paths[0]
        pin, taken = path.hops["cpu0.ip[2]"], path.hops["cpu0 handler"]
        assert pin == 2_000_000 + 30_000
        assert 0 <= taken - pin < 97 * CYCLE
        assert taken % CYCLE == 0 and (taken // CYCLE - core_start(m)) % 97 == 0


def core_start(m):
    """Cycle at which the loop of the program above began: after three accesses."""
    return 3 * ACCESS


def test_latency_hops_are_exact():
    m = machine(receiver, echo, trace=True, timing={"irq_line": "7 ns", "core_pin": "11 ns"})
    m.replay([(2_000_000, b"abc!")])
    assert m.run().ended == "poweroff"
    latency = m.trace.latency("uart")
    assert [hop.name for hop in latency.hops] == [
        "uart.irq edge to ls3a_router_irq.input[0]",
        "ls3a_router_irq.input[0] to cpu0.ip[2]",
        "cpu0.ip[2] to cpu0 handler",
        "cpu0 handler to end of interrupt",
    ]
    edge, router, pin, handler = latency.hops
    assert (edge.min, edge.max, router.min, router.max) == (7_000, 7_000, 11_000, 11_000)
    # A waiting core takes it at its next cycle.
    assert 0 <= pin.min <= pin.max < CYCLE
    # The fourth access of the handler reads the byte, and the line falls when it arrives.
    assert handler.min == handler.max == (20 + 3 * ACCESS) * CYCLE + Timing().mmio_request
    assert latency.total.count == 4 and latency.unfinished == 0
    assert latency.total.p99 == max(latency.totals)
    table = latency.table().splitlines()
    assert len(table) == 6 and "7.000 ns" in table[1] and table[-1].startswith("total")
    assert latency.histogram(bins=3).splitlines() == [f"1797.500 ns   {50 * '█'} 4"]  # all took the same time
    assert m.trace.latency().total == m.trace.latency("uart.irq").total
    with pytest.raises(SocError, match=r"began at: uart\.irq"):
        m.trace.latency("rtc")


def test_one_cause_from_edge_to_end_of_interrupt():
    m = machine(receiver, echo, trace=True)
    m.replay([(0, b"x"), (200_000_000, b"!")])
    m.run()
    levels = [r for r in m.trace.records if type(r.message).__name__ == "InterruptLevel"]
    by_cause = {}
    for record in levels:
        by_cause.setdefault(record.message.cause, []).append((record.link.origin[0], record.message.level))
    assert len(by_cause) == 2 and 0 not in by_cause
    rise_and_fall = [("uart.irq", 1), ("ls3a_router_irq.pin[0]", 1), ("ls3a_router_irq.pin[0]", 0), ("uart.irq", 0)]
    # The handler masks first, so the pin falls before the device's line.
    assert list(by_cause.values()) == [rise_and_fall, rise_and_fall]


def test_an_unmask_carries_the_waiting_input_on():
    def program(core):
        yield ("write", LIOINTC, 1, 0x11)
        yield ("write", UART + 1, 1, 1)
        yield ("run", 4000)
        yield ("write", LIOINTC + 0x28, 4, 1)
        while True:
            yield ("wait",)

    m = machine(program, echo, trace=True)
    m.replay([(1_000_000, b"!")])
    m.run()
    path = m.trace.latency("uart").paths[0]
    assert path.hops["ls3a_router_irq.input[0]"] < 4000 * CYCLE < path.hops["cpu0.ip[2]"]
    assert path.ended


def test_an_ipi_to_itself_is_a_cause_of_its_own():
    def handler(core):
        value = yield ("read", IPI, 4)
        yield ("write", IPI + 0x0C, 4, value)
        yield from power_off()

    def program(core):
        yield ("write", IPI + 4, 4, 0xFFFF_FFFF)
        yield ("write", IPI + 8, 4, 4)
        while True:
            yield ("wait",)

    m = machine(program, handler, trace=True)
    assert m.run().ended == "poweroff"
    hops = [hop.name for hop in m.trace.latency("ls3a_ipi").hops]
    assert hops[:2] == ["store leaves cpu0 to ls3a_ipi", "ls3a_ipi to cpu0.ip[6]"]


def busy(seed):
    """A program of random blocks and accesses to real devices, with input coming in."""

    def program(core):
        choose = random.Random(seed)
        yield ("write", LIOINTC, 1, 0x11)
        yield ("write", LIOINTC + 0x28, 4, 1)
        yield ("write", UART + 1, 1, 3)
        for _ in range(300):
            match choose.randrange(5):
                case 0 | 1:
                    yield ("run", choose.randrange(1, 300))
                case 2:
                    yield ("read", UART + choose.choice((2, 5, 6)), 1)
                case 3:
                    yield ("read", choose.choice((0x1000_0000, 0x1A00_0000, IPI)), 4)
                case 4:
                    yield ("write", UART, 1, choose.randrange(256))
        yield ("run", 1000)

    return program


def observed(seed, slice=None, pieces=None, **options):
    m = machine(busy(seed), echo, **options)
    choose = random.Random(seed + 1000)
    m.replay([(choose.randrange(10**8), bytes([65 + n])) for n in range(5)])
    if pieces:
        for insns in pieces:
            m.run(max_insns=insns, slice=slice)
    result = m.run(slice=slice, max_insns=100_000)
    return result.trace_hash, m.console, m.cpu[0].seen, m.cpu[0].cycles, m.cpu[0].instructions, result.ended


@pytest.mark.parametrize("seed", range(4))
def test_nothing_about_the_host_changes_a_result(seed):
    plain = observed(seed)
    assert plain == observed(seed)
    assert plain == observed(seed, trace=True)
    assert plain == observed(seed, wire=True)
    assert plain == observed(seed, slice=1)
    assert plain == observed(seed, slice=137)
    assert plain == observed(seed, pieces=(1, 10, 500, 77))
    assert plain[0] != observed(seed + 100)[0]


def test_timing_and_ram_are_part_of_the_hash():
    def program(core):
        yield from power_off()

    plain = machine(program).run().trace_hash
    assert plain == machine(program).run().trace_hash
    assert plain != machine(program, timing=Timing(mmio_request="51 ns")).run().trace_hash
    changed = machine(program)
    changed.memory.write(0x8000_0000, b"\1")
    assert changed.run().trace_hash != plain
    again = machine(program)
    again.memory.write(0x8000_0000, b"\1")
    assert again.run(digest=False).trace_hash == machine(program).run(digest=False).trace_hash


def test_limits():
    def program(core):
        while True:
            yield ("run", 10)

    m = machine(program)
    result = m.run(max_virtual="1 us")
    # 1 us is 800 cycles: the first boundary at or after it.
    assert (result.ended, result.instructions, result.virtual_s) == ("limit", 800, 1e-6)
    assert m.run(max_virtual="1 ns").instructions == WINDOW  # to its end
    result = m.run(max_insns=100)
    assert (result.ended, result.instructions, result.reason) == ("limit", 100, "100 instructions")
    assert "model time" in m.run(max_virtual=1).reason


def test_the_result_of_a_run_in_parts_is_that_of_the_run():
    def program(core):
        yield ("run", 2 * WINDOW)
        yield from power_off()

    whole = machine(program).run()
    m = machine(program)
    parts = [m.run(max_insns=WINDOW // 2), m.run(max_virtual="1 ns"), m.run()]
    together = Result.of_parts(parts)
    assert together.wall_s == sum(part.wall_s for part in parts) > 0
    assert replace(together, wall_s=0, mips=0) == replace(whole, wall_s=0, mips=0)


def test_until_text_a_predicate_or_a_pc():
    def program(core):
        for byte in b"one two three four":
            yield ("write", UART, 1, byte)
        while True:
            yield ("run", 1)

    m = machine(program)
    assert m.run(until="two").ended == "until"
    assert m.console.endswith(b"two")
    assert m.run(until=b"three").ended == "until"
    assert m.run(until="two", max_virtual="1 ms").ended == "limit"
    m = machine(program)
    result = m.run(until=lambda machine: len(machine.console) == 5)
    assert (result.ended, m.console) == ("until", b"one t")


def test_deadlock_says_what_the_core_waits_for():
    result = machine(receiver, echo).run()
    assert result.ended == "deadlock" and not result.ok
    assert result.reason == "wait"


def test_what_is_not_modelled_ends_the_run_and_is_named():
    def program(core):
        yield ("unmodelled", "dmtc2 at 0xffffffff80001234 is real but not modelled")

    result = machine(program).run()
    assert result.ended == "error" and "dmtc2" in result.reason


def test_a_reset_request_is_an_error_that_says_so():
    def program(core):
        yield ("write", POWER, 1, 0)

    result = machine(program).run()
    assert result.ended == "error" and "'reset'" in result.reason


def test_a_script_types_one_line_after_each_prompt_without_overrun():
    def shell(core):
        """Prints a prompt, collects a line through the FIFO, answers with its length in stars."""
        for _ in range(3):
            for byte in b"soc# ":
                yield ("write", UART, 1, byte)
            line = b""
            while not line.endswith(b"\n"):
                status = yield ("read", UART + 5, 1)
                assert not status & 2, "overrun"
                if status & 1:
                    line += bytes([(yield ("read", UART, 1))])
                    yield ("write", UART, 1, line[-1])
                else:
                    yield ("run", 1000)
        yield from power_off()

    m = machine(shell, trace=True)
    m.script(["first", "second command with a long tail of words", "third"])
    assert m.run(max_virtual="1s").ended == "poweroff"
    assert m.console == b"soc# first\nsoc# second command with a long tail of words\nsoc# third\n"
    keys = [r.message for r in m.trace.records if r.link is not None and r.link.origin[0] == "console.tx"]
    gaps = {b.time - a.time for a, b in pairwise(keys)}
    assert min(gaps) == m.timing.typing_gap


def test_live_typing_is_recorded_and_replays_to_the_same_bytes():
    live = machine(receiver, echo, trace=True)
    live.run(max_virtual="5 us")
    live.type("ab")
    live.run(max_virtual="1 ms")
    live.type(b"!")
    result = live.run()
    assert result.ended == "poweroff" and live.console == b"ab!"
    again = machine(receiver, echo)
    again.replay(live.typed)
    assert again.run().trace_hash == result.trace_hash


def test_a_paced_machine_waits_for_the_keyboard():
    m = machine(receiver, echo)
    timer = threading.Timer(0.1, m.type, ["!"])
    timer.start()
    result = m.run(pace=True)
    timer.join()
    assert result.ended == "poweroff" and m.console == b"!"


def test_an_interrupted_run_ends_cleanly_and_goes_on():
    def program(core):
        for _ in range(5):
            yield ("run", 1000)
        yield from power_off()

    calls = []
    m = machine(program)
    result = m.run(slice=1000, progress=lambda it: (calls.append(it.now), it.interrupt()), progress_ms=0)
    assert (result.ended, result.reason) == ("limit", "interrupted")
    assert calls and m.run().ended == "poweroff"


def test_the_host_reads_and_writes_devices_and_ram():
    m = machine(receiver)
    m.bus.write(0x8000_0010, 4, 0x1234_5678)
    assert m.bus.read(0x8000_0010, 2) == 0x5678
    m.bus.write(UART + 7, 1, 0x5A)
    assert m.bus.read(UART + 7, 1) == 0x5A
    assert m.devices["uart"].state
    assert (m.bus.read(0x1000_0000, 4), m.bus.read(0x1A00_0000, 2), m.bus.unmapped) == (0, 0xFFFF, {})
    with pytest.raises(UnmappedAccessError, match="uart 0x1fe001e0"):
        m.bus.read(0x2000_0000, 4)


def test_records_and_latency_need_trace():
    m = machine(say(b"x"))
    m.run()
    for use in (lambda: m.trace.records, lambda: m.trace.latency("uart")):
        with pytest.raises(SocError, match="trace=True"):
            use()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"platform": "malta"}, "unknown platform 'malta'; allowed: virt"),
        ({"cpus": 17}, "1 to 16 cores"),
        ({"cpus": 0}, "1 to 16 cores"),
        ({"tier": "fast"}, "allowed: auto, reference, threaded, stencil"),
        ({"placement": "thread"}, "unknown place 'thread'; allowed: inprocess, process, tcp://HOST:PORT"),
        ({"placement": "process+retry"}, "unknown policy 'retry'; allowed: stop, restart, disconnect"),
        ({"placement": {"uart": {"where": "process", "dog": 1}}}, "placement of uart: unknown key 'dog'"),
        ({"placement": {"uart": {"where": "process", "watchdog": 0}}}, "0.01 to 86400 seconds"),
        ({"placement": "inprocess+restart"}, "write process.restart"),
        ({"placement": {"uart": "tcp://x"}}, "placement of uart"),
        ({"placement": {"urat": "inprocess"}}, "unknown component 'urat'"),
        ({"ram": "512 MB"}, "RAM size '512 MB'"),
        ({"ram": 0}, "RAM size 0"),
        ({"colour": "red"}, "unknown machine option 'colour'"),
        ({"timing": {"ht": "1 ns"}}, "unknown timing constant 'ht'"),
        ({"trace": 1}, "trace = 1"),
        ({"append": 3}, "command line is text"),
        ({"devices": {"floppy": {}}}, "unknown device 'floppy'; allowed: virtio_blk, virtio_rng"),
        ({"devices": {"uart": {}}}, "unknown device 'uart'"),
        ({"devices": {"virtio_rng": 7}}, "device virtio_rng: 7; a table of its options"),
        ({"devices": {"virtio_rng": {"sead": 7}}}, "device virtio_rng: .*sead"),
        ({"devices": ["virtio_rng"]}, "a table is needed"),
        ({"devices": {f"virtio_rng_{n}": {} for n in range(32)}}, "32 PCI functions .* has 31 slots"),
    ],
)
def test_wrong_options_are_refused_with_what_is_allowed(options, says):
    with pytest.raises(ConfigurationError, match=says):
        machine(receiver, **options)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"max_virtual": "1 parsec"}, TimeError),
        ({"max_insns": 0}, ConfigurationError),
        ({"slice": -1}, ConfigurationError),
        ({"until": ""}, ConfigurationError),
        ({"until": 5}, ConfigurationError),
    ],
)
def test_wrong_run_arguments_are_refused(arguments, error):
    with pytest.raises(error):
        machine(receiver).run(**arguments)


@pytest.mark.parametrize(
    ("act", "says"),
    [
        (lambda m: m.type(5), "type = 5; text or bytes are needed"),
        (lambda m: m.script("poweroff"), r"script = 'poweroff'; a list of lines is needed, such as \['poweroff'\]"),
        (lambda m: m.script(["a"], prompt=""), "prompt = ''; give the text"),
        (lambda m: m.script(["a"], prompt=5), "prompt = 5; text or bytes are needed"),
        (lambda m: m.replay([(5, 7)]), "replay = 7; text or bytes are needed"),
        (lambda m: m.replay([(1 << 64, b"x")]), "out of range"),
        (lambda m: m.bus.read(0x8000_0000, 3), "the size of an access is 3, allowed: 1, 2, 4, 8"),
        (lambda m: m.bus.write(0x8000_0000, 1, 0x1FF), r"the value of a write is 511, allowed: 0 to 2\^8 - 1"),
        (lambda m: m.bus.write(0x8000_0000, 4, True), "the value of a write is bool, an integer is needed"),
    ],
)
def test_misuse_between_runs_is_refused(act, says):
    with pytest.raises((ConfigurationError, TimeError), match=says):
        act(machine(receiver))


def test_a_machine_from_a_toml_file(tmp_path):
    file = tmp_path / "small.toml"
    file.write_text('[machine]\nplatform = "virt"\nram = "2 MiB"\ntrace = true\n[timing]\nirq_line = "123 ns"\n')
    m = machine(receiver, platform=str(file), ram=None)
    assert (m.ram, m.timing.irq_line, m.options.trace) == (2 << 20, 123_000, True)
    assert machine(receiver, platform=file, ram="3 MiB", timing={"core_pin": 5}).timing.irq_line == 123_000
    file.write_text("[[fault]]\ndrop = 1\n")
    with pytest.raises(ConfigurationError, match="it has a channel, and one of drop"):
        Machine(file)
    file.write_text("[fault]\ndrop = 1\n")
    with pytest.raises(ConfigurationError, match=r"fault must be a list of tables, each headed \[\[fault\]\]"):
        Machine(file)
    file.write_text("[faults]\ndrop = 1\n")
    with pytest.raises(ConfigurationError, match="unknown table 'faults'"):
        Machine(file)
    file.write_text("[machine]\ncpu = 1\n")
    with pytest.raises(ConfigurationError, match="unknown option 'cpu'"):
        Machine(file)
    file.write_text("[machine\n")
    with pytest.raises(ConfigurationError, match="not TOML"):
        Machine(file)
    with pytest.raises(ConfigurationError, match="cannot read"):
        Machine(tmp_path / "none.toml")


def test_a_machine_that_is_off_stays_off():
    def program(core):
        yield from power_off()

    m = machine(program)
    assert m.run().ended == "poweroff" and m.is_off
    with pytest.raises(ConfigurationError, match="switched off"):
        m.run(max_virtual="1 us")
