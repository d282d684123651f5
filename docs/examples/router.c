/* The local I/O interrupt controller of a Loongson-3A node as a device server, written against docs/wire.md.
 *
 *     cc -O2 -o router router.c && SOC_DEVICE_TOKEN=secret ./router 7001
 *     SOC_DEVICE_TOKEN=secret soc boot --place ls3a_router_irq=tcp://127.0.0.1:7001
 *
 * 32 inputs; each is level or edge triggered, enabled by INTEN, and routed by its ENTRY byte to four pins of four cores.
 * A second argument is the number of connections to serve, one after the other; without it there is no end.
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { VERSION = 1, HEAD = 7, MOST = 1 << 20, INPUTS = 32, PINS = 16, PORTS = 256, LINKS = 256, DRIVERS = 256 };
enum {
    MMIO_READ = 1, MMIO_WRITE = 2, MMIO_REPLY = 3, LEVEL = 8, PROMISE = 14, HELLO = 15, SNAPSHOT = 16, RESTORE = 17,
    CONFIGURE = 32, PORT_IN = 33, LINK_OUT = 34, RESET = 35, FAILURE = 37,
};
enum { REGISTERS = 0, INPUT = 1 };
enum { MEMORY = 0, CSR = 1 };

/* Frames. */

static int peer;
static uint8_t in[MOST], out[MOST];
static size_t in_length, out_length, frame_start;

static uint32_t crc32(const uint8_t *data, size_t length)
{
    uint32_t crc = ~0u;
    while (length--) {
        crc ^= *data++;
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
    }
    return ~crc;
}

static void put32(uint8_t *at, uint32_t value)
{
    for (int byte = 0; byte < 4; byte++)
        at[byte] = value >> 8 * byte;
}

static uint32_t get32(const uint8_t *at)
{
    return at[0] | at[1] << 8 | at[2] << 16 | (uint32_t)at[3] << 24;
}

static int receive(uint8_t *at, size_t length)
{
    while (length) {
        ssize_t got = read(peer, at, length);
        if (got <= 0)
            return 0;
        at += got, length -= got;
    }
    return 1;
}

static void flush(void)
{
    for (size_t sent = 0; sent < out_length;) {
        ssize_t done = write(peer, out + sent, out_length - sent);
        if (done <= 0)
            break;
        sent += done;
    }
    out_length = 0;
}

/* MessagePack: what the wire uses of it is unsigned integers, byte strings, texts and one array. */

struct value {
    enum { UNSIGNED, BYTES } type;
    uint64_t number;
    const uint8_t *bytes;
    size_t length;
};

static struct value fields[HEAD + 8];
static const uint8_t *cursor, *end;

static int big_endian(int bytes, uint64_t *value)
{
    if (end - cursor < bytes)
        return 0;
    for (*value = 0; bytes--;)
        *value = *value << 8 | *cursor++;
    return 1;
}

static int take(struct value *into)
{
    uint64_t length;
    if (cursor == end)
        return 0;
    uint8_t type = *cursor++;
    into->type = UNSIGNED;
    if (type < 0x80)
        return into->number = type, 1;
    if (type >= 0xcc && type <= 0xcf)
        return big_endian(1 << (type - 0xcc), &into->number);
    if (type >= 0xa0 && type < 0xc0)
        length = type & 0x1f;
    else if (type >= 0xc4 && type <= 0xc6) {
        if (!big_endian(1 << (type - 0xc4), &length))
            return 0;
    } else if (type >= 0xd9 && type <= 0xdb) {
        if (!big_endian(1 << (type - 0xd9), &length))
            return 0;
    } else
        return 0;
    if (length > (uint64_t)(end - cursor))
        return 0;
    into->type = BYTES, into->bytes = cursor, into->length = length, cursor += length;
    return 1;
}

/* Fields of a message of each kind after its seven common ones: u an unsigned integer, b bytes or text. */
static const char *layout(uint64_t kind)
{
    switch (kind) {
    case MMIO_READ: return "uuuuu";
    case MMIO_WRITE: return "uuuuuu";
    case LEVEL: return "u";
    case HELLO: return "bbb";
    case SNAPSHOT: case RESTORE: return "b";
    case CONFIGURE: return "bbu";
    case PORT_IN: return "buuu";
    case LINK_OUT: return "buu";
    case RESET: return "";
    default: return NULL;
    }
}

