# What a kernel does all day: `iterations` times the operation whose place in the table `kinds` is `kind`.
#
# The results are the same on every machine, whatever the rate of its timer and the way it replaces TLB entries.

        .include "common.S"

.equ CACHED,      0x9800000000000000
.equ KSEG0,       0xffffffff80000000
.equ KSEG0_BITS,  0x1fffffff
.equ ENTRIES,     64
.equ FLAGS,       0x1e            # EntryLo: cached, dirty, valid
.equ GLOBAL,      1
.equ EXCCODE,     0x7c
.equ SYS,         8 << 2
.equ BP,          9 << 2
.equ STATUS_USER, 0x10            # KSU
.equ IM_IP0,      1 << 8
.equ IM_IP7,      1 << 15
.equ CAUSE_IP0,   1 << 8
.equ ADDIU_V0,    0x24420000      # addiu v0, v0, 0

.equ PAGE,        0x1000
.equ USER_CODE,   0x10000000      # mapped for every process
.equ USER_DATA,   0x10400000      # a page of each process's own
.equ ARRAY,       0x20000000      # PAIRS pairs of pages, far more than the TLB holds
.equ PAIRS,       1024
.equ TABLE,       512             # entries of a page table
.equ FRAMES,      0x01000000      # physical: 64 frames, which the array's pages share
.equ FRAMES_SIZE, 64 * PAGE
.equ TICKS,       200             # from arming the timer to its interrupt
.equ PATIENCE,    1 << 20         # ticks after which a timer that was armed too late is armed again

# A process's registers; register n is at 8 * n.
.equ FRAME_EPC,   0
.equ FRAME_HI,    208
.equ FRAME_LO,    216
.equ FRAME_ASID,  256
.equ FRAME_SIZE,  512

# s0: operations to do, s1: operations done, s2: result.
_start:
        jal     setup
        nop
        jal     clear_tlb
        nop
        la      s6, poweroff
        la      t0, iterations
        ld      s0, 0(t0)
        move    s1, $0
        move    s2, $0
        la      t0, kind
        ld      t0, 0(t0)
        dsll    t0, t0, 3
        la      t1, kinds
        daddu   t0, t0, t1
        jr      t0
        nop

kinds:
        b       system_call
        nop
        b       software_interrupt
        nop
        b       timer_interrupt
        nop
        b       refill
        nop
        b       switch
        nop
        b       modify
        nop

done:
        li      t0, STATUS_64BIT
        mtc0    t0, c0_status
        ehb
        la      t0, kind
        jal     report
        ld      a0, 0(t0)
        jal     report
        move    a0, s1
        jal     report
        move    a0, s2
        b       finish
        nop

on_exception:
        mfc0    k0, c0_cause
        andi    k0, k0, EXCCODE
        beqz    k0, 1f
        xori    k1, k0, SYS
        beqz    k1, 1f
        xori    k1, k0, BP
        beqz    k1, done
        nop
        b       record
        nop
1:      la      k1, serve
        ld      k1, 0(k1)
        jr      k1
        nop

# SYSCALL in user mode, and back behind it.
system_call:
        jal     map_user_code
        nop
        la      a0, user_calls
        jal     user_address
        nop
        move    a0, v0
        la      a1, serve_call
        b       enter_user
        nop

serve_call:
        dmfc0   k0, c0_epc
        daddiu  k0, k0, 4
        dmtc0   k0, c0_epc
        daddiu  s1, s1, 1
        ehb
        eret

# Interrupt 0, raised and cleared by software.
software_interrupt:
        la      t0, serve_software
        la      t1, serve
        sd      t0, 0(t1)
        mfc0    t0, c0_status
        ori     t0, t0, IM_IP0 | STATUS_IE
        mtc0    t0, c0_status
        ehb
        li      t1, CAUSE_IP0
1:      daddiu  t2, s1, 1
        mtc0    t1, c0_cause
        ehb
2:      bne     s1, t2, 2b
        nop
        bne     s1, s0, 1b
        nop
        b       done
        nop

serve_software:
        mtc0    $0, c0_cause
        daddiu  s1, s1, 1
        ehb
        eret

# The timer, armed and waited for.
timer_interrupt:
        la      t0, serve_timer
        la      t1, serve
        sd      t0, 0(t1)
        mfc0    t0, c0_count
        mtc0    t0, c0_compare
        ehb
        mfc0    t0, c0_status
        li      t1, IM_IP7 | STATUS_IE
        or      t0, t0, t1
        mtc0    t0, c0_status
        ehb
        li      t1, PATIENCE
1:      daddiu  t2, s1, 1
2:      mfc0    t3, c0_count
        addiu   t0, t3, TICKS
        mtc0    t0, c0_compare
        ehb
