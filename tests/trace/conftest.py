"""A trace with some of everything, for files, exports and pictures."""

import pytest

from soc.trace import Trace
from tests.trace.log import EXT, HT, IPI, NS, Log, uart_interrupt

US = 1000 * NS


def some_of_everything() -> Log:
    """UART, IPI, MSI through the extended controller, timers, one interrupt held back; two cores."""
    log = Log(cores=2)
    for round in range(8):
        start = (10 * round + 1) * US
        uart_interrupt(log, start, 1 + round, delay=(3 + 7 * (round % 3)) * NS, core=round % 2)
        sent = log.store(round % 2, IPI, start + 1 * US, 100 + round, instructions=50 * round)
        core = 1 - round % 2
        pin = log.line(f"{IPI}.pin[{core}]", f"cpu{core}.ip[6]", sent, 100 + round)
        log.taken(core, pin + round, 6)
        cleared = log.store(core, IPI, pin + 100 * NS, 200 + round)
        log.line(f"{IPI}.pin[{core}]", f"cpu{core}.ip[6]", cleared, 100 + round, 0)
        doorbell = log.message("virtio_blk", 3, start + 3 * US, 300 + round)
        at_ht = log.vector("memory.msi", f"{HT}.message", doorbell, 300 + round, 3)
        at_ext = log.vector(f"{HT}.forward", f"{EXT}.message", at_ht, 300 + round, 3, ns=10)
        pin = log.line(f"{EXT}.pin[0]", "cpu0.ip[2]", at_ext, 300 + round)
        log.taken(0, pin, 2)
        log.line(f"{EXT}.pin[0]", "cpu0.ip[2]", log.store(0, EXT, pin + 20 * NS, 400 + round), 300 + round, 0)
        log.taken(0, start + 5 * US + 1250 * round, 7, deadline=start + 5 * US)
    log.line("ls7a_uart0.irq", "ls7a_irq.input[8]", 90 * US, 999)
    return log


@pytest.fixture
def trace() -> Trace:
    return some_of_everything().done()
