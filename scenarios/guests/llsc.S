# LL/SC: alone, after a store, after an exception, on another address; and against an interrupt handler.

        .include "common.S"

.equ IM_IP7, 1 << 15

_start:
        jal     setup
        nop
        la      s0, cell
        la      s6, 9f

# \store is done between LL and SC; the report is the result, the report after it memory.
        .macro  attempt link, conditional, load, between:vararg
        dli     t0, 0x1122334455667788
        sd      t0, 0(s0)
        \link   t1, 0(s0)
        daddiu  t1, t1, 1
        \between
        \conditional t1, 0(s0)
        jal     report
        move    a0, t1
        \load   a0, 0(s0)
        jal     report
        nop
        ld      a0, 0(s0)
        jal     report
        nop
        .endm

        attempt ll, sc, lw, nop
        attempt lld, scd, ld, nop
        attempt ll, sc, lw, sw $0, 0(s0)
        attempt lld, scd, ld, sd $0, 0(s0)
        attempt ll, sc, lw, sw $0, 64(s0)
        attempt ll, sc, lw, lw t2, 0(s0)

# Without a link, and a second SC after the first.
        li      t1, 3
        ll      t0, 0(s0)
        sc      t1, 0(s0)
        li      t1, 4
        sc      t1, 0(s0)
        jal     report
        move    a0, t1
        lw      a0, 0(s0)
        jal     report
        nop

# An exception in between: ERET clears the link.
        ll      t0, 0(s0)
        la      s6, 1f
        syscall
1:      li      t1, 9
        sc      t1, 0(s0)
        jal     report
        move    a0, t1

# SC on another address than LL's.
        sw      $0, 0(s0)
        sw      $0, 64(s0)
        ll      t0, 0(s0)
        li      t1, 6
        sc      t1, 64(s0)
        jal     report
        move    a0, t1
        lw      a0, 64(s0)
        jal     report
        nop

# Two thousand increments against a timer handler that increments too.
        sd      $0, 0(s0)
        move    s2, $0
        li      t0, 1
        la      t1, counting
        sw      t0, 0(t1)
        mfc0    t0, c0_count
        addiu   t0, t0, 500
        mtc0    t0, c0_compare
        mfc0    s3, c0_status
        ori     t0, s3, 0x8001
        mtc0    t0, c0_status
        ehb
        li      s1, 2000
2:      lld     t1, 0(s0)
        daddiu  t1, t1, 1
        scd     t1, 0(s0)
        beqz    t1, 2b
        nop
        addiu   s1, s1, -1
        bnez    s1, 2b
        nop
        mtc0    s3, c0_status
        ehb
        ld      a0, 0(s0)
        jal     report
        dsubu   a0, a0, s2        # what the handler added is not ours
9:      b       finish
        nop

on_refill:
on_exception:
        la      k0, counting
        lw      k0, 0(k0)
        beqz    k0, record
        nop
1:      lld     k0, 0(s0)
        daddiu  k0, k0, 1
        scd     k0, 0(s0)
        beqz    k0, 1b
        nop
        addiu   s2, s2, 1
        mfc0    k0, c0_count
        addiu   k0, k0, 500
        mtc0    k0, c0_compare
        ehb
        eret

        .align  3
counting:
        .word   0
        .align  6
cell:   .space  128
