"""Debian on a machine that admits to its CSR instructions: mail and inter-processor interrupts go that way."""

from __future__ import annotations

import pytest

from soc import Machine, PoweredOff
from soc.firmware.boot import prepare
from soc.firmware.cmdline import FAST
from soc.messages import MmioWrite, Space
from tests.boot.test_boot import TROUBLE

IPI_SEND, MAIL_SEND = 0x1040, 0x1048


@pytest.mark.slow
def test_linux_sends_its_interrupts_with_csr_instructions(material):
    image = prepare(material.kernel, platform="ls7a", ram=512 << 20, initrd=material.initrd, append=FAST, cpus=4)
    sent = {}
    for csr in (False, True):
        m = Machine("ls7a", cpus=4, csr=csr, trace=True)
        m.load(image)
        m.script(["cat /sys/devices/system/cpu/online", "poweroff -f"])
        result = m.run(until=PoweredOff, max_virtual="30 s")
        console = m.console.decode()
        assert result.ended == "poweroff", result.reason
        assert "smp: Brought up 1 node, 4 CPUs" in console and "0-3" in console
        assert not TROUBLE.search(console)
        writes = [r.message for r in m.trace if type(r.message) is MmioWrite and r.message.space == Space.CSR]
        sent[csr] = [message.address for message in writes]
        assert not m.open_bus.unclaimed_csrs
    assert sent[False] == []
    # Three cores are started with four mailboxes each, in two halves.
    assert sent[True].count(MAIL_SEND) == 3 * 4 * 2 and sent[True].count(IPI_SEND) > 100
