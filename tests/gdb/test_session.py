"""What a gdb can ask of a machine, packet by packet, and what becomes of the run."""

from __future__ import annotations

import socket
import subprocess
import sys
from random import Random

import pytest

from cpu.isa.assembler import assemble
from soc import ConfigurationError, Machine
from soc.gdb import GdbServer
from soc.gdb.monitor import COMMANDS
from soc.gdb.protocol import PACKET_BYTES, Token
from tests.gdb.client import Client, Run, debugged
from tests.gdb.programs import BASE, guest, machine

PC, STATUS, V0, A0, F2, FIR = 37, 32, 2, 4, 40, 71
SYMBOLS = guest().symbols
COUNT, LOOP, CELLS, GO_ON = (SYMBOLS[name] for name in ("count", "loop", "cells", "go_on"))
TIERS = ("reference", "threaded", "stencil")
STOPPED = "T05thread:1;"
AT_BREAKPOINT = STOPPED + "swbreak:;"


def plain(**options) -> str:
    return machine(**options).run(max_virtual="1 s").trace_hash


# Coming and going.


def test_the_machine_waits_for_gdb_before_its_first_instruction():
    m = machine()
    with debugged(m) as (run, gdb):
        assert gdb.ask("qSupported:swbreak+").startswith("PacketSize=")
        assert gdb.ask("?") == STOPPED
        assert (gdb.pc(), m.instructions) == (SYMBOLS["_start"], 0)
        assert gdb.ask("vCont;c") == "W00", "the guest powers off"
        assert gdb.is_alone()
        assert run.end().trace_hash == plain()


@pytest.mark.parametrize(("limits", "status"), [({"max_virtual": "2 us"}, "W03"), ({"max_insns": 50}, "W03")])
def test_limits_end_the_session_with_the_exit_status(limits, status):
    with debugged(machine(waits=True), **limits) as (run, gdb):
        assert gdb.ask("vCont;c") == status
        assert run.end().ended == "limit"


@pytest.mark.parametrize("goes", ["D", "vanish", "reset", "half"])
def test_a_gdb_that_leaves_lets_the_run_go_on(goes):
    with debugged(machine()) as (run, gdb):
        assert gdb.ask(f"Z0,{COUNT:x},4") == "OK"
        assert gdb.ask("vCont;c") == AT_BREAKPOINT
        if goes == "D":
            assert gdb.ask("D") == "OK"
        elif goes == "half":
            gdb.raw(b"$m8001")
        elif goes == "reset":
            gdb.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        gdb.close()
        assert run.end().ended == "poweroff"
        assert run.result.trace_hash == plain()


def test_another_gdb_may_come_when_one_has_left_a_running_machine():
    with debugged(machine(waits=True)) as (run, gdb):
        gdb.send("vCont;c")
        gdb.close()
        another = run.client()
        assert another.ask("?") == STOPPED
        assert another.ask(f"M{GO_ON:x},8:0100000000000000") == "OK"
        assert another.ask("vCont;c") == "W00"


def test_a_second_gdb_at_the_same_time_is_turned_away():
    with debugged(machine(waits=True)) as (run, gdb):
        assert gdb.ask("?") == STOPPED
        assert run.client().is_alone()
        gdb.send("vCont;c")
        assert run.client().is_alone()
        assert gdb.interrupt() == "T02thread:1;"


@pytest.mark.parametrize("packet", ["k", "vKill;1"])
def test_kill_ends_the_run(packet):
    with debugged(machine(waits=True)) as (run, gdb):
        gdb.send(packet)
        assert (run.end().ended, run.result.reason) == ("limit", "gdb killed the run")


def test_the_host_can_end_a_run_that_waits_for_gdb():
    m = machine(waits=True)
    run = Run(m)
    m.interrupt()
    assert run.end().ended == "limit"
    with debugged(m) as (run, gdb):
        assert gdb.ask("?") == STOPPED
        m.interrupt()
        assert gdb.answer() == "W03"


def test_addresses_that_nobody_can_listen_at():
    with GdbServer("localhost:0") as server:
        port = server.address.rsplit(":", 1)[1]
        for address in (port, "nowhere", "1:2:x", "70000", "-1", ""):
            with pytest.raises(ConfigurationError, match=r"gdb|HOST"):
                GdbServer(address)


def test_machine_debug_listens_where_it_is_told():
    with pytest.raises(ConfigurationError, match="HOST"):
        machine().debug("nonsense")


# Looking and changing.


