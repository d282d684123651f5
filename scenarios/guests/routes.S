# One interrupt at a time, from several sources along several paths to each core in turn.
#
# In each of `rounds` rounds core 0 takes every path of the bitmap `paths` and every core: it routes the path to that
# core, raises the interrupt, and waits until the core has counted it. The others sleep, or, with `busy`, compute.
#
#   bit 0  UART 0, transmitter empty -> router -> IP2
#   bit 1  inter-processor interrupt -> IP6
#   bit 2  Compare = Count (armed by the core itself, asked by an inter-processor interrupt) -> IP7
#   bit 3  the bridge's UART -> PCH-PIC -> HT vector -> HTVEC -> router -> IP3
#   bit 4  the same as far as the HT vector -> EIOINTC -> IP4
#   bit 5  a store to the MSI doorbell -> HT vector -> HTVEC -> router -> IP3
#   bit 6  the same as far as the HT vector -> EIOINTC -> IP4
#
# Paths 3 to 6 need the LS7A bridge.

        .include "cores.S"

.equ UART_PIN,    8               # of the bridge's UART
.equ UART_VECTOR, 0x08            # word 0 of HTVEC, its line 0
.equ MSI_VECTOR,  0x45            # word 2, line 2
.equ HT_SOURCE,   24              # of line 0 at the router
.equ TO_IP2, 0x10
.equ TO_IP3, 0x20
.equ EXT_TO_IP4, 0x04

.equ IER_THRE, 2
.equ ACTION_COUNT, 1
.equ ACTION_ARM, 2

.equ serve_ip5, unexpected

_start:
        jal     setup
        nop
        la      t0, paths
        ld      t0, 0(t0)
        andi    t0, t0, 0x78
        beqz    t0, start_cores
        nop

# The bridge's UART, its pin, both vectors at either end.
        dli     t0, BRIDGE_UART
        li      t1, 3
        sb      t1, LCR(t0)
        dli     t0, PIC
        li      t1, UART_VECTOR
        sb      t1, PIC_VECTOR + UART_PIN(t0)
        li      t1, -1
        sd      t1, PIC_HTMSI(t0)
        li      t2, ~(1 << UART_PIN)
        sd      t2, PIC_MASK(t0)
        dli     t0, HTVEC
        sw      t1, HTVEC_ENABLE(t0)
        sw      t1, HTVEC_ENABLE + 8(t0)
        dli     t0, CHIP
        dli     t2, EXT_TO_IP4 * 0x0101010101010101
        sd      t2, EXT_IPMAP(t0)
        sd      t1, EXT_ENABLE(t0)
        sd      t1, EXT_ENABLE + 8(t0)
        b       start_cores
        nop

main:
        ld      t0, OWN_IPI(gp)
        li      t1, ACTION_COUNT | ACTION_ARM
        sw      t1, IPI_ENABLE(t0)
        ld      t0, OWN_NUMBER(gp)
        bnez    t0, 1f
        nop
        la      t1, uart_source   # core 0: the router's sources
        ld      t1, 0(t1)
        li      t0, 1
        sllv    t0, t0, t1
        lui     t1, 0xff << (HT_SOURCE - 16)
        or      t0, t0, t1
        dli     t1, LIOINTC
        sw      t0, ROUTER_ENABLE(t1)
1:      li      a0, IM_IP2 | IM_IP3 | IM_IP4
        jal     interrupts_on
        ori     a0, a0, IM_IP6 | IM_IP7
        jal     meet
        nop
        ld      t0, OWN_NUMBER(gp)
        beqz    t0, rounds_begin
        la      t0, busy
        ld      t0, 0(t0)
        beqz    t0, sleep
        nop
compute:
        ld      t1, 0(gp)
        dmultu  t1, t0
        mflo    t1
        bnez    t0, compute
        daddiu  t0, t0, 3
        b       compute
        nop

rounds_begin:
        move    s0, $0            # rounds done
round:
        la      t0, rounds
        ld      t0, 0(t0)
        beq     s0, t0, poweroff
        nop
        move    s1, $0            # path
path:
        la      t0, paths
        ld      t0, 0(t0)
        dsrlv   t0, t0, s1
        andi    t0, t0, 1
        beqz    t0, path_done
        move    s2, $0            # core
core:
        li      s3, 1
        sllv    s3, s3, s2        # its bit in routing bytes
        la      t0, raise
        dsll    t1, s1, 3
        daddu   t0, t0, t1
        own_block s4, s2
        daddu   s5, s4, t1
        ld      s6, OWN_COUNT(s5)
        jalr    t0
        nop
        daddiu  a0, s5, OWN_COUNT
        jal     spin_until
        daddiu  a1, s6, 1
        la      t0, cores
        ld      t0, 0(t0)
        addiu   s2, s2, 1
        bne     s2, t0, core
        nop
path_done:
        li      t0, 7
        addiu   s1, s1, 1
        bne     s1, t0, path
        nop
        b       round
        daddiu  s0, s0, 1