static const char *parse(void)
{
    cursor = in, end = in + in_length;
    if (cursor == end || (*cursor & 0xf0) != 0x90)
        return "no message";
    size_t count = *cursor++ & 0xf;
    for (size_t n = 0; n < count; n++)
        if (!take(&fields[n]))
            return "no message";
    if (cursor != end || count < 2 || fields[0].type != UNSIGNED || fields[1].type != UNSIGNED)
        return "no message";
    if (fields[0].number != VERSION)
        return "another version of the wire";
    const char *expected = layout(fields[1].number);
    if (!expected)
        return "a kind of message this device does not take";
    if (count != HEAD + strlen(expected))
        return "a wrong number of fields";
    for (size_t n = 2; n < count; n++)
        if (fields[n].type != (n >= HEAD && expected[n - HEAD] == 'b' ? BYTES : UNSIGNED))
            return "a field of another type";
    return NULL;
}

static void give(uint64_t value)
{
    uint8_t *at = out + out_length;
    int bytes = value < 0x80 ? 0 : value < 1ull << 32 ? 4 : 8;
    *at++ = bytes == 0 ? value : bytes == 4 ? 0xce : 0xcf;
    out_length += 1 + bytes;
    while (bytes)
        *at++ = value >> 8 * --bytes;
}

static void give_bytes(uint8_t type, const void *data, size_t length)
{
    out[out_length++] = type;
    for (int byte = 3; byte >= 0; byte--)
        out[out_length++] = length >> 8 * byte;
    memcpy(out + out_length, data, length);
    out_length += length;
}

static void begin(int kind, int own, uint64_t time, uint64_t source, uint64_t target, uint64_t sequence, uint64_t cause)
{
    uint64_t head[] = {VERSION, kind, time, source, target, sequence, cause};
    frame_start = out_length;
    out_length += 8;
    out[out_length++] = 0x90 | (HEAD + own);
    for (int n = 0; n < HEAD; n++)
        give(head[n]);
}

static void finish(void)
{
    uint8_t *frame = out + frame_start;
    size_t length = out_length - frame_start - 8;
    put32(frame, length);
    put32(frame + 4, crc32(frame + 8, length));
}

static void fail(const char *error, const char *reason)
{
    out_length = 0;
    begin(FAILURE, 2, 0, 0, 0, 0, 0);
    give_bytes(0xdb, error, strlen(error));
    give_bytes(0xdb, reason, strlen(reason));
    finish();
    flush();
}

/* The wiring, from PortIn and LinkOut. */

struct port { uint32_t number, role, input; uint64_t base; };
struct link { uint32_t source, target; int pin; uint64_t latency; };

static struct port ports[PORTS];
static struct link links[LINKS];
static int port_count, link_count;
static uint64_t component;

static struct port *find_port(uint64_t number)
{
    for (int n = 0; n < port_count; n++)
        if (ports[n].number == number)
            return &ports[n];
    return NULL;
}

/* The number in "input[7]", or -1 when `name` is another port. */
static int element(const struct value *name, const char *array, int count)
{
    char text[64];
    int index, used = 0;
    if (name->length >= sizeof text || name->length <= strlen(array))
        return -1;
    memcpy(text, name->bytes, name->length);
    text[name->length] = 0;
    if (strncmp(text, array, strlen(array)) || sscanf(text + strlen(array), "[%d]%n", &index, &used) != 1)
        return -1;
    return (size_t)used == name->length - strlen(array) && index >= 0 && index < count ? index : -1;
}

/* The device. All that its future depends on is in `state`, so that a snapshot is its bytes. */

struct driver { uint32_t target, source; uint64_t cause; };
struct held { uint32_t number, unused; uint64_t cause; };

static struct state {
    uint64_t time, sequence, causes;
    uint32_t inten, pol, intedge, bounce, autoclear, latch, intisr, inputs, core_intisr[4];
    uint32_t pins, drivers, latched, risen;
    uint8_t entry[INPUTS];
    struct driver driver[DRIVERS]; /* outputs that hold an input high */
    struct held input[INPUTS];     /* interrupts that are latched */
    struct held pin[PINS];         /* outputs that are high; each array is in the order in which they came */
} state;

static uint64_t answers;

static uint64_t new_cause(void)
{
    return component << 40 | ++state.causes;
}

