/* The local I/O interrupt controller (LIOINTC): 32 level-triggered sources, routed to IP2 and IP3 of the first four vCPUs:
 * KVM has no numbers for IP4 and IP5.
 *
 * Source: Linux 6.1 drivers/irqchip/irq-loongson-liointc.c. */

#include "vmm.h"

#define SOURCES 32
#define ROUTED_CPUS 4
#define PINS 2
#define ENABLED 0x24
#define ENABLE 0x28
#define DISABLE 0x2c
#define STATUS 0x20
#define CORE_STATUS 0x40
#define CORE_STATUS_END (CORE_STATUS + ROUTED_CPUS * CORE_BYTES)
#define CORE_BYTES 8

static uint8_t route[SOURCES]; /* cores in bits 3:0, pins in 7:4 */
static uint32_t inputs, enabled;

static uint32_t routed_to(unsigned bit)
{
    uint32_t found = 0;
    for (unsigned source = 0; source < SOURCES; source++)
        found |= (uint32_t)(route[source] >> bit & 1) << source;
    return found;
}

static void settle(void)
{
    uint32_t pending = inputs & enabled;
    for (unsigned cpu = 0; cpu < ROUTED_CPUS; cpu++)
        for (unsigned pin = 0; pin < PINS; pin++)
            set_pin(cpu, 2 + pin, pending & routed_to(cpu) & routed_to(4 + pin));
}

uint64_t router_read(uint64_t offset, unsigned size)
{
    if (offset < SOURCES && size == 1)
        return route[offset];
    if (offset == STATUS)
        return inputs & enabled;
    if (offset == ENABLED)
        return enabled;
    if (offset >= CORE_STATUS && offset < CORE_STATUS_END && offset % CORE_BYTES == 0)
        return inputs & enabled & routed_to((offset - CORE_STATUS) / CORE_BYTES);
    return 0;
}

void router_write(uint64_t offset, uint64_t value, unsigned size)
{
    if (offset < SOURCES && size == 1)
        route[offset] = value;
    else if (offset == ENABLE)
        enabled |= value;
    else if (offset == DISABLE)
        enabled &= ~value;
    settle();
}

void router_input(unsigned source, bool level)
{
    if ((inputs >> source & 1) != level) {
        inputs ^= 1u << source;
        settle();
    }
}
