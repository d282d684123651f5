# Every core stores to pseudo-random pages of 16 KiB, `rounds` times, each into a part of the page that is its own.
#
# What the pages hold in the end depends on `rounds`, `pages` and the number of cores only, not on who ran when. Between
# two stores a core multiplies `work` times; after each `every` stores (0: never) all cores meet.

        .include "cores.S"

.equ STORED, 0                    # counter
.equ serve_ip2, unexpected
.equ serve_ip3, unexpected
.equ serve_ip4, unexpected
.equ serve_ip5, unexpected
.equ serve_ip6, unexpected
.equ serve_ip7, unexpected
.equ FIELD, 0x9800000001000000
.equ PAGE_SHIFT, 14
.equ PART_SHIFT, 10

_start:
        jal     setup
        nop
        b       start_cores
        nop

main:
        ld      s0, OWN_NUMBER(gp)
        addiu   s1, s0, 1         # state of the pseudo-random pages
        li      t0, 0x9e37
        dmultu  s1, t0
        mflo    s1
        la      t0, rounds
        ld      s2, 0(t0)
        la      t0, pages
        ld      s3, 0(t0)
        la      t0, every
        ld      s4, 0(t0)
        dli     s5, FIELD
        dsll    t0, s0, PART_SHIFT
        daddu   s5, s5, t0
        la      t0, work
        ld      s6, 0(t0)
        move    a0, $0            # stores done
        jal     meet
        move    a1, s4            # stores until all meet
next:
        beq     a0, s2, done
        dsll    t0, s1, 13
        xor     s1, s1, t0
        dsrl    t0, s1, 7
        xor     s1, s1, t0
        dsll    t0, s1, 17
        xor     s1, s1, t0
        ddivu   $0, s1, s3
        mfhi    t0
        dsll    t0, t0, PAGE_SHIFT
        daddu   t0, t0, s5
        andi    t1, a0, (1 << PART_SHIFT) / 8 - 1
        dsll    t1, t1, 3
        daddu   t0, t0, t1
        daddiu  a0, a0, 1
        sd      a0, 0(t0)
        sd      a0, OWN_COUNT + 8 * STORED(gp)
        move    t0, s6
1:      blez    t0, 2f
        dmultu  t0, s1
        mflo    t1
        b       1b
        daddiu  t0, t0, -1
2:      beqz    s4, next
        daddiu  a1, a1, -1
        bnez    a1, next
        nop
        jal     meet
        move    a1, s4
        b       next
        nop
done:
        la      t0, ended
1:      lld     t1, 0(t0)
        daddiu  t1, t1, 1
        move    t2, t1
        scd     t1, 0(t0)
        beqz    t1, 1b
        la      t3, cores
        ld      t3, 0(t3)
        beq     t2, t3, poweroff  # the last one
        nop
        b       sleep
        nop

        .align  3
rounds: .dword  100
pages:  .dword  64
work:   .dword  0
every:  .dword  0
        .align  12
ended:  .dword  0
