/* Where the devices are, and what answers where nothing is.
 *
 * Source: Linux 6.1 arch/mips/boot/dts/loongson/loongson64v_4core_virtio.dts; QEMU hw/mips/loongson3_virt.c. */

#include "vmm.h"

#include <stdlib.h>
#include <string.h>

#define POWER 0x10080010u
#define POWER_RESTART 0x00
#define POWER_OFF 0xff
#define SWITCHED_OFF 0
#define RESTART 2
#define UART 0x1fe001e0u
#define UART_BYTES 8
#define ROUTER 0x3ff01400u
#define ROUTER_BYTES 0x64
/* PCI without any function: I/O ports, configuration, memory. */
#define PCI_IO 0x18000000u
#define PCI_IO_BYTES 0x80000
#define PCI_CONFIG 0x1a000000u
#define PCI_CONFIG_BYTES 0x2000000
#define PCI_MEMORY 0x40000000u
#define PCI_MEMORY_BYTES 0x40000000

static bool within(uint64_t address, uint64_t base, uint64_t bytes)
{
    return address - base < bytes;
}

static bool is_pci(uint64_t address)
{
    return within(address, PCI_IO, PCI_IO_BYTES) || within(address, PCI_CONFIG, PCI_CONFIG_BYTES) ||
           within(address, PCI_MEMORY, PCI_MEMORY_BYTES);
}

static void write_power(uint8_t value)
{
    if (value == POWER_OFF)
        exit(SWITCHED_OFF);
    if (value == POWER_RESTART)
        exit(RESTART);
}

static void board_write(uint64_t address, uint64_t value, unsigned size)
{
    if (within(address, UART, UART_BYTES))
        uart_write(address - UART, value);
    else if (within(address, ROUTER, ROUTER_BYTES))
        router_write(address - ROUTER, value, size);
    else if (address == POWER)
        write_power(value);
}

static uint64_t board_read(uint64_t address, unsigned size)
{
    if (within(address, UART, UART_BYTES))
        return uart_read(address - UART);
    if (within(address, ROUTER, ROUTER_BYTES))
        return router_read(address - ROUTER, size);
    return is_pci(address) ? ~0ull : 0;
}

void board_access(uint64_t address, uint8_t *data, unsigned size, bool is_write)
{
    uint64_t value = 0;
    if (is_write) {
        memcpy(&value, data, size);
        board_write(address, value, size);
    } else {
        value = board_read(address, size);
        memcpy(data, &value, size);
    }
}
