# Core 0 and core `partner` send each other inter-processor interrupts, `rounds` there and back.
#
# The ball is a number in mailbox 0 of the receiver: how many hits are left. A handler acknowledges, takes the ball, and
# hits it back. Core 0 notes Count in `stamps` at each ball it gets, so that round trips can be read from memory.

        .include "cores.S"

.equ HITS, 0                      # counters: balls this core got
.equ serve_ip2, unexpected
.equ serve_ip3, unexpected
.equ serve_ip4, unexpected
.equ serve_ip5, unexpected
.equ serve_ip7, unexpected
.equ MOST_ROUNDS, 16384

_start:
        jal     setup
        nop
        b       start_cores
        nop

main:
        ld      t0, OWN_IPI(gp)
        li      t1, 1
        sw      t1, IPI_ENABLE(t0)
        jal     interrupts_on
        li      a0, IM_IP6
        jal     meet
        nop
        ld      t0, OWN_NUMBER(gp)
        bnez    t0, sleep
        nop
        la      s0, rounds
        ld      s0, 0(s0)
        dsll    a0, s0, 1
        daddiu  a0, a0, -1        # the first hit is this one
        la      a1, partner
        jal     hit
        ld      a1, 0(a1)
        daddiu  a0, gp, OWN_COUNT + 8 * HITS
        jal     sleep_until
        move    a1, s0
        b       poweroff
        nop

hit:                              # a0: the ball, a1: the receiver
        ipi_block t0, a1, t1
        sd      a0, IPI_MAILBOX(t0)
        li      t1, 1
        jr      ra
        sw      t1, IPI_SET(t0)

serve_ip6:
        ld      t0, OWN_NUMBER(gp)
        bnez    t0, 1f
        ld      t1, OWN_COUNT + 8 * HITS(gp)
        dsll    t1, t1, 2
        la      t2, stamps
        daddu   t1, t1, t2
        mfc0    t2, c0_count
        sw      t2, 0(t1)
1:      ld      t1, OWN_IPI(gp)
        lw      t2, IPI_STATUS(t1)
        sw      t2, IPI_CLEAR(t1)
        ld      a0, IPI_MAILBOX(t1)
        count   HITS
        beqz    a0, 2f            # the last one
        ld      t0, OWN_NUMBER(gp)
        la      a1, partner
        ld      a1, 0(a1)
        movn    a1, $0, t0
        b       hit
        daddiu  a0, a0, -1
2:      jr      ra
        nop

        .align  3
rounds: .dword  10
partner:
        .dword  1
        .align  12
stamps: .space  4 * MOST_ROUNDS
