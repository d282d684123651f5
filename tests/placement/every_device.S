# Talks to every device of the platform ls7a and to a virtio-rng, in rounds that begin with its stable timer.
#
# In a round core 0 takes an interrupt along each path, one after the other, reads and writes the devices that raise none,
# and arms its timer by ANY_SEND for the next one. Between two steps it sleeps. A value that is not what was written, and
# anything else unexpected, ends the run with a text.

        .include "cores.S"

.equ SERVED, 0                    # counters: interrupts of the rounds,
.equ TIMED,  1                    # and of the timer
.equ HT_HI,       UNCACHED + 0xffdfb000080
.equ PIC_ROUTE,   0x100
.equ TO_LO, 1
.equ TO_HI, 2
.equ FREQUENCY,   CHIP + 0x1d0    # of ls3a_config: stored
.equ BRIDGE_NODE, UNCACHED + 0x1001041c
.equ PM_TIMER,    UNCACHED + 0x100d0038
.equ CONFIG,      UNCACHED + 0x1a000000
.equ ANY_SEND, 0x1158             # numbers of configuration registers
.equ TIMER_CONFIG, 0x1060
.equ TIMER_ENABLE, 0x2000         # in bits 31:16 of the upper half
.equ EXT_INT_EN, 0x1              # in bits 63:48
.equ INTIMER, 0x40
.equ EXTIMER, 0x80

.equ UART_PIN,    8
.equ UART_VECTOR, 0x08            # word 0 of HTVEC, its line 0
.equ MSI_VECTOR,  0x45            # word 2, line 2
.equ RNG_VECTOR,  0x47
.equ LO_SOURCE,   24              # line 0 of either controller at the router
.equ HI_SOURCE,   28
.equ TO_CORE0_IP2, 0x11
.equ TO_CORE0_IP3, 0x21
.equ EXT_TO_IP4, 0x04
.equ IER_THRE, 2
.equ ACTION, 1

.equ BAR0,   0x40000000
.equ BAR,    UNCACHED + BAR0
.equ RNG,    CONFIG + (8 << 11)   # device 8, function 0
.equ PCI_COMMAND, 0x04
.equ PCI_BAR0, 0x10
.equ PCI_MSIX_CONTROL, 0x42
.equ MEMORY_AND_MASTER, 6
.equ MSIX_ENABLE, 0x8000
.equ MSIX_TABLE, 0x4000
.equ NOTIFY, 0x3000
.equ DRIVER_FEATURE_SELECT, 0x08
.equ DRIVER_FEATURE, 0x0c
.equ DEVICE_STATUS, 0x14
.equ QUEUE_SIZE, 0x18
.equ QUEUE_VECTOR, 0x1a
.equ QUEUE_ENABLE, 0x1c
.equ QUEUE_DESC, 0x20
.equ QUEUE_DRIVER, 0x28
.equ QUEUE_DEVICE, 0x30
.equ ENTRIES, 4
.equ SIZE, 64
.equ DESC_WRITE, 2

.equ serve_ip5, unexpected

        .macro  physical to, symbol
        la      \to, \symbol
        dext    \to, \to, 0, 29
        .endm

_start:
        jal     setup
        nop
        mfc0    t0, $16, 6        # Config6: IP7 is the stable timer's
        ori     t0, t0, EXTIMER | INTIMER
        xori    t0, t0, INTIMER
        mtc0    t0, $16, 6
        ehb

# The bridge's UART and its pin, both vector controllers, the extended one, the router.
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
        dli     t0, HT_HI
        sw      t1, HTVEC_ENABLE(t0)
        dli     t0, CHIP
        dli     t2, EXT_TO_IP4 * 0x0101010101010101
        sd      t2, EXT_IPMAP(t0)
        sd      t1, EXT_ENABLE(t0)
        li      t1, 1
        sb      t1, EXT_COREMAP + UART_VECTOR(t0)
        dli     t0, LIOINTC
        la      t1, uart_source
        ld      t1, 0(t1)
        daddu   t2, t0, t1
        li      t3, TO_CORE0_IP2
        sb      t3, 0(t2)
        li      t3, TO_CORE0_IP3
        sb      t3, LO_SOURCE + UART_VECTOR / 32(t0)
        sb      t3, LO_SOURCE + MSI_VECTOR / 32(t0)
        sb      t3, HI_SOURCE(t0)
        li      t2, 1
        sllv    t1, t2, t1
        lui     t2, 0xff << (LO_SOURCE - 16)
        or      t1, t1, t2
        sw      t1, ROUTER_ENABLE(t0)

# virtio-rng: one buffer, one MSI-X vector.
        dli     t0, RNG
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
        li      t1, RNG_VECTOR
        sw      t1, 8(t0)
        sw      $0, 12(t0)
        dli     t0, BAR
        sb      $0, DEVICE_STATUS(t0)
        li      t1, 3             # ACKNOWLEDGE, DRIVER
        sb      t1, DEVICE_STATUS(t0)
        li      t1, 1             # VERSION_1
        sw      t1, DRIVER_FEATURE_SELECT(t0)
        sw      t1, DRIVER_FEATURE(t0)
        li      t1, 0x0b          # and FEATURES_OK
        sb      t1, DEVICE_STATUS(t0)
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
        li      t1, 0x0f          # and DRIVER_OK
        sb      t1, DEVICE_STATUS(t0)
        b       start_cores
        nop

main:
        ld      t0, OWN_IPI(gp)
        li      t1, ACTION
        sw      t1, IPI_ENABLE(t0)
        jal     interrupts_on
        li      a0, IM_IP2 | IM_IP3 | IM_IP4 | IM_IP6 | IM_IP7
        move    s0, $0            # interrupts so far
        move    s1, $0            # rounds so far

