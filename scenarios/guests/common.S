# What every guest needs: exception vectors, console, checksum, power-off.
#
# A guest includes this first and defines _start, on_refill and on_exception. Its checksum lives in s7, for which `mix`
# is the only writer. `record` is an exception handler for tests: it prints and mixes what the exception left behind and
# resumes at the address in s6. Routines clobber at, v0, v1, a0 to a3, t0 to t3 and ra, and nothing else.

.equ UNCACHED,   0x9000000000000000
.equ UART,       UNCACHED + 0x1fe001e0
.equ LIOINTC,    UNCACHED + 0x3ff01400

.equ RBR, 0                       # 16550: receive buffer and transmit holding register
.equ THR, 0
.equ IER, 1
.equ IIR, 2
.equ FCR, 2
.equ LCR, 3
.equ LSR, 5
.equ LSR_DR, 0x01
.equ LSR_THRE, 0x20

.equ STATUS_64BIT, 0x740000e0     # CU2, CU1, CU0 and FR; KX, SX, UX; BEV, ERL, EXL and IE clear
.equ STATUS_IE,  1
.equ STATUS_EXL, 2

vectors:                          # EBase: four fixed entries
        b       on_refill
        nop
        .org    0x080
        b       on_refill
        nop
        .org    0x180
        b       on_exception
        nop
        .org    0x200

# Kernel mode with 64-bit addressing, our vectors, an empty stack, interrupts off, checksum zero.
setup:
        la      t0, vectors
        mtc0    t0, c0_ebase
        li      t0, STATUS_64BIT
        mtc0    t0, c0_status
        mtc0    $0, c0_cause
        ehb
        la      sp, stack_top
        dli     t0, UART
        sb      $0, IER(t0)
        li      t1, 3             # 8 data bits, DLAB off
        sb      t1, LCR(t0)
        li      t1, 7             # FIFOs on and empty
        sb      t1, FCR(t0)
        jr      ra
        move    s7, $0

putc:                             # a0: character
        dli     t0, UART
1:      lbu     t1, LSR(t0)
        andi    t1, t1, LSR_THRE
        beqz    t1, 1b
        nop
        jr      ra
        sb      a0, THR(t0)

puts:                             # a0: address of a text that ends with a zero byte
        move    t3, ra
        move    t2, a0
1:      lbu     a0, 0(t2)
        beqz    a0, 2f
        daddiu  t2, t2, 1
        jal     putc
        nop
        b       1b
        nop
2:      jr      t3
        nop

puthex:                           # a0: value, written as 16 digits and a space
        move    t3, ra
        move    a1, a0
        li      t2, 60
1:      dsrlv   a0, a1, t2
        andi    a0, a0, 15
        sltiu   t0, a0, 10
        bnez    t0, 2f
        addiu   a0, a0, '0'
        addiu   a0, a0, 'a' - '0' - 10
2:      jal     putc
        nop
        bnez    t2, 1b
        addiu   t2, t2, -4
        jal     putc
        li      a0, ' '
        jr      t3
        nop

putdec:                           # a0: value below 2^63, in decimal
        move    t3, ra
        move    t2, sp
        li      a2, 10
1:      ddivu   $0, a0, a2
        mfhi    t0
        mflo    a0
        daddiu  t2, t2, -1
        addiu   t0, t0, '0'
        bnez    a0, 1b
        sb      t0, 0(t2)
2:      lbu     a0, 0(t2)
        jal     putc
        daddiu  t2, t2, 1
        bne     t2, sp, 2b
        nop
        jr      t3
        nop

newline:
        b       putc
        li      a0, '\n'

mix:                              # a0: value that enters the checksum
        drotr   s7, s7, 59
        xor     s7, s7, a0
        jr      ra
        daddiu  s7, s7, 0x1235

report:                           # a0: value that is printed on a line of its own and enters the checksum
        move    a3, ra
        jal     mix
        nop
        jal     puthex
        nop
        jal     newline
        nop
        jr      a3
        nop

# An exception as it left CP0: code, BD, and CE with "coprocessor unusable"; EPC relative to the vectors; BadVAddr where
# the code defines it.
record:
        move    a3, ra
        mfc0    t0, c0_cause
        andi    t1, t0, 0x7c
        xori    t2, t1, 11 << 2
        lui     t3, 0x8000
        lui     v0, 0xb000
        movz    t3, v0, t2
        and     a0, t0, t3
        or      a0, a0, t1
        srl     t1, t1, 2
        addiu   t1, t1, -1
        sltiu   t1, t1, 5         # Mod, TLBL, TLBS, AdEL, AdES
        dmfc0   a2, c0_badvaddr
        movz    a2, $0, t1
        dsll32  a0, a0, 0
        jal     mix
        dsrl32  a0, a0, 0
        jal     puthex
        nop
        dmfc0   a0, c0_epc
        la      t0, vectors
        jal     mix
        dsubu   a0, a0, t0
        jal     puthex
        nop
        jal     mix
        move    a0, a2
        jal     puthex
        nop
        jal     newline
        nop
        dmtc0   s6, c0_epc
        move    ra, a3
        eret

# Prints the checksum and switches the machine off.
finish:
        la      a0, checksum_text
        jal     puts
        nop
        jal     puthex
        move    a0, s7
        jal     newline
        nop
poweroff:
        la      t0, power_at
        ld      t0, 0(t0)
        la      t1, power_value
        ld      t1, 0(t1)
        sltiu   t2, t1, 0x100
        bnez    t2, 1f
        nop
        sw      t1, 0(t0)
        b       .
        nop
1:      sb      t1, 0(t0)
        b       .
        nop

checksum_text:
        .asciz  "checksum "
        .align  3
power_at:
        .dword  UNCACHED + 0x10080010
power_value:                      # a byte, or a word where it does not fit one
        .dword  0xff
        .align  12
        .space  4096
stack_top:
