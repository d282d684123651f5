"""The guests write the same on this machine, in every tier, as on QEMU's; no expected output is kept."""

from __future__ import annotations

import pytest

from scenarios.library import guest, guests
from soc import Machine, PoweredOff
from soc.errors import ConfigurationError
from tests.scenarios import qemu_machine

MAX_INSTRUCTIONS = 20_000_000


def run(name: str, tier: str, **parameters: int) -> tuple[str, str]:
    """(console, trace hash) of a guest that must end by power-off."""
    machine = Machine("virt", tier=tier)
    machine.load(guest(name, **parameters).to_elf())
    result = machine.run(until=PoweredOff, max_insns=MAX_INSTRUCTIONS)
    console = machine.console.decode()
    assert result.ended == "poweroff", f"{result.ended}: {result.reason}\n{console}"
    return console, result.trace_hash


@pytest.mark.qemu
@pytest.mark.skipif(qemu_machine.missing() is not None, reason=str(qemu_machine.missing()))
@pytest.mark.parametrize("name", guests())
def test_a_guest_writes_what_it_writes_on_qemu(name, tmp_path):
    ours, _ = run(name, "auto")
    assert ours.splitlines() == qemu_machine.output(guest(name), tmp_path).splitlines()


@pytest.mark.parametrize("name", guests())
def test_the_tiers_give_the_same_console_and_the_same_hash(name):
    assert run(name, "threaded") == run(name, "reference")


def test_the_timer_guest_also_wakes_from_wait_with_interrupts_off():
    """Not on QEMU's 3A1000: there WAIT ends by an interrupt only when Status.IE is set (no Config7.WII)."""
    console, _ = run("timer.S", "auto", wait_masked=1)
    reports = [line for line in console.splitlines() if not line.startswith("checksum")]
    assert [int(report, 16) for report in reports[-3:-1]] == [1, 1]
    assert reports[-1] == reports[-4], "the interrupt was taken although Status.IE was clear"


def test_an_unknown_guest_is_named_with_those_there_are():
    with pytest.raises(ConfigurationError, match=r"unknown guest 'nothing\.S'; allowed: first_light\.S"):
        guest("nothing.S")
