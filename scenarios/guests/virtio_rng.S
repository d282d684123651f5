# A driver for virtio-rng, as small as one can be: one buffer, one descriptor, one MSI-X vector.
#
# Core 0 asks for SIZE bytes `rounds` times, with the vector routed to each core in turn: behind HTVEC by the router, or
# with `extended` by the extended controller. It waits until that core has served the interrupt, looks that the device
# gave the buffer back, and mixes the first word of it into `sum`.

        .include "cores.S"

.equ SERVED, 0                    # counter
.equ CONFIG, UNCACHED + 0x1a000000
.equ BAR0,   0x40000000
.equ BAR,    UNCACHED + BAR0
.equ PCI_COMMAND, 0x04
.equ PCI_BAR0, 0x10
.equ PCI_MSIX_CONTROL, 0x42
.equ MEMORY_AND_MASTER, 6
.equ MSIX_ENABLE, 0x8000
.equ MSIX_TABLE, 0x4000
.equ NOTIFY, 0x3000
.equ DRIVER_FEATURE_SELECT, 0x08  # the transport's common configuration
.equ DRIVER_FEATURE, 0x0c
.equ DEVICE_STATUS, 0x14
.equ QUEUE_SELECT, 0x16
.equ QUEUE_SIZE, 0x18
.equ QUEUE_VECTOR, 0x1a
.equ QUEUE_ENABLE, 0x1c
.equ QUEUE_DESC, 0x20
.equ QUEUE_DRIVER, 0x28
.equ QUEUE_DEVICE, 0x30
.equ ENTRIES, 4
.equ SIZE, 64
.equ DESC_WRITE, 2

.equ VECTOR, 0x47                 # word 2 of HTVEC, line 2; word 1 of EIOINTC
.equ HT_SOURCE, 24
.equ TO_IP3, 0x20
.equ EXT_TO_IP4, 0x04
.equ serve_ip2, unexpected
.equ serve_ip5, unexpected
.equ serve_ip6, unexpected
.equ serve_ip7, unexpected

        .macro  physical to, symbol
        la      \to, \symbol
        dext    \to, \to, 0, 29
        .endm

_start:
        jal     setup
        nop
        dli     t0, HTVEC
        li      t1, -1
        sw      t1, HTVEC_ENABLE + 8(t0)
        dli     t0, LIOINTC
        lui     t2, 0xff << (HT_SOURCE - 16)
        sw      t2, ROUTER_ENABLE(t0)
        dli     t0, CHIP
        dli     t2, EXT_TO_IP4 * 0x0101010101010101
        sd      t2, EXT_IPMAP(t0)
        sd      t1, EXT_ENABLE + 8(t0)
        la      t1, extended
        ld      t1, 0(t1)
        dsll    t1, t1, 48
        sd      t1, EXT_OTHER(t0)

# The function: its BAR, its message.
        dli     t0, CONFIG
        la      t1, device
        ld      t1, 0(t1)
        dsll    t1, t1, 11        # device number, function 0
        daddu   t0, t0, t1
        li      t1, BAR0
        sw      t1, PCI_BAR0(t0)
        li      t1, MEMORY_AND_MASTER
        sh      t1, PCI_COMMAND(t0)
        li      t1, MSIX_ENABLE
        sh      t1, PCI_MSIX_CONTROL(t0)
        dli     t0, BAR + MSIX_TABLE
        dli     t1, DOORBELL - UNCACHED
        sw      t1, 0(t0)
        sw      $0, 4(t0)
        li      t1, VECTOR
        sw      t1, 8(t0)
        sw      $0, 12(t0)

