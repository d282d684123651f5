# Every core sends an inter-processor interrupt to every other core, `rounds` times, all at once.
#
# The action a core sends is its own number, so a receiver knows all senders from one read of its status. A core sends
# again when all others have noted its last one: none is merged with the next, and the counts are exact.

        .include "cores.S"

.equ ACTIONS, 0                   # counters: actions this core got,
.equ TAKEN, 1                     # and the interrupts they came with
.equ serve_ip2, unexpected
.equ serve_ip3, unexpected
.equ serve_ip4, unexpected
.equ serve_ip5, unexpected
.equ serve_ip7, unexpected

_start:
        jal     setup
        nop
        b       start_cores
        nop

main:
        ld      t0, OWN_IPI(gp)
        li      t1, -1
        sw      t1, IPI_ENABLE(t0)
        jal     interrupts_on
        li      a0, IM_IP6
        ld      s0, OWN_NUMBER(gp)
        la      s1, cores
        ld      s1, 0(s1)
        la      s2, rounds
        ld      s2, 0(s2)
        move    s3, $0            # rounds begun
        li      s4, 1
        sllv    s4, s4, s0        # this core's action
        jal     meet
        nop
round:
        beq     s3, s2, done
        daddiu  s3, s3, 1
        move    s5, $0
1:      beq     s5, s0, 2f        # not to itself
        ipi_block t2, s5, t3
        sw      s4, IPI_SET(t2)
2:      addiu   s5, s5, 1
        bne     s5, s1, 1b
        nop
        move    s5, $0
3:      beq     s5, s0, 4f
        dsll    t0, s0, 4         # noted[this core][the other]
        daddu   t0, t0, s5
        dsll    t0, t0, 3
        la      a0, noted
        daddu   a0, a0, t0
        jal     spin_until
        move    a1, s3
4:      addiu   s5, s5, 1
        bne     s5, s1, 3b
        nop
        b       round
        nop
done:
        jal     meet
        nop
        bnez    s0, sleep
        nop
        b       poweroff
        nop

serve_ip6:
        ld      t1, OWN_IPI(gp)
        lw      a0, IPI_STATUS(t1)
        sw      a0, IPI_CLEAR(t1)
        count   TAKEN
        ld      a1, OWN_NUMBER(gp)
        dsll    a1, a1, 3
        la      t2, noted
        daddu   a1, a1, t2        # noted[0][this core]
1:      andi    t0, a0, 1
        beqz    t0, 2f
        srl     a0, a0, 1
        ld      t0, 0(a1)
        daddiu  t0, t0, 1
        sd      t0, 0(a1)
        count   ACTIONS
2:      bnez    a0, 1b
        daddiu  a1, a1, MOST_CORES << 3
        jr      ra
        nop

        .align  3
rounds: .dword  10
        .align  12
noted:  .space  MOST_CORES * MOST_CORES * 8
