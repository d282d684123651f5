"""A Loongson-3A4000 with the LS7A bridge, as the device tree loongson64g_4core_ls7a describes it.

Interrupts: bridge pins and MSI -> HT messages -> HT vectors (or the extended controller, when software enables it) ->
router inputs 24 to 31 -> IP2 to IP5. Source of pins and windows: Linux 6.1: arch/mips/boot/dts/loongson/
{loongson64g_4core_ls7a.dts, loongson64g-package.dtsi, ls7a-pch.dtsi}.

The bridge's own functions (network, SATA, display, USB, audio) are not modelled: PCI functions of the machine take
their device numbers, because the tree gives these fixed interrupt pins. There are no PCIe ports, so everything is on
the root bus.

More than four cores are further nodes, each a processor with inter-processor interrupts, stable timers, extended
interrupts, a router and a configuration page of its own. The bridge is node 0's: what comes to a core of another node
comes as a vector between extended controllers, or as a write to its configuration registers. What a board has at the
serial ports and HyperTransport controllers of the other processors is not known: there is nothing here, and the inputs
of their routers stay low.

INTn0 is router input 0. INTn1 has no place in the sources and leads nowhere. HT-hi messages meet a controller of their
own, whose four lines share inputs 28 to 31 with HT-lo's upper four. Its address is that of the configuration block,
0xfd_fb00_0000, in the window HT1_HI, which begins at 0xf00_0000_0000. Source: Loongson 3B1500 user manual, volume 1,
HyperTransport: address windows, interrupt vectors; that the 3A4000 has kept them is an assumption.

`ls7a_irqfd` stands for what a hypervisor's event descriptors inject; `eventfd` is the host's end of them
(soc/platforms/eventfd.py).
"""

from __future__ import annotations

from collections.abc import Iterator

from soc.bus import Window
from soc.nodes import CORES, MAX_NODES
from soc.platforms import CHIP, Part, PciBus, Platform, Range, Wire, decoded, of_node

EXT_IRQ, TIMER, IPI = (f"soc.platforms.csr:{name}" for name in ("Ls3aExtIrq", "StableTimer", "Ls3aIpi"))
CONFIG, ROUTER = "devices.ls3a_config:Ls3aConfig", "devices.ls3a_router_irq:Ls3aRouterIrq"
HT_IRQ = "devices.ls3a_ht_irq:Ls3aHtIrq"
REACHED = (("ipi", "ls3a_ipi"), ("ext", "ls3a_ext_irq"), ("timer", "stable_timer"))
"""Outputs of the configuration-register network, and where they lead on each node."""


def _node(node: int) -> tuple[Part, ...]:
    """What every node of four cores has, the node being in address bits 47:44."""
    above = node << 44
    ipi = decoded(IPI, above | 0x3FF0_1000) + decoded(IPI, above | CHIP + 0x1000)
    timer = (*decoded(TIMER, above | CHIP), Range(above | 0x3FF0_0408, 8, above | 0x3FF0_0000))
    return (
        Part(of_node("ls3a_ipi", node), IPI, options=lambda timing: {"node": node}, windows=ipi, node=node, csr=True),
        Part(
            of_node("ls3a_ext_irq", node),
            EXT_IRQ,
            options=lambda timing: {"node": node},
            windows=decoded(EXT_IRQ, above | CHIP),
            node=node,
            csr=True,
        ),
        Part(
            of_node("ls3a_router_irq", node),
            ROUTER,
            (above | 0x3FF0_1400,),
            0x64,
            windows=decoded(ROUTER, above | CHIP + 0x1400),
            node=node,
            csr=True,
        ),
        Part(
            of_node("stable_timer", node),
            TIMER,
            options=lambda timing: {"hz": timing.stable_clock},
            windows=timer,
            node=node,
            csr=True,
        ),
        Part(of_node("ls3a_config", node), CONFIG, windows=decoded(CONFIG, above | CHIP), node=node, csr=True),
    )


PARTS = (
    Part(
        "uart", "devices.uart16550:Uart16550", (0x1FE0_0100, 0x1FE0_01E0), 0x8, lambda timing: {"clock_hz": 100_000_000}
    ),
    *(part for node in range(MAX_NODES) for part in _node(node)),
    Part("ls3a_csr", "soc.platforms.csr:CsrNetwork"),
    Part("ls3a_ht_irq", HT_IRQ, (0xEFD_FB00_0000,), 0x278),
    Part("ls3a_ht_irq_hi", HT_IRQ, (0xFFD_FB00_0000,), 0x278, lambda timing: {"lines": 4}),
    Part("ls7a_irq", "devices.ls7a_irq:Ls7aIrq", (0x1000_0000, 0xE00_1000_0000), 0x1000),
    Part("ls7a_irqfd", "devices.ls7a_irqfd:Ls7aIrqfd"),
    Part("eventfd", "soc.platforms.eventfd:Eventfd"),
    Part("ls7a_config", "devices.ls7a_config:Ls7aConfig", (0x1001_0000,), 0x800),
    Part("ls7a_uart0", "devices.uart16550:Uart16550", (0x1008_0000,), 0x8, lambda timing: {"clock_hz": 50_000_000}),
    Part("ls7a_pm", "devices.ls7a_pm:Ls7aPm", (0x100D_0000,), 0x100),
    Part("ls7a_msi", "devices.ls7a_msi:Ls7aMsi", (0x2FF0_0000,), 0x8),
)