3:      beq     s1, t2, 4f
        mfc0    t0, c0_count
        subu    t0, t0, t3
        sltu    t0, t0, t1
        bnez    t0, 3b
        nop
        b       2b
        nop
4:      bne     s1, s0, 1b
        nop
        b       done
        nop

serve_timer:
        mfc0    k0, c0_compare
        mtc0    k0, c0_compare
        daddiu  s1, s1, 1
        ehb
        eret

# A load of the next pair of pages of the array: each misses in the TLB, and the refill walks a table of two levels.
refill:
        la      t0, directory + (ARRAY >> 18)
        la      t1, tables
        li      t2, FRAMES >> 6 | FLAGS
        li      t3, PAIRS * 2 / TABLE
        li      a1, ~(FRAMES_SIZE >> 6)
1:      sd      t1, 0(t0)
        li      a0, TABLE
2:      sd      t2, 0(t1)
        daddiu  t1, t1, 8
        daddiu  t2, t2, PAGE >> 6
        addiu   a0, a0, -1
        bnez    a0, 2b
        and     t2, t2, a1
        addiu   t3, t3, -1
        bnez    t3, 1b
        daddiu  t0, t0, 8
        dli     t0, CACHED + FRAMES
        li      t1, FRAMES_SIZE / PAGE
3:      sd      t1, 0(t0)
        addiu   t1, t1, -1
        bnez    t1, 3b
        daddiu  t0, t0, PAGE
        li      t0, ARRAY
        li      t1, ARRAY + PAIRS * 2 * PAGE
        move    t2, t0
4:      ld      t3, 0(t2)
        daddiu  t2, t2, 2 * PAGE
        sltu    a0, t2, t1
        movz    t2, t0, a0
        daddiu  s1, s1, 1
        bne     s1, s0, 4b
        daddu   s2, s2, t3
        b       done
        nop

on_refill:
        dmfc0   k0, c0_badvaddr
        la      k1, directory
        dsrl    k0, k0, 21
        andi    k0, k0, 0x3ff
        dsll    k0, k0, 3
        daddu   k1, k1, k0
        ld      k1, 0(k1)
        dmfc0   k0, c0_badvaddr
        dsrl    k0, k0, 9
        andi    k0, k0, 0xff0
        daddu   k1, k1, k0
        ld      k0, 0(k1)
        ld      k1, 8(k1)
        dmtc0   k0, c0_entrylo0
        dmtc0   k1, c0_entrylo1
        ehb
        tlbwr
        eret

# Two processes, each with a page of its own at the same address, give way to each other.
switch:
        jal     map_user_code
        nop
        la      a0, user_steps
        jal     user_address
        nop
        la      s1, frames
        la      s2, own_pages
        move    s4, v0
        li      s3, 1             # ASID
1:      li      a0, USER_DATA
        move    a1, s2
        move    a2, $0
        jal     map
        move    a3, s3
        sd      s3, 8(s2)
        sd      s3, FRAME_ASID(s1)
        sd      s4, FRAME_EPC(s1)
        daddiu  s1, s1, FRAME_SIZE
        addiu   s3, s3, 1
        slti    t0, s3, 3
        bnez    t0, 1b
        daddiu  s2, s2, 2 * PAGE
        la      t0, left
        sd      s0, 0(t0)
        la      t0, current
        la      t1, frames
        sd      t1, 0(t0)
        li      t0, 1
        dmtc0   t0, c0_entryhi
        move    a0, s4
        la      a1, serve_switch
        b       enter_user
        nop

# \op all general registers but k0 and k1, of the frame at k1.
        .macro  registers op
        \op     $1, 8(k1)
        \op     $2, 16(k1)
        \op     $3, 24(k1)
        \op     $4, 32(k1)
        \op     $5, 40(k1)
        \op     $6, 48(k1)
        \op     $7, 56(k1)
        \op     $8, 64(k1)
        \op     $9, 72(k1)
        \op     $10, 80(k1)
        \op     $11, 88(k1)
        \op     $12, 96(k1)
        \op     $13, 104(k1)
        \op     $14, 112(k1)
        \op     $15, 120(k1)
        \op     $16, 128(k1)
        \op     $17, 136(k1)
        \op     $18, 144(k1)
        \op     $19, 152(k1)
        \op     $20, 160(k1)
        \op     $21, 168(k1)
        \op     $22, 176(k1)
        \op     $23, 184(k1)
        \op     $24, 192(k1)
        \op     $25, 200(k1)
        \op     $28, 224(k1)
        \op     $29, 232(k1)
        \op     $30, 240(k1)
        \op     $31, 248(k1)
        .endm

