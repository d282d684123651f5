/* The 16550A UART: its transmitter is done at once, its receiver has the 16 characters of the FIFO.
 *
 * Source: PC16550D data sheet; what Linux 6.1 drivers/tty/serial/8250/8250_port.c tests of it. */

#include "vmm.h"

#define ROUTER_SOURCE 0
#define FIFO_DEPTH 16

enum { DATA, IER, IIR_FCR, LCR, MCR, LSR, MSR, SCR };
#define IER_RECEIVED 0x01
#define IER_EMPTY 0x02
#define IER_BITS 0x0f
#define IIR_NONE 0x01
#define IIR_EMPTY 0x02
#define IIR_RECEIVED 0x04
#define IIR_FIFO 0xc0
#define FCR_ENABLE 0x01
#define FCR_CLEAR_RECEIVER 0x02
#define LCR_DIVISOR 0x80
#define LSR_RECEIVED 0x01
#define LSR_EMPTY 0x60
#define MSR_CONNECTED 0xb0

static uint8_t divisor[2], ier, fcr, lcr, mcr, scr;
static bool empty_pending;
static uint8_t fifo[FIFO_DEPTH];
static unsigned first, count;

static uint8_t cause(void)
{
    if (ier & IER_RECEIVED && count)
        return IIR_RECEIVED;
    return ier & IER_EMPTY && empty_pending ? IIR_EMPTY : IIR_NONE;
}

static void settle(void)
{
    router_input(ROUTER_SOURCE, cause() != IIR_NONE);
}

static uint8_t take_character(void)
{
    if (!count)
        return 0;
    uint8_t character = fifo[first];
    first = (first + 1) % FIFO_DEPTH;
    count--;
    return character;
}

static uint8_t take_cause(void)
{
    uint8_t found = cause();
    if (found == IIR_EMPTY)
        empty_pending = false;
    return found | (fcr & FCR_ENABLE ? IIR_FIFO : 0);
}

static uint8_t read_register(uint64_t offset)
{
    switch (offset) {
    case DATA:
        return lcr & LCR_DIVISOR ? divisor[0] : take_character();
    case IER:
        return lcr & LCR_DIVISOR ? divisor[1] : ier;
    case IIR_FCR:
        return take_cause();
    case LCR:
        return lcr;
    case MCR:
        return mcr;
    case LSR:
        return LSR_EMPTY | (count ? LSR_RECEIVED : 0);
    case MSR:
        return MSR_CONNECTED;
    default:
        return scr;
    }
}

static void transmit(uint8_t character)
{
    terminal_write(character);
    empty_pending = true;
}

static void enable(uint8_t value)
{
    if ((value ^ ier) & IER_EMPTY)
        empty_pending = value & IER_EMPTY;
    ier = value & IER_BITS;
}

static void write_register(uint64_t offset, uint8_t value)
{
    switch (offset) {
    case DATA:
        if (lcr & LCR_DIVISOR)
            divisor[0] = value;
        else
            transmit(value);
        break;
    case IER:
        if (lcr & LCR_DIVISOR)
            divisor[1] = value;
        else
            enable(value);
        break;
    case IIR_FCR:
        if (value & FCR_CLEAR_RECEIVER || (value ^ fcr) & FCR_ENABLE)
            count = 0;
        fcr = value;
        break;
    case LCR:
        lcr = value;
        break;
    case MCR:
        mcr = value;
        break;
    case SCR:
        scr = value;
        break;
    }
}

uint8_t uart_read(uint64_t offset)
{
    uint8_t value = read_register(offset);
    settle();
    return value;
}

void uart_write(uint64_t offset, uint8_t value)
{
    write_register(offset, value);
    settle();
}

bool uart_has_room(void)
{
    return count < FIFO_DEPTH;
}

void uart_receive(uint8_t character)
{
    fifo[(first + count++) % FIFO_DEPTH] = character;
    settle();
}
