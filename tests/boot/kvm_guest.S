# The guest: its vectors, then what it tells about itself.
        .equ    UART, 0x1e0
vectors:
        .org    0x180
        mfc0    k0, $13
        andi    k1, k0, 0x7c
        bnez    k1, 1f
        mfc0    k0, $9
        addiu   k0, k0, 2000
        mtc0    k0, $11                 # the next timer interrupt
        addiu   s0, s0, 1
        eret
1:      srl     s1, k1, 2               # an exception: its code, and on
        dmfc0   k0, $14
        daddiu  k0, k0, 4
        dmtc0   k0, $14
        eret

        .org    0x400
start:  lui     s7, 0xbfe0
        li      t0, 0x000000e0          # KX SX UX; BEV and ERL go
        mtc0    t0, $12
        mfc0    a0, $15
        bal     hex
        nop
        lbu     a0, 0x100(s7)
        bal     hex
        nop
        syscall
        move    a0, s1
        bal     hex
        nop
        li      v0, 0
        hypcall 0
        move    a0, v0
        bal     hex
        nop
        # A page of its own, through its own TLB.
        li      t0, 0x4000 >> 6 | 0x1f
        dmtc0   t0, $2
        dmtc0   t0, $3
        li      t0, 0x40000
        dmtc0   t0, $10
        li      t0, 0x6000
        mtc0    t0, $5
        tlbwr
        li      t0, 0x40000
        li      t1, 0x1234
        sw      t1, 0x10(t0)
        lui     t0, 0x8000
        lw      a0, 0x4010(t0)
        bal     hex
        nop
        # Three interrupts of the timer, waited for.
        li      s0, 0
        mfc0    t0, $9
        addiu   t0, t0, 2000
        mtc0    t0, $11
        li      t0, 0x80e1
        mtc0    t0, $12
2:      wait
        slti    t0, s0, 3
        bnez    t0, 2b
        nop
        mtc0    zero, $12
        li      t0, 0xe0
        mtc0    t0, $12
        move    a0, s0
        bal     hex
        nop
        sb      zero, 0x200(s7)         # the end
3:      b       3b
        nop

# a0 in hexadecimal and a line feed.
hex:    li      t3, 28
4:      dsrlv   t0, a0, t3
        andi    t0, t0, 15
        slti    t1, t0, 10
        bnez    t1, 5f
        addiu   t0, t0, 48
        addiu   t0, t0, 39
5:      sb      t0, UART(s7)
        addiu   t3, t3, -4
        bgez    t3, 4b
        nop
        li      t0, 10
        jr      ra
        sb      t0, UART(s7)
