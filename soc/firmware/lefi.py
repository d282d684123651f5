"""LEFI, the boot parameters a Loongson kernel gets in a2: layouts, and the values of the virtual platform.

Offsets inside are relative to loongson_params, not to the start of the block. All layouts but boot_params are packed.
Source: Linux 6.1: arch/mips/include/asm/mach-loongson64/boot_param.h; values: QEMU 10.0: hw/mips/loongson3_bootp.c.
"""

from typing import Any

from soc.firmware.errors import TableError
from soc.firmware.layout import Array, Field, Struct
from soc.firmware.memory_map import HIGH_RAM, KSEG1, LOW_RAM, LOW_RAM_REPORTED, MIB
from soc.firmware.rom import RESET, SHUTDOWN, SUSPEND
from soc.nodes import MAX_CPUS
from soc.ram import ROM_BASE

BLOCK = ROM_BASE + 0x1000
PARAMS_AT = 0x28

PRID_3A4000 = 0x14C000
CPUTYPE_LOONGSON_3A = 0x300
MEMORY_LOW, MEMORY_HIGH = 1, 2

BOOT_PARAMS = Struct(
    "boot_params",
    0x98,
    (
        Field("efi.mps", 0x00, "u64"),
        Field("efi.acpi", 0x08, "u64"),
        Field("efi.acpi20", 0x10, "u64"),
        Field("efi.smbios.vers", 0x18, "u16"),
        Field("efi.smbios.vga_bios", 0x20, "u64"),
        Field("memory_offset", 0x28, "u64"),
        Field("cpu_offset", 0x30, "u64"),
        Field("system_offset", 0x38, "u64"),
        Field("irq_offset", 0x40, "u64"),
        Field("interface_offset", 0x48, "u64"),
        Field("special_offset", 0x50, "u64"),
        Field("boarddev_table_offset", 0x58, "u64"),
        Field("efi.sal_systab", 0x60, "u64"),
        Field("efi.boot_info", 0x68, "u64"),
        Field("reset.ResetCold", 0x70, "u64"),
        Field("reset.ResetWarm", 0x78, "u64"),
        Field("reset.ResetType", 0x80, "u64"),
        Field("reset.Shutdown", 0x88, "u64"),
        Field("reset.DoSuspend", 0x90, "u64"),
    ),
)

MEM_MAP = Struct(
    "mem_map",
    24,
    (
        Field("node_id", 0, "u32"),
        Field("mem_type", 4, "u32"),
        Field("mem_start", 8, "u64"),
        Field("mem_size", 16, "u32"),
    ),
)

MEMORY_MAP = Struct(
    "efi_memory_map_loongson",
    0xC0A,
    (
        Field("vers", 0x00, "u16"),
        Field("nr_map", 0x02, "u32"),
        Field("mem_freq", 0x06, "u32"),
        Array("map", 0x0A, MEM_MAP, 128),
    ),
)

CPUINFO = Struct(
    "efi_cpuinfo_loongson",
    26,
    (
        Field("vers", 0x00, "u16"),
        Field("processor_id", 0x02, "u32"),
        Field("cputype", 0x06, "u32"),
        Field("total_node", 0x0A, "u32"),
        Field("cpu_startup_core_id", 0x0E, "u16"),
        Field("reserved_cores_mask", 0x10, "u16"),
        Field("cpu_clock_freq", 0x12, "u32"),
        Field("nr_cpus", 0x16, "u32"),
    ),
)

UART = Struct(
    "uart_device",
    20,
    (
        Field("iotype", 0, "u32"),
        Field("uartclk", 4, "u32"),
        Field("int_offset", 8, "u32"),
        Field("uart_base", 12, "u64"),
    ),
)

SYSTEM = Struct(
    "system_loongson",
    0x236C,
    (
        Field("vers", 0x0000, "u16"),
        Field("ccnuma_smp", 0x0002, "u32"),
        Field("sing_double_channel", 0x0006, "u32"),
        Field("nr_uarts", 0x000A, "u32"),
        Array("uarts", 0x000E, UART, 64),
        Field("nr_sensors", 0x050E, "u32"),
        Field("has_ec", 0x2312, "u8"),
        Field("has_tcm", 0x233B, "u8"),
        Field("workarounds", 0x2364, "u64"),
    ),
)

IRQ_TABLE = Struct(
    "irq_source_routing_table",
    0x54,
    (
        Field("vers", 0x00, "u16"),
        Field("size", 0x02, "u16"),
        Field("rtr_bus", 0x04, "u16"),
        Field("rtr_devfn", 0x06, "u16"),
        Field("vendor", 0x08, "u32"),
        Field("device", 0x0C, "u32"),
        Field("PIC_type", 0x10, "u32"),
        Field("ht_int_bit", 0x14, "u64"),
        Field("ht_enable", 0x1C, "u64"),
        Field("node_id", 0x24, "u32"),
        Field("pci_mem_start_addr", 0x28, "u64"),
        Field("pci_mem_end_addr", 0x30, "u64"),
        Field("pci_io_start_addr", 0x38, "u64"),
        Field("pci_io_end_addr", 0x40, "u64"),
        Field("pci_config_addr", 0x48, "u64"),
        Field("dma_mask_bits", 0x50, "u16"),
        Field("dma_noncoherent", 0x52, "u16"),
    ),
)

