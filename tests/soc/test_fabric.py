"""Every way of an interrupt through the ls7a platform, under a guest of instructions: the same run in both tiers."""

from itertools import pairwise

import pytest

from cpu.isa.assembler import assemble
from devices.errors import DeviceError
from scenarios.library import FOLDER, KSEG0_BITS, PLACES, UNCACHED
from soc import Machine, PoweredOff, platforms
from soc.errors import SocError
from soc.messages import CsrWrite, InterruptLevel, InterruptVector
from soc.platforms import eventfd
from soc.timing import Timing

PIC, HT, ROUTER, CHIP, UART0 = 0x1000_0000, 0xEFD_FB00_0080, 0x3FF0_1400, 0x1FE0_0000, 0x1008_0000
IPI, DOORBELL, NODE = 0x3FF0_1000, 0x2FF0_0000, 1 << 44
CONFIG, BAR, BUFFER = 0x1A00_4000, 0x4000_0000, 0x8080_0000
PERIODIC, ENABLE = 1 << 62, 1 << 61
TICK = 10_000
T = Timing()
ALL = (1 << 64) - 1

GUEST = """
        .include "cores.S"
_start: jal     setup
        nop
        {setup}
        b       start_cores
        nop
main:   ld      t0, OWN_IPI(gp)
        li      t1, -1
        sw      t1, IPI_ENABLE(t0)
        {each}
        li      a0, IM_IP2 | IM_IP3 | IM_IP4 | IM_IP5 | IM_IP6 | IM_IP7
        jal     interrupts_on
        nop
        jal     meet
        nop
        ld      t0, OWN_NUMBER(gp)
        bnez    t0, sleep
        nop
        {go}
        {waits}
        {end}
        li      t0, 2000
1:      bnez    t0, 1b
        daddiu  t0, t0, -1
        b       poweroff
        nop
"""
SERVE = """
serve_ip{ip}:
        {text}
        count   {ip}
        jr      ra
        nop
"""
WAIT = """
        li      s2, {core}
        own_block s3, s2
        daddiu  a0, s3, OWN_COUNT + 8 * {ip}
        jal     spin_until
        li      a1, {count}
"""
EXTERNAL_TIMER = """
        mfc0    t0, c0_config6
        ori     t0, t0, 0x80
        mtc0    t0, c0_config6
        ehb
"""
SERVE_TIMER = """
        mfc0    t0, c0_compare
        mtc0    t0, c0_compare
        ehb
"""
SERVE_IPI = """
        ld      t0, OWN_IPI(gp)
        li      t1, -1
        sw      t1, IPI_CLEAR(t0)
"""


def store(address, size, value):
    letter = {1: "b", 2: "h", 4: "w", 8: "d"}[size]
    return f"dli t0, {UNCACHED + address:#x}\n dli t1, {value:#x}\n s{letter} t1, 0(t0)\n"


def stores(*rows):
    return "".join(store(*row) for row in rows)


def program(cpus, platform, expect, setup="", each="", go="", end="", serve=None):
    text = GUEST.format(
        setup=setup,
        each=each,
        go=go,
        end=end,
        waits="".join(WAIT.format(core=core, ip=ip, count=count) for (core, ip), count in expect.items()),
    )
    serve = serve or {}
    for ip in range(2, 8):
        text += SERVE.format(ip=ip, text=serve[ip]) if ip in serve else f".equ serve_ip{ip}, unexpected\n"
    built = assemble(text, folder=FOLDER)
    places = {word: value for word, value in PLACES[platform].items() if word in built.symbols}
    return built.with_values(cores=cpus, **places)


def boot(built, cpus, platform="ls7a", **options):
    m = Machine(platform, cpus=cpus, ram="16 MiB", trace=True, **options)
    m.load(built.to_elf())
    return m


def finish(m):
    result = m.run(until=PoweredOff, max_virtual="20 ms")
    assert result.ended == "poweroff", (result.reason, m.console)
    assert m.console == b""
    return result.trace_hash


def counters(m, built):
    """{(core, input): interrupts served} without the zeros."""
    symbols = built.symbols
    own = built.symbol("own") & KSEG0_BITS
    found = {}
    for core in range(len(m.cpu)):
        for ip in range(8):
            at = own + (core << symbols["OWN_SHIFT"]) + symbols["OWN_COUNT"] + 8 * ip
            if count := int.from_bytes(m.memory.read(at, 8), "little"):
                found[core, ip] = count
    return found


