# Code that writes code: in another page, ahead in its own page, in its own loop, by bytes, through an uncached alias.
# Every modification is followed by a branch before the new instruction is fetched.

        .include "common.S"

on_refill:
on_exception:
        jal     record
        la      s6, poweroff

# Stores word \word at \where.
        .macro  patch where, word
        la      t0, \where
        li      t1, \word
        sw      t1, 0(t0)
        .endm

.equ ADDIU_V0, 0x24420000         # addiu v0, v0, 0

_start:
        jal     setup
        nop

# Another page: the function adds a different number each time.
        move    s0, $0
        li      s1, 200
1:      la      t0, adder
        li      t1, ADDIU_V0
        addu    t1, t1, s1
        sw      t1, 0(t0)
        la      t0, adder
        move    v0, s0
        jalr    t0
        nop
        move    s0, v0
        addiu   s1, s1, -1
        bnez    s1, 1b
        nop
        jal     report
        move    a0, s0

# The same page, ahead.
        li      v0, 1
        patch   2f, ADDIU_V0 + 0x111
        b       2f
        nop
        .align  3
2:      addiu   v0, v0, 1
        addiu   v0, v0, 2
        jal     report
        move    a0, v0

# A loop that changes an instruction it has just run.
        li      s1, 50
        move    v0, $0
3:      addiu   v0, v0, 0
        la      t0, 3b
        lw      t1, 0(t0)
        addiu   t1, t1, 3
        sw      t1, 0(t0)
        addiu   s1, s1, -1
        bnez    s1, 3b
        nop
        jal     report
        move    a0, v0

# The instruction in front of the branch, changed by the delay slot of the branch before it.
        li      s1, 20
        move    v0, $0
        la      s2, 5f
        li      s3, ADDIU_V0
4:      addiu   s3, s3, 5
        b       5f
        sw      s3, 0(s2)
5:      addiu   v0, v0, 0
        addiu   s1, s1, -1
        bnez    s1, 4b
        nop
        jal     report
        move    a0, v0

# A function written byte by byte, then its first two instructions by one doubleword.
        la      s2, written
        la      s3, model
        addiu   s1, $0, model_end - model
6:      lbu     t0, 0(s3)
        sb      t0, 0(s2)
        addiu   s2, s2, 1
        addiu   s1, s1, -1
        bnez    s1, 6b
        addiu   s3, s3, 1
        la      s2, written
        jalr    s2
        li      v0, 1
        jal     report
        move    a0, v0
        dli     t0, ((ADDIU_V0 + 0x70) << 32) | (ADDIU_V0 + 0x60)
        sd      t0, 0(s2)
        jalr    s2
        li      v0, 1
        jal     report
        move    a0, v0

# Through the uncached alias of the same memory.
        la      t0, written
        dli     t1, 0x1fffffff
        and     t0, t0, t1
        dli     t1, UNCACHED
        or      t0, t0, t1
        li      t1, ADDIU_V0 + 0x500
        sw      t1, 0(t0)
        sync
        jalr    s2
        li      v0, 1
        jal     report
        move    a0, v0

# Data next to running code: no code changes, the results must not either.
        li      s1, 300
        la      s2, neighbour
        move    s3, $0
7:      sw      s1, 0(s2)
        lw      t0, 0(s2)
        addu    s3, s3, t0
        addiu   s1, s1, -1
        bnez    s1, 7b
        nop
        b       8f
        nop
neighbour:
        .word   0
8:      jal     report
        move    a0, s3

# With SYNCI and a hazard barrier, as the manual asks for.
        patch   written, ADDIU_V0 + 0x700
        synci   0(t0)
        sync
        la      t0, written
        jalr.hb ra, t0
        li      v0, 1
        jal     report
        move    a0, v0
        b       finish
        nop

model:
        addiu   v0, v0, 10
        addiu   v0, v0, 20
        jr      ra
        addiu   v0, v0, 30
model_end:

        .align  12
        .space  4096
adder:
        addiu   v0, v0, 0
        jr      ra
        addiu   v0, v0, 1
        .align  12
        .space  0xff8
written:                          # crosses a page
        .space  64
