# The extended controller on one pin of the core, or on four.
#
# Core 0 raises `rounds` interrupts at core `target`, one at a time, by messages with a vector of each quarter of the 256
# in turn. With `pins` = 1 all vectors lead to IP2, and the handler has to read the four words of the core's status to
# find one. With `pins` = 4 each quarter has a pin of its own, IP2 to IP5, and the handler knows which word to read.

        .include "cores.S"

.equ SERVED, 0                    # counters: interrupts,
.equ READS, 1                     # reads of a status word
.equ serve_ip6, unexpected
.equ serve_ip7, unexpected

_start:
        jal     setup
        nop
        dli     t0, CHIP
        li      t1, 1
        dsll    t1, t1, 48
        sd      t1, EXT_OTHER(t0)
        dli     t1, 0x0101010101010101
        la      t2, pins
        ld      t2, 0(t2)
        addiu   t2, t2, -1
        beqz    t2, 1f
        nop
        dli     t1, 0x0808040402020101
1:      sd      t1, EXT_IPMAP(t0)
        li      t1, -1
        sd      t1, EXT_ENABLE(t0)
        sd      t1, EXT_ENABLE + 8(t0)
        sd      t1, EXT_ENABLE + 16(t0)
        sd      t1, EXT_ENABLE + 24(t0)
        la      t2, target
        ld      t2, 0(t2)
        li      t1, 1
        sllv    t1, t1, t2
        li      t2, 3
        daddiu  t0, t0, EXT_COREMAP + 5
2:      sb      t1, 0(t0)         # of vectors 5, 69, 133 and 197
        daddiu  t0, t0, 64
        bnez    t2, 2b
        addiu   t2, t2, -1
        b       start_cores
        nop

main:
        jal     interrupts_on
        li      a0, IM_IP2 | IM_IP3 | IM_IP4 | IM_IP5
        jal     meet
        nop
        ld      t0, OWN_NUMBER(gp)
        bnez    t0, sleep
        nop
        la      s0, rounds
        ld      s0, 0(s0)
        la      s1, target
        ld      s1, 0(s1)
        own_block s2, s1
        move    s3, $0            # interrupts so far
        dli     s4, DOORBELL
1:      beq     s3, s0, poweroff
        andi    t0, s3, 3
        dsll    t0, t0, 6
        addiu   t0, t0, 5
        sw      t0, 0(s4)
        daddiu  s3, s3, 1
        daddiu  a0, s2, OWN_COUNT + 8 * SERVED
        jal     spin_until
        move    a1, s3
        b       1b
        nop

# Reads word \word of the core's status and acknowledges what it finds; a3: interrupts served.
        .macro  serve_word word
        ld      a1, OWN_NUMBER(gp)
        dsll    a1, a1, 8
        dli     t1, CHIP + EXT_ISR + 8 * \word
        daddu   a1, a1, t1
        ld      a2, 0(a1)
        count   READS
        beqz    a2, 1f
        nop
        sd      a2, 0(a1)
        daddiu  a3, a3, 1
1:
        .endm

        .macro  serve_pin word
        move    a3, $0
        serve_word \word
        b       served
        nop
        .endm

serve_ip2:
        la      t0, pins
        ld      t0, 0(t0)
        addiu   t0, t0, -1
        beqz    t0, serve_all
        nop
        serve_pin 0
serve_ip3:
        serve_pin 1
serve_ip4:
        serve_pin 2
serve_ip5:
        serve_pin 3

serve_all:
        move    a3, $0
        serve_word 0
        serve_word 1
        serve_word 2
        serve_word 3
served:
        ld      t0, OWN_COUNT + 8 * SERVED(gp)
        daddu   t0, t0, a3
        jr      ra
        sd      t0, OWN_COUNT + 8 * SERVED(gp)

        .align  3
rounds: .dword  10
pins:   .dword  1
target: .dword  0
