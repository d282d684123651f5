# Loads and stores at every offset: plain ones that may be unaligned, left and right parts, within and across pages.

        .include "common.S"

# Reports the register a load leaves behind, for each of eight offsets, at the place in s0.
        .macro  loads name
        move    s1, s0
        li      s2, 8
1:      dli     v1, 0x0123456789abcdef
        \name   v1, 0(s1)
        jal     mix
        move    a0, v1
        daddiu  s1, s1, 1
        addiu   s2, s2, -1
        bnez    s2, 1b
        nop
        jal     report
        move    a0, v1
        .endm

# Stores at each of eight offsets into a fresh pattern; reports the two doublewords there.
        .macro  stores name
        move    s1, s0
        li      s2, 8
1:      jal     pattern
        dli     v1, 0xfedcba9876543210
        \name   v1, 0(s1)
        ld      a0, 0(s0)
        jal     mix
        nop
        ld      a0, 8(s0)
        jal     mix
        nop
        daddiu  s1, s1, 1
        addiu   s2, s2, -1
        bnez    s2, 1b
        nop
        jal     report
        ld      a0, 8(s0)
        .endm

        .macro  all
        jal     pattern
        nop
        loads   lb
        loads   lbu
        loads   lh
        loads   lhu
        loads   lw
        loads   lwu
        loads   ld
        loads   lwl
        loads   lwr
        loads   ldl
        loads   ldr
        stores  sb
        stores  sh
        stores  sw
        stores  sd
        stores  swl
        stores  swr
        stores  sdl
        stores  sdr
        .endm

_start:
        jal     setup
        nop
        la      s6, finish
        la      s0, inside
        la      s3, body
        jalr    s3
        nop
        la      s0, crossing      # eight bytes before a page's end
        jalr    s3
        nop
        la      s0, crossing      # the same memory, through xkphys
        dli     t0, 0x1fffffff
        and     s0, s0, t0
        dli     t0, 0x9800000000000000
        or      s0, s0, t0
        jalr    s3
        nop

# Loongson's indexed forms, and a load into $0.
        la      s0, inside
        li      s1, 3
        jal     pattern
        nop
        gslbx   a0, -1(s0,s1)
        jal     report
        nop
        gslhx   a0, 1(s0,s1)
        jal     report
        nop
        gslwx   a0, 1(s0,s1)
        jal     report
        nop
        gsldx   a0, -3(s0,s1)
        jal     report
        nop
        dli     t0, 0x1020304050607080
        gssdx   t0, 5(s0,s1)
        gsswx   t0, -3(s0,s1)
        gsshx   t0, 1(s0,s1)
        gssbx   t0, 4(s0,s1)
        ld      a0, 0(s0)
        jal     report
        nop
        ld      a0, 8(s0)
        jal     report
        nop
        ld      $0, 0(s0)
        jal     report
        move    a0, $0
        b       finish
        nop

body:
        move    s4, ra
        all
        jr      s4
        nop

pattern:                          # sixteen bytes at s0, and eight after them
        dli     t0, 0x8796a5b4c3d2e1f0
        sd      t0, 0(s0)
        dli     t0, 0x8f7e6d5c4b3a2918
        sd      t0, 8(s0)
        jr      ra
        sd      t0, 16(s0)

on_refill:
on_exception:
        b       record
        nop

        .align  12
inside: .space  4096 - 8
crossing:
        .space  64