def run(cpus, expect, platform="ls7a", prepare=lambda m: None, exactly=True, options=None, **parts):
    """The machine after a run in the threaded tier, which the reference tier has repeated."""
    built = program(cpus, platform, expect, **parts)
    ran = {}
    for tier in ("reference", "threaded"):
        m = boot(built, cpus, platform, tier=tier, **(options or {}))
        prepare(m)
        ran[tier] = finish(m), counters(m, built), m.instructions
    assert ran["threaded"] == ran["reference"]
    if exactly:
        assert ran["threaded"][1] == expect
    return m


def path(m, kinds=(InterruptLevel, InterruptVector), named=""):
    """(name of the link, time) of what rose or was sent towards the cores, in order."""
    back = "ls7a_irq.cleared -> ls7a_irqfd.cleared"
    return [
        (r.link.name, r.message.time)
        for r in m.trace
        if type(r.message) in kinds and getattr(r.message, "level", 1) and named in r.link.name and r.link.name != back
    ]


def latencies(hops):
    return [after - before for (_, before), (_, after) in pairwise(hops)]


PIN_9 = (
    (PIC + 0x208, 1, 9),
    (PIC + 0x40, 8, 1 << 8),
    (PIC + 0x20, 8, ALL ^ 1 << 8),
)
"""Pin 8, the bridge's UART, as vector 9."""
RAISE = stores((UART0 + 1, 1, 2))
QUIET = stores((UART0 + 1, 1, 0), (PIC + 0x80, 8, 1 << 8))
"""The transmitter's interrupt off; then the pin's service ends."""


@pytest.mark.parametrize("alias", [0, 0xE00_0000_0000], ids=["low", "HT1 window"])
@pytest.mark.parametrize("core", [0, 3])
def test_a_pin_by_ht_vector_and_router(core, alias):
    m = run(
        4,
        {(core, 3): 1},
        setup=stores(
            *((address + alias, size, value) for address, size, value in PIN_9),
            (HT + 0x20, 4, 1 << 9),
            (ROUTER + 24, 1, 0x20 | 1 << core),
            (ROUTER + 0x28, 4, 1 << 24),
        ),
        go=RAISE,
        serve={3: QUIET + stores((HT, 4, 1 << 9))},
    )
    hops = path(m)
    assert [name for name, _ in hops] == [
        "ls7a_uart0.irq -> ls7a_irq.input[8]",
        "ls7a_irq.lo -> ls3a_ht_irq.message",
        "ls3a_ht_irq.line[0] -> ls3a_router_irq.input[24]",
        f"ls3a_router_irq.pin[{4 * core + 1}] -> cpu{core}.ip[3]",
    ]
    assert latencies(hops) == [T.ht_vector, T.irq_line, T.core_pin]


