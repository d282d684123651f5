/* Three workloads for the vector unit (MSA): two of single-precision arithmetic, one of bytes. */

#include <msa.h>

#include "parts.h"

#define N 1024
#define PASSES 16

static v4f32 x[N / 4], y[N / 4];
static v16u8 bytes[N];

/* Small whole numbers in quarters: no operation on them overflows. */
static void fill(v4f32 *vector, u64 seed)
{
    for (int i = 0; i < N / 4; i++)
        for (int j = 0; j < 4; j++)
            vector[i][j] = (float)(int)(step(&seed) >> 52) * 0.25f;
}

static u64 bits(float number)
{
    union {
        float number;
        u32 bits;
    } both = {number};
    return both.bits;
}

/* y += a x, product and sum with one rounding. */
PART u64 saxpy(u64 seed)
{
    fill(x, seed);
    fill(y, ~seed);
    for (int pass = 1; pass <= PASSES; pass++) {
        float a = 0.03f * (float)pass;
        v4f32 factor = {a, a, a, a};
        for (int i = 0; i < N / 4; i++)
            y[i] = __builtin_msa_fmadd_w(y[i], factor, x[i]);
    }
    return bits(y[0][0]) << 32 ^ bits(y[N / 4 - 1][3]);
}

/* Product by product, with a rounding for each product and each sum. */
PART u64 dot(u64 seed)
{
    v4f32 sum = {0, 0, 0, 0};
    fill(x, seed);
    fill(y, ~seed);
    for (int pass = 0; pass < PASSES; pass++)
        for (int i = 0; i < N / 4; i++)
            sum = __builtin_msa_fadd_w(sum, __builtin_msa_fmul_w(x[i], y[i]));
    return bits(sum[0]) << 32 ^ bits(sum[1]) << 16 ^ bits(sum[2]) ^ bits(sum[3]);
}

/* Differences from a value, without sign, summed up in ever wider lanes. */
PART u64 sums(u64 seed)
{
    v4u32 sum = {0, 0, 0, 0};
    for (int i = 0; i < N; i++)
        bytes[i] = (v16u8)(v2u64){step(&seed), seed >> 3};
    for (int pass = 0; pass < PASSES; pass++) {
        v16u8 middle = (v16u8)__builtin_msa_fill_b(8 * pass);
        for (int i = 0; i < N; i++) {
            v16u8 apart = __builtin_msa_asub_u_b(bytes[i], middle);
            v8u16 pairs = __builtin_msa_hadd_u_h(apart, apart);
            sum += (v4u32)__builtin_msa_hadd_u_w(pairs, pairs);
        }
    }
    return ((u64)sum[0] << 32 | sum[1]) ^ ((u64)sum[2] << 16 | sum[3]);
}

void start(void)
{
    static workload parts[] = {saxpy, dot, sums};
    repeat("vector", parts);
}
