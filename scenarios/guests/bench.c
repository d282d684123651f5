/* A small mixed workload: a linked list, matrices, a state machine over text, and a CRC that ties them together. */

#include "program.h"

#define NODES 64
#define N 16
#define TEXT 512

/* Linked by index and by pointer at once, so that both 32- and 64-bit loads are met. */
struct node {
    struct node *next;
    u16 key;
    u16 data;
};

static struct node nodes[NODES];
static short a[N][N], b[N][N];
static int c[N][N];
static u8 text[TEXT];

/* Bit by bit, as small firmware does it: shifts, exclusive or, and a branch that is hard to predict. */
PART u16 crc16(u32 value, u16 crc, int bits)
{
    for (int i = 0; i < bits; i++) {
        u32 carry = (crc ^ value) & 1;
        crc >>= 1;
        if (carry)
            crc ^= 0xa001;
        value >>= 1;
    }
    return crc;
}

static u32 random_step(u32 *seed)
{
    u32 x = *seed;
    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    return *seed = x;
}

PART struct node *list_reverse(struct node *head)
{
    struct node *done = 0;
    while (head) {
        struct node *next = head->next;
        head->next = done;
        done = head;
        head = next;
    }
    return done;
}

static int by_key(const struct node *x, const struct node *y)
{
    return (int)x->key - (int)y->key;
}

static int by_data(const struct node *x, const struct node *y)
{
    return (int)(x->data & 0xff) - (int)(y->data & 0xff);
}

/* Bottom-up merge sort; the comparison is called through a pointer. */
PART struct node *list_sort(struct node *head, int (*compare)(const struct node *, const struct node *))
{
    for (int run = 1;; run *= 2) {
        struct node *left = head, *tail = 0;
        int merges = 0;
        head = 0;
        while (left) {
            struct node *right = left;
            int left_size = 0, right_size = run;
            merges++;
            for (int i = 0; i < run && right; i++) {
                left_size++;
                right = right->next;
            }
            while (left_size > 0 || (right_size > 0 && right)) {
                struct node *taken;
                if (left_size == 0 || (right_size > 0 && right && compare(left, right) > 0)) {
                    taken = right;
                    right = right->next;
                    right_size--;
                } else {
                    taken = left;
                    left = left->next;
                    left_size--;
                }
                if (tail)
                    tail->next = taken;
                else
                    head = taken;
                tail = taken;
            }
            left = right;
        }
        if (tail)
            tail->next = 0;
        if (merges <= 1)
            return head;
    }
}

PART u16 list_work(u32 seed, u16 crc)
{
    struct node *head = 0;
    for (int i = 0; i < NODES; i++) {
        u32 value = random_step(&seed);
        nodes[i].key = value;
        nodes[i].data = value >> 16;
        nodes[i].next = head;
        head = &nodes[i];
    }
    for (int wanted = 0; wanted < 32; wanted++) {
        struct node *at = head;
        while (at && (at->data & 0x1f) != wanted)
            at = at->next;
        crc = crc16(at ? at->key : 0xffff, crc, 16);
        head = list_reverse(head);
    }
    head = list_sort(head, by_data);
    crc = crc16(head->key, crc, 16);
    head = list_sort(head, by_key);
    for (struct node *at = head; at; at = at->next)
        crc = crc16(at->data, crc, 16);
    return crc;
}

PART u16 matrix_work(u32 seed, u16 crc)
{
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            u32 value = random_step(&seed);
            a[i][j] = value & 0xfff;
            b[i][j] = (int)value >> 20;
        }
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            int sum = 0;
            for (int k = 0; k < N; k++)
                sum += a[i][k] * b[k][j];
            c[i][j] = sum;
        }
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            int sum = 0;
            for (int k = 0; k < N; k++) {
                int product = a[i][k] * b[k][j];
                sum += ((product >> 2) & 0xf) * ((product >> 5) & 0x7f);
            }
            c[i][j] ^= sum;
        }
    int total = 0, previous = 0;
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            total += c[i][j] > previous ? 10 : 1;
            previous = c[i][j];
        }
    for (int i = 0; i < N; i++)
        crc = crc16((u32)c[i][N - 1 - i], crc, 32);
    return crc16((u32)total, crc, 32);
}

enum state { START, SIGN, INTEGER, POINT, FRACTION, EXPONENT, SCIENTIFIC, INVALID, STATES };

PART enum state next_state(enum state state, u8 letter)
{
    int digit = letter >= '0' && letter <= '9';
    switch (state) {
    case START:
        return digit ? INTEGER : letter == '+' || letter == '-' ? SIGN : letter == '.' ? POINT : INVALID;
    case SIGN:
        return digit ? INTEGER : letter == '.' ? POINT : INVALID;
    case INTEGER:
        return digit ? INTEGER : letter == '.' ? FRACTION : letter == 'e' ? EXPONENT : INVALID;
    case POINT:
    case FRACTION:
        return digit ? FRACTION : letter == 'e' && state == FRACTION ? EXPONENT : INVALID;
    case EXPONENT:
        return digit || letter == '+' || letter == '-' ? SCIENTIFIC : INVALID;
    case SCIENTIFIC:
        return digit ? SCIENTIFIC : INVALID;
    default:
        return INVALID;
    }
}

PART u16 state_work(u32 seed, u16 crc)
{
    static const u8 letters[] = "0123456789+-.e,,";
    u32 visits[STATES], ends[STATES];
    for (int i = 0; i < STATES; i++)
        visits[i] = ends[i] = 0;
    for (int i = 0; i < TEXT; i++)
        text[i] = letters[random_step(&seed) >> 7 & 15];
    text[TEXT - 1] = ',';
    enum state state = START;
    for (int i = 0; i < TEXT; i++) {
        if (text[i] == ',') {
            ends[state]++;
            state = START;
        } else {
            state = next_state(state, text[i]);
        }
        visits[state]++;
    }
    for (int i = 0; i < STATES; i++) {
        crc = crc16(visits[i], crc, 32);
        crc = crc16(ends[i], crc, 32);
    }
    return crc;
}

void start(void)
{
    u16 list = 0, matrix = 0, states = 0;
    u64 count = iterations;
    u32 seed = 0x2545f491;
    for (u64 i = 0; i < count; i++) {
        u32 step = random_step(&seed);
        list = list_work(step, list);
        matrix = matrix_work(step ^ list, matrix);
        states = state_work(step ^ matrix, states);
    }
    print("bench: iterations 0x");
    print_hex(count, 8);
    print("  list 0x");
    print_hex(list, 4);
    print("  matrix 0x");
    print_hex(matrix, 4);
    print("  states 0x");
    print_hex(states, 4);
    print("\n");
    finish();
}