def test_registers():
    m = machine()
    m.cpu[0].set_state({"fpr": list(range(32))})
    with debugged(m) as (_, gdb):
        whole = bytes.fromhex(gdb.ask("g"))
        assert len(whole) % 8 == 0
        assert int.from_bytes(whole[8 * PC : 8 * PC + 8], "little") == SYMBOLS["_start"]
        assert (gdb.register(F2), gdb.register(FIR)) == (2, 0x00770501)
        assert gdb.set_register(V0, -5) == "OK"
        assert gdb.set_register(F2, 0x123456789ABCDEF0) == "OK"
        assert gdb.set_register(STATUS, 0x340000E0) == "OK"
        assert gdb.set_register(FIR, 1) == "E10", "read-only"
        state = m.cpu[0].get_state()
        assert (state["gpr"][2], state["fpr"][2], state["cp0"]["status"]) == (2**64 - 5, 0x123456789ABCDEF0, 0x340000E0)
        changed = bytearray(whole)
        changed[8 * A0 : 8 * A0 + 8] = (77).to_bytes(8, "little")
        assert gdb.ask(b"G" + changed.hex().encode()) == "OK"
        assert gdb.ask("g") == changed.hex()
        assert gdb.ask("p999") == "E10"
        assert (gdb.ask("P2=00"), gdb.ask("G00")) == ("E16", "E16")
        assert gdb.set_register(STATUS, 1 << 32) == "E16", "of 32 bits"


def test_every_register_of_the_description_is_there():
    with debugged(machine(vz=True)) as (_, gdb):
        xml, piece = "", "m"
        while piece[0] == "m":
            piece = gdb.ask(f"qXfer:features:read:target.xml:{len(xml):x},200")
            xml += piece[1:]
        numbers = [int(part.split('"')[0]) for part in xml.split('regnum="')[1:]]
        assert sorted(numbers) == list(range(len(numbers))), "g has them without a gap"
        assert len(gdb.ask("g")) == 16 * len(numbers)
        assert 'name="guestctl0"' in xml
        assert gdb.ask("qXfer:features:read:other.xml:0,10") == ""


def test_memory():
    m = machine()
    with debugged(m) as (_, gdb):
        assert gdb.ask(f"m{CELLS:x},8") == "0010000000000000"
        assert gdb.ask(f"X{CELLS:x},4:#ab$") == "OK", "with escapes"
        assert m.memory.read(CELLS & 0x1FFF_FFFF, 4) == b"#ab$"
        assert gdb.ask(f"X{CELLS:x},0:") == "OK", "which gdb tries out"
        assert gdb.ask("m4000000000001000,4") == "E0e", "mapped by nothing"
        assert gdb.ask("m900000001fe001e0,1") == "E0e", "a device"
        assert gdb.ask("mffffffff80ffff00,200") == "00" * 0x100, "as far as there is memory"
        assert gdb.ask("Mffffffff80fffffe,4:01020304") == "E0e"
        assert m.memory.read(0xFFFFFE, 2) == b"\0\0", "and nothing is written"
        assert gdb.ask(f"M{CELLS:x},4:0102") == "E16"
        assert gdb.ask("mffffffffffffffffff,4") == "E16"
        assert len(gdb.ask("mffffffff80000000,ffffff")) < PACKET_BYTES


MAPPED = """
_start: li      $t0, 0x340000e0
        mtc0    $t0, $status
        dli     $t0, 0x12340000         # 64 KiB and 64 KiB, to physical 0x20000 and nowhere
        dmtc0   $t0, $entryhi
        li      $t0, 0x0001e000
        mtc0    $t0, $pagemask
        li      $t0, 0x81f              # valid, dirty, global
        dmtc0   $t0, $entrylo0
        li      $t0, 1
        dmtc0   $t0, $entrylo1
        li      $t0, 5
        mtc0    $t0, $index
        tlbwi
        li      $t1, 7
here:   b       here
        nop
"""


