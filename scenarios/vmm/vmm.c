/* A virtual machine monitor for Linux's KVM on MIPS: runs the guest in an image file until it switches off.
 *
 *     vmm [-s] IMAGE
 *
 * The terminal is the guest's serial line. -s prints KVM's counters at the end. Status 0: the guest has switched off; 2:
 * it wants to restart; 1: something failed, and standard error says what.
 *
 * A thread runs each vCPU, one more reads the terminal; whoever has the lock has the devices. Inter-processor interrupts
 * and mailboxes are KVM's own (Linux 6.1 arch/mips/kvm/loongson_ipi.c). */

#include "vmm.h"

#include <asm/kvm.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define RESET 0xffffffffbfc00000ull /* in the ROM of the image: wait for the mailboxes */
#define CP0(rd, sel) (KVM_REG_MIPS_CP0 | KVM_REG_SIZE_U32 | (8 * (rd) + (sel)))
#define STATUS CP0(12, 0)
#define CONFIG1 CP0(16, 1)
#define CONFIG1_FP (1u << 0)
#define CONFIG3 CP0(16, 3)
#define CONFIG3_ULRI (1u << 13)
#define CONFIG3_MSAP (1u << 28)
#define PINS 8

static struct vcpu {
    int fd;
    struct kvm_run *run;
    bool pin[PINS];
} vcpus[MAX_CPUS];
static unsigned cpus;

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

void lock(void)
{
    pthread_mutex_lock(&mutex);
}

void unlock(void)
{
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mutex);
}

void wait_for_change(void)
{
    pthread_cond_wait(&changed, &mutex);
}

long checked(long result, const char *what)
{
    if (result < 0)
        err(1, "%s", what);
    return result;
}

void set_pin(unsigned cpu, unsigned ip, bool level)
{
    if (cpu >= cpus || vcpus[cpu].pin[ip] == level)
        return;
    vcpus[cpu].pin[ip] = level;
    /* A vCPU that executes sees it after its next exit: the host's next tick at the latest. */
    struct kvm_mips_interrupt interrupt = {.cpu = cpu, .irq = level ? ip : -ip};
    checked(ioctl(vcpus[cpu].fd, KVM_INTERRUPT, &interrupt), "KVM_INTERRUPT");
}

static void set_registers(struct vcpu *vcpu, const uint64_t gpr[32], uint64_t pc)
{
    struct kvm_regs registers = {.pc = pc};
    memcpy(registers.gpr, gpr, sizeof registers.gpr);
    checked(ioctl(vcpu->fd, KVM_SET_REGS, &registers), "KVM_SET_REGS");
}

static void set_cp0(struct vcpu *vcpu, uint64_t id, uint32_t value)
{
    struct kvm_one_reg reg = {.id = id, .addr = (uintptr_t)&value};
    checked(ioctl(vcpu->fd, KVM_SET_ONE_REG, &reg), "KVM_SET_ONE_REG");
}

static void add_to_cp0(struct vcpu *vcpu, uint64_t id, uint32_t bits)
{
    uint32_t value;
    struct kvm_one_reg reg = {.id = id, .addr = (uintptr_t)&value};
    checked(ioctl(vcpu->fd, KVM_GET_ONE_REG, &reg), "KVM_GET_ONE_REG");
    set_cp0(vcpu, id, value | bits);
}

static void enable(struct vcpu *vcpu, unsigned capability)
{
    struct kvm_enable_cap cap = {.cap = capability};
    checked(ioctl(vcpu->fd, KVM_ENABLE_CAP, &cap), "KVM_ENABLE_CAP");
}

static void make_vcpu(int kvm, int vm, unsigned cpu)
{
    struct vcpu *vcpu = &vcpus[cpu];
    vcpu->fd = checked(ioctl(vm, KVM_CREATE_VCPU, cpu), "KVM_CREATE_VCPU");
    long bytes = checked(ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), "KVM_GET_VCPU_MMAP_SIZE");
    vcpu->run = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
    if (vcpu->run == MAP_FAILED)
        err(1, "kvm_run");
    enable(vcpu, KVM_CAP_MIPS_FPU);
    enable(vcpu, KVM_CAP_MIPS_MSA);
    add_to_cp0(vcpu, CONFIG1, CONFIG1_FP);
    add_to_cp0(vcpu, CONFIG3, CONFIG3_MSAP | CONFIG3_ULRI);
    set_cp0(vcpu, STATUS, 0);
    set_registers(vcpu, (const uint64_t[32]){0}, RESET);
}

static void serve(const struct vcpu *vcpu)
{
    struct kvm_run *run = vcpu->run;
    if (run->exit_reason != KVM_EXIT_MMIO)
        errx(1, "vCPU %td: exit reason %u", vcpu - vcpus, run->exit_reason);
    lock();
    board_access(run->mmio.phys_addr, run->mmio.data, run->mmio.len, run->mmio.is_write);
    unlock();
}

static void *run_vcpu(void *argument)
{
    const struct vcpu *vcpu = argument;
    for (;;) {
        if (ioctl(vcpu->fd, KVM_RUN, 0) == 0)
            serve(vcpu);
        else if (errno != EINTR)
            err(1, "KVM_RUN of vCPU %td", vcpu - vcpus);
    }
    return NULL;
}

static void start_thread(void *(*function)(void *), void *argument)
{
    pthread_t thread;
    errno = pthread_create(&thread, NULL, function, argument);
    if (errno)
        err(1, "thread");
}

static void make_machine(const struct image *image)
{
    int kvm = checked(open("/dev/kvm", O_RDWR), "/dev/kvm");
    int vm = checked(ioctl(kvm, KVM_CREATE_VM, KVM_VM_MIPS_VZ), "KVM_CREATE_VM");
    image_load(image, vm);
    cpus = image->cpus;
    for (unsigned cpu = 0; cpu < cpus; cpu++)
        make_vcpu(kvm, vm, cpu);
    set_registers(&vcpus[0], image->gpr, image->pc);
}

int main(int argc, char **argv)
{
    bool counters = argc == 3 && strcmp(argv[1], "-s") == 0;
    if (argc != 2 + counters)
        errx(1, "use: vmm [-s] IMAGE");
    make_machine(image_read(argv[argc - 1]));
    for (unsigned cpu = 0; counters && cpu < cpus; cpu++)
        stats_watch(vcpus[cpu].fd);
    if (counters)
        atexit(stats_print);
    terminal_take();
    start_thread(terminal_read_all, NULL);
    for (unsigned cpu = 1; cpu < cpus; cpu++)
        start_thread(run_vcpu, &vcpus[cpu]);
    run_vcpu(&vcpus[0]);
}
