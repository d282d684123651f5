# How late is a timer interrupt? Every core takes `rounds` of them, at pseudo-random distances, under a load.
#
# load 0: asleep in WAIT; 1: arithmetic; 2: stores and loads all over 64 KiB; 3: reads of a device register.
# stable 0: Count and Compare of the core, IP7. The handler notes how many Count ticks after its deadline it reads Count,
# 4 bytes an interrupt, in `late`, MOST_ROUNDS of them a core. stable 1: the core's stable timer, one-shot, whose expiry
# Config6 lets through to IP7 in place of Compare's. Its deadline is in the machine's trace only.

        .include "cores.S"

.equ SERVED, 0                    # counter
.equ serve_ip2, unexpected
.equ serve_ip3, unexpected
.equ serve_ip4, unexpected
.equ serve_ip5, unexpected
.equ serve_ip6, unexpected
.equ MOST_ROUNDS, 4096
.equ INTIMER, 0x40
.equ EXTIMER, 0x80
.equ TIMER_CONFIG, 0x1060         # of core 0, the others 0x100 apart
.equ TIMER_ENABLE, 1              # bit 61

_start:
        jal     setup
        nop
        b       start_cores
        nop

main:
        ld      s0, OWN_NUMBER(gp)
        addiu   s1, s0, 1         # state of the pseudo-random distances
        li      t0, 0x9e37
        dmultu  s1, t0
        mflo    s1
        la      t0, stable
        ld      s6, 0(t0)
        beqz    s6, 1f
        nop
        mfc0    t0, $16, 6        # Config6: IP7 is the external timer's
        ori     t0, t0, EXTIMER | INTIMER
        xori    t0, t0, INTIMER
        mtc0    t0, $16, 6
        ehb
1:      jal     meet
        nop
        jal     interrupts_on
        li      a0, IM_IP7
        la      s2, load
        ld      s2, 0(s2)
        la      s3, rounds
        ld      s3, 0(s3)
        di
        ehb
        jal     arm
        nop
        ei
        la      t0, loads
        dsll    s2, s2, 3
        daddu   t0, t0, s2
        jr      t0
        nop

loads:
        b       asleep
        nop
        b       arithmetic
        nop
        b       memory
        nop
        b       registers
        nop

asleep:
        daddiu  a0, gp, OWN_COUNT + 8 * SERVED
        jal     sleep_until
        move    a1, s3
        b       done
        nop

arithmetic:
        li      s4, 0x1235
1:      dmultu  s4, s4
        mflo    s4
        daddiu  s4, s4, 7
        ld      t0, OWN_COUNT + 8 * SERVED(gp)
        bne     t0, s3, 1b
        xor     s5, s5, s4
        b       done
        nop

memory:
        la      s4, field
        move    s5, $0
1:      andi    s5, s5, 0xfff8
        daddu   t1, s4, s5
        sd      t0, 0(t1)
        ld      t2, 0x800(s4)
        daddiu  s5, s5, 0x148
        ld      t0, OWN_COUNT + 8 * SERVED(gp)
        bne     t0, s3, 1b
        nop
        b       done
        nop

registers:
        dli     s4, LIOINTC
1:      lw      t1, ROUTER_CORE0(s4)
        ld      t0, OWN_COUNT + 8 * SERVED(gp)
        bne     t0, s3, 1b
        nop

done:
        di
        ehb
        jal     meet
        nop
        ld      t0, OWN_NUMBER(gp)
        beqz    t0, poweroff
        nop
        b       sleep
        nop

# The next deadline: `least` ticks and up to 255 more ahead. Of the main program s1, s3 and s6 are used.
arm:
        dsll    t0, s1, 13
        xor     s1, s1, t0
        dsrl    t0, s1, 7
        xor     s1, s1, t0
        dsll    t0, s1, 17
        xor     s1, s1, t0
        andi    t0, s1, 0xff
        la      t1, least
        ld      t1, 0(t1)
        bnez    s6, 1f
        daddu   t0, t0, t1
        mfc0    t1, c0_count
        addu    t0, t0, t1
        mtc0    t0, c0_compare
        jr.hb   ra
        nop
1:      ld      t1, OWN_NUMBER(gp)
        dsll    t1, t1, 8
        dli     t2, CHIP + TIMER_CONFIG
        daddu   t1, t1, t2
        li      t2, TIMER_ENABLE
        dsll    t2, t2, 61
        or      t0, t0, t2
        jr      ra
        sd      t0, 0(t1)

serve_ip7:
        mfc0    t0, c0_count
        mfc0    t1, c0_compare
        mtc0    t1, c0_compare    # acknowledges
        subu    t0, t0, t1
        ld      t1, OWN_COUNT + 8 * SERVED(gp)
        ld      t2, OWN_NUMBER(gp)
        dsll    t2, t2, 12        # MOST_ROUNDS
        daddu   t1, t1, t2
        dsll    t1, t1, 2
        la      t2, late
        daddu   t1, t1, t2
        sw      t0, 0(t1)
        count   SERVED
        bne     t0, s3, arm
        nop
        jr      ra
        nop

        .align  3
rounds: .dword  10
load:   .dword  0
stable: .dword  0
least:  .dword  600
        .align  12
late:   .space  MOST_CORES * MOST_ROUNDS * 4
field:  .space  0x10000
