"""The virtual platform: QEMU's loongson3-virt as the device tree loongson64v_4core_virtio describes it.

Source: QEMU hw/mips/loongson3_virt.c; Linux 6.1 arch/mips/boot/dts/loongson/loongson64v_4core_virtio.dts.
The device
tree routes router input 0 to IP2, all others to IP3; that is software's choice: wires lead to IP2 to IP5 of every core.
"""

from __future__ import annotations

from soc.bus import Window
from soc.nodes import CORES, MAX_CPUS
from soc.platforms import Part, PciBus, Platform, Range, Wire, load

CHIP = 0x1FE0_0000
NODES = MAX_CPUS // CORES
STABLE_TIMER = "devices.stable_timer:StableTimer"


def ipi(node: int) -> str:
    """The inter-processor interrupt block of a node of four cores; the node is in address bits 47:44."""
    return f"ls3a_ipi_{node}" if node else "ls3a_ipi"


def stable_timer(node: int) -> str:
    """The stable timers of a node of four cores."""
    return f"stable_timer_{node}" if node else "stable_timer"


def _timer_part(node: int) -> Part:
    base = node << 44 | CHIP
    windows = tuple(Range(base + offset, size, base) for offset, size in load(STABLE_TIMER).ranges())
    options = lambda timing: {"hz": timing.stable_clock}  # noqa: E731
    return Part(stable_timer(node), STABLE_TIMER, options=options, windows=windows, node=node)


PARTS = (
    Part("uart", "devices.uart16550:Uart16550", (0x1FE0_01E0,), 0x8, lambda timing: {"clock_hz": timing.uart_clock}),
    Part("ls3a_router_irq", "devices.ls3a_router_irq:Ls3aRouterIrq", (0x3FF0_1400,), 0x64),
    *(
        Part(
            ipi(node),
            "devices.ls3a_ipi:Ls3aIpi",
            (node << 44 | 0x3FF0_1000,),
            0x400,
            lambda timing, node=node: {"node": node},
            node=node,
        )
        for node in range(NODES)
    ),
    Part("rtc", "devices.rtc:GoldfishRtc", (0x1008_1000,), 0x1000),
    Part("power", "devices.power:Power", (0x1008_0000,), 0x100),
    *(_timer_part(node) for node in range(NODES)),
)

WINDOWS = (
    Window("configuration", 0x1000_0000, 0x1000_0000, "zeros"),
    Window("configuration 2", 0x3000_0000, 0x1000_0000, "zeros"),
    Window("PCI I/O", 0x1800_0000, 0x8_0000, "ones"),
    Window("PCI configuration (ECAM)", 0x1A00_0000, 0x200_0000, "ones"),
    Window("PCI memory", 0x4000_0000, 0x4000_0000, "ones"),
)


def wires(cpus: int) -> tuple[Wire, ...]:
    """Interrupt lines of a machine with `cpus` cores."""
    cores = [(core, *divmod(core, CORES)) for core in range(cpus)]
    return (
        Wire("uart.irq", "ls3a_router_irq.input[0]", "irq_line"),
        Wire("rtc.irq", "ls3a_router_irq.input[1]", "irq_line"),
        *(
            Wire(f"ls3a_router_irq.pin[{4 * core + k}]", f"cpu{core}.ip[{2 + k}]", "core_pin")
            for core in range(min(cpus, CORES))
            for k in range(4)
        ),
        *(Wire(f"{ipi(node)}.pin[{place}]", f"cpu{core}.ip[6]", "ipi_pin") for core, node, place in cores),
        *(Wire(f"{ipi(node)}.mail[{place}]", f"cpu{core}.mailbox", "ipi_pin") for core, node, place in cores),
        *(Wire(f"{stable_timer(node)}.pin[{place}]", f"cpu{core}.ip[7]", "core_pin") for core, node, place in cores),
    )


# INTA# of slot n is router input 2 + n % 4; slot 0 is the bridge itself.
PCI = PciBus(
    Part(
        "pci",
        "devices.pci.host:EcamHost",
        windows=(
            Range(0x1800_0000, 0x8_0000, 0),
            Range(0x1A00_0000, 0x200_0000, 0),
            Range(0x4000_0000, 0x4000_0000, 0),
        ),
    ),
    always=False,
    slots=tuple((slot, f"ls3a_router_irq.input[{2 + slot % 4}]") for slot in range(1, 32)),
)

PLATFORM = Platform("virt", PARTS, WINDOWS, wires, console=("uart.tx", "uart.rx"), pci=PCI)
