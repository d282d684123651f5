/* The terminal as the other end of the guest's serial line: every key goes to the guest. */

#include "vmm.h"

#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

static struct termios found;

static void give_back(void)
{
    tcsetattr(STDIN_FILENO, TCSADRAIN, &found);
}

void terminal_take(void)
{
    if (tcgetattr(STDIN_FILENO, &found) < 0)
        return; /* standard input is no terminal */
    struct termios raw = found;
    cfmakeraw(&raw);
    checked(tcsetattr(STDIN_FILENO, TCSADRAIN, &raw), "terminal");
    atexit(give_back);
}

void terminal_write(uint8_t character)
{
    checked(write(STDOUT_FILENO, &character, 1), "standard output");
}

void *terminal_read_all(void *unused)
{
    uint8_t character;
    while (read(STDIN_FILENO, &character, 1) == 1) {
        lock();
        while (!uart_has_room())
            wait_for_change();
        uart_receive(character);
        unlock();
    }
    return unused;
}
