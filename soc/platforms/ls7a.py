"""A Loongson-3A4000 with the LS7A bridge, as the device tree loongson64g_4core_ls7a describes it.

Interrupts: bridge pins and MSI -> HT messages -> HT vectors (or the extended controller, when software enables it) ->
router inputs 24 to 31 -> IP2 to IP5. The pins and windows are those of linux-boot.md 2.2 and irqchip.md 9.2.

The bridge's own functions (network, SATA, display, USB, audio) are not modelled: PCI functions of the machine take
their device numbers, because the tree gives these fixed interrupt pins. There are no PCIe ports, so everything is on
the root bus. More than four cores are further nodes, which have inter-processor interrupts and a configuration page and
nothing else: device interrupts go to node 0. Not wired: the HT-hi output of the bridge's controller, and the stable
timer's pins (a core's IP7 is its own timer).
"""

from __future__ import annotations

from soc.bus import Window
from soc.platforms import Part, PciBus, Platform, Range, Wire, load

CHIP = 0x1FE0_0000
CORES, NODES = 4, 4


def _at(model: str, base: int) -> tuple[Range, ...]:
    """Just what the device decodes, its offset 0 being at `base`: several devices share the chip's page."""
    return tuple(Range(base + offset, size, base) for offset, size in load(model).ranges())


EXT_IRQ, TIMER, CONFIG = (
    "devices.ls3a_ext_irq:Ls3aExtIrq",
    "devices.stable_timer:StableTimer",
    "devices.ls3a_config:Ls3aConfig",
)
IPI, ROUTER = "devices.ls3a_ipi:Ls3aIpi", "devices.ls3a_router_irq:Ls3aRouterIrq"


def _name(model: str, node: int) -> str:
    return f"{model}_{node}" if node else model


def _node(node: int) -> tuple[Part, ...]:
    """What every node of four cores has, the node being in address bits 47:44."""
    above = node << 44
    ipi = _at(IPI, above | 0x3FF0_1000) + _at(IPI, above | CHIP + 0x1000)
    return (
        Part(_name("ls3a_ipi", node), IPI, options=lambda timing: {"node": node}, windows=ipi, node=node),
        Part(_name("ls3a_config", node), CONFIG, windows=_at(CONFIG, above | CHIP), node=node),
    )


PARTS = (
    Part(
        "uart", "devices.uart16550:Uart16550", (0x1FE0_0100, 0x1FE0_01E0), 0x8, lambda timing: {"clock_hz": 100_000_000}
    ),
    Part("ls3a_router_irq", ROUTER, (0x3FF0_1400,), 0x64, windows=_at(ROUTER, CHIP + 0x1400)),
    *(part for node in range(NODES) for part in _node(node)),
    Part("ls3a_ext_irq", EXT_IRQ, windows=_at(EXT_IRQ, CHIP)),
    Part("stable_timer", TIMER, windows=_at(TIMER, CHIP)),
    Part("ls3a_ht_irq", "devices.ls3a_ht_irq:Ls3aHtIrq", (0xEFD_FB00_0000,), 0x278),
    Part("ls7a_irq", "devices.ls7a_irq:Ls7aIrq", (0x1000_0000,), 0x1000),
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
    router = "ls3a_router_irq"
    return (
        Wire("uart.irq", f"{router}.input[10]", "irq_line"),
        Wire("ls7a_uart0.irq", "ls7a_irq.input[8]", "irq_line"),
        Wire("ls7a_irq.lo", "ls3a_ht_irq.message", "ht_vector"),
        Wire("ls7a_msi.lo", "ls3a_ht_irq.message", "ht_vector"),
        Wire("memory.msi", "ls3a_ht_irq.message", "ht_vector"),
        Wire("ls3a_ext_irq.ext_int_en", "ls3a_ht_irq.ext_int", "irq_line"),
        Wire("ls3a_ht_irq.forward", "ls3a_ext_irq.message", "irq_line"),
        *(Wire(f"ls3a_ht_irq.line[{n}]", f"{router}.input[{24 + n}]", "irq_line") for n in range(8)),
        *(
            Wire(f"{source}.pin[{4 * core + k}]", f"cpu{core}.ip[{2 + k}]", "core_pin")
            for source in (router, "ls3a_ext_irq")
            for core in range(min(cpus, CORES))
            for k in range(4)
        ),
        *(
            Wire(f"{_name('ls3a_ipi', core // CORES)}.{port}[{core % CORES}]", f"cpu{core}.{pin}", "ipi_pin")
            for core in range(cpus)
            for port, pin in (("pin", "ip[6]"), ("mail", "mailbox"))
        ),
    )


PLATFORM = Platform(
    "ls7a", PARTS, WINDOWS, wires, console=("uart.tx", "uart.rx"), pci=PCI, doorbells={0x2FF0_0000: "msi"}
)