static struct held *find(struct held *array, uint32_t count, uint32_t number)
{
    for (uint32_t n = 0; n < count; n++)
        if (array[n].number == number)
            return &array[n];
    return NULL;
}

/* Give what has been latched since the last time its cause, and forget what is latched no more. */
static void note(uint64_t cause)
{
    uint32_t held = (state.intedge & state.latch) | (~state.intedge & state.inputs), kept = 0;
    for (uint32_t n = 0; n < state.latched; n++)
        if (held >> state.input[n].number & 1)
            state.input[kept++] = state.input[n];
    state.latched = kept;
    for (uint32_t number = 0; number < INPUTS; number++)
        if (held >> number & 1 && !find(state.input, state.latched, number))
            state.input[state.latched++] = (struct held){number, 0, cause ? cause : new_cause()};
}

/* Whether `pin` stands for the interrupt of `input` now. */
static int behind(int pin, uint32_t input)
{
    return state.intisr >> input & 1 && state.entry[input] >> pin / 4 & 1 && state.entry[input] >> (4 + pin % 4) & 1;
}

/* The cause of a pin that rises while a message of `kind` with `cause` is handled. */
static uint64_t cause_of(int pin, uint64_t kind, uint64_t cause)
{
    note(cause);
    for (uint32_t n = 0; n < state.latched; n++)
        if (behind(pin, state.input[n].number))
            return state.input[n].cause;
    if (kind == LEVEL)
        return cause;
    if (state.drivers)
        return state.driver[state.drivers - 1].cause;
    return cause ? cause : new_cause();
}

static void send_level(int pin, int level, uint64_t cause)
{
    for (int n = 0; n < link_count; n++)
        if (links[n].pin == pin) {
            begin(LEVEL, 1, state.time + links[n].latency, links[n].source, links[n].target, ++state.sequence, cause);
            give(level);
            finish();
        }
}

static void drive(uint32_t pins, uint64_t kind, uint64_t cause)
{
    uint32_t changed = pins ^ state.pins;
    state.pins = pins;
    for (int pin = 0; pin < PINS; pin++) {
        struct held *up = find(state.pin, state.risen, pin);
        if (!(changed >> pin & 1))
            continue;
        if (!up) {
            up = &state.pin[state.risen];
            *up = (struct held){pin, 0, cause_of(pin, kind, cause)};
            state.risen++;
            send_level(pin, 1, up->cause);
        } else {
            send_level(pin, 0, up->cause);
            memmove(up, up + 1, (char *)&state.pin[state.risen] - (char *)(up + 1));
            state.risen--;
        }
    }
}

/* After a message: what it latched has its cause, and a store's goes out again over pins that are up already. */
static void noted(uint64_t kind, uint64_t cause)
{
    note(cause);
    for (uint32_t n = 0; n < state.risen; n++)
        if (kind != MMIO_WRITE || state.pin[n].cause == cause)
            return;
    if (kind != MMIO_WRITE)
        return;
    for (uint32_t n = 0; n < state.risen; n++)
        for (uint32_t k = 0; k < state.latched; k++)
            if (state.input[k].cause == cause && behind(state.pin[n].number, state.input[k].number)) {
                send_level(state.pin[n].number, 1, cause);
                break;
            }
}

static void settle(uint64_t kind, uint64_t cause)
{
    uint32_t pending = state.inten & ((state.intedge & state.latch) | (~state.intedge & state.inputs)), pins = 0;
    state.intisr = pending;
    memset(state.core_intisr, 0, sizeof state.core_intisr);
    for (int input = 0; input < INPUTS; input++)
        for (int core = 0; core < 4; core++)
            if (pending >> input & 1 && state.entry[input] >> core & 1) {
                state.core_intisr[core] |= 1u << input;
                pins |= (uint32_t)(state.entry[input] >> 4) << 4 * core;
            }
    drive(pins, kind, cause);
}

static uint64_t read_register(uint64_t offset, uint64_t size, uint64_t core, uint64_t space)
{
    uint64_t value = 0;
    if (space == CSR)
        return size == 4 && offset == 0x1010 ? state.core_intisr[core % 4] : 0;
    if (space != MEMORY || offset % size)
        return 0;
    if (offset < INPUTS) {
        for (uint64_t byte = 0; byte < size; byte++)
            value |= (uint64_t)state.entry[offset + byte] << 8 * byte;
        return value;
    }
    if (size != 4)
        return 0;
    switch (offset) {
    case 0x20: return state.intisr;
    case 0x24: return state.inten;
    case 0x30: return state.pol;
    case 0x34: return state.intedge;
    case 0x38: return state.bounce;
    case 0x3c: return state.autoclear;
    case 0x40: case 0x48: case 0x50: case 0x58: return state.core_intisr[(offset - 0x40) / 8];
    default: return 0;
    }
}