INTERFACE = Struct(
    "interface_info",
    69,
    (
        Field("vers", 0x00, "u16"),
        Field("size", 0x02, "u16"),
        Field("flag", 0x04, "u8"),
        Field("description", 0x05, "char[64]"),
    ),
)

BOARD_DEVICES = Struct("board_devices", 0x2C48, (Field("name", 0x00, "char[64]"), Field("num_resources", 0x40, "u32")))

SPECIAL = Struct(
    "loongson_special_attribute",
    0x2C48,
    (Field("vers", 0x00, "u16"), Field("special_name", 0x02, "char[64]"), Field("type", 0x44, "u32")),
)

# Structure, the boot_params field that points to it, and its offset from loongson_params.
PARTS = (
    (MEMORY_MAP, "memory_offset", 0x118),
    (CPUINFO, "cpu_offset", 0x98),
    (SYSTEM, "system_offset", 0xD58),
    (IRQ_TABLE, "irq_offset", 0x30D8),
    (INTERFACE, "interface_offset", 0x3158),
    (SPECIAL, "special_offset", 0x5E58),
    (BOARD_DEVICES, "boarddev_table_offset", 0x31D8),
)


# Version of memory map and CPU table, serial port, board name.
PLATFORMS = {
    "virt": (
        0,
        {"iotype": 2, "uartclk": 25_000_000, "int_offset": 2, "uart_base": 0x1FE0_01E0},
        "Loongson-3A-VIRT-1w-V1.00-demo",
    ),
    "ls7a": (
        1,
        {"iotype": 2, "uartclk": 100_000_000, "int_offset": 10, "uart_base": 0x1FE0_0100},
        "Loongson-3A4000-7A1000-1w-V0.1-EVB",
    ),
}


def tables(platform: str, ram_bytes: int, cpus: int = 1, cpu_clock_hz: int = 800_000_000) -> bytes:
    """The LEFI block of a platform, "virt" or "ls7a", to be placed at physical 0x1fc01000.

    `cpus` is the number of cores that can really start, 1 to 16: a kernel waits a second for each that does not.
    `cpu_clock_hz` is twice the rate of CP0 Count. Raises TableError when a value is out of range.
    """
    if not 1 <= cpus <= MAX_CPUS:
        raise TableError(f"cpus = {cpus}: the platform has 1 to {MAX_CPUS}")
    vers, uart, name = PLATFORMS[platform]
    values = {
        "efi_memory_map_loongson": {"vers": vers, **_memory_map(ram_bytes)},
        "efi_cpuinfo_loongson": {
            "vers": vers,
            "processor_id": PRID_3A4000,
            "cputype": CPUTYPE_LOONGSON_3A,
            "total_node": 1,
            "cpu_clock_freq": cpu_clock_hz,
            "nr_cpus": cpus,
        },
        "system_loongson": {
            "sing_double_channel": 1,
            "nr_uarts": 1,
            "uarts": [uart],
        },
        "irq_source_routing_table": {
            "pci_mem_start_addr": 0x4000_0000,
            "pci_mem_end_addr": 0x7FFF_FFFF,
            "pci_io_start_addr": 0x1800_0000,
            "dma_mask_bits": 64,
        },
        "interface_info": {"description": "UEFI_Version_v1.0"},
        "board_devices": {"name": name},
    }
    offsets = {pointer: offset for _, pointer, offset in PARTS}
    entry = KSEG1 + ROM_BASE
    head = {
        **offsets,
        "efi.smbios.vers": 1,
        "reset.ResetCold": entry + RESET,
        "reset.ResetWarm": entry + RESET,
        "reset.Shutdown": entry + SHUTDOWN,
        "reset.DoSuspend": entry + SUSPEND,
    }
    block = bytearray(max(PARAMS_AT + offset + struct.size for struct, _, offset in PARTS))
    block[: BOOT_PARAMS.size] = BOOT_PARAMS.pack(head)
    for struct, _, offset in PARTS:
        start = PARAMS_AT + offset
        block[start : start + struct.size] = struct.pack(values.get(struct.name, {}))
    return bytes(block)


def _memory_map(ram_bytes: int) -> dict[str, Any]:
    entries = [{"mem_type": MEMORY_LOW, "mem_start": 0, "mem_size": LOW_RAM_REPORTED // MIB}]
    high = (ram_bytes - LOW_RAM) // MIB
    if high > 0:
        entries.append({"mem_type": MEMORY_HIGH, "mem_start": HIGH_RAM, "mem_size": high})
    return {"nr_map": len(entries), "mem_freq": 300_000_000, "map": entries}
