# What every guest on several cores needs: their start, a block of memory for each, interrupts by input, counters.
#
# A guest includes this first. Core 0 begins at `_start`, which calls `setup` and `start_cores`; every core then runs
# `main`, with interrupts off, its own stack, and gp at its own block of memory (OWN_*). Interrupts lead to
# `serve_ip2` ... `serve_ip7`, which the guest defines; those it does not use are set to `unexpected`. They may clobber
# at, v0, v1, a0 to a3, t0 to t3 and ra; gp is the core's own block there too.

        .include "common.S"

.equ IM_IP2, 1 << 10
.equ IM_IP3, 1 << 11
.equ IM_IP4, 1 << 12
.equ IM_IP5, 1 << 13
.equ IM_IP6, 1 << 14
.equ IM_IP7, 1 << 15

.equ IPI,         UNCACHED + 0x3ff01000
.equ IPI_STATUS,  0x00
.equ IPI_ENABLE,  0x04
.equ IPI_SET,     0x08
.equ IPI_CLEAR,   0x0c
.equ IPI_MAILBOX, 0x20            # four of 8 bytes: pc, sp, gp, a1 of a core that is released

.equ ROUTER_ENABLE,  0x28
.equ ROUTER_DISABLE, 0x2c
.equ ROUTER_EDGE,    0x34
.equ ROUTER_CORE0,   0x40         # per core: enabled, pending, routed here; 8 bytes apart

# The LS7A bridge, and what takes its interrupt messages.
.equ BRIDGE_UART, UNCACHED + 0x10080000
.equ PIC,         UNCACHED + 0x10000000
.equ PIC_MASK,    0x020
.equ PIC_HTMSI,   0x040
.equ PIC_CLEAR,   0x080
.equ PIC_VECTOR,  0x200
.equ DOORBELL,    UNCACHED + 0x2ff00000
.equ HTVEC,       UNCACHED + 0xefdfb000080
.equ HTVEC_ENABLE, 0x20
.equ CHIP,        UNCACHED + 0x1fe00000
.equ EXT_OTHER,   0x420
.equ EXT_IPMAP,   0x14c0
.equ EXT_ENABLE,  0x1600
.equ EXT_ISR,     0x1800
.equ EXT_COREMAP, 0x1c00

.equ OWN_NUMBER, 0x00             # of the core
.equ OWN_IPI,    0x08             # address of its inter-processor block
.equ OWN_COUNT,  0x10             # eight counters of the guest's own
.equ OWN_MET,    0x50
.equ OWN_SHIFT,  7
.equ MOST_CORES, 16
.equ STACK_SHIFT, 10

# Address of the inter-processor block of core \core, in \to. The node is in address bits 47:44.
        .macro  ipi_block to, core, scratch
        dsrl    \to, \core, 2
        dsll    \to, \to, 44
        andi    \scratch, \core, 3
        dsll    \scratch, \scratch, 8
        daddu   \to, \to, \scratch
        dli     \scratch, IPI
        daddu   \to, \to, \scratch
        .endm

# Address of the memory of core \core, in \to.
        .macro  own_block to, core
        dsll    $at, \core, OWN_SHIFT
        la      \to, own
        daddu   \to, \to, $at
        .endm

# One more in counter \which of this core.
        .macro  count which
        ld      t0, OWN_COUNT + 8 * \which(gp)
        daddiu  t0, t0, 1
        sd      t0, OWN_COUNT + 8 * \which(gp)
        .endm

# Core 0: fills in the blocks of all cores, releases the others, goes on at `main` when all of them are there.
start_cores:
        move    s0, $0
1:      own_block s1, s0
        ipi_block s2, s0, t1
        sd      s0, OWN_NUMBER(s1)
        sd      s2, OWN_IPI(s1)
        addiu   t0, s0, 1         # the stack's end
        dsll    t0, t0, STACK_SHIFT
        la      t1, stacks
        daddu   t1, t1, t0
        beqz    s0, 2f
        nop
        sd      t1, IPI_MAILBOX + 8(s2)
        sd      s1, IPI_MAILBOX + 16(s2)
        la      t0, core_start
        sd      t0, IPI_MAILBOX(s2)
        b       3f
        nop
2:      move    sp, t1
        move    gp, s1
3:      la      t0, cores
        ld      t0, 0(t0)
        addiu   s0, s0, 1
        bne     s0, t0, 1b
        nop
