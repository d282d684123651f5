# Serves interrupts that something outside the machine injects, until `rounds` of either kind have come.
#
# Pin PIN of the PCH-PIC, a level pin, leads to its vector PIN_VECTOR, and vector MSI_VECTOR comes alone; HTVEC gives
# both to the router, which sends vectors 0 to 31 to core `pin_core` and vectors 64 to 95 to core `msi_core`.
# As Linux does, the handler masks the level pin, acknowledges at HTVEC, clears the pin at the PCH-PIC, which is what a
# resampling descriptor waits for, and unmasks it: by then the line has fallen, and the pin is not issued twice.

        .include "cores.S"

.equ PINS, 0                      # counters: interrupts from the pin,
.equ MESSAGES, 1                  # and from messages
.equ PIN, 20
.equ PIN_VECTOR, 0x14             # word 0, line 0
.equ MSI_VECTOR, 0x46             # word 2, line 2
.equ HT_SOURCE, 24
.equ TO_IP3, 0x20
.equ serve_ip2, unexpected
.equ serve_ip4, unexpected
.equ serve_ip5, unexpected
.equ serve_ip6, unexpected
.equ serve_ip7, unexpected

_start:
        jal     setup
        nop
        dli     t0, PIC
        li      t1, PIN_VECTOR
        sb      t1, PIC_VECTOR + PIN(t0)
        li      t1, -1
        sd      t1, PIC_HTMSI(t0)
        lui     t2, 1 << (PIN - 16)
        not     t2, t2
        sd      t2, PIC_MASK(t0)
        dli     t0, HTVEC
        sw      t1, HTVEC_ENABLE(t0)
        sw      t1, HTVEC_ENABLE + 8(t0)
        dli     t0, LIOINTC
        la      t1, pin_core
        ld      t1, 0(t1)
        li      t2, 1
        sllv    t2, t2, t1
        ori     t2, t2, TO_IP3
        sb      t2, HT_SOURCE + PIN_VECTOR / 32(t0)
        la      t1, msi_core
        ld      t1, 0(t1)
        li      t2, 1
        sllv    t2, t2, t1
        ori     t2, t2, TO_IP3
        sb      t2, HT_SOURCE + MSI_VECTOR / 32(t0)
        lui     t1, 0xff << (HT_SOURCE - 16)
        sw      t1, ROUTER_ENABLE(t0)
        b       start_cores
        nop

main:
        jal     interrupts_on
        li      a0, IM_IP3
        ld      s0, OWN_NUMBER(gp)
        bnez    s0, sleep
        nop
        la      s1, rounds
        ld      s1, 0(s1)
        la      s2, pin_core
        ld      s2, 0(s2)
        own_block s3, s2
        daddiu  a0, s3, OWN_COUNT + 8 * PINS
        jal     spin_until
        move    a1, s1
        la      s2, msi_core
        ld      s2, 0(s2)
        own_block s3, s2
        daddiu  a0, s3, OWN_COUNT + 8 * MESSAGES
        jal     spin_until
        move    a1, s1
        b       poweroff
        nop

serve_ip3:
        ld      t0, OWN_NUMBER(gp)
        dsll    t0, t0, 3
        dli     t1, LIOINTC + ROUTER_CORE0
        daddu   t0, t0, t1
        lw      a0, 0(t0)
        dli     a1, HTVEC
        lui     t0, 1 << (HT_SOURCE + MSI_VECTOR / 32 - 16)
        and     t0, t0, a0
        beqz    t0, 1f
        nop
        lw      a2, 8(a1)
        sw      a2, 8(a1)
        count   MESSAGES
1:      lui     t0, 1 << (HT_SOURCE + PIN_VECTOR / 32 - 16)
        and     t0, t0, a0
        beqz    t0, 2f
        nop
        dli     a3, PIC
        li      t0, -1
        sw      t0, PIC_MASK(a3)
        lw      a2, 0(a1)
        sw      a2, 0(a1)
        lui     t1, 1 << (PIN - 16)
        sw      t1, PIC_CLEAR(a3)
        count   PINS
        lui     t1, 1 << (PIN - 16)
        not     t1, t1
        sw      t1, PIC_MASK(a3)
2:      jr      ra
        nop

        .align  3
rounds: .dword  10
pin_core:
        .dword  0
msi_core:
        .dword  0
