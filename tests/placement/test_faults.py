"""Faults on channels: what a filter does to messages, to a machine, and to its trace."""

from __future__ import annotations

from random import Random

import pytest

from scenarios.library import guest
from soc import Machine, PoweredOff
from soc.errors import ConfigurationError, SocError
from soc.faults import Fault, altered, babble, corrupt, delay, drop, duplicate, reorder, stuck
from soc.messages import DmaReply, FaultInjected, InterruptLevel, MmioReply

LINE = "uart -> ls3a_router_irq"


def levels(count):
    return [InterruptLevel(100 * n, 1, 2, n, 0, n & 1) for n in range(1, count + 1)]


def through(make, messages, seed=1):
    rng = Random(seed)
    return [found for message in messages for found in make(message, rng)]


def test_drop_loses_the_share_it_is_asked_to():
    assert through(drop(0), levels(50)) == levels(50) and through(drop(1), levels(50)) == []
    assert 400 < len(through(drop(0.5), levels(1000))) < 600
    assert through(drop(0.5), levels(50)) == through(drop(0.5), levels(50))


def test_delay_duplicate_and_babble_keep_what_a_message_says():
    (late,) = through(delay(7), levels(1))
    assert late.time == 107 and late[3:] == levels(1)[0][3:]
    assert through(duplicate(1), levels(2)) == [m for m in levels(2) for _ in range(2)]
    assert [m.time for m in through(babble(5, 3), levels(1))] == [100, 105, 110, 115]


def test_reorder_exchanges_neighbours():
    found = through(reorder(1), levels(4))
    assert [m.sequence for m in found] == [2, 1, 4, 3]
    assert [m.time for m in found] == [200, 200, 400, 400]


def test_corrupt_changes_one_bit_of_what_is_carried_and_nothing_else():
    reply = MmioReply(1, 2, 3, 4, 5, 6, 0xFF)
    (found,) = through(corrupt(1), [reply])
    assert found[:8] == reply[:8] and (found.value ^ 0xFF).bit_count() == 1
    (found,) = through(corrupt(1), [DmaReply(1, 2, 3, 4, 5, 6, b"\0\0\0")])
    assert int.from_bytes(found.data).bit_count() == 1 and len(found.data) == 3
    empty = DmaReply(1, 2, 3, 4, 5, 6, b"")
    assert through(corrupt(1), [empty]) == [empty]


def test_a_stuck_line_has_one_level():
    assert {m.level for m in through(stuck(1), levels(6))} == {1}
    assert {m.level for m in through(stuck(0), levels(6))} == {0}


def test_a_filter_cannot_make_a_message_that_is_none():
    with pytest.raises(SocError, match=r"InterruptLevel\.level is 2"):
        altered(levels(1)[0], level=2)


def light(faults, rounds=5, **options):
    machine = Machine("virt", faults=faults, trace=True, **options)
    machine.load(guest("first_light.S", rounds=rounds).to_elf())
    return machine


def test_a_dropped_interrupt_is_missing_and_the_trace_says_so():
    with light([{"channel": LINE, "drop": 1.0}]) as machine:
        result = machine.run(until=PoweredOff, max_virtual="50 ms")
        records = [record for record in machine.trace if type(record.message) is FaultInjected]
        passed = [
            r for r in machine.trace if type(r.message) is InterruptLevel and r.link and r.link.name.startswith("uart")
        ]
    assert result.ended != "poweroff" and not passed
    assert records and all((r.message.fault, r.message.messages) == ("drop", 0) for r in records)
    (name,) = [name for name in result.details if name.startswith("fault ")]
    assert name == "fault drop on uart.irq -> ls3a_router_irq.input[0]" and result.details[name] == len(records)


def test_a_late_interrupt_is_taken_later_by_as_much():
    def first(faults):
        with light(faults) as machine:
            machine.run(max_virtual="1 ms")
            return next(m.time for m, _ in machine.trace if type(m) is InterruptLevel)

    assert first([{"channel": LINE, "delay": "3 us"}]) == first([]) + 3_000_000


def test_the_same_seed_gives_the_same_faults_in_every_placement_and_another_seed_others():
    def hash_of(seed, placement="inprocess"):
        fault = {"channel": LINE, "delay": "700 ns", "probability": 0.5, "seed": seed}
        with light([fault], 20, placement=placement) as machine:
            return machine.run(until=PoweredOff).trace_hash

    assert hash_of(1) == hash_of(1) == hash_of(1, "process")
    assert len({hash_of(seed) for seed in range(4)}) > 1


def test_a_fault_that_changes_nothing_leaves_the_hash():
    with light([{"channel": LINE, "drop": 0.0}]) as faulty, light([]) as sound:
        assert faulty.run(until=PoweredOff).trace_hash == sound.run(until=PoweredOff).trace_hash


def test_faults_from_a_file_and_a_filter_of_ones_own(tmp_path):
    (tmp_path / "machine.toml").write_text(
        '[machine]\nplatform = "virt"\n'
        f'[[fault]]\nchannel = "{LINE}"\nstuck = 1\n'
        '[[fault]]\nchannel = "cpu0 -> uart.mmio"\nfilter = "tests.placement.test_faults:nothing_at_all"\n'
    )
    faults = Machine(str(tmp_path / "machine.toml")).faults
    assert [fault.name for fault in faults] == [
        "stuck on uart.irq -> ls3a_router_irq.input[0]",
        "filter on cpu0.mmio -> uart.mmio",
    ]


def nothing_at_all(message, rng):
    return [message]


def test_a_filter_must_not_go_back_in_time():
    faults = [{"channel": LINE, "filter": lambda message, rng: [altered(message, time=message.time - 1)]}]
    with pytest.raises(SocError, match="filter filter on uart"):
        light(faults).run(until=PoweredOff)


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ({"channel": "uart -> rtc", "drop": 1}, "unknown channel 'uart -> rtc'; allowed: "),
        ({"channel": LINE}, "it has a channel, and one of drop, duplicate"),
        ({"channel": LINE, "drop": 1, "stuck": 1}, "one of drop"),
        ({"channel": LINE, "drop": 2}, "a probability is 0 to 1"),
        ({"channel": LINE, "drop": 1, "times": 2}, "unknown key 'times'"),
        ({"channel": LINE, "drp": 1}, "unknown key 'drp'; allowed: channel, seed, drop"),
        ({"channel": LINE, "babble": "1 ns", "times": 0}, "times = 0; a positive whole number is needed"),
        ({"channel": LINE, "babble": "1 ns", "times": "x"}, "times = 'x'"),
        ({"channel": LINE, "stuck": 2}, "stuck at 0 or 1"),
        ({"channel": LINE, "delay": "soon"}, "cannot read duration"),
        ({"channel": LINE, "filter": "no.such:thing"}, "write module:function"),
        ({"channel": LINE, "drop": 1, "seed": "x"}, "seed = 'x'"),
        ({"device": "uart"}, "one of kill, hang, garble"),
        ({"device": "uart", "kill": "1 ms"}, "unknown device in another process 'uart'; allowed: none is"),
        ("drop", "a table is needed"),
    ],
)
def test_a_fault_that_cannot_be_is_refused(fault, says):
    with pytest.raises(SocError, match=says):
        Machine("virt", faults=[fault])


def test_a_fault_is_read_once():
    fault = Fault.read({"channel": LINE, "drop": 0.5, "seed": 3})
    assert Fault.read(fault) is fault and (fault.name, fault.seed) == ("drop", 3)
    assert issubclass(ConfigurationError, SocError)