@pytest.mark.parametrize("tier", TIERS)
def test_looking_changes_nothing_and_sees_what_the_core_sees(tier):
    program = assemble(MAPPED, BASE)
    m = Machine("virt", ram="16 MiB", tier=tier)
    m.memory.write(BASE & 0x1FFF_FFFF, program.data)
    m.memory.write(0x20010, b"seen")
    m.cpu[0].set_state({"pc": program.entry})
    with debugged(m) as (_, gdb):
        gdb.ask(f"Z0,{program.symbol('here'):x},4")
        assert gdb.ask("vCont;c") == AT_BREAKPOINT
        before = m.cpu[0].save(), m.memory.digest(), m.trace.hash(b"")
        assert bytes.fromhex(gdb.ask("m12340010,4")) == b"seen"
        assert gdb.ask("m12350010,4") == "E0e", "mapped, but not valid"
        assert gdb.ask("m12360010,4") == "E0e", "not mapped"
        assert "   5: 0x0000000012340000 2 x 64 KiB global: 0x20000 rwx, invalid" in gdb.monitor("tlb")
        for packet in ("g", "p48", "qXfer:threads:read::0,1000", "m1fe001e0,8", "qThreadExtraInfo,1"):
            gdb.ask(packet)
        for command in COMMANDS:
            gdb.monitor(f"{command} uart")
        assert (m.cpu[0].save(), m.memory.digest(), m.trace.hash(b"")) == before
        assert gdb.ask("M12340010,4:61626364") == "OK"
        assert m.memory.read(0x20010, 4) == b"abcd"


@pytest.mark.parametrize("tier", TIERS)
def test_code_that_gdb_writes_is_executed(tier):
    nop = bytes(4).hex()
    with debugged(machine(tier=tier)) as (run, gdb):
        assert gdb.ask(f"Z0,{LOOP:x},4") == "OK"
        for _ in range(18):
            assert gdb.ask("vCont;c") == AT_BREAKPOINT
        assert gdb.ask(f"M{COUNT + 4:x},4:{nop}") == "OK"
        assert gdb.ask(f"z0,{LOOP:x},4") == "OK"
        assert gdb.ask("vCont;c") == "W00"
        assert int.from_bytes(run.machine.memory.read(CELLS & 0x1FFF_FFFF, 8), "little") == 0x1000 + 17 * 3


def test_nothing_is_written_to_a_core_in_the_middle_of_an_access():
    with debugged(machine()) as (_, gdb):
        store = SYMBOLS["work"] - 8
        gdb.ask(f"Z1,{store:x},4")
        assert gdb.ask("vCont;c") == STOPPED + "hwbreak:;"
        assert gdb.set_register(V0, 1) == "OK"
        assert gdb.ask("vCont;s:1") == STOPPED
        assert gdb.pc() == store + 4, "a step of an access lasts until its answer is there"


# Stopping and going on.


@pytest.mark.parametrize("tier", TIERS)
def test_breakpoints_and_steps(tier):
    with debugged(machine(tier=tier)) as (run, gdb):
        assert gdb.ask(f"Z0,{COUNT:x},4") == "OK"
        for n in range(3):
            assert gdb.ask("c") == AT_BREAKPOINT
            assert (gdb.pc(), gdb.register(A0)) == (COUNT, 20 - n)
        pcs = []
        for _ in range(6):
            assert gdb.ask("vCont;s:1;c") == STOPPED
            pcs.append(gdb.pc() - COUNT)
        assert pcs == [4, 8, 12, LOOP + 8 - COUNT, LOOP + 12 - COUNT, LOOP - COUNT], "a branch has its delay slot"
        assert gdb.ask(f"vCont;r{LOOP:x},{LOOP + 20:x}:1;c") == STOPPED
        assert gdb.pc() == COUNT, "out of the range"
        assert gdb.ask(f"z0,{COUNT:x},4") == "OK"
        assert gdb.ask(f"vCont;r{COUNT:x},{COUNT + 20:x}:1;c") == STOPPED
        assert gdb.pc() == LOOP + 8
        assert gdb.ask("vCont;c") == "W00"
        assert run.end().trace_hash == plain(tier=tier)


def test_the_guest_does_not_see_a_breakpoint():
    m = machine()
    with debugged(m) as (_, gdb):
        before = gdb.ask(f"m{COUNT:x},4")
        gdb.ask(f"Z0,{COUNT:x},4")
        assert gdb.ask("vCont;c") == AT_BREAKPOINT
        assert m.memory.read(COUNT & 0x1FFF_FFFF, 4).hex() == gdb.ask(f"m{COUNT:x},4") == before


@pytest.mark.parametrize(("kind", "reason", "where"), [(2, "watch", 8), (3, "rwatch", 0), (4, "awatch", 0)])
def test_watchpoints(kind, reason, where):
    with debugged(machine()) as (run, gdb):
        assert gdb.ask(f"Z{kind},{CELLS:x},8") == "OK"
        for _ in range(2):
            assert gdb.ask("vCont;c") == f"{STOPPED}{reason}:{CELLS:x};"
            assert gdb.pc() == COUNT + where, "before the access"
            if kind == 4:
                assert gdb.ask("vCont;c") == f"{STOPPED}{reason}:{CELLS:x};"
        assert gdb.ask(f"z{kind},{CELLS:x},8") == "OK"
        assert gdb.ask("vCont;c") == "W00"
        assert run.end().trace_hash == plain()


