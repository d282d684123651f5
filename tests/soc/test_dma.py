"""PCI functions in a machine: accesses through the bridge, DMA to memory, the MSI doorbell, all as messages."""

import pytest

from soc import platforms
from soc.messages import DmaError, DmaRead, DmaWrite, InterruptVector, MmioRead
from soc.timing import Timing
from tests.soc.fakes import machine

ECAM = 0x1A00_8000
BAR = 0x4000_0000
RAM = 0x8000_0000
T = Timing()


@pytest.fixture(autouse=True)
def copier(monkeypatch):
    monkeypatch.setitem(platforms.FUNCTIONS, "copier", "tests.soc.dma_device:Copier")


def enable(config=ECAM):
    """Place the BAR, switch memory and DMA on."""
    yield ("write", config + 0x10, 4, BAR)
    yield ("write", config + 0x04, 2, 6)


def copy(source, target, length):
    yield ("write", BAR, 8, source)
    yield ("write", BAR + 8, 8, target)
    yield ("write", BAR + 0x10, 4, length)
    yield ("write", BAR + 0x14, 4, 1)


def program(*steps):
    def run(core):
        yield from enable()
        for step in steps:
            yield from step
        yield ("run", 100_000)
        yield ("read", BAR + 0x18, 8)
        yield ("write", 0x1008_0010, 1, 0xFF)

    return run


def build(run, **options):
    return machine(run, devices={"copier": {}}, trace=True, **options)


def test_an_access_passes_the_bridge_both_ways_as_messages():
    def run(core):
        yield ("read", ECAM, 4)
        yield ("read", ECAM + 0x1000, 4)
        yield ("read", BAR, 4)
        yield ("write", 0x1008_0010, 1, 0xFF)

    m = build(run)
    assert m.run().ended == "poweroff"
    assert [value for _, value in m.cpu[0].seen] == [0x5678_1234, 0xFFFF_FFFF, 0xFFFF_FFFF]
    there_and_back = [record.message for record in m.trace if "copier" in str(record.link and record.link.name)]
    first, last = there_and_back[:2]
    assert first.time == T.mmio_request + T.pci_request
    assert last.time == first.time + T.pci_reply
    assert first.cause == last.cause != 0
    way = T.mmio_request + T.pci_request + T.pci_reply + T.mmio_reply
    assert m.cpu[0].seen[0][0] == m.clock.tick_at_or_after(way)


def test_dma_moves_bytes_and_is_cut_at_pages():
    m = build(program(copy(RAM + 0xFF0, RAM + 0x2FF8, 0x2000)))
    data = bytes(n * 31 % 253 for n in range(0x2000))
    m.memory.write(RAM + 0xFF0, data)
    m.run(max_virtual="1 ms")
    assert m.memory.read(RAM + 0x2FF8, 0x2000) == data
    assert m.cpu[0].seen[-1][1] == 1
    reads = [r.message for r in m.trace if type(r.message) is DmaRead]
    writes = [r.message for r in m.trace if type(r.message) is DmaWrite]
    assert [(r.address, r.size) for r in reads] == [
        (RAM + 0xFF0, 0x10),
        (RAM + 0x1000, 0x1000),
        (RAM + 0x2000, 0xFF0),
    ]
    assert [(w.address, len(w.data)) for w in writes] == [
        (RAM + 0x2FF8, 8),
        (RAM + 0x3000, 0x1000),
        (RAM + 0x4000, 0xFF8),
    ]


def test_dma_takes_its_latencies_and_keeps_the_cause_of_the_access():
    m = build(program(copy(RAM, RAM + 64, 8)))
    m.run(max_virtual="1 ms")
    asked = next(r.message for r in m.trace if type(r.message) is DmaRead)
    go = [r.message for r in m.trace if r.link and r.link.name.endswith("copier.config")][5]
    assert asked.time == go.time + T.dma_request and asked.cause == go.cause
    assert m.devices["copier"].times == [go.time + 2 * (T.dma_request + T.dma_reply)]


@pytest.mark.parametrize(
    ("source", "target", "errors"),
    [
        (0x7000_0000, RAM, {0x7000_0000: 1}),
        (RAM, 0xFFFF_FFFF_FFFF_F000, {0xFFFF_FFFF_FFFF_F000: 1}),
        (RAM + (1 << 20) - 4, RAM, {RAM + (1 << 20): 1}),
        (RAM, 0x1FC0_0000, {0x1FC0_0000: 1}),
        (RAM, 0x1FE0_01E0, {0x1FE0_0000: 1}),
    ],
)
def test_dma_outside_memory_is_an_error_reply_and_counted(source, target, errors):
    m = build(program(copy(source, target, 8)))
    assert m.run(max_virtual="1 ms").ended == "poweroff"
    assert m.dma.errors == errors
    assert m.cpu[0].seen[-1][1] == 1 << 32, "one failed, none done"
    assert sum(type(r.message) is DmaError for r in m.trace) == 1


def test_packing_and_slices_do_not_change_a_run():
    results = []
    for options, run in (({}, {}), ({"wire": True}, {}), ({}, {"slice": 7})):
        m = build(program(copy(RAM, RAM + 0x4000, 0x3000)), **options)
        results.append(m.run(max_virtual="1 ms", **run).trace_hash)
    assert len(set(results)) == 1


def test_without_functions_nothing_is_added_to_virt():
    plain = machine(program())
    assert "pci" not in plain.components and plain.dma is None
    assert not any("pci" in name or "memory" in name for name in plain.links)


def test_on_ls7a_a_function_reaches_the_vectors_by_the_doorbell():
    config = 0xEFE_0000_4000

    def run(core):
        yield ("read", 0x1A00_0000, 4)
        yield from enable(config)
        yield from copy(RAM, 0x2FF0_0000, 4)
        yield ("run", 100_000)
        yield ("read", 0xEFD_FB00_0088, 4)
        yield ("write", 0x2FF0_0000, 4, 66)
        yield ("run", 100_000)
        yield ("read", 0xEFD_FB00_0088, 4)
        yield ("write", 0x100D_0014, 4, 0x3C00)

    m = build(run, platform="ls7a")
    m.memory.write(RAM, (0xABCD_EF40).to_bytes(4, "little"))  # the low byte, 64, is the vector
    assert m.run(max_virtual="10 ms").ended == "poweroff"
    assert [value for _, value in m.cpu[0].seen] == [0x7A00_0014, 1, 5]
    vectors = [r.message for r in m.trace if type(r.message) is InterruptVector]
    assert [v.vector for v in vectors] == [64, 66]
    wrote = next(r.message for r in m.trace if type(r.message) is DmaWrite)
    assert vectors[0].time == wrote.time + T.ht_vector and vectors[0].cause == wrote.cause
    assert m.dma.errors == {}


def test_an_access_to_a_function_carries_core_and_space():
    m = build(program())
    m.run(max_virtual="1 ms")
    arrived = [r.message for r in m.trace if type(r.message) is MmioRead and r.link.name.endswith("copier.config")]
    assert [(a.core, a.space, a.address, a.size) for a in arrived] == [(0, 3, 0x18, 8)]
