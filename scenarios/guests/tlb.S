# The TLB: every page size, refill, eviction, ASID, global, invalid, modified, probe and read, 64-bit regions.
#
# The refill handler maps a page to WINDOW + (address modulo 64 MB) + ASID * 1 MB and takes TLB entries in turn, so that
# the number of refills depends on the program alone. s3 counts refills, s5 is PageMask, s4 the flags of new entries.

        .include "common.S"

.equ WINDOW, 0x04000000           # physical; twice the largest page, aligned
.equ KSEG0, 0xffffffff80000000
.equ CACHED, 0x9800000000000000
.equ FLAGS_VALID, 0x1e            # cached, dirty, valid
.equ FLAGS_CLEAN, 0x1a            # cached, valid
.equ FLAGS_INVALID, 0x18
.equ FLAGS_GLOBAL, 0x1f
.equ ENTRIES, 64

_start:
        jal     setup
        nop
        move    s1, $0            # next TLB entry
        la      s6, finish
        mtc0    $0, c0_wired
        mtc0    $0, c0_pagegrain
        mtc0    $0, c0_entryhi

# Each page size: eight pages are written through the mapping, read back and read through xkphys.
        move    s5, $0
        dli     s2, 0x40000000
sizes:
        jal     flush
        nop
        move    s3, $0
        li      s4, FLAGS_VALID
        ori     s0, s5, 0x1fff
        daddiu  s0, s0, 1
        dsrl    s0, s0, 1         # page size
        li      a3, 8
        move    a2, s2
1:      daddiu  t0, a2, 0x128
        xor     t0, t0, s0
        sd      t0, 0x128(a2)
        lw      t1, 0x12c(a2)
        jal     mix
        move    a0, t1
        dli     t2, 0x03ffffff
        and     t2, t2, a2
        dli     t3, CACHED + WINDOW
        daddu   t2, t2, t3
        jal     mix
        ld      a0, 0x128(t2)
        addiu   a3, a3, -1
        bnez    a3, 1b
        daddu   a2, a2, s0
        jal     report
        move    a0, s3
        jal     report
        mfc0    a0, c0_pagemask
        dsll    s5, s5, 2
        ori     s5, s5, 0x6000
        dli     t0, 0x2000000
        sltu    t0, s5, t0
        bnez    t0, sizes
        daddiu  s2, s2, 0x1000

# More pages than entries, twice.
        move    s5, $0
        jal     flush
        nop
        move    s3, $0
        li      a3, 2
1:      dli     s2, 0x10000000
        li      a2, 160
2:      sd      s2, 0x40(s2)
        ld      t0, 0x40(s2)
        jal     mix
        move    a0, t0
        addiu   a2, a2, -1
        bnez    a2, 2b
        daddiu  s2, s2, 0x1000
        addiu   a3, a3, -1
        bnez    a3, 1b
        nop
        jal     report
        move    a0, s3

# One address under three ASIDs, each with its own memory; then back to the first.
        jal     flush
        nop
        move    s3, $0
        dli     s2, 0x20000000
        li      a2, 3
1:      mtc0    a2, c0_entryhi
        ehb
        sd      a2, 0(s2)
        addiu   a2, a2, -1
        bnez    a2, 1b
        nop
        li      a2, 3
1:      mtc0    a2, c0_entryhi
        ehb
        jal     report
        ld      a0, 0(s2)
        addiu   a2, a2, -1
        bnez    a2, 1b
        nop
        jal     report
        move    a0, s3

# A global page is seen under every ASID.
        jal     flush
        nop
        move    s3, $0
        li      s4, FLAGS_GLOBAL
        li      t0, 7
        mtc0    t0, c0_entryhi
        ehb
        dli     t1, 0x5151515151515151
        sd      t1, 8(s2)
        li      t0, 9
        mtc0    t0, c0_entryhi
        ehb
        jal     report
        ld      a0, 8(s2)
        jal     report
        move    a0, s3

# Invalid: load, store and fetch; in a delay slot too. Modified: a store to a clean page.
        jal     flush
        nop
        mtc0    $0, c0_entryhi
        li      s4, FLAGS_INVALID
        la      s6, 1f
        ld      t0, 0x10(s2)
1:      la      s6, 1f
        sd      t0, 0x18(s2)
1:      la      s6, 1f
        b       1f
        lbu     t0, 0x21(s2)
1:      la      s6, 1f
        jr      s2
        nop
1:      jal     flush
        li      s4, FLAGS_CLEAN
        la      s6, 1f
        ld      t0, 0x10(s2)
        sd      t0, 0x18(s2)
1:      la      s6, 1f
        b       1f
        sb      t0, 0x23(s2)
1:      la      s6, 1f
        lld     t0, 0x28(s2)
        scd     t0, 0x28(s2)
1:      la      s6, finish
        li      s4, FLAGS_VALID