def test_too_many_watchpoints_are_refused():
    with debugged(machine()) as (_, gdb):
        assert {gdb.ask(f"Z2,{CELLS + n:x},1") for n in range(64)} == {"OK"}
        assert gdb.ask(f"Z2,{CELLS + 64:x},1") == "E1c"


def test_a_step_into_an_exception_ends_at_the_handler():
    m = machine()
    with debugged(m) as (_, gdb):
        assert gdb.set_register(PC, 1 << 62) == "OK", "an address error"
        assert gdb.ask("vCont;s:1") == STOPPED
        assert gdb.pc() == 0xFFFF_FFFF_BFC0_0380, "BEV is set after reset: the handler in ROM"
        assert m.instructions == 0


def test_ctrl_c_stops_a_machine_that_runs():
    with debugged(machine(waits=True)) as (_, gdb):
        for _ in range(3):
            gdb.send("vCont;c")
            assert gdb.interrupt() == "T02thread:1;"
            assert SYMBOLS["_start"] <= gdb.pc() < GO_ON
        gdb.send(f"vCont;r{SYMBOLS['_start']:x},{GO_ON:x}")
        assert gdb.interrupt() == "T02thread:1;", "also where it steps in a range that it does not leave"
        assert gdb.ask(f"M{GO_ON:x},1:01") == "OK"
        assert gdb.ask("vCont;c") == "W00"


def test_cores_are_threads():
    with debugged(machine(cpus=3, waits=True)) as (_, gdb):
        assert gdb.ask("qfThreadInfo") == "m1,2,3"
        assert gdb.ask("qsThreadInfo") == "l"
        assert bytes.fromhex(gdb.ask("qThreadExtraInfo,2")) == b"cpu1 (held at reset)"
        assert (gdb.ask("T3"), gdb.ask("T4"), gdb.ask("Hgxyz")) == ("OK", "E03", "E16")
        listed = gdb.ask("qXfer:threads:read::0,1000")
        assert listed[0] == "l" and 'name="cpu0">kernel mode<' in listed and ">held at reset<" in listed
        gdb.ask(f"Z0,{COUNT:x},4")
        where = set()
        for _ in range(30):
            stop = gdb.ask("vCont;c")
            where.add(stop)
            assert gdb.pc() == COUNT, "the thread that stopped is the one looked at"
        assert where == {AT_BREAKPOINT, AT_BREAKPOINT.replace(":1;", ":2;")}
        assert gdb.ask("Hg1") == "OK"
        other = gdb.pc()
        assert gdb.ask("Hg2") == "OK"
        assert (other == COUNT) + (gdb.pc() == COUNT) >= 1


def test_a_step_of_a_core_that_is_held_lasts_until_ctrl_c():
    with debugged(machine(cpus=3, waits=True)) as (_, gdb):
        assert gdb.ask("Hg3") == "OK"
        gdb.send("vCont;s:3")
        assert gdb.interrupt() == "T02thread:3;"
        assert gdb.ask("Hg1") == "OK"
        assert gdb.pc() > SYMBOLS["_start"], "the others have gone on"


def test_breakpoints_hold_for_others_while_one_core_steps_past_its_own():
    with debugged(machine(cpus=2)) as (run, gdb):
        gdb.ask(f"Z0,{COUNT:x},4")
        hits = 0
        reply = gdb.ask("vCont;c")
        while reply != "W00":
            hits += "swbreak" in reply
            # As gdb does it: without breakpoints past the one it stands at, then with them.
            gdb.ask(f"z0,{COUNT:x},4")
            reply = gdb.ask(f"vCont;s:{gdb.ask('qC')[2:]}")
            hits += "swbreak" in reply
            gdb.ask(f"Z0,{COUNT:x},4")
            reply = gdb.ask("vCont;c")
        assert hits == 40
        assert run.end().trace_hash == plain(cpus=2)


def test_an_instruction_that_is_not_modelled_is_shown_before_the_run_ends():
    m = machine()
    m.memory.write(COUNT & 0x1FFF_FFFF, (0x4000_B800).to_bytes(4, "little"))  # mfc0 $0, $23: Debug
    with debugged(m) as (run, gdb):
        assert gdb.ask("vCont;c") == "T04thread:1;"
        assert gdb.pc() == COUNT and "not modelled" in gdb.console
        assert gdb.ask("vCont;c") == "W01"
        assert run.end().ended == "error"