# The device: reset, ACKNOWLEDGE, DRIVER, VERSION_1, FEATURES_OK, its queue, DRIVER_OK.
        dli     t0, BAR
        sb      $0, DEVICE_STATUS(t0)
        li      t1, 3
        sb      t1, DEVICE_STATUS(t0)
        li      t1, 1
        sw      t1, DRIVER_FEATURE_SELECT(t0)
        sw      t1, DRIVER_FEATURE(t0)
        li      t1, 0x0b
        sb      t1, DEVICE_STATUS(t0)
        sh      $0, QUEUE_SELECT(t0)
        li      t1, ENTRIES
        sh      t1, QUEUE_SIZE(t0)
        sh      $0, QUEUE_VECTOR(t0)
        physical t1, descriptors
        sd      t1, QUEUE_DESC(t0)
        physical t1, available
        sd      t1, QUEUE_DRIVER(t0)
        physical t1, used
        sd      t1, QUEUE_DEVICE(t0)
        li      t1, 1
        sh      t1, QUEUE_ENABLE(t0)
        la      t2, descriptors
        physical t1, buffer
        sd      t1, 0(t2)
        li      t1, SIZE
        sw      t1, 8(t2)
        li      t1, DESC_WRITE
        sh      t1, 12(t2)
        li      t1, 0x0f
        sb      t1, DEVICE_STATUS(t0)
        b       start_cores
        nop

main:
        jal     interrupts_on
        li      a0, IM_IP3 | IM_IP4
        jal     meet
        nop
        ld      t0, OWN_NUMBER(gp)
        bnez    t0, sleep
        nop
        move    s0, $0            # requests so far
        move    s1, $0            # core
round:
        la      t0, rounds
        ld      t0, 0(t0)
        beq     s0, t0, poweroff
        li      t1, 1
        sllv    t1, t1, s1
        dli     t0, CHIP
        sb      t1, EXT_COREMAP + VECTOR(t0)
        ori     t1, t1, TO_IP3
        dli     t0, LIOINTC
        sb      t1, HT_SOURCE + VECTOR / 32(t0)
        own_block s2, s1
        ld      s3, OWN_COUNT + 8 * SERVED(s2)
        daddiu  s0, s0, 1
        la      t0, available
        sh      s0, 2(t0)         # the ring's entries are all descriptor 0
        sync
        dli     t0, BAR + NOTIFY
        sh      $0, 0(t0)
        daddiu  a0, s2, OWN_COUNT + 8 * SERVED
        jal     spin_until
        daddiu  a1, s3, 1
        la      t0, used
        lhu     t0, 2(t0)
        andi    t1, s0, 0xffff
        bne     t0, t1, unexpected
        nop
        la      t0, buffer
        ld      t1, 0(t0)
        sd      $0, 0(t0)
        la      t0, sum
        ld      t2, 0(t0)
        drotr   t2, t2, 7
        xor     t2, t2, t1
        sd      t2, 0(t0)
        la      t0, cores
        ld      t0, 0(t0)
        addiu   s1, s1, 1
        bne     s1, t0, round
        nop
        b       round
        move    s1, $0

serve_ip3:
        ld      t0, OWN_NUMBER(gp)
        dsll    t0, t0, 3
        dli     t1, LIOINTC + ROUTER_CORE0
        daddu   t0, t0, t1
        lw      a0, 0(t0)
        lui     t0, 1 << (HT_SOURCE + VECTOR / 32 - 16)
        and     t0, t0, a0
        beqz    t0, unexpected
        dli     a1, HTVEC
        lw      a2, 8(a1)
        sw      a2, 8(a1)
        count   SERVED
        jr      ra
        nop

serve_ip4:
        ld      a1, OWN_NUMBER(gp)
        dsll    a1, a1, 8
        dli     t1, CHIP + EXT_ISR + 8
        daddu   a1, a1, t1
        ld      a2, 0(a1)
        beqz    a2, unexpected
        nop
        sd      a2, 0(a1)
        count   SERVED
        jr      ra
        nop

        .align  3
rounds: .dword  10
extended:
        .dword  0
device: .dword  8                 # its number on the bus
        .align  12
sum:    .dword  0
        .align  4
descriptors:
        .space  16 * ENTRIES
available:
        .space  4 + 2 * ENTRIES + 4
used:   .space  4 + 8 * ENTRIES + 4
        .align  6
buffer: .space  SIZE
