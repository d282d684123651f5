# Core 0 serves messages that something outside injects, until it has had `rounds` of them.
#
# HTVEC gives vector MSI_VECTOR to the router, which sends it to core 0. The handler notes Count in `stamps` first. In
# between the core waits asleep (`asleep` 1) or awake (0).

        .include "cores.S"

.equ SERVED, 0                    # counter
.equ MSI_VECTOR, 0x46             # word 2, line 2
.equ HT_SOURCE, 24
.equ TO_IP3, 0x21                 # of core 0
.equ MOST_ROUNDS, 4096
.equ serve_ip2, unexpected
.equ serve_ip4, unexpected
.equ serve_ip5, unexpected
.equ serve_ip6, unexpected
.equ serve_ip7, unexpected

_start:
        jal     setup
        nop
        dli     t0, HTVEC
        li      t1, -1
        sw      t1, HTVEC_ENABLE + 8(t0)
        dli     t0, LIOINTC
        li      t1, TO_IP3
        sb      t1, HT_SOURCE + MSI_VECTOR / 32(t0)
        lui     t1, 0xff << (HT_SOURCE - 16)
        sw      t1, ROUTER_ENABLE(t0)
        b       start_cores
        nop

main:
        jal     interrupts_on
        li      a0, IM_IP3
        ld      t0, OWN_NUMBER(gp)
        bnez    t0, sleep
        nop
        la      a1, rounds
        ld      a1, 0(a1)
        la      t0, asleep
        ld      t0, 0(t0)
        bnez    t0, 1f
        daddiu  a0, gp, OWN_COUNT + 8 * SERVED
        jal     spin_until
        nop
        b       poweroff
        nop
1:      jal     sleep_until
        nop
        b       poweroff
        nop

serve_ip3:
        mfc0    t0, c0_count
        ld      t1, OWN_COUNT + 8 * SERVED(gp)
        dsll    t1, t1, 2
        la      t2, stamps
        daddu   t1, t1, t2
        sw      t0, 0(t1)
        dli     t0, HTVEC
        lw      t1, 8(t0)
        sw      t1, 8(t0)
        count   SERVED
        jr      ra
        nop

        .align  3
rounds: .dword  10
asleep: .dword  0
        .align  12
stamps: .space  4 * MOST_ROUNDS