serve_switch:
        la      k1, current
        ld      k1, 0(k1)
        registers sd
        mfhi    t0
        sd      t0, FRAME_HI(k1)
        mflo    t0
        sd      t0, FRAME_LO(k1)
        dmfc0   t0, c0_epc
        daddiu  t0, t0, 4
        sd      t0, FRAME_EPC(k1)
        la      t1, left
        ld      t0, 0(t1)
        daddiu  t0, t0, -1
        beqz    t0, switched
        sd      t0, 0(t1)
        xori    k1, k1, FRAME_SIZE
        la      t0, current
        sd      k1, 0(t0)
        ld      t0, FRAME_ASID(k1)
        dmtc0   t0, c0_entryhi
        ld      t0, FRAME_HI(k1)
        mthi    t0
        ld      t0, FRAME_LO(k1)
        mtlo    t0
        ld      t0, FRAME_EPC(k1)
        dmtc0   t0, c0_epc
        registers ld
        ehb
        eret

switched:                         # the results are in the processes' pages
        la      t0, iterations
        ld      s1, 0(t0)
        la      t0, own_pages
        ld      s2, 0(t0)
        ld      t1, 16(t0)
        xor     s2, s2, t1
        ld      t1, 2 * PAGE(t0)
        drotr   s2, s2, 7
        xor     s2, s2, t1
        ld      t1, 2 * PAGE + 16(t0)
        b       done
        xor     s2, s2, t1

# A function whose first instruction is written anew before each call.
modify:
        la      s3, function
        li      s4, ADDIU_V0
1:      andi    t0, s1, 0x7fff
        or      t0, t0, s4
        sw      t0, 0(s3)
        synci   0(s3)
        sync
        jalr.hb ra, s3
        move    v0, s2
        daddiu  s1, s1, 1
        bne     s1, s0, 1b
        move    s2, v0
        b       done
        nop

clear_tlb:                        # every entry gets an address of its own in unmapped space
        dmtc0   $0, c0_entrylo0
        dmtc0   $0, c0_entrylo1
        mtc0    $0, c0_pagemask
        mtc0    $0, c0_wired
        dli     t0, KSEG0
        li      t1, ENTRIES
1:      addiu   t1, t1, -1
        mtc0    t1, c0_index
        dmtc0   t0, c0_entryhi
        ehb
        tlbwi
        bnez    t1, 1b
        daddiu  t0, t0, 2 * PAGE
        dmtc0   $0, c0_entryhi
        jr.hb   ra
        nop

map_user_code:
        li      a0, USER_CODE
        la      a1, user
        li      a2, GLOBAL
        move    a3, $0

map:                              # a0: pair of pages, a1: its memory, in kseg0, a2: GLOBAL or 0, a3: ASID and TLB entry
        daddu   t0, a0, a3
        dmtc0   t0, c0_entryhi
        dli     t0, KSEG0_BITS
        and     t0, t0, a1
        dsrl    t0, t0, 6
        ori     t0, t0, FLAGS
        or      t0, t0, a2
        dmtc0   t0, c0_entrylo0
        daddiu  t0, t0, PAGE >> 6
        dmtc0   t0, c0_entrylo1
        mtc0    a3, c0_index
        ehb
        tlbwi
        jr.hb   ra
        nop

user_address:                     # v0: where the label a0 in `user` is mapped
        la      t0, user
        dsubu   v0, a0, t0
        dli     t0, USER_CODE
        jr      ra
        daddu   v0, v0, t0

enter_user:                       # a0: mapped address, a1: what serves system calls
        la      t0, serve
        sd      a1, 0(t0)
        dmtc0   a0, c0_epc
        mfc0    t0, c0_status
        ori     t0, t0, STATUS_USER | STATUS_EXL
        mtc0    t0, c0_status
        ehb
        eret

        .align  13
user:
user_calls:
        syscall
        bne     s1, s0, user_calls
        nop
        break

user_steps:                       # from the page's second word and its own results
        li      a0, USER_DATA
        move    s3, $0
1:      ld      a1, 0(a0)
        ld      a2, 8(a0)
        daddu   a1, a1, a2
        sd      a1, 0(a0)
        dmultu  a1, a2
        syscall
        mflo    a3
        daddu   s3, s3, a3
        b       1b
        sd      s3, 16(a0)

        .align  13
function:
        addiu   v0, v0, 0
        jr      ra
        addiu   v0, v0, 1

        .align  13
own_pages:                        # two pages of each of the two processes
        .space  4 * PAGE
frames:                           # of the two processes
        .space  2 * FRAME_SIZE
directory:                        # of page tables, for 2 GiB
        .space  1024 * 8
tables:
        .space  PAIRS * 2 * 8
serve:  .dword  0                 # what serves interrupts and system calls
current:
        .dword  0                 # the frame of the process that runs
left:   .dword  0                 # operations
kind:   .dword  0
iterations:
        .dword  10
