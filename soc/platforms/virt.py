"""The virtual platform: QEMU's loongson3-virt as the device tree loongson64v_4core_virtio describes it.

Source: QEMU hw/mips/loongson3_virt.c; Linux 6.1 arch/mips/boot/dts/loongson/loongson64v_4core_virtio.dts. The device
tree routes router input 0 to IP2, all others to IP3; that is software's choice: wires lead to IP2 to IP5 of every core.
"""

from __future__ import annotations

from collections.abc import Iterator

from soc.bus import Window
from soc.nodes import CORES, MAX_NODES
from soc.platforms import CHIP, Part, PciBus, Platform, Range, Wire, decoded, of_node

STABLE_TIMER = "devices.stable_timer:StableTimer"


def _timer_part(node: int) -> Part:
    return Part(
        of_node("stable_timer", node),
        STABLE_TIMER,
        options=lambda timing: {"hz": timing.stable_clock},
        windows=decoded(STABLE_TIMER, node << 44 | CHIP),
        node=node,
    )


PARTS = (
    Part("uart", "devices.uart16550:Uart16550", (0x1FE0_01E0,), 0x8, lambda timing: {"clock_hz": timing.uart_clock}),
    Part("ls3a_router_irq", "devices.ls3a_router_irq:Ls3aRouterIrq", (0x3FF0_1400,), 0x64),
    *(
        Part(
            of_node("ls3a_ipi", node),
            "devices.ls3a_ipi:Ls3aIpi",
            (node << 44 | 0x3FF0_1000,),
            0x400,
            lambda timing, node=node: {"node": node},
            node=node,
        )
        for node in range(MAX_NODES)
    ),
    Part("rtc", "devices.rtc:GoldfishRtc", (0x1008_1000,), 0x1000),
    Part("power", "devices.power:Power", (0x1008_0000,), 0x100),
    *(_timer_part(node) for node in range(MAX_NODES)),
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
    return (
        Wire("uart.irq", "ls3a_router_irq.input[0]", "irq_line"),
        Wire("rtc.irq", "ls3a_router_irq.input[1]", "irq_line"),
        *(
            Wire(f"ls3a_router_irq.pin[{4 * core + k}]", f"cpu{core}.ip[{2 + k}]", "core_pin")
            for core in range(min(cpus, CORES))
            for k in range(4)
        ),
        *_to_cores(cpus, "ls3a_ipi", "pin", "ip[6]", "ipi_pin"),
        *_to_cores(cpus, "ls3a_ipi", "mail", "mailbox", "ipi_pin"),
        *_to_cores(cpus, "stable_timer", "pin", "ip[7]", "core_pin"),
    )


def _to_cores(cpus: int, part: str, port: str, target: str, latency: str) -> Iterator[Wire]:
    """From output `port` of every node's `part` to the input `target` of each of its cores."""
    for core in range(cpus):
        node, place = divmod(core, CORES)
        yield Wire(f"{of_node(part, node)}.{port}[{place}]", f"cpu{core}.{target}", latency)


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
