# Count and Compare: pending, masked, acknowledged, stopped by Cause.DC; WAIT ends with the timer interrupt.
# Reports truths, no times: 1 for each thing that is as the manual says.
#
# wait_masked: 1 also waits with Status.IE clear, which this core ends at a pending interrupt (Config7.WII or not).

        .include "common.S"

.equ IM_IP7, 1 << 15
.equ CAUSE_IP7, 1 << 15
.equ CAUSE_DC, 1 << 27
.equ CAUSE_TI, 1 << 30
.equ INTERVAL, 20000

_start:
        jal     setup
        nop
        move    s0, $0            # interrupts taken

# Count goes on.
        mfc0    s1, c0_count
        li      t0, 1000
1:      bnez    t0, 1b
        addiu   t0, t0, -1
        mfc0    t0, c0_count
        subu    t0, t0, s1
        jal     report
        slt     a0, $0, t0

# Masked: Cause shows the interrupt, nothing is taken.
        jal     arm
        nop
        mfc0    t0, c0_cause
        ext     a0, t0, 15, 1
        jal     report            # not yet
        nop
1:      mfc0    t0, c0_cause
        ext     t1, t0, 15, 1
        beqz    t1, 1b
        ext     t2, t0, 30, 1
        jal     report            # TI with IP7
        move    a0, t2
        mfc0    t0, c0_count
        mfc0    t1, c0_compare
        subu    t0, t0, t1
        slt     a0, t0, $0
        jal     report
        xori    a0, a0, 1         # not before its time
        mfc0    t0, c0_compare
        mtc0    t0, c0_compare
        ehb
        mfc0    t0, c0_cause
        ext     a0, t0, 15, 1
        jal     report            # acknowledged
        nop

# Count stands still while Cause.DC is set.
        li      t0, CAUSE_DC
        mtc0    t0, c0_cause
        ehb
        mfc0    s1, c0_count
        li      t0, 1000
1:      bnez    t0, 1b
        addiu   t0, t0, -1
        mfc0    t0, c0_count
        jal     report
        subu    a0, t0, s1
        mtc0    $0, c0_cause
        ehb

# Count can be written.
        li      t0, 0x10000000
        mtc0    t0, c0_count
        ehb
        mfc0    a0, c0_count
        jal     report
        srl     a0, a0, 28

# Taken inside a loop, then out of WAIT, several times.
        mfc0    t0, c0_status
        li      t1, IM_IP7 | STATUS_IE
        or      t0, t0, t1
        li      s2, 0x8000
        jal     arm
        mtc0    t0, c0_status
1:      beqz    s0, 1b
        nop
        li      s3, 8
2:      addiu   s2, s0, 1
        jal     arm
        nop
idle:   beq     s0, s2, idle_end
        nop
        wait
        b       idle
        nop
idle_end:
        addiu   s3, s3, -1
        bnez    s3, 2b
        nop
        jal     report
        move    a0, s0

# WAIT with Status.IE clear ends at a pending, enabled interrupt, and nothing is taken.
        di
        ehb
        la      t0, wait_masked
        ld      t0, 0(t0)
        beqz    t0, 3f
        nop
        jal     arm
        nop
        mfc0    s1, c0_count
        wait
        mfc0    t0, c0_count
        subu    t0, t0, s1
        li      t1, INTERVAL / 2
        jal     report
        slt     a0, t1, t0
        mfc0    t0, c0_cause
        jal     report
        ext     a0, t0, 15, 1
        jal     report
        move    a0, s0
3:      b       finish
        nop

arm:                              # Compare INTERVAL ahead of now
        mfc0    t2, c0_count
        addiu   t2, t2, INTERVAL
        mtc0    t2, c0_compare
        jr.hb   ra
        nop

on_exception:
        mfc0    k0, c0_cause
        andi    k0, k0, 0x7c
        bnez    k0, on_refill
        nop
        addiu   s0, s0, 1
        mfc0    k0, c0_compare
        mtc0    k0, c0_compare
        dmfc0   k0, c0_epc
        la      k1, idle
        dsubu   k0, k0, k1
        sltiu   k0, k0, idle_end - idle
        beqz    k0, 1f
        ehb
        dmtc0   k1, c0_epc
        ehb
1:      eret

on_refill:
        la      s6, finish
        b       record
        nop

        .align  3
wait_masked:
        .dword  0
