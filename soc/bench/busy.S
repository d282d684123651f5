# Busy cores: every core walks its own 16 KiB of memory with loads, stores, multiplications and unpredictable branches, for
# ever. a0: number of cores, which core 0 releases by their mailboxes.

.equ UNCACHED, 0x9000000000000000
.equ IPI, UNCACHED + 0x3ff01000

_start: li      t0, 0x340000e0
        mtc0    t0, c0_status
        li      t0, 1
1:      sltu    t1, t0, a0
        beqz    t1, 2f
        srl     t1, t0, 2
        dsll32  t1, t1, 12              # node: address bits 47:44
        dli     t2, IPI
        or      t2, t2, t1
        andi    t1, t0, 3
        dsll    t1, t1, 8
        or      t2, t2, t1
        sd      t0, 0x38(t2)            # a1
        la      t3, work
        sd      t3, 0x20(t2)
        b       1b
        addiu   t0, t0, 1
2:      move    a1, $0

work:   li      t0, 0x340000e0
        mtc0    t0, c0_status
        dsll    s0, a1, 14
        lui     s1, 0x8010              # from 1 MiB in kseg0
        daddu   s0, s0, s1
        dli     s2, 6364136223846793005
        daddiu  s3, a1, 1
        move    s4, $0
3:      dmult   s3, s2
        mflo    s3
        daddiu  s3, s3, 1
        dsrl32  t0, s3, 18
        andi    t0, t0, 0x3ff8
        daddu   t0, t0, s0
        ld      t1, 0(t0)
        xor     t1, t1, s3
        sd      t1, 0(t0)
        andi    t2, t1, 1
        bnez    t2, 4f
        dsrl    t1, t1, 3
        daddu   s4, s4, t1
        b       3b
        drotr   s4, s4, 7
4:      sltu    t2, t1, s4
        subu    s5, s5, t2
        b       3b
        xor     s4, s4, t1
