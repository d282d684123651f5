/* KVM's own counters, as the binary statistics of a vCPU give them: the same counters at the same places for each.
 *
 * Source: Linux 6.1 Documentation/virt/kvm/api.rst, KVM_GET_STATS_FD. */

#include "vmm.h"

#include <err.h>
#include <inttypes.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

static int files[MAX_CPUS];
static unsigned cpus;

void stats_watch(int vcpu)
{
    files[cpus++] = checked(ioctl(vcpu, KVM_GET_STATS_FD, NULL), "KVM_GET_STATS_FD");
}

static void read_at(unsigned cpu, uint64_t offset, void *data, size_t bytes)
{
    if (pread(files[cpu], data, bytes, offset) != (ssize_t)bytes)
        err(1, "statistics of vCPU %u", cpu);
}

static uint64_t sum_at(uint64_t offset)
{
    uint64_t sum = 0;
    for (unsigned cpu = 0; cpu < cpus; cpu++) {
        uint64_t value;
        read_at(cpu, offset, &value, sizeof value);
        sum += value;
    }
    return sum;
}

void stats_print(void)
{
    struct kvm_stats_header header;
    read_at(0, 0, &header, sizeof header);
    size_t bytes = sizeof(struct kvm_stats_desc) + header.name_size;
    struct kvm_stats_desc *counter = malloc(bytes);
    if (!counter)
        err(1, "statistics");
    for (uint32_t i = 0; i < header.num_desc; i++) {
        read_at(0, header.desc_offset + i * bytes, counter, bytes);
        uint64_t sum = counter->size == 1 ? sum_at(header.data_offset + counter->offset) : 0; /* no histograms */
        if (sum)
            fprintf(stderr, "kvm %s %" PRIu64 "\n", counter->name, sum);
    }
    free(counter);
}