# Code in a mapped page, entered from kseg0 and left again; the refill happens at the fetch.
        jal     flush
        nop
        move    s3, $0
        mtc0    $0, c0_entryhi
        dli     t2, CACHED + WINDOW + 0x3ff8
        la      t0, model
        ld      t1, 0(t0)
        sd      t1, 0(t2)
        ld      t1, 8(t0)
        sd      t1, 8(t2)         # the second half stands in the next page
        dli     t0, 0x30003ff8
        jalr    t0
        li      v0, 1
        jal     report
        move    a0, v0
        jal     report
        move    a0, s3

# Probe and read: an entry that is there, one that is not.
        dli     t0, 0x30003000
        dmtc0   t0, c0_entryhi
        ehb
        tlbp
        ehb
        mfc0    a0, c0_index
        jal     report
        nop
        tlbr
        ehb
        jal     report
        dmfc0   a0, c0_entryhi
        jal     report
        dmfc0   a0, c0_entrylo0
        jal     report
        dmfc0   a0, c0_entrylo1
        jal     report
        mfc0    a0, c0_pagemask
        dli     t0, 0x70003000
        dmtc0   t0, c0_entryhi
        ehb
        tlbp
        ehb
        mfc0    a0, c0_index
        jal     report
        srl     a0, a0, 31

# Regions: xkuseg beyond 32 bits, xksseg, xkseg, and the mapped 32-bit kernel segment.
        jal     flush
        nop
        mtc0    $0, c0_entryhi
        move    s3, $0
        dli     t0, 0x0000001234567000
        sd      t0, 0x30(t0)
        jal     report
        ld      a0, 0x30(t0)
        dli     t0, 0x4000000abcdef000
        sd      t0, 0x38(t0)
        jal     report
        ld      a0, 0x38(t0)
        dli     t0, 0xc000000000123000
        sd      t0, 0x40(t0)
        jal     report
        ld      a0, 0x40(t0)
        dli     t0, 0xffffffffc0321000
        sd      t0, 0x48(t0)
        jal     report
        ld      a0, 0x48(t0)
        jal     report
        move    a0, s3

# What a refill leaves in Context and XContext, and a load across two pages that are both missing.
        jal     flush
        nop
        move    s3, $0
        dli     t0, 0x0000000012345ffc
        ld      t1, 0(t0)
        jal     report
        move    a0, s3
        la      t0, seen
        ld      a0, 0(t0)
        jal     report
        nop
        la      t0, seen
        ld      a0, 8(t0)
        jal     report
        nop
        b       finish
        nop

flush:                            # every entry gets an address of its own in unmapped space
        move    s1, $0
        mtc0    $0, c0_pagemask
        dmtc0   $0, c0_entrylo0
        dmtc0   $0, c0_entrylo1
        dmfc0   t2, c0_entryhi
        dli     t0, KSEG0
        li      t1, ENTRIES
1:      dmtc0   t0, c0_entryhi
        addiu   t1, t1, -1
        mtc0    t1, c0_index
        ehb
        tlbwi
        bnez    t1, 1b
        daddiu  t0, t0, 0x2000
        dmtc0   t2, c0_entryhi
        jr.hb   ra
        nop

on_refill:                        # EntryHi is set by the exception; k0, k1 only
        la      k1, saved
        sd      t0, 0(k1)
        sd      t1, 8(k1)
        la      k1, seen
        dmfc0   t0, c0_context
        sd      t0, 0(k1)
        dmfc0   t0, c0_xcontext
        sd      t0, 8(k1)
        addiu   s3, s3, 1
        ori     t0, s5, 0x1fff
        daddiu  t0, t0, 1         # bytes an entry maps
        dmfc0   k0, c0_badvaddr
        dsubu   t1, $0, t0
        and     k0, k0, t1
        dli     t1, 0x03ffffff
        and     k0, k0, t1
        li      t1, WINDOW
        daddu   k0, k0, t1
        dmfc0   t1, c0_entryhi
        andi    t1, t1, 0xff
        dsll    t1, t1, 20
        daddu   k0, k0, t1
        dsrl    k1, k0, 6
        or      k1, k1, s4
        dmtc0   k1, c0_entrylo0
        dsrl    t0, t0, 1
        daddu   k0, k0, t0
        dsrl    k1, k0, 6
        or      k1, k1, s4
        dmtc0   k1, c0_entrylo1
        mtc0    s5, c0_pagemask
        andi    k0, s1, ENTRIES - 1
        mtc0    k0, c0_index
        ehb
        tlbwi
        addiu   s1, s1, 1
        la      k1, saved
        ld      t0, 0(k1)
        ld      t1, 8(k1)
        eret

on_exception:
        b       record
        nop

        .align  3
model:
        addiu   v0, v0, 3
        addiu   v0, v0, 4
        jr      ra
        addiu   v0, v0, 5
saved:  .space  16
seen:   .space  16