raise:                            # by path; s3: the core's bit, s4: its block
        b       raise_uart
        nop
        b       raise_ipi
        li      t1, ACTION_COUNT
        b       raise_ipi
        li      t1, ACTION_ARM
        b       raise_bridge_uart
        move    t1, $0
        b       raise_bridge_uart
        li      t1, 1
        b       raise_msi
        move    t1, $0
        b       raise_msi
        li      t1, 1

raise_uart:
        la      t0, uart_source
        ld      t0, 0(t0)
        dli     t1, LIOINTC
        daddu   t0, t0, t1
        ori     t1, s3, TO_IP2
        sb      t1, 0(t0)
        dli     t0, UART
        li      t1, IER_THRE
        jr      ra
        sb      t1, IER(t0)

raise_ipi:
        ld      t0, OWN_IPI(s4)
        jr      ra
        sw      t1, IPI_SET(t0)

raise_bridge_uart:                # t1: whether EIOINTC takes vectors
        dli     t0, LIOINTC
        ori     t2, s3, TO_IP3
        sb      t2, HT_SOURCE + UART_VECTOR / 32(t0)
        dli     t0, CHIP
        dsll    t1, t1, 48
        sd      t1, EXT_OTHER(t0)
        sb      s3, EXT_COREMAP + UART_VECTOR(t0)
        dli     t0, BRIDGE_UART
        li      t1, IER_THRE
        jr      ra
        sb      t1, IER(t0)

raise_msi:
        dli     t0, LIOINTC
        ori     t2, s3, TO_IP3
        sb      t2, HT_SOURCE + MSI_VECTOR / 32(t0)
        dli     t0, CHIP
        dsll    t1, t1, 48
        sd      t1, EXT_OTHER(t0)
        sb      s3, EXT_COREMAP + MSI_VECTOR(t0)
        dli     t0, DOORBELL
        li      t1, MSI_VECTOR
        jr      ra
        sw      t1, 0(t0)

# What the router has for this core, in a0.
        .macro  router_status
        ld      t0, OWN_NUMBER(gp)
        dsll    t0, t0, 3
        dli     t1, LIOINTC + ROUTER_CORE0
        daddu   t0, t0, t1
        lw      a0, 0(t0)
        .endm

serve_ip2:
        router_status
        la      t1, uart_source
        ld      t1, 0(t1)
        srlv    a0, a0, t1
        andi    a0, a0, 1
        beqz    a0, unexpected
        dli     t0, UART
        lbu     t1, IIR(t0)       # ends the interrupt
        sb      $0, IER(t0)
        count   0
        jr      ra
        nop

serve_ip6:
        ld      t1, OWN_IPI(gp)
        lw      a0, IPI_STATUS(t1)
        sw      a0, IPI_CLEAR(t1)
        andi    t0, a0, ACTION_COUNT
        beqz    t0, 1f
        nop
        count   1
1:      andi    t0, a0, ACTION_ARM
        beqz    t0, 2f
        la      t0, ahead
        ld      t0, 0(t0)
        mfc0    t1, c0_count
        addu    t1, t1, t0
        mtc0    t1, c0_compare
2:      jr      ra
        ehb

serve_ip7:
        mfc0    t0, c0_compare
        mtc0    t0, c0_compare    # acknowledges
        count   2
        jr      ra
        ehb

# Acknowledged at the vector's controller first, then served at its device, then at the bridge: as a level pin needs it.
serve_ip3:
        router_status
        dli     a1, HTVEC
        lui     t0, 1 << (HT_SOURCE + UART_VECTOR / 32 - 16)
        and     t0, t0, a0
        beqz    t0, 1f
        lui     t0, 1 << (HT_SOURCE + MSI_VECTOR / 32 - 16)
        lw      a2, 0(a1)
        sw      a2, 0(a1)
        b       bridge_uart
        li      a3, OWN_COUNT + 8 * 3
1:      and     t0, t0, a0
        beqz    t0, unexpected
        nop
        lw      a2, 8(a1)
        sw      a2, 8(a1)
        count   5
        jr      ra
        nop

serve_ip4:
        ld      a1, OWN_NUMBER(gp)
        dsll    a1, a1, 8
        dli     t1, CHIP + EXT_ISR
        daddu   a1, a1, t1
        ld      a2, 0(a1)         # vectors 0 to 63
        beqz    a2, 1f
        nop
        sd      a2, 0(a1)
        b       bridge_uart
        li      a3, OWN_COUNT + 8 * 4
1:      ld      a2, 8(a1)         # vectors 64 to 127
        beqz    a2, unexpected
        nop
        sd      a2, 8(a1)
        count   6
        jr      ra
        nop

bridge_uart:                      # a3: the counter's place
        dli     t0, BRIDGE_UART
        lbu     t1, IIR(t0)       # ends the interrupt
        sb      $0, IER(t0)
        dli     t0, PIC
        li      t1, 1 << UART_PIN
        sw      t1, PIC_CLEAR(t0)
        daddu   a3, a3, gp
        ld      t0, 0(a3)
        daddiu  t0, t0, 1
        jr      ra
        sd      t0, 0(a3)

        .align  3
rounds: .dword  10
paths:  .dword  0x7
busy:   .dword  0
ahead:  .dword  400               # Count ticks from the request to the timer's deadline
uart_source:
        .dword  0