round:
        la      t0, rounds
        ld      t0, 0(t0)
        beq     s1, t0, poweroff
        daddiu  s1, s1, 1

# The timer of the next round, in two halves: ticks, and the bit that starts it.
        la      t0, interval
        ld      t0, 0(t0)
        dsll32  t0, t0, 0
        ori     t0, t0, TIMER_CONFIG
        li      t1, ANY_SEND
        dwrcsr  t0, t1
        lui     t0, TIMER_ENABLE
        dsll32  t0, t0, 0
        ori     t0, t0, TIMER_CONFIG + 4
        dwrcsr  t0, t1

# One interrupt along each path: UART, inter-processor, bridge UART by either controller and by the extended one, message
# of the doorbell, message of the function.
        dli     t0, UART
        li      t1, IER_THRE
        jal     served
        sb      t1, IER(t0)
        ld      t0, OWN_IPI(gp)
        li      t1, ACTION
        jal     served
        sw      t1, IPI_SET(t0)
        li      a0, TO_LO
        jal     bridge_uart
        move    a1, $0
        li      a0, TO_HI
        jal     bridge_uart
        move    a1, $0
        li      a0, TO_LO
        jal     bridge_uart
        li      a1, EXT_INT_EN
        dli     t0, CHIP
        sd      $0, EXT_OTHER(t0)
        jal     doorbell
        nop
        jal     doorbell
        nop
        la      t0, available
        sh      s1, 2(t0)         # the ring's entries are all descriptor 0
        sync
        dli     t0, BAR + NOTIFY
        jal     served
        sh      $0, 0(t0)
        la      t0, used
        lhu     t0, 2(t0)
        bne     t0, s1, unexpected
        nop

# The devices that raise no interrupt.
        dli     t0, FREQUENCY
        sd      s1, 0(t0)
        ld      t1, 0(t0)
        bne     t1, s1, unexpected
        nop
        dli     t0, PM_TIMER
        sw      s1, 0(t0)
        lw      t1, 0(t0)
        bne     t1, s1, unexpected
        nop
        dli     t0, BRIDGE_NODE
        lw      t1, 0(t0)
        lw      t2, 0(t0)
        bne     t1, t2, unexpected
        nop
        dli     t0, CONFIG
        lw      t1, 0(t0)
        lw      t2, 0(t0)
        bne     t1, t2, unexpected
        nop
        daddiu  a0, gp, OWN_COUNT + 8 * TIMED
        jal     sleep_until
        move    a1, s1
        b       round
        nop

# Waits for the next interrupt of the round.
served:
        daddiu  s0, s0, 1
        daddiu  a0, gp, OWN_COUNT + 8 * SERVED
        b       sleep_until
        move    a1, s0

doorbell:
        dli     t0, DOORBELL
        li      t1, MSI_VECTOR
        b       served
        sw      t1, 0(t0)

bridge_uart:                      # a0: output of the bridge; a1: whether the extended controller takes vectors
        dli     t0, PIC
        sb      a0, PIC_ROUTE + UART_PIN(t0)
        dli     t0, CHIP
        dsll32  a1, a1, 16
        sd      a1, EXT_OTHER(t0)
        dli     t0, BRIDGE_UART
        li      t1, IER_THRE
        b       served
        sb      t1, IER(t0)

serve_ip2:
        dli     t0, UART
        lbu     t1, IIR(t0)       # ends the interrupt
        sb      $0, IER(t0)
        count   SERVED
        jr      ra
        nop

serve_ip6:
        ld      t1, OWN_IPI(gp)
        lw      t0, IPI_STATUS(t1)
        sw      t0, IPI_CLEAR(t1)
        count   SERVED
        jr      ra
        nop

serve_ip7:
        mfc0    t0, c0_compare
        mtc0    t0, c0_compare    # acknowledges
        count   TIMED
        jr      ra
        ehb

# Acknowledged at the vector's controller, then served at its device.
serve_ip3:
        dli     t1, LIOINTC + ROUTER_CORE0
        lw      a0, 0(t1)
        dli     a1, HTVEC
        lui     t0, 1 << (LO_SOURCE + MSI_VECTOR / 32 - 16)
        and     t0, t0, a0
        beqz    t0, 1f
        lui     t0, 1 << (HI_SOURCE - 16)
        lw      a2, 8(a1)
        sw      a2, 8(a1)
        count   SERVED
        jr      ra
        nop
1:      and     t0, t0, a0
        beqz    t0, 2f
        nop
        dli     a1, HT_HI
2:      lw      a2, 0(a1)
        beqz    a2, unexpected
        nop
        b       serve_bridge_uart
        sw      a2, 0(a1)

serve_ip4:
        dli     a1, CHIP + EXT_ISR
        ld      a2, 0(a1)
        beqz    a2, unexpected
        nop
        sd      a2, 0(a1)
serve_bridge_uart:
        dli     t0, BRIDGE_UART
        lbu     t1, IIR(t0)       # ends the interrupt
        sb      $0, IER(t0)
        dli     t0, PIC
        li      t1, 1 << UART_PIN
        sw      t1, PIC_CLEAR(t0)
        count   SERVED
        jr      ra
        nop

        .align  3
rounds: .dword  25
interval:
        .dword  4000000           # ticks of the stable timer
uart_source:
        .dword  0
        .align  12                # what a function reads and writes
descriptors:
        .space  16 * ENTRIES
available:
        .space  4 + 2 * ENTRIES + 4
used:   .space  4 + 8 * ENTRIES + 4
        .align  6
buffer: .space  SIZE
