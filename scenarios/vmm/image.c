/* The guest's memory, and the file that says what is in it. scenarios/vmm/__init__.py writes such files. */

#include "vmm.h"

#include <err.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define MAGIC "vmm-img1"

const struct image *image_read(const char *path)
{
    int fd = checked(open(path, O_RDONLY), path);
    struct stat status;
    checked(fstat(fd, &status), path);
    const struct image *image = mmap(NULL, status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (image == MAP_FAILED)
        err(1, "%s", path);
    bool known = memcmp(image->magic, MAGIC, sizeof image->magic) == 0;
    if (!known || image->cpus < 1 || image->cpus > MAX_CPUS)
        errx(1, "%s is no image of a guest with 1 to %d vCPUs", path, MAX_CPUS);
    return image;
}

static void copy_segments(const struct image *image, uint8_t *memory)
{
    const uint8_t *bytes = (const uint8_t *)&image->segment[image->segments];
    for (uint64_t i = 0; i < image->segments; i++) {
        memcpy(memory + image->segment[i].offset, bytes, image->segment[i].bytes);
        bytes += image->segment[i].bytes;
    }
}

void image_load(const struct image *image, int vm)
{
    uint8_t *memory = mmap(NULL, image->memory_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        err(1, "memory of the guest");
    copy_segments(image, memory);
    for (unsigned i = 0; i < SLOTS; i++) {
        const struct slot *slot = &image->slot[i];
        struct kvm_userspace_memory_region region = {
            .slot = i,
            .guest_phys_addr = slot->address,
            .memory_size = slot->bytes,
            .userspace_addr = (uintptr_t)memory + slot->offset,
        };
        checked(ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region), "KVM_SET_USER_MEMORY_REGION");
    }
}