/* Whether the register is there; one that is not drops what is written. */
static int write_register(uint64_t offset, uint64_t size, uint64_t value, uint64_t space)
{
    if (space != MEMORY || offset % size)
        return 0;
    if (offset < INPUTS) {
        for (uint64_t byte = 0; byte < size; byte++)
            state.entry[offset + byte] = value >> 8 * byte;
        return 1;
    }
    if (size != 4)
        return 0;
    switch (offset) {
    case 0x28: state.inten |= value; return 1;
    case 0x2c: state.inten &= ~value, state.latch &= ~value; return 1;
    case 0x30: state.pol = value; return 1;
    case 0x34: state.intedge = value; return 1;
    case 0x38: state.bounce = value; return 1;
    case 0x3c: state.autoclear = value; return 1;
    default: return 0;
    }
}

static void access_register(uint64_t kind, uint64_t source, uint64_t target, uint64_t sequence, uint64_t cause)
{
    const struct value *own = fields + HEAD;
    struct port *port = find_port(target);
    int host = !source && !target;
    uint64_t offset = own[2].number - (host ? 0 : port->base), size = own[3].number, value = 0;
    if (kind == MMIO_READ)
        value = read_register(offset, size, own[0].number, own[1].number);
    else if (write_register(offset, size, own[4].number, own[1].number))
        settle(host ? 0 : kind, host ? 0 : cause);
    if (!host)
        noted(kind, cause);
    if (host)
        begin(MMIO_REPLY, 2, state.time, 0, 0, 0, 0);
    else {
        uint64_t latency = 0;
        for (int n = 0; n < link_count; n++)
            if (links[n].source == target && links[n].target == source)
                latency = links[n].latency;
        begin(MMIO_REPLY, 2, state.time + latency, target, source, ++state.sequence, cause);
    }
    give(host ? 0 : sequence);
    give(value);
    finish();
}

static void line(uint64_t source, uint64_t target, uint64_t cause)
{
    struct port *port = find_port(target);
    uint64_t level = fields[HEAD].number;
    uint32_t kept = 0, bit = 1u << port->input, before = state.inputs, held = 0;
    uint64_t other = 0;
    for (uint32_t n = 0; n < state.drivers; n++) {
        struct driver driver = state.driver[n];
        if (driver.target == target && driver.source == source)
            continue;
        state.driver[kept++] = driver;
        if (driver.target == target && !held++)
            other = driver.cause;
    }
    state.drivers = kept;
    if (level && kept < DRIVERS)
        state.driver[state.drivers++] = (struct driver){target, source, cause};
    if (!level && held)
        /* The input stays up for another reason. */
        for (uint32_t n = 0; n < state.latched; n++)
            if (state.input[n].cause == cause)
                state.input[n].cause = other;
    state.inputs = level || held ? before | bit : before & ~bit;
    if (state.inputs != before) {
        if (level)
            state.latch |= state.intedge & bit;
        settle(LEVEL, cause);
    }
    noted(LEVEL, cause);
}

static void reset(void)
{
    state.inten = state.pol = state.intedge = state.bounce = state.autoclear = state.latch = 0;
    memset(state.entry, 0, sizeof state.entry);
    settle(0, 0);
}

