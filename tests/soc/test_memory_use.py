"""How much of the host's memory a machine may hold when its guest uses all there is: every page written, and run."""

from __future__ import annotations

import subprocess
import sys

from soc.bench.runs import resident

GUEST = """
.equ RAM, 0x9800000080000000
.equ FIRST, 0x400000
.equ SIZE, 0x20000000
.equ PAGE, 0x1000
_start: li      t0, 0x340000e0
        mtc0    t0, c0_status
        ehb
        dli     s0, RAM + FIRST
        dli     s1, RAM + SIZE
        la      s2, model
        la      s4, model_end
1:      move    t0, s2                  # the function, to the beginning of the page
        move    t1, s0
2:      ld      t2, 0(t0)
        daddiu  t0, t0, 8
        sd      t2, 0(t1)
        bne     t0, s4, 2b
        daddiu  t1, t1, 8
        li      s3, 3                   # often enough to be translated
3:      jalr    s0
        addiu   s3, s3, -1
        bnez    s3, 3b
        nop
        daddiu  s0, s0, PAGE
        bne     s0, s1, 1b
        nop
        dli     t0, 0x9000000010080010
        li      t1, 0xff
        sb      t1, 0(t0)
        b       .
        nop
        .align  3
model:  .rept   15
        addiu   v0, v0, 1
        bgez    v0, . + 8
        nop
        .endr
        jr      ra
        nop
        nop                             # whole doublewords
model_end:
"""
# In a process of its own, so that nothing else counts; it says how often the buffers were full, and waits.
RUN = """
import sys
from cpu.engine import shared
from cpu.isa.assembler import assemble
from soc import Machine, PoweredOff
machine = Machine("virt", ram="512 MiB")
machine.load(assemble(sys.argv[1]).to_elf())
result = machine.run(until=PoweredOff)
print(result.ended, machine.cpu[0].get_state()["gpr"][2], machine.memory.shared[shared.POOL_FLUSHES], flush=True)
sys.stdin.readline()
"""
PAGES = (0x20000000 - 0x400000) // 0x1000


def test_a_guest_of_512_mib_stays_under_1_gib_with_all_of_it_written_and_run():
    command = [sys.executable, "-c", RUN, GUEST]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        ended, added, flushes = process.stdout.readline().split()
        peak = resident(process.pid)
        process.stdin.close()
    assert (ended, int(added)) == ("poweroff", PAGES * 3 * 15)
    assert int(flushes) > 0, "the buffers were never full"
    assert 512 < peak < 1024