WINDOWS = (
    Window("configuration", 0x1000_0000, 0x1000_0000, "zeros"),
    Window("bridge", 0x2000_0000, 0x1000_0000, "zeros"),
    Window("configuration 2", 0x3000_0000, 0x1000_0000, "zeros"),
    Window("HT1", 0xE00_0000_0000, 0x100_0000_0000, "zeros"),
)

PCI = PciBus(
    Part(
        "pci",
        "devices.pci.host:Ls7aHost",
        windows=(
            Range(0x1800_0000, 0x4_0000, 0),
            Range(0x1A00_0000, 0x200_0000, 0),
            Range(0x4000_0000, 0x4000_0000, 0),
            Range(0xEFE_0000_0000, 0x2000_0000, 0),
        ),
    ),
    always=True,
    # Device number and the pin the tree gives function 0: SATA, audio, USB 1, USB 0, network, GPU.
    slots=tuple(
        (slot, f"ls7a_irq.input[{pin}]") for slot, pin in ((8, 16), (7, 58), (5, 51), (4, 49), (3, 12), (6, 29))
    ),
)


def wires(cpus: int) -> tuple[Wire, ...]:
    """Interrupt lines and messages of a machine with `cpus` cores."""
    return (*_bridge(), *_host(), *_cores(cpus), *_between(cpus))


def _bridge() -> tuple[Wire, ...]:
    router = "ls3a_router_irq"
    return (
        Wire("uart.irq", f"{router}.input[10]", "irq_line"),
        Wire("ls7a_uart0.irq", "ls7a_irq.input[8]", "irq_line"),
        Wire("ls7a_irq.intn0", f"{router}.input[0]", "irq_line"),
        Wire("ls7a_irq.lo", "ls3a_ht_irq.message", "ht_vector"),
        Wire("ls7a_irq.hi", "ls3a_ht_irq_hi.message", "ht_vector"),
        Wire("ls7a_msi.lo", "ls3a_ht_irq.message", "ht_vector"),
        Wire("memory.msi", "ls3a_ht_irq.message", "ht_vector"),
        *(Wire(f"ls3a_ht_irq.line[{n}]", f"{router}.input[{24 + n}]", "irq_line") for n in range(8)),
        *(Wire(f"ls3a_ht_irq_hi.line[{n}]", f"{router}.input[{28 + n}]", "irq_line") for n in range(4)),
        *(Wire("ls3a_ext_irq.ext_int_en", f"{ht}.ext_int", "irq_line") for ht in ("ls3a_ht_irq", "ls3a_ht_irq_hi")),
        *(Wire(f"{ht}.forward", "ls3a_ext_irq.message", "irq_line") for ht in ("ls3a_ht_irq", "ls3a_ht_irq_hi")),
    )


def _host() -> tuple[Wire, ...]:
    return (
        Wire("eventfd.out", "ls7a_irqfd.signal", "irq_line"),
        *(Wire(f"ls7a_irqfd.pin[{pin}]", f"ls7a_irq.input[{pin}]", "irq_line") for pin in range(64)),
        Wire("ls7a_irqfd.msi", "ls3a_ht_irq.message", "ht_vector"),
        Wire("ls7a_irq.cleared", "ls7a_irqfd.cleared", "irq_line"),
        Wire("ls7a_irqfd.resample", "eventfd.resample", "irq_line"),
    )


def _cores(cpus: int) -> Iterator[Wire]:
    """What reaches the inputs of each core."""
    for core in range(cpus):
        node, place = divmod(core, CORES)
        for source in (of_node("ls3a_router_irq", node), of_node("ls3a_ext_irq", node)):
            yield from (Wire(f"{source}.pin[{4 * place + k}]", f"cpu{core}.ip[{2 + k}]", "core_pin") for k in range(4))
        for port, pin in (("pin", "ip[6]"), ("mail", "mailbox")):
            yield Wire(f"{of_node('ls3a_ipi', node)}.{port}[{place}]", f"cpu{core}.{pin}", "ipi_pin")
        yield Wire(f"{of_node('stable_timer', node)}.pin[{place}]", f"cpu{core}.ip[7]", "core_pin")


def _between(cpus: int) -> Iterator[Wire]:
    """From node to node, as messages: vectors for other extended controllers, writes to configuration registers."""
    nodes = range(-(-cpus // CORES))
    for node in nodes:
        yield Wire(f"{of_node('ls3a_ipi', node)}.csr", "ls3a_csr.csr", "ht_vector")
        for other in nodes:
            if other != node:
                source, target = of_node("ls3a_ext_irq", node), of_node("ls3a_ext_irq", other)
                yield Wire(f"{source}.to_node[{other}]", f"{target}.from_node", "ht_vector")
    for core in range(cpus):
        for way, part in REACHED:
            yield Wire(f"ls3a_csr.{way}[{core}]", f"{of_node(part, core // CORES)}.csr", "irq_line")


PLATFORM = Platform(
    "ls7a", PARTS, WINDOWS, wires, console=("uart.tx", "uart.rx"), pci=PCI, doorbells={0x2FF0_0000: "msi"}
)
