"""Debian's kernel under gdb: it stops where gdb says, and boots to the same hash as without one."""

from __future__ import annotations

import pytest

from soc import Machine
from soc.fetch import debian
from soc.profile import symbols
from tests.gdb.client import debugged

pytestmark = pytest.mark.slow


def booting(cpus: int) -> Machine:
    material = debian.cached()
    if material is None:
        pytest.skip("no kernel: `soc fetch debian` gets it")
    machine = Machine("virt", cpus=cpus)
    machine.load(material.kernel, initrd=material.initrd, append="nokaslr")
    return machine


@pytest.mark.parametrize("cpus", [1, 4])
def test_breakpoints_in_the_kernel(cpus):
    plain = booting(cpus).run(until="INIT-UP")
    m = booting(cpus)
    found = symbols.from_memory(m.memory)
    with debugged(m, until="INIT-UP", max_virtual="3 s") as (run, gdb):
        for name, threads in (("start_kernel", {1}), ("start_secondary", set(range(2, cpus + 1)))):
            at = found.address(name)
            gdb.ask(f"Z0,{at:x},4")
            for _ in threads:
                reply = gdb.ask("vCont;c")
                assert reply in {f"T05thread:{thread:x};swbreak:;" for thread in threads}
                assert gdb.pc() == at
                for _ in range(100):
                    assert gdb.ask(f"vCont;s:{gdb.ask('qC')[2:]};c").startswith("T05")
            gdb.ask(f"z0,{at:x},4")
        assert f"{found.address('do_idle'):#x}" in gdb.monitor("symbol do_idle")
        assert gdb.ask("vCont;c") == "W00"
        assert run.end().trace_hash == plain.trace_hash
