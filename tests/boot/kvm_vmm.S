# A VMM for Linux: a guest of 64 KiB at 0; what it stores at the UART's address is written to standard output, what it
# loads from a device is 0x5a, and a store anywhere else ends the run. The words of kvm_guest.S follow.
        .equ    IO, 0x20000000 | 0xae00
        .equ    WRITE, 0x80000000 | 0xae00
        .equ    CREATE_VM, IO | 0x01
        .equ    MMAP_SIZE, IO | 0x04
        .equ    CREATE_VCPU, IO | 0x41
        .equ    SET_MEMORY, WRITE | 32 << 16 | 0x46
        .equ    RUN, IO | 0x80
        .equ    SET_REGS, WRITE | 0x118 << 16 | 0x82
        .equ    EXIT_MMIO, 6
        .equ    GUEST_BYTES, 0x10000

        .macro  call number
        li      v0, \number
        syscall
        bnez    a3, fail
        nop
        .endm

_start: dla     a0, device
        li      a1, 2
        call    5002                    # open
        move    s0, v0
        move    a0, s0
        li      a1, CREATE_VM
        li      a2, 0
        call    5015                    # ioctl
        move    s1, v0

        li      a0, 0
        li      a1, GUEST_BYTES
        li      a2, 3
        li      a3, 0x801               # MAP_ANONYMOUS, MAP_SHARED
        li      a4, -1
        li      a5, 0
        call    5009                    # mmap
        move    s2, v0
        dla     t0, guest
        daddiu  t1, t0, 0x800
        move    t2, s2
1:      ld      t3, 0(t0)
        sd      t3, 0(t2)
        daddiu  t0, t0, 8
        sltu    t3, t0, t1
        bnez    t3, 1b
        daddiu  t2, t2, 8

        dla     a2, region
        sd      s2, 24(a2)
        move    a0, s1
        dli     a1, SET_MEMORY
        call    5015
        move    a0, s1
        li      a1, CREATE_VCPU
        li      a2, 0
        call    5015
        move    s3, v0
        move    a0, s0
        li      a1, MMAP_SIZE
        li      a2, 0
        call    5015
        move    a1, v0
        li      a0, 0
        li      a2, 3
        li      a3, 1
        move    a4, s3
        li      a5, 0
        call    5009
        move    s4, v0
        move    a0, s3
        dli     a1, SET_REGS
        dla     a2, registers
        call    5015

run:    move    a0, s3
        li      a1, RUN
        li      a2, 0
        call    5015
        lw      t0, 8(s4)               # exit_reason
        li      t1, EXIT_MMIO
        bne     t0, t1, fail
        move    v0, t0
        lbu     t0, 52(s4)              # is_write
        beqz    t0, read
        ld      t0, 32(s4)              # phys_addr
        li      t1, 0x1fe001e0
        bne     t0, t1, done
        nop
        li      a0, 1
        daddiu  a1, s4, 40
        lwu     a2, 48(s4)
        call    5001                    # write
        b       run
        nop
read:   li      t0, 0x5a
        sd      t0, 40(s4)
        b       run
        nop

done:   li      a0, 0
        li      v0, 5058                # exit
        syscall
fail:   andi    a0, v0, 0xff
        li      v0, 5058
        syscall

        .balign 8
device: .asciz  "/dev/kvm"
        .balign 8
region: .word   0, 0
        .dword  0, GUEST_BYTES, 0
registers:
        .space  34 * 8
        .dword  0xffffffff80000400
        .balign 16
guest:
