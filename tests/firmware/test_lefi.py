"""LEFI tables against offsets and values measured on QEMU's virtual platform."""

from itertools import pairwise

import pytest

from soc.firmware import lefi
from soc.firmware.errors import TableError
from soc.firmware.layout import Array, Field, Struct
from soc.firmware.memory_map import MIB

BLOCK = lefi.tables("virt", 512 * MIB)
BASE = 0x1FC0_1000


def u(physical: int, size: int, block: bytes = BLOCK) -> int:
    """The unsigned number at a physical address of the block."""
    return int.from_bytes(block[physical - BASE : physical - BASE + size], "little")


@pytest.mark.parametrize(
    ("physical", "size", "value", "what"),
    [
        (0x1FC01018, 2, 1, "smbios.vers"),
        (0x1FC01028, 8, 0x118, "memory_offset"),
        (0x1FC01030, 8, 0x98, "cpu_offset"),
        (0x1FC01038, 8, 0xD58, "system_offset"),
        (0x1FC01040, 8, 0x30D8, "irq_offset"),
        (0x1FC01048, 8, 0x3158, "interface_offset"),
        (0x1FC01050, 8, 0x5E58, "special_offset"),
        (0x1FC01058, 8, 0x31D8, "boarddev_table_offset"),
        (0x1FC01070, 8, 0xFFFF_FFFF_BFC0_0080, "ResetCold"),
        (0x1FC01078, 8, 0xFFFF_FFFF_BFC0_0080, "ResetWarm"),
        (0x1FC01080, 8, 0, "ResetType"),
        (0x1FC01088, 8, 0xFFFF_FFFF_BFC0_00A8, "Shutdown"),
        (0x1FC01090, 8, 0xFFFF_FFFF_BFC0_00D0, "DoSuspend"),
        (0x1FC01142, 4, 2, "nr_map"),
        (0x1FC01146, 4, 300_000_000, "mem_freq"),
        (0x1FC0114E, 4, 1, "map[0].mem_type"),
        (0x1FC01152, 8, 0, "map[0].mem_start"),
        (0x1FC0115A, 4, 240, "map[0].mem_size"),
        (0x1FC01166, 4, 2, "map[1].mem_type"),
        (0x1FC0116A, 8, 0x9000_0000, "map[1].mem_start"),
        (0x1FC01172, 4, 256, "map[1].mem_size"),
        (0x1FC010C2, 4, 0x14C000, "processor_id"),
        (0x1FC010C6, 4, 0x300, "cputype"),
        (0x1FC010CA, 4, 1, "total_node"),
        (0x1FC010D2, 4, 800_000_000, "cpu_clock_freq"),
        (0x1FC010D6, 4, 1, "nr_cpus"),
        (0x1FC01D86, 4, 1, "sing_double_channel"),
        (0x1FC01D8A, 4, 1, "nr_uarts"),
        (0x1FC01D8E, 4, 2, "uarts[0].iotype"),
        (0x1FC01D92, 4, 25_000_000, "uarts[0].uartclk"),
        (0x1FC01D96, 4, 2, "uarts[0].int_offset"),
        (0x1FC01D9A, 8, 0x1FE0_01E0, "uarts[0].uart_base"),
        (0x1FC04128, 8, 0x4000_0000, "pci_mem_start_addr"),
        (0x1FC04130, 8, 0x7FFF_FFFF, "pci_mem_end_addr"),
        (0x1FC04138, 8, 0x1800_0000, "pci_io_start_addr"),
        (0x1FC04150, 2, 64, "dma_mask_bits"),
        (0x1FC04152, 2, 0, "dma_noncoherent"),
    ],
)
def test_values_of_the_virtual_platform(physical, size, value, what):
    assert u(physical, size) == value, what


def test_texts_of_the_virtual_platform():
    assert BLOCK[0x3185 : 0x3185 + 18] == b"UEFI_Version_v1.0\0"
    assert BLOCK[0x3200 : 0x3200 + 31] == b"Loongson-3A-VIRT-1w-V1.00-demo\0"


def test_structures_have_the_sizes_of_the_kernels_header():
    sizes = {struct.name: struct.size for struct, _, _ in lefi.PARTS}
    assert sizes["efi_memory_map_loongson"] == 10 + 128 * 24
    assert sizes["efi_cpuinfo_loongson"] == 26
    assert sizes["system_loongson"] == 0x236C
    assert sizes["irq_source_routing_table"] == 84
    assert sizes["interface_info"] == 69
    assert lefi.BOOT_PARAMS.size == 0x98


def test_nothing_overlaps_and_every_field_lies_in_its_structure():
    spans = sorted(
        [(0, lefi.BOOT_PARAMS.size)] + [(lefi.PARAMS_AT + at, lefi.PARAMS_AT + at + s.size) for s, _, at in lefi.PARTS]
    )
    assert all(before[1] <= after[0] for before, after in pairwise(spans))
    assert spans[-1][1] == len(BLOCK)
    for struct in [lefi.BOOT_PARAMS, *(part[0] for part in lefi.PARTS)]:
        fields = sorted(struct.fields, key=lambda field: field.offset)
        ends = [field.offset + field.size for field in fields]
        assert all(end <= field.offset for end, field in zip(ends, fields[1:], strict=False)), struct.name
        assert ends[-1] <= struct.size, struct.name


def test_a_machine_of_256_mib_has_no_high_ram():
    block = lefi.tables("virt", 256 * MIB)
    assert (u(0x1FC01142, 4, block), u(0x1FC0115A, 4, block), u(0x1FC01166, 4, block)) == (1, 240, 0)


def test_cores_and_clock_are_the_machines():
    block = lefi.tables("virt", 512 * MIB, cpus=4, cpu_clock_hz=1_000_000_000)
    assert (u(0x1FC010D6, 4, block), u(0x1FC010D2, 4, block)) == (4, 1_000_000_000)


def test_ls7a_differs_in_versions_serial_port_and_board():
    block = lefi.tables("ls7a", 512 * MIB, cpus=4)
    assert (u(0x1FC01140, 2, block), u(0x1FC010C0, 2, block)) == (1, 1)
    assert u(0x1FC01D80 + 0x0E + 12, 8, block) == 0x1FE0_0100
    changed = sum(a != b for a, b in zip(block, lefi.tables("virt", 512 * MIB, cpus=4), strict=True))
    assert 0 < changed < 64


@pytest.mark.parametrize("cpus", [0, 17])
def test_a_wrong_number_of_cores_is_refused(cpus):
    with pytest.raises(TableError, match="1 to 16"):
        lefi.tables("virt", 512 * MIB, cpus=cpus)


PAIR = Struct("pair", 4, (Field("x", 0, "u16"),))
TABLE = Struct("table", 16, (Field("name", 0, "char[4]"), Field("n", 4, "u8"), Array("pairs", 8, PAIR, 2)))


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"size": 1}, "table has no field size; it has name, n, pairs"),
        ({"n": 256}, r"n = 256: u8 holds 0..0xff"),
        ({"n": -1}, "n = -1"),
        ({"name": "long"}, "holds 3 characters"),
        ({"pairs": [{}, {}, {}]}, "3 entries, it holds 2"),
    ],
)
def test_a_layout_refuses_what_it_cannot_hold(values, why):
    with pytest.raises(TableError, match=why):
        TABLE.pack(values)


def test_a_layout_packs_little_endian_with_zeros_between():
    packed = TABLE.pack({"name": "abc", "n": 7, "pairs": [{"x": 1}, {"x": 0x203}]})
    assert packed == b"abc\0\x07\0\0\0\x01\0\0\0\x03\x02\0\0"