# Monitor commands.


def test_monitor_commands():
    with debugged(machine(cpus=2)) as (run, gdb):
        assert "cpu1: held at reset" in gdb.monitor("cores")
        gdb.ask(f"Z0,{COUNT:x},4")
        gdb.ask("vCont;c")
        listed = gdb.monitor("help")
        for command in ("time", "cores", "cp0", "tlb", "irq", "devices", "trace", "tlb guest", "device uart"):
            assert command.split()[0] in listed
            assert gdb.monitor(command)
        assert gdb.monitor("cp0 prid") == f"{'prid':13} {0x14C000:#018x}\n"
        assert gdb.monitor("physical 0x10000 8").split()[1:] == [guest().data[:4].hex(), guest().data[4:8].hex()]
        assert gdb.monitor(f"translate {COUNT:#x}") == f"{COUNT & 0x1FFFFFFF:#x}, memory\n"
        assert gdb.monitor("physical 0x1fe001e0").startswith("16 bytes at physical")
        assert "there are help, time" in gdb.monitor("nonsense")
        assert gdb.monitor("physical").startswith("physical: physical ADDRESS")
        gdb.ask(f"z0,{COUNT:x},4")
        assert gdb.ask("vCont;c") == "W00"
        assert run.end().trace_hash == plain(cpus=2)


# What is wrong, or nonsense.


def test_unknown_packets_are_answered_as_such():
    with debugged(machine()) as (_, gdb):
        for packet in ("", "qNonsense", "qCRC:0,1", "vMustReplyEmpty", "bs", "!", "Z5,1,1", "i", "R00"):
            assert gdb.ask(packet) == ""


def test_damage_is_sent_again_and_answers_too():
    with debugged(machine()) as (_, gdb):
        gdb.raw(b"$?#00")
        assert gdb.next() is Token.NACK
        assert gdb.ask("?") == STOPPED
        gdb.raw(b"-")
        assert gdb.answer() == STOPPED
        gdb.raw(b"$m" + b"0" * PACKET_BYTES + b"#00")
        assert gdb.answer() == "E07"
        assert gdb.ask("QStartNoAckMode") == "OK"
        gdb.send("?")
        assert gdb.next() == STOPPED.encode()


WORDS = """g G p P m M X Z0, z1, H T q qRcmd, qXfer:threads:read:: qXfer:features:read:target.xml: vCont;s: ?
    ffffffff80010000 ,4 : = ; -1 1 00 zz \xff""".split()


def test_nonsense_is_answered_and_leaves_the_session_fit():
    random = Random(4)
    with debugged(machine(waits=True)) as (_, gdb):
        for _ in range(1500):
            assert isinstance(gdb.ask("".join(random.choices(WORDS, k=random.randrange(1, 5)))), str)
        assert gdb.ask("?")[:1] == "T"


def test_noise_is_passed_over():
    random = Random(5)
    with debugged(machine(waits=True)) as (_, gdb):
        for _ in range(100):
            gdb.raw(bytes(random.choices(b"$#}*-\x03abcm1,", k=50)))
        gdb.raw(b"#00")
        gdb.send("qC")
        while gdb.next() != b"QC1":
            pass


# The command.


def test_the_command_says_where_it_waits_and_ends_as_the_run_does(tmp_path):
    guest().to_elf(tmp_path / "prog.elf")
    line = [sys.executable, "-m", "soc", "run", str(tmp_path / "prog.elf"), "--ram-mb", "16", "--gdb", "0"]
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    said = process.stderr.readline()
    assert said.startswith("soc: waiting for gdb: target remote 127.0.0.1:")
    gdb = Client(said.split()[-1])
    assert gdb.ask("vCont;s:1") == STOPPED
    assert gdb.ask("vCont;c") == "W00"
    out, said = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, "")
    alone = Machine("virt", ram="16 MiB")
    alone.load(tmp_path / "prog.elf")
    assert f'"trace_hash": "{alone.run(max_virtual="1 s").trace_hash}"' in said


def test_an_address_that_is_wrong_is_bad_input(tmp_path):
    guest().to_elf(tmp_path / "prog.elf")
    line = [sys.executable, "-m", "soc", "run", str(tmp_path / "prog.elf"), "--gdb", "here"]
    done = subprocess.run(line, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and "HOST" in done.stderr
