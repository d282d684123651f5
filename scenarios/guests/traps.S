# Every trap, overflow and address error: taken and not taken, in and out of delay slots, after branches and likely ones.

        .include "common.S"

# Runs the instruction where it may raise; what it raised is printed by `record`, or "-" when it raised nothing.
        .macro  raises text:vararg
        la      s6, 1f
        \text
        jal     putc
        li      a0, '-'
        jal     newline
        nop
1:      nop
        .endm

# The same instruction in the delay slot of a taken branch.
        .macro  raises_in_slot text:vararg
        la      s6, 1f
        b       2f
        \text
2:      jal     putc
        li      a0, '='
        jal     newline
        nop
1:      nop
        .endm

        .macro  both text:vararg
        raises \text
        raises_in_slot \text
        .endm

_start:
        jal     setup
        nop
        li      s0, 5
        li      s1, -5
        dli     s2, 0x7fffffffffffffff
        li      s3, 0x7fffffff
        li      s4, 0x80000000
        dli     s5, 0x8000000000000000

        both    tge s0, s1
        both    tge s1, s0
        both    tge s0, s0
        both    tgeu s0, s1
        both    tgeu s1, s0, 77
        both    tlt s0, s1
        both    tlt s1, s0
        both    tltu s0, s1
        both    tltu s1, s0
        both    teq s0, s1
        both    teq s0, s0, 1023
        both    tne s0, s1
        both    tne s1, s1
        both    tgei s0, 5
        both    tgei s0, 6
        both    tgeiu s0, -1
        both    tgeiu s1, 5
        both    tlti s1, -4
        both    tlti s1, -5
        both    tltiu s0, -5
        both    tltiu s1, 5
        both    teqi s1, -5
        both    teqi s1, 5
        both    tnei s1, -5
        both    tnei s1, 5

# Overflow, and the destination that must keep its value.
        li      v1, 0x77
        both    add v1, s3, s0
        both    add v1, s4, s1
        both    sub v1, s4, s0
        both    sub v1, s3, s1
        both    addi v1, s3, 1
        both    addi v1, s4, -1
        both    dadd v1, s2, s0
        both    dadd v1, s5, s1
        both    dsub v1, s5, s0
        both    dsub v1, s2, s1
        both    daddi v1, s2, 1
        both    daddi v1, s5, -1
        jal     report
        move    a0, v1
        both    add v1, s0, s1
        both    sub v1, s0, s1
        both    dadd v1, s3, s0
        both    daddi v1, s3, 1
        jal     report
        move    a0, v1

# Calls, breaks, reserved and disabled instructions.
        both    syscall
        both    syscall 0x12345
        both    break
        both    break 7
        both    .word 0x00000035
        both    .word 0x7000003e
        mfc0    s0, c0_status
        dli     t0, ~0x20000000
        and     t0, s0, t0
        mtc0    t0, c0_status     # CU1 off
        ehb
        both    mfc1 v1, $f0
        both    ldc1 $f0, 0(sp)
        both    add.d $f0, $f0, $f0
        raises  bc1f . + 8
        mtc0    s0, c0_status
        ehb

# Address errors. (Not SC: QEMU looks at the link first and then fails without one.) An address above the implemented 48 bits has its region's other bits set here.
        dli     s1, 0x0800000000001000
        la      s2, vectors + 0x200
        both    ld v1, 0(s1)
        both    sd v1, 0(s1)
        both    lw v1, 0(s1)
        both    sb v1, 0(s1)
        both    ll v1, 1(s2)
        both    ll v1, 2(s2)
        both    lld v1, 4(s2)
        dli     s1, 0xc800000000000000
        both    lbu v1, 0(s1)

# A jump to an address that is no instruction address: the fetch faults, EPC is the target.
        la      s6, 1f
        la      t0, vectors + 0x202
        jr      t0
        nop
1:      la      s6, 1f
        dli     t0, 0x0800000000000000
        jalr    t0
        li      s4, 0x51
1:      jal     report
        move    a0, s4            # the delay slot was executed

# Likely branches: the slot of a branch that is not taken is nullified, its trap with it.
        li      s0, 1
        la      s6, 1f
        beql    s0, $0, 1f
        teq     $0, $0
        bnel    s0, $0, 2f
        teq     $0, $0
2:      jal     putc
        li      a0, '!'
1:      la      s6, 1f
        bgezall s1, 1f
        tne     s0, $0
        bltzl   s1, 1f
        tne     s0, $0
        jal     putc
        li      a0, '!'
1:      la      s6, 1f
        bnel    s0, $0, 3f
        break
3:      jal     putc
        li      a0, '!'
1:

# A trapping slot must leave the link register of its branch as the branch set it.
        move    s5, ra
        la      s6, 1f
        jal     2f
        teq     $0, $0
1:      la      t0, 1b - 8
2:      nop

# Division does not trap, and HI and LO of quotients by zero are not looked at.
        ddiv    $0, s0, $0
        b       finish
        nop

on_refill:
on_exception:
        b       record
        nop
