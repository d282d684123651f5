# How many Count ticks do `rounds` operations of one kind take? `kind` is the place in the table `kinds` below.
#
# Each operation is one that a hypervisor may have to carry out; those from `hypcall` on are for guests alone.

        .include "cores.S"

.equ serve_ip2, unexpected
.equ serve_ip3, unexpected
.equ serve_ip4, unexpected
.equ serve_ip5, unexpected
.equ serve_ip6, unexpected
.equ serve_ip7, unexpected
.equ PAGES, 0x9800000001000000    # RAM that nobody has touched
.equ PAGE_SHIFT, 14
.equ PAIRS, 128                   # more than a TLB has entries
.equ STATUS_RP, 0x0800            # upper half
.equ SCR, 7

# s0: rounds left, s1: a device or a page, s2: Count at the beginning.
        .macro  begin
        mfc0    s2, c0_count
1:
        .endm

        .macro  again
        daddiu  s0, s0, -1
        bnez    s0, 1b
        nop
        b       done
        nop
        .endm

_start:
        jal     setup
        nop
        b       start_cores
        nop

main:
        la      t0, rounds
        ld      s0, 0(t0)
        la      t0, kind
        ld      t0, 0(t0)
        dsll    t0, t0, 3
        la      t1, kinds
        daddu   t0, t0, t1
        jr      t0
        nop

kinds:
        b       nothing
        nop
        b       read_prid
        nop
        b       cpucfg
        nop
        b       cache
        nop
        b       change_status
        nop
        b       read_router
        nop
        b       write_router
        nop
        b       read_uart
        nop
        b       write_uart
        nop
        b       load_page
        nop
        b       store_page
        nop
        b       refill
        nop
        b       float
        nop
        b       hypcall
        nop

nothing:
        begin
        again

read_prid:
        begin
        mfc0    t0, $15, 0
        again

cpucfg:
        begin
        cpucfg  t0, $0
        again

cache:
        la      s1, rounds
        begin
        cache   0, 0(s1)
        again

change_status:
        lui     s1, STATUS_RP
        mfc0    s3, c0_status
        begin
        xor     s3, s3, s1
        mtc0    s3, c0_status
        again

read_router:
        dli     s1, LIOINTC
        begin
        lw      t0, ROUTER_CORE0(s1)
        again

write_router:
        dli     s1, LIOINTC
        begin
        sw      $0, ROUTER_DISABLE(s1)
        again

read_uart:
        dli     s1, UART
        begin
        lbu     t0, LSR(s1)
        again

write_uart:
        dli     s1, UART
        begin
        sb      $0, SCR(s1)
        again

load_page:
        dli     s1, PAGES
        li      s3, 1 << PAGE_SHIFT
        begin
        ld      t0, 0(s1)
        daddu   s1, s1, s3
        again

store_page:
        dli     s1, PAGES
        li      s3, 1 << PAGE_SHIFT
        begin
        sd      s1, 0(s1)
        daddu   s1, s1, s3
        again

# Pages that KVM has mapped already, but more pairs than the root TLB holds.
refill:
        dli     s4, PAGES
        li      s3, 2 << PAGE_SHIFT
        move    s1, s4
        li      s5, PAIRS
1:      ld      t0, 0(s1)
        daddiu  s5, s5, -1
        bnez    s5, 1b
        daddu   s1, s1, s3
        begin
        move    s1, s4
        li      s5, PAIRS
2:      ld      t0, 0(s1)
        daddiu  s5, s5, -1
        bnez    s5, 2b
        daddu   s1, s1, s3
        again

# Leaving for user space costs the guest its FPU registers' place in the core.
float:
        dli     s1, UART
        begin
        lbu     t0, LSR(s1)
        add.d   $f0, $f0, $f0
        again

hypcall:
        begin
        hypcall 0
        again

done:
        mfc0    t0, c0_count
        subu    t0, t0, s2
        la      t1, ticks
        sd      t0, 0(t1)
        b       poweroff
        nop

        .align  3
rounds: .dword  10
kind:   .dword  0
ticks:  .dword  0
