/* Four workloads, one kind of work each: integer arithmetic, double-precision arithmetic, a stream through memory, calls. */

#include "parts.h"

/* Rounds of ChaCha: 32-bit additions, exclusive ors and rotations. */
#define ROTATE(x, n) ((x) << (n) | (x) >> (32 - (n)))
#define QUARTER(a, b, c, d)                                                                                            \
    a += b, d = ROTATE(d ^ a, 16), c += d, b = ROTATE(b ^ c, 12), a += b, d = ROTATE(d ^ a, 8), c += d,                \
    b = ROTATE(b ^ c, 7)

PART u64 chacha(u64 seed)
{
    u32 x[16];
    for (int i = 0; i < 16; i++)
        x[i] = (u32)(step(&seed) >> 11);
    for (int i = 0; i < 64; i++) {
        QUARTER(x[0], x[4], x[8], x[12]);
        QUARTER(x[1], x[5], x[9], x[13]);
        QUARTER(x[2], x[6], x[10], x[14]);
        QUARTER(x[3], x[7], x[11], x[15]);
        QUARTER(x[0], x[5], x[10], x[15]);
        QUARTER(x[1], x[6], x[11], x[12]);
        QUARTER(x[2], x[7], x[8], x[13]);
        QUARTER(x[3], x[4], x[9], x[14]);
    }
    return (u64)(x[0] ^ x[5]) << 32 | (x[10] ^ x[15]);
}

/* The 3n + 1 sequence: 64-bit arithmetic with a branch that is hard to predict. */
PART u64 collatz(u64 seed)
{
    u64 steps = 0;
    for (u64 first = seed & 0xffff; first > 1 && steps < 4000; first -= 3)
        for (u64 n = first; n > 1; steps++)
            n = n & 1 ? 3 * n + 1 : n >> 1;
    return steps;
}

PART u64 integer(u64 seed)
{
    return chacha(seed) + collatz(seed | 0x8001);
}

/* Matrix product, escape times, and bodies under gravity: addition, product, comparison, quotient and root. */
#define N 24
static double a[N][N], b[N][N], c[N][N];

PART double product(void)
{
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            double sum = 0;
            for (int k = 0; k < N; k++)
                sum += a[i][k] * b[k][j];
            c[i][j] = sum;
        }
    return c[3][5] + c[N - 1][N - 2];
}

PART int escape(double x, double y)
{
    double re = 0, im = 0;
    int i = 0;
    for (; i < 200; i++) {
        double re2 = re * re, im2 = im * im;
        if (re2 + im2 > 4.0)
            break;
        im = 2.0 * re * im + y;
        re = re2 - im2 + x;
    }
    return i;
}

PART double bodies(double at[4][2], double speed[4][2])
{
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++) {
            double x = at[j][0] - at[i][0], y = at[j][1] - at[i][1];
            double square = x * x + y * y + 0.01;
            double pull = 0.001 / (square * __builtin_sqrt(square));
            speed[i][0] += x * pull;
            speed[i][1] += y * pull;
        }
    for (int i = 0; i < 4; i++) {
        at[i][0] += speed[i][0] * 0.01;
        at[i][1] += speed[i][1] * 0.01;
    }
    return at[0][0];
}

PART u64 floating(u64 seed)
{
    double at[4][2], speed[4][2], sum = 0;
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            a[i][j] = (double)(int)(step(&seed) >> 50) * 0.01;
            b[i][j] = (double)(int)(step(&seed) >> 52) * 0.125;
        }
    for (int i = 0; i < 4; i++) {
        at[i][0] = i;
        at[i][1] = (double)(int)(seed >> (8 * i) & 0xff) * 0.02;
        speed[i][0] = speed[i][1] = 0;
    }
    sum += product();
    for (int i = 0; i < 8; i++)
        sum += escape(-0.75 + 0.01 * i, 0.1);
    for (int i = 0; i < 40; i++)
        sum += bodies(at, speed);
    union {
        double number;
        u64 bits;
    } both = {sum};
    return both.bits;
}

/* 8 MiB, read and written once. */
#define WORDS (1 << 19)
static u64 source[WORDS], target[WORDS];

PART u64 stream(u64 seed)
{
    u64 sum = 0;
    for (int i = 0; i < WORDS; i++) {
        u64 word = source[i] + seed;
        target[i] = word;
        sum += word;
    }
    for (int i = 0; i < WORDS; i++)
        source[i] = target[i] ^ sum;
    return sum;
}

/* Recursion, and calls through a table of functions. */
PART u64 fibonacci(u64 n)
{
    return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2);
}

PART u64 plus(u64 x)
{
    return x + 0x9e37;
}

PART u64 turned(u64 x)
{
    return x << 9 | x >> 55;
}

PART u64 minus(u64 x)
{
    return x - (x >> 3);
}

PART u64 crossed(u64 x)
{
    return x ^ x >> 21;
}

static workload functions[] = {plus, turned, minus, crossed};

PART u64 calls(u64 seed)
{
    u64 x = seed;
    for (int i = 0; i < 4000; i++)
        x = functions[x >> 7 & 3](x);
    return x + fibonacci(18);
}

void start(void)
{
    static workload parts[] = {integer, floating, stream, calls};
    repeat("compute", parts);
}
