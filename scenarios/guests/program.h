/* What the programs in C share: types, a console, an end, and `_start`, which calls `start`.
 *
 * Freestanding. On the bare machine: UART at 0x1fe001e0, power switch at 0x10080010; the same ELF runs under `soc run` and
 * under QEMU's loongson3-virt. Compiled for Linux, two system calls take their place, for QEMU's user mode. A program takes
 * no interrupt and reads no clock, so that every machine executes the same instructions, and what it prints depends on
 * every result. */

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long u64;

/* The parts of a workload stay functions, as in a program of several files. */
#define PART static __attribute__((noinline))

/* The builder replaces this word in the ELF file, and others like it. They are volatile so that the compiler cannot assume
 * their value. */
volatile u64 iterations = 1;

void start(void);

#ifdef __linux__

#define SYS_WRITE 5001
#define SYS_EXIT 5058

static long system_call(long number, long a, long b, long c)
{
    register long v0 __asm__("$2") = number, a0 __asm__("$4") = a, a1 __asm__("$5") = b, a2 __asm__("$6") = c;
    register long a3 __asm__("$7");
    __asm__ volatile("syscall"
                     : "+r"(v0), "=r"(a3)
                     : "r"(a0), "r"(a1), "r"(a2)
                     : "$1", "$3", "$8", "$9", "$10", "$11", "$12", "$13", "$14", "$15", "$24", "$25", "memory");
    return v0;
}

static void put(char letter)
{
    system_call(SYS_WRITE, 1, (long)&letter, 1);
}

static void finish(void)
{
    system_call(SYS_EXIT, 0, 0, 0);
}

__asm__(".globl _start\n"
        "_start:\n"
        "    j start\n");

#else

#define UART_THR ((volatile u8 *)0xffffffffbfe001e0ul)
#define POWER ((volatile u8 *)0xffffffffb0080010ul)
#define POWER_OFF 0xff

static void put(char letter)
{
    *UART_THR = letter;
}

static void finish(void)
{
    *POWER = POWER_OFF;
    for (;;)
        ;
}

#ifdef __mips_soft_float
#define UNITS ""
#define CLEAR_UNITS ""
#else
#define UNITS                                                                                                          \
    "    lui $t1, 0x2400\n" /* Status.CU1, FR: 32 registers of 64 bits */                                              \
    "    or $t0, $t0, $t1\n"
#define CLEAR_UNITS "    ctc1 $zero, $31\n"
#endif
#ifdef __mips_msa
#define VECTORS                                                                                                        \
    "    mfc0 $t0, $16, 5\n"                                                                                           \
    "    lui $t1, 0x0800\n" /* Config5.MSAEn */                                                                        \
    "    or $t0, $t0, $t1\n"                                                                                           \
    "    mtc0 $t0, $16, 5\n"
#else
#define VECTORS ""
#endif

/* A core may come here straight from reset: leave the error level and the bootstrap vectors, have 64-bit addressing. */
__asm__(".set push\n"
        ".set noreorder\n"
        ".section .text.entry,\"ax\",@progbits\n"
        ".globl _start\n"
        "_start:\n"
        "    ori $t0, $zero, 0xe0\n" /* Status.KX, SX, UX */
        UNITS
        "    mtc0 $t0, $12\n"
        VECTORS
        "    ehb\n"
        CLEAR_UNITS
        "    lui $sp, %hi(stack_top)\n"
        "    j start\n"
        "    daddiu $sp, $sp, %lo(stack_top)\n"
        ".set pop\n"
        ".text\n");

#endif

static void print(const char *words)
{
    while (*words)
        put(*words++);
}

static void print_hex(u64 value, int digits)
{
    while (digits--)
        put("0123456789abcdef"[value >> 4 * digits & 15]);
}
