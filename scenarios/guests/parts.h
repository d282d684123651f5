/* A program of several workloads, of which it repeats the one that the builder chooses. */

#include "program.h"

volatile u64 part = 1;

typedef u64 (*const workload)(u64 seed);

static u64 step(u64 *seed)
{
    u64 x = *seed;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return *seed = x;
}

static void repeat(const char *name, const workload *parts)
{
    u64 seed = 0x2545f4914f6cdd1d, sum = 0, count = iterations, which = part;
    for (u64 i = 0; i < count; i++)
        sum = (sum << 1 | sum >> 63) ^ parts[which - 1](step(&seed));
    print(name);
    print(": part 0x");
    print_hex(which, 1);
    print("  iterations 0x");
    print_hex(count, 8);
    print("  sum 0x");
    print_hex(sum, 16);
    print("\n");
    finish();
}
