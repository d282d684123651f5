# Counts in memory, calls a function, waits for nothing; core 0 releases the others, all do the same work.
.equ    IPI, 0x900000003ff01000
.equ    POWER, 0x9000000010080010
_start: li      $t0, 0x340000e0
        mtc0    $t0, $status
        dli     $s0, IPI
        la      $t0, work
        sd      $t0, 0x120($s0)         # mailbox 0 of core 1, where there is one
work:   la      $s1, cells
        rdhwr   $s2, $0
        dsll    $s3, $s2, 3
        daddu   $s1, $s1, $s3
        li      $a0, 20
loop:   jal     count
        nop
        addiu   $a0, $a0, -1
        bnez    $a0, loop
        nop
done:   bnez    $s2, done
        nop
        la      $s1, go_on
1:      ld      $t0, 0($s1)
        beqz    $t0, 1b
        nop
        dli     $t1, POWER
        li      $t2, 0xff
        sb      $t2, 0($t1)
        b       done
        nop
count:  ld      $v0, 0($s1)
        daddiu  $v0, $v0, 3
        sd      $v0, 0($s1)
        jr      $ra
        nop
        .align  3
go_on:  .dword  1                       # the program ends once this is not 0
cells:  .dword  0x1000, 0x2000
