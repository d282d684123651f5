/* KVM's own counters, as the binary statistics of a vCPU give them.
 *
 * Source: Linux 6.1 Documentation/virt/kvm/api.rst, KVM_GET_STATS_FD. */

#include "vmm.h"

#include <inttypes.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define MOST_COUNTERS 128
#define NAME_BYTES 64

static int files[MAX_CPUS];
static unsigned cpus;
static struct {
    char name[NAME_BYTES];
    uint64_t sum;
} counters[MOST_COUNTERS];
static unsigned count;

void stats_watch(int vcpu)
{
    files[cpus++] = checked(ioctl(vcpu, KVM_GET_STATS_FD, NULL), "KVM_GET_STATS_FD");
}

static void add(const char *name, uint64_t value)
{
    unsigned i = 0;
    while (i < count && strncmp(counters[i].name, name, NAME_BYTES - 1) != 0)
        i++;
    if (i == MOST_COUNTERS)
        return;
    if (i == count)
        strncpy(counters[count++].name, name, NAME_BYTES - 1);
    counters[i].sum += value;
}

static void add_all(int fd)
{
    struct kvm_stats_header header;
    checked(pread(fd, &header, sizeof header, 0), "statistics");
    size_t bytes = sizeof(struct kvm_stats_desc) + header.name_size;
    struct kvm_stats_desc *counter = malloc(bytes);
    for (uint32_t i = 0; i < header.num_desc; i++) {
        uint64_t value;
        checked(pread(fd, counter, bytes, header.desc_offset + i * bytes), "statistics");
        checked(pread(fd, &value, sizeof value, header.data_offset + counter->offset), "statistics");
        if (counter->size == 1)
            add(counter->name, value);
    }
    free(counter);
}

void stats_print(void)
{
    for (unsigned cpu = 0; cpu < cpus; cpu++)
        add_all(files[cpu]);
    for (unsigned i = 0; i < count; i++)
        if (counters[i].sum)
            fprintf(stderr, "kvm %s %" PRIu64 "\n", counters[i].name, counters[i].sum);
}