def extended(base, vector, k, place, coremap):
    """The extended controller at `base` gives `vector` to its input k, by COREMAP byte `coremap`."""
    return (
        (base + 0x420, 8, 1 << 48),
        (base + 0x1600 + vector // 64 * 8, 8, 1 << vector % 64),
        (base + 0x14C0 + vector // 32, 1, 1 << k),
        (base + 0x1C00 + vector, 1, coremap),
    ), stores((base + 0x1800 + 0x100 * place + vector // 64 * 8, 8, 1 << vector % 64))


@pytest.mark.parametrize("core", range(4))
@pytest.mark.parametrize("k", range(4))
def test_a_pin_by_the_extended_controller(core, k):
    rows, clear = extended(CHIP, 9, k, core, 1 << core)
    m = run(
        4,
        {(core, 2 + k): 1},
        setup=stores(*PIN_9, *rows),
        go=RAISE,
        serve={2 + k: QUIET + clear},
    )
    hops = path(m)
    assert [name for name, _ in hops][2:] == [
        "ls7a_uart0.irq -> ls7a_irq.input[8]",
        "ls7a_irq.lo -> ls3a_ht_irq.message",
        "ls3a_ht_irq.forward -> ls3a_ext_irq.message",
        f"ls3a_ext_irq.pin[{4 * core + k}] -> cpu{core}.ip[{2 + k}]",
    ]
    assert latencies(hops[2:]) == [T.ht_vector, T.irq_line, T.core_pin]


def test_a_pin_by_the_extended_controllers_of_two_nodes():
    here, _ = extended(CHIP, 9, 0, 0, 0x12)
    there, clear = extended(NODE | CHIP, 9, 2, 1, 0)
    m = run(
        8,
        {(5, 4): 1},
        setup=stores(*PIN_9, *here, *there, (CHIP + 0x14A2, 2, 0b10)),
        go=RAISE,
        serve={4: QUIET + clear},
    )
    hops = path(m)[-3:]
    assert [name for name, _ in hops] == [
        "ls3a_ht_irq.forward -> ls3a_ext_irq.message",
        "ls3a_ext_irq.to_node[1] -> ls3a_ext_irq_1.from_node",
        "ls3a_ext_irq_1.pin[6] -> cpu5.ip[4]",
    ]
    assert latencies(hops) == [T.ht_vector, T.core_pin]
    assert m.bus.read(CHIP + 0x1700, 8) == m.bus.read(NODE | CHIP + 0x1700, 8) == 0


def test_a_vector_for_a_node_that_is_not_there_is_dropped_and_counted():
    here, _ = extended(CHIP, 9, 0, 0, 0x12)
    m = run(4, {}, setup=stores(*PIN_9, *here, (CHIP + 0x14A2, 2, 0b1000)), go=RAISE)
    assert m.components["ls3a_ext_irq"].dropped == {"to_node[3]": 1}


@pytest.mark.parametrize("core", [0, 2])
def test_a_device_writes_the_msi_doorbell(core, monkeypatch):
    monkeypatch.setitem(platforms.FUNCTIONS, "copier", "tests.soc.dma_device:Copier")
    m = run(
        4,
        {(core, 3): 1},
        options={"devices": {"copier": {}}},
        setup=stores(
            (HT + 0x20 + 8, 4, 1 << 6),
            (ROUTER + 26, 1, 0x20 | 1 << core),
            (ROUTER + 0x28, 4, 1 << 26),
            (CONFIG + 0x10, 4, BAR),
            (CONFIG + 0x04, 2, 6),
            (BUFFER, 4, 70),
            (BAR, 8, BUFFER),
            (BAR + 8, 8, DOORBELL),
            (BAR + 0x10, 4, 4),
        ),
        go=stores((BAR + 0x14, 4, 1)),
        serve={3: stores((HT + 8, 4, 1 << 6))},
    )
    hops = path(m)
    assert [name for name, _ in hops] == [
        "memory.msi -> ls3a_ht_irq.message",
        "ls3a_ht_irq.line[2] -> ls3a_router_irq.input[26]",
        f"ls3a_router_irq.pin[{4 * core + 1}] -> cpu{core}.ip[3]",
    ]
    assert latencies(hops) == [T.irq_line, T.core_pin]


@pytest.mark.parametrize("core", [0, 1])
def test_a_pin_by_the_output_line(core):
    m = run(
        2,
        {(core, 2): 1},
        setup=stores((PIC + 0x20, 8, ALL ^ 1 << 8), (ROUTER, 1, 0x10 | 1 << core), (ROUTER + 0x28, 4, 1)),
        go=RAISE,
        serve={2: QUIET},
    )
    hops = path(m)
    assert [name for name, _ in hops] == [
        "ls7a_uart0.irq -> ls7a_irq.input[8]",
        "ls7a_irq.intn0 -> ls3a_router_irq.input[0]",
        f"ls3a_router_irq.pin[{4 * core}] -> cpu{core}.ip[2]",
    ]
    assert latencies(hops) == [T.irq_line, T.core_pin]


PIN, LEVEL, MESSAGE = 20, 7, 8
INJECTED = {
    "setup": stores(
        (PIC + 0x200 + PIN, 1, PIN),
        (PIC + 0x40, 8, 1 << PIN),
        (PIC + 0x20, 8, ALL ^ 1 << PIN),
        (HT + 0x20, 4, 1 << PIN),
        (HT + 0x20 + 8, 4, 1 << 6),
        (ROUTER + 24, 1, 0x21),
        (ROUTER + 26, 1, 0x42),
        (ROUTER + 0x28, 4, 0xFF00_0000),
    ),
    "serve": {
        3: stores((PIC + 0x20, 8, ALL), (HT, 4, 1 << PIN), (PIC + 0x80, 8, 1 << PIN), (PIC + 0x20, 8, ALL ^ 1 << PIN)),
        4: stores((HT + 8, 4, 1 << 6)),
    },
}
"""A resampling descriptor at a level pin, to IP3 of core 0, and a plain one at a vector, to IP4 of core 1."""
SERVED = {(0, 3): 3, (1, 4): 2}


def assign(m):
    irqfd = m.devices["ls7a_irqfd"]
    irqfd.route(64, "msi", 70)
    irqfd.assign(LEVEL, PIN, resample=True)
    irqfd.assign(MESSAGE, 64)


def inject(m):
    """The host asks for three interrupts at the pin, the next at each resample, and two messages."""
    assign(m)
    left = [2]

    def again(descriptor):
        if left[0]:
            left[0] -= 1
            m.signal(descriptor)

    m.devices["eventfd"].on_resample = again
    m.signal(LEVEL, at="200 us")
    m.signal(MESSAGE, at="150 us")
    m.signal(MESSAGE, at="201 us")


@pytest.mark.parametrize("wire", [False, True])
def test_descriptors_are_injected_and_resampled(wire):
    m = run(2, SERVED, prepare=inject, options={"wire": wire}, **INJECTED)
    host = m.devices["eventfd"]
    assert [descriptor for _, descriptor in host.resampled] == [LEVEL] * 3
    assert next(at for at, descriptor, _ in host.signalled if descriptor == LEVEL) == 200_000_000
    hops = [hop for hop in path(m) if hop[1] > 200_000_000][:4]
    assert path(m, named="ls7a_irqfd.pin")[0] == (
        f"ls7a_irqfd.pin[{PIN}] -> ls7a_irq.input[{PIN}]",
        200_000_000 + 2 * T.irq_line,
    )
    assert [name.partition(".")[0] for name, _ in hops] == ["ls7a_irqfd", "ls7a_irq", "ls3a_ht_irq", "ls3a_router_irq"]


def test_signals_between_runs_replay_to_the_same_run():
    built = program(2, "ls7a", SERVED, **INJECTED)
    live = boot(built, 2)
    assign(live)
    for descriptor in (LEVEL, MESSAGE, LEVEL, LEVEL, MESSAGE):
        assert live.run(max_virtual="170 us").ended == "limit"
        live.signal(descriptor)
    done = finish(live)
    assert counters(live, built) == SERVED
    again = boot(built, 2)
    assign(again)
    eventfd.replay(again, live.devices["eventfd"].signalled)
    assert finish(again) == done


def test_the_answers_to_resamples_replay_to_the_same_run():
    built = program(2, "ls7a", SERVED, **INJECTED)
    live, again = boot(built, 2), boot(built, 2)
    inject(live)
    done = finish(live)
    assign(again)
    eventfd.replay(again, live.devices["eventfd"].signalled)
    assert finish(again) == done


def test_signals_that_cannot_be():
    built = program(1, "ls7a", {})
    m = boot(built, 1)
    for wrong in (-1, 1 << 32, "7"):
        with pytest.raises(DeviceError, match=r"allowed are 0 to 2\*\*32 - 1"):
            m.signal(wrong)
    with pytest.raises(DeviceError, match="count 0"):
        m.signal(1, count=0)
    m.run(max_virtual="2 us")
    with pytest.raises(DeviceError, match="a signal for 1000000 ps; the machine has reached 2"):
        m.signal(1, at="1 us")
    with pytest.raises(SocError, match="between runs or in answer to a resample"):
        m.run(until=lambda m: m.signal(1))
    with pytest.raises(DeviceError, match="platform virt has no event descriptors; ls7a has"):
        Machine("virt", ram="16 MiB").signal(1)


def timer(core, value):
    return ((core // 4) << 44 | CHIP + 0x1060 + 0x100 * (core % 4), 8, value)


@pytest.mark.parametrize(("platform", "cpus"), [("virt", 1), ("virt", 6), ("ls7a", 4), ("ls7a", 8)])
def test_the_stable_timer_once(platform, cpus):
    m = run(
        cpus,
        {(core, 7): 1 for core in range(cpus)},
        platform,
        each=EXTERNAL_TIMER,
        go=stores(*(timer(core, ENABLE | 500 + 100 * core) for core in range(cpus))),
        serve={7: SERVE_TIMER},
    )
    pins = path(m, named=".ip[7]")
    assert sorted(name for name, _ in pins) == sorted(
        f"stable_timer{'_1' if core > 3 else ''}.pin[{core % 4}] -> cpu{core}.ip[7]" for core in range(cpus)
    )
    assert all((time - T.core_pin) % TICK == 0 for _, time in pins)


def test_the_stable_timer_periodically():
    m = run(
        2,
        {(0, 7): 5, (1, 7): 5},
        each=EXTERNAL_TIMER,
        go=stores(timer(0, PERIODIC | ENABLE | 500), timer(1, PERIODIC | ENABLE | 500)),
        end=stores(timer(0, 0), timer(1, 0)),
        serve={7: SERVE_TIMER},
    )
    for core in range(2):
        pins = path(m, named=f"cpu{core}.ip[7]")
        assert len(pins) == 5
        assert set(latencies(pins)) == {500 * TICK}


def test_a_core_that_keeps_its_own_timer_hears_nothing_of_the_other():
    m = run(1, {}, go=stores(timer(0, ENABLE | 100)))
    assert len(path(m, named=".ip[7]")) == 1


def send(core, action, node=0):
    return (node << 44 | IPI + 0x40, 4, core << 16 | action)


def test_ipis_between_nodes_by_the_target_block():
    m = run(
        8,
        {(5, 6): 1, (7, 6): 1, (0, 6): 1},
        go=stores(*((n << 44 | IPI + 0x100 * c + 8, 4, 2) for n, c in ((1, 1), (1, 3), (0, 0)))),
        serve={6: SERVE_IPI},
    )
    assert not path(m, (CsrWrite,))


@pytest.mark.parametrize("wire", [False, True])
def test_ipis_between_nodes_by_ipi_send(wire):
    m = run(
        8,
        {(5, 6): 1, (3, 6): 1, (0, 6): 1},
        options={"wire": wire},
        go=stores(send(5, 3), send(3, 31), send(0, 1, node=1)),
        serve={6: SERVE_IPI},
    )
    sent = path(m, (CsrWrite,))
    assert [name for name, _ in sent] == [
        "ls3a_ipi.csr -> ls3a_csr.csr",
        "ls3a_csr.ipi[5] -> ls3a_ipi_1.csr",
        "ls3a_ipi_1.csr -> ls3a_csr.csr",
        "ls3a_csr.ipi[0] -> ls3a_ipi.csr",
    ]
    pin = path(m, named="cpu5.ip[6]")
    assert latencies([*sent[:2], *pin]) == [T.irq_line, T.ipi_pin]
    causes = {r.message.cause for r in m.trace if r.link and r.link.name in (sent[0][0], sent[1][0], pin[0][0])}
    assert len(causes) == 1, "one cause from the store to the pin"


def test_a_send_to_a_core_that_is_not_there_is_dropped_and_counted():
    m = run(6, {(5, 6): 1}, go=stores(send(6, 1), send(12, 1), send(1023, 1), send(5, 1)), serve={6: SERVE_IPI})
    assert m.components["ls3a_csr"].dropped == {"ipi[6]": 1, "ipi[12]": 1, "ipi[1023]": 1}


def test_mail_and_any_register_of_another_node():
    rows = [(5 << 16 | 6 << 2, 0x1234_5678), (5 << 16 | 7 << 2 | 0b1010 << 27, 0x9ABC_DEF0)]
    m = boot(program(8, "ls7a", {}, go=stores(*((IPI + 0x48, 8, data << 32 | low) for low, data in rows))), 8)
    ipi = m.components["ls3a_ipi"]
    for offset, data in ((0x1600, 0x5A), (0x1060, 77), (0x1F00, 1)):
        ipi.access(ipi.device.write, 0x1158, 8, data << 32 | 6 << 16 | offset, 0, "csr")
    finish(m)
    assert m.devices["ls3a_ipi_1"].mailbox[4 + 3] == 0x00BC_00F0_1234_5678
    assert m.devices["ls3a_ext_irq_1"].en[0] == 0x5A and m.devices["ls3a_ext_irq"].en[0] == 0
    assert m.devices["stable_timer_1"].timer_cfg[2] & 0xFFFF == 77
    assert m.devices["ls3a_csr"].undecoded == {("write", "csr", 0x1F00, 4): 1}
