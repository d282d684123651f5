# Two functions share the time 3 to 1; both are loops of two instructions.
.include "common.S"
_start:
        jal     setup
        nop
        li      s0, 300
again:  jal     hot
        nop
        jal     warm
        nop
        bnez    s0, again
        addiu   s0, s0, -1
        b       poweroff
        nop

hot:    li      t0, 3000
1:      bnez    t0, 1b
        addiu   t0, t0, -1
        jr      ra
        nop

warm:   li      t0, 1000
1:      bnez    t0, 1b
        addiu   t0, t0, -1
        jr      ra
        nop

on_refill:
on_exception:
        b       on_exception
        nop