/* One message; a text when it cannot be taken. */
static const char *handle(void)
{
    uint64_t kind = fields[1].number, time = fields[2].number, source = fields[3].number, target = fields[4].number;
    uint64_t sequence = fields[5].number, cause = fields[6].number;
    const struct value *own = fields + HEAD;
    struct port *port = find_port(target);
    switch (kind) {
    case CONFIGURE:
        component = own[2].number;
        return NULL;
    case PORT_IN:
        if (port_count == PORTS)
            return "more ports than this device has room for";
        ports[port_count] = (struct port){target, own[1].number, 0, own[2].number};
        if (own[1].number == INPUT) {
            int input = element(own, "input", INPUTS);
            if (input < 0)
                return "an input this device does not have: it has input[0] to input[31]";
            ports[port_count].input = input;
        }
        port_count++;
        return NULL;
    case LINK_OUT:
        if (link_count == LINKS)
            return "more links than this device has room for";
        links[link_count++] = (struct link){source, target, element(own, "pin", PINS), own[1].number};
        return NULL;
    case HELLO:
        return "a second Hello";
    }
    if (time < state.time)
        return "a message of the past";
    state.time = time;
    switch (kind) {
    case MMIO_READ:
    case MMIO_WRITE:
        if ((source || target) && (!port || port->role != REGISTERS))
            return "an access to a port without registers";
        if (own[3].number != 1 && own[3].number != 2 && own[3].number != 4 && own[3].number != 8)
            return "an access of another size than 1, 2, 4 or 8";
        access_register(kind, source, target, sequence, cause);
        break;
    case LEVEL:
        if (!port || port->role != INPUT)
            return "a level at a port that is no line";
        line(source, target, cause);
        break;
    case RESET:
        reset();
        break;
    case SNAPSHOT:
        begin(SNAPSHOT, 1, time, 0, 0, 0, 0);
        give_bytes(0xc6, &state, sizeof state);
        finish();
        break;
    case RESTORE:
        if (own[0].length != sizeof state)
            return "a state of another device";
        memcpy(&state, own[0].bytes, sizeof state);
        state.time = time;
        break;
    }
    begin(PROMISE, 1, state.time, 0, 0, ++answers, 0);
    give(UINT64_MAX);
    finish();
    flush();
    return NULL;
}

static int next_message(size_t limit)
{
    uint8_t header[8];
    const char *problem;
    if (!receive(header, sizeof header))
        return 0;
    in_length = get32(header);
    if (in_length > limit)
        return fail("MessageError", "a frame longer than this device takes"), 0;
    if (!receive(in, in_length))
        return 0;
    if (crc32(in, in_length) != get32(header + 4))
        return fail("MessageError", "a frame whose CRC-32 is wrong"), 0;
    problem = parse();
    if (problem)
        return fail(strcmp(problem, "another version of the wire") ? "MessageError" : "VersionError", problem), 0;
    return 1;
}

/* Compares all bytes whether or not the first differ. */
static int same(const struct value *given, const char *token)
{
    size_t length = strlen(token);
    uint8_t differ = given->length != length;
    for (size_t n = 0; n < length; n++)
        differ |= (n < given->length ? given->bytes[n] : 0) ^ (uint8_t)token[n];
    return !differ;
}

static void serve(const char *token)
{
    const char *problem;
    memset(&state, 0, sizeof state);
    port_count = link_count = 0, answers = 0, out_length = 0;
    if (!next_message(4096))
        return;
    if (fields[1].number != HELLO) {
        fail("ProtocolError", "a connection begins with Hello");
        return;
    }
    if (!same(&fields[HEAD + 2], token)) {
        fail("ProtocolError", "the token is wrong");
        return;
    }
    begin(HELLO, 3, 0, 0, 0, 0, 0);
    give_bytes(0xdb, "router", 6);
    give_bytes(0xc6, fields[HEAD + 1].bytes, fields[HEAD + 1].length);
    give_bytes(0xc6, "", 0);
    finish();
    flush();
    while (next_message(MOST)) {
        problem = handle();
        if (problem) {
            fail("ProtocolError", problem);
            return;
        }
    }
}

int main(int argc, char **argv)
{
    const char *token = getenv("SOC_DEVICE_TOKEN");
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t length = sizeof address;
    int on = 1, left = argc > 2 ? atoi(argv[2]) : -1, listener = socket(AF_INET, SOCK_STREAM, 0);
    if (argc < 2 || !token || !*token)
        return fprintf(stderr, "usage: SOC_DEVICE_TOKEN=... router PORT [CONNECTIONS]\n"), 2;
    signal(SIGPIPE, SIG_IGN);
    address.sin_port = htons(atoi(argv[1]));
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 4))
        return perror("router"), 1;
    getsockname(listener, (struct sockaddr *)&address, &length);
    fprintf(stderr, "router: serving at 127.0.0.1:%d\n", ntohs(address.sin_port));
    while (left-- && (peer = accept(listener, NULL, NULL)) >= 0) {
        setsockopt(peer, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        serve(token);
        close(peer);
    }
    return 0;
}
