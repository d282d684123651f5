# First light: timer interrupts on IP7 and UART interrupts through LIOINTC input 0 on IP2, in rounds.
#
# Each round arms Compare and lets the idle UART raise "transmit holding register empty", then waits until both have been
# served. Typed characters are received whenever they come. Afterwards timer_least, timer_most and timer_sum hold how
# many Count ticks after its deadline a timer interrupt reached the handler's first read of Count.

        .include "common.S"

.equ IM_IP2, 1 << 10
.equ IM_IP7, 1 << 15
.equ IER_RX, 1
.equ IER_THRE, 2
.equ ROUTE_CORE0_IP2, 0x11
.equ LIOINTC_ENABLE, 0x28
.equ LIOINTC_CORE0, 0x40

.equ SERVED_TIMER, 1
.equ SERVED_THRE, 2
.equ BOTH, 3

_start:
        jal     setup
        nop
        la      a0, banner
        jal     puts
        nop
        la      s0, rounds
        ld      s0, 0(s0)         # rounds to do
        move    s1, $0            # what this round has seen: SERVED_*
        move    s2, $0            # timer interrupts
        move    s3, $0            # THRE interrupts
        move    s4, $0            # received characters
        dli     s5, UART

        dli     t0, LIOINTC
        li      t1, ROUTE_CORE0_IP2
        sb      t1, 0(t0)
        li      t1, 1
        sw      t1, LIOINTC_ENABLE(t0)
        mfc0    t0, c0_count      # a Compare in the past: nothing pending at the start
        mtc0    t0, c0_compare
        mfc0    t0, c0_status
        li      t1, IM_IP2 | IM_IP7 | STATUS_IE
        or      t0, t0, t1
        li      t1, IER_RX
        sb      t1, IER(s5)
        beqz    s0, done
        mtc0    t0, c0_status

round:
        la      t1, interval
        ld      t1, 0(t1)
        di
        ehb
1:      mfc0    t0, c0_count
        addu    t0, t0, t1
        mtc0    t0, c0_compare
        ehb
        mfc0    t2, c0_count      # did the deadline pass before Compare was written?
        subu    t2, t2, t0
        bltz    t2, 2f
        mfc0    t2, c0_cause
        andi    t2, t2, IM_IP7
        beqz    t2, 1b
        nop
2:      ei
        li      t0, IER_RX | IER_THRE
        sb      t0, IER(s5)       # the transmitter is idle: THRE interrupts at once

# The handler restarts this region when it is interrupted in it: no wake-up is lost between the test and WAIT.
idle:
        xori    t0, s1, BOTH
        beqz    t0, idle_end
        nop
        wait
        b       idle
        nop
idle_end:
        move    s1, $0
        daddiu  s0, s0, -1
        bnez    s0, round
        nop

done:
        sb      $0, IER(s5)
        mfc0    t0, c0_status
        ins     t0, $0, 0, 1
        mtc0    t0, c0_status
        ehb
        la      a0, timer_text
        jal     puts
        nop
        jal     putdec
        move    a0, s2
        la      a0, thre_text
        jal     puts
        nop
        jal     putdec
        move    a0, s3
        la      a0, received_text
        jal     puts
        nop
        jal     putdec
        move    a0, s4
        la      a0, end_text
        jal     puts
        nop
        b       poweroff
        nop

on_exception:
        daddiu  sp, sp, -48
        sd      t0, 0(sp)
        sd      t1, 8(sp)
        sd      t2, 16(sp)
        sd      t3, 24(sp)
        sd      ra, 32(sp)
        mfc0    k0, c0_cause
        andi    k1, k0, 0x7c
        bnez    k1, unexpected
        nop
        dmfc0   k1, c0_epc
        la      t0, idle
        dsubu   t1, k1, t0
        sltiu   t1, t1, idle_end - idle
        movn    k1, t0, t1
        dmtc0   k1, c0_epc
        mfc0    t0, c0_status
        and     k0, k0, t0
        andi    t0, k0, IM_IP7
        beqz    t0, 1f
        nop
        jal     serve_timer
        nop
1:      andi    t0, k0, IM_IP2
        beqz    t0, 2f
        nop
        jal     serve_router
        nop
2:      ld      t0, 0(sp)
        ld      t1, 8(sp)
        ld      t2, 16(sp)
        ld      t3, 24(sp)
        ld      ra, 32(sp)
        daddiu  sp, sp, 48
        eret

serve_timer:
        mfc0    t0, c0_count
        mfc0    t1, c0_compare
        mtc0    t1, c0_compare    # acknowledges
        subu    t0, t0, t1
        la      t3, timer_least
        ld      t1, 0(t3)
        sltu    t2, t0, t1
        movn    t1, t0, t2
        sd      t1, 0(t3)
        ld      t1, 8(t3)
        sltu    t2, t1, t0
        movn    t1, t0, t2
        sd      t1, 8(t3)
        ld      t1, 16(t3)
        daddu   t1, t1, t0
        sd      t1, 16(t3)
        daddiu  s2, s2, 1
        jr      ra
        ori     s1, s1, SERVED_TIMER

serve_router:
        dli     t0, LIOINTC
        lw      t1, LIOINTC_CORE0(t0)
        andi    t1, t1, 1
        beqz    t1, unexpected
        nop
1:      lbu     t1, IIR(s5)       # reading it ends a THRE interrupt
        andi    t1, t1, 15
        li      t2, 2
        beq     t1, t2, 2f
        andi    t2, t1, 4
        bnez    t2, 3f            # received data, or a character time-out
        nop
        jr      ra
        nop
2:      li      t1, IER_RX
        sb      t1, IER(s5)
        daddiu  s3, s3, 1
        b       1b
        ori     s1, s1, SERVED_THRE
3:      lbu     t1, RBR(s5)
        la      t2, last_received
        sb      t1, 0(t2)
        lbu     t1, LSR(s5)
        andi    t1, t1, LSR_DR
        bnez    t1, 3b
        daddiu  s4, s4, 1
        b       1b
        nop

on_refill:
unexpected:
        li      t0, STATUS_64BIT
        mtc0    t0, c0_status
        la      a0, unexpected_text
        jal     puts
        nop
        mfc0    a0, c0_cause
        jal     puthex
        nop
        dmfc0   a0, c0_epc
        jal     puthex
        nop
        jal     newline
        nop
        b       poweroff
        nop

banner:
        .asciz  "First light on a Loongson-3A4000.\n"
timer_text:
        .asciz  "timer interrupts "
thre_text:
        .asciz  ", UART transmit interrupts "
received_text:
        .asciz  ", characters received "
end_text:
        .asciz  "\nThat is all. Switching off.\n"
unexpected_text:
        .asciz  "unexpected exception: cause, epc "
        .align  3
rounds:         .dword  100
interval:       .dword  4000      # Count ticks from a round's start to its timer interrupt
timer_least:    .dword  -1
timer_most:     .dword  0
timer_sum:      .dword  0
last_received:  .dword  0
