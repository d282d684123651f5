# A core that does nothing but read the UART's line status.

.equ UNCACHED, 0x9000000000000000

_start: li      t0, 0x340000e0
        mtc0    t0, c0_status
        dli     s0, UNCACHED + 0x1fe001e5
1:      lbu     t0, 0(s0)
        b       1b
        nop
