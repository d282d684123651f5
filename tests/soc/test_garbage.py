"""Machines made, run and dropped in one process: what they held goes back to the host."""

from __future__ import annotations

import subprocess
import sys

from soc import garbage

MIB = 1 << 20
MACHINES, GROWTH = 100, 64 << 20
# In a process of its own, whose memory nothing else uses; the first machine brings what stays. With many objects that
# stay, as in a large program, Python by itself would hardly ever look for garbage.
RUN = """
import gc
from cpu.isa.assembler import assemble
from soc import Machine, garbage
garbage.GROWTH = {growth}
stay = [[] for _ in range(2_000_000)]
program = assemble("_start: li t0, 1000\\n1: bnez t0, 1b\\n addiu t0, t0, -1\\n wait").to_elf()
def use():
    machine = Machine("virt", cpus=2, ram="16 MiB")
    machine.load(program)
    assert machine.run().ended == "deadlock"
use()
gc.collect()
used = [garbage.resident()]
for _ in range({machines}):
    use()
    used.append(garbage.resident())
print(*used)
"""


def test_a_hundred_machines_take_no_more_memory_than_a_few():
    command = [sys.executable, "-c", RUN.format(machines=MACHINES, growth=GROWTH)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    first, *used = map(int, done.stdout.split())
    assert len(used) == MACHINES
    one = max(used[0] - first, 4 * MIB)
    assert max(used) < first + GROWTH + 4 * one


def test_a_process_that_does_not_grow_is_left_alone(monkeypatch):
    looks, used = [], [100 * MIB]
    monkeypatch.setattr(garbage, "_most", 0)
    monkeypatch.setattr(garbage, "resident", lambda: used[0])
    monkeypatch.setattr(garbage.gc, "collect", lambda: looks.append(used[0]))
    for now in (100, 611, 612, 613, 700, 1100, 1126):
        used[0] = now * MIB
        garbage.make_room()
    assert looks == [613 * MIB, 1126 * MIB]