core_start:
        la      t0, vectors
        mtc0    t0, c0_ebase
        li      t0, STATUS_64BIT
        mtc0    t0, c0_status
        mtc0    $0, c0_cause
        mfc0    t0, c0_count      # a Compare in the past: nothing pending at the start
        mtc0    t0, c0_compare
        ehb
        jal     meet
        nop
        b       main
        nop

# Returns when all cores have called it as often as this one.
meet:
        la      t0, met
1:      lld     t1, 0(t0)
        daddiu  t1, t1, 1
        scd     t1, 0(t0)
        beqz    t1, 1b
        la      t2, cores
        ld      t2, 0(t2)
        ld      t3, OWN_MET(gp)
        daddu   t3, t3, t2        # all of them, this often
        sd      t3, OWN_MET(gp)
2:      ld      t1, 0(t0)
        dsubu   t1, t1, t3
        bltz    t1, 2b
        nop
        jr      ra
        nop

# Interrupts on, for the inputs in a0 (IM_*).
interrupts_on:
        mfc0    t0, c0_status
        or      t0, t0, a0
        ori     t0, t0, STATUS_IE
        mtc0    t0, c0_status
        jr.hb   ra
        nop

# Waits, asleep, until the word at a0 is a1. An interrupt inside starts it again, so no wake-up is lost.
sleep_until:
        ld      t0, 0(a0)
        beq     t0, a1, sleep_end
        nop
        wait
        b       sleep_until
        nop
sleep_end:
        jr      ra
        nop

# Waits, awake, until the word at a0 is a1: another core writes it.
spin_until:
        ld      t0, 0(a0)
        bne     t0, a1, spin_until
        nop
        jr      ra
        nop

# Sleeps for good; interrupts are served.
sleep:
        wait
        b       sleep
        nop

on_exception:
        daddiu  sp, sp, -96
        sd      $at, 0(sp)
        sd      v0, 8(sp)
        sd      v1, 16(sp)
        sd      a0, 24(sp)
        sd      a1, 32(sp)
        sd      a2, 40(sp)
        sd      a3, 48(sp)
        sd      t0, 56(sp)
        sd      t1, 64(sp)
        sd      t2, 72(sp)
        sd      t3, 80(sp)
        sd      ra, 88(sp)
        mfc0    k0, c0_cause
        andi    k1, k0, 0x7c
        bnez    k1, unexpected
        dmfc0   k1, c0_epc
        la      t0, sleep_until
        dsubu   t1, k1, t0
        sltiu   t1, t1, sleep_end - sleep_until
        movn    k1, t0, t1
        dmtc0   k1, c0_epc
        mfc0    t0, c0_status
        and     k0, k0, t0

        .macro  dispatch input, serve
        andi    t0, k0, \input
        beqz    t0, 1f
        nop
        jal     \serve
        nop
1:
        .endm

        dispatch IM_IP7, serve_ip7
        dispatch IM_IP6, serve_ip6
        dispatch IM_IP5, serve_ip5
        dispatch IM_IP4, serve_ip4
        dispatch IM_IP3, serve_ip3
        dispatch IM_IP2, serve_ip2
        ld      $at, 0(sp)
        ld      v0, 8(sp)
        ld      v1, 16(sp)
        ld      a0, 24(sp)
        ld      a1, 32(sp)
        ld      a2, 40(sp)
        ld      a3, 48(sp)
        ld      t0, 56(sp)
        ld      t1, 64(sp)
        ld      t2, 72(sp)
        ld      t3, 80(sp)
        ld      ra, 88(sp)
        daddiu  sp, sp, 96
        eret

on_refill:
unexpected:
        li      t0, STATUS_64BIT
        mtc0    t0, c0_status
        la      a0, unexpected_text
        jal     puts
        nop
        ld      a0, OWN_NUMBER(gp)
        jal     putdec
        nop
        jal     newline
        nop
        mfc0    a0, c0_cause
        jal     puthex
        nop
        dmfc0   a0, c0_epc
        jal     puthex
        nop
        jal     newline
        nop
        b       poweroff
        nop

unexpected_text:
        .asciz  "Unexpected exception or interrupt (Cause, EPC) on core "
        .align  3
cores:  .dword  1
        .align  12                # what is written shares no page with code
met:    .dword  0
        .align  7
own:    .space  MOST_CORES << OWN_SHIFT
stacks: .space  MOST_CORES << STACK_SHIFT
        .align  12
