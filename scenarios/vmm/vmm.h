/* What the parts of the VMM share. The machine that its guest sees is the platform virt: loongson3-virt of QEMU.
 * MAX_CPUS comes from the build. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* board.c: an access to an address without memory, with its bytes in `data`. Needs the lock. */
void board_access(uint64_t address, uint8_t *data, unsigned size, bool is_write);

/* router.c, uart.c: registers by their offset in the device, inputs. */
uint64_t router_read(uint64_t offset, unsigned size);
void router_write(uint64_t offset, uint64_t value, unsigned size);
void router_input(unsigned source, bool level);
uint8_t uart_read(uint64_t offset);
void uart_write(uint64_t offset, uint8_t value);
bool uart_has_room(void);
void uart_receive(uint8_t character);

/* terminal.c */
void terminal_take(void);
void terminal_write(uint8_t character);
void *terminal_read_all(void *unused);

/* image.c: a guest as a file, and its memory in a VM. */
#define SLOTS 3

struct image {
    char magic[8];
    uint64_t cpus, pc, gpr[32]; /* the registers are vCPU 0's */
    uint64_t memory_bytes;
    struct slot {
        uint64_t address, bytes, offset; /* guest physical; where in the memory */
    } slot[SLOTS];
    uint64_t segments;
    struct segment {
        uint64_t offset, bytes;
    } segment[]; /* their bytes follow, in this order */
};

const struct image *image_read(const char *path);
void image_load(const struct image *image, int vm);

/* stats.c: a vCPU whose counters are wanted; their sums, where not 0, on standard error. */
void stats_watch(int vcpu);
void stats_print(void);

/* vmm.c */
void lock(void);
void unlock(void);
void wait_for_change(void);
void set_pin(unsigned cpu, unsigned ip, bool level);
long checked(long result, const char *what);
