"""A machine saved at any moment and restored goes on as if nothing had happened; bad checkpoints are refused."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from random import Random

import msgpack
import pytest

from scenarios.library import loaded
from soc import Machine, PoweredOff
from soc.checkpoint import CheckpointError
from soc.errors import ConfigurationError
from soc.time import duration, seconds
from tests.soc.test_cluster import RECEIVE, START, STORM, TYPED_AT, build, whole

TIERS = ("threaded", "reference", "stencil")

# Accesses to the UART's scratch register in every place of a block, among them every kind of delay slot.
SLOTS = (
    START
    + """
work:   li      $s3, 0
        li      $t2, 1
        sb      $t2, 7($s1)
        b       1f
        lbu     $t0, 7($s1)
        li      $s3, 1
1:      daddu   $s3, $s3, $t0
        beq     $t2, $0, 2f
        sb      $s3, 7($s1)
        bnel    $t2, $0, 2f
        lbu     $t1, 7($s1)
        li      $s3, 2
2:      daddu   $s3, $s3, $t1
        bne     $t2, $0, 3f             # the slot changes what the branch reads
        lbu     $t2, 7($s1)
        li      $s3, 3
3:      daddu   $s3, $s3, $t2
        la      $t3, 4f
        jr      $t3
        lbu     $a0, 7($s1)
        li      $s3, 4
4:      la      $t3, 5f
        jalr    $a1, $t3
        lbu     $t3, 7($s1)
        li      $s3, 5
5:      bltzal  $s3, 6f
        sb      $t3, 7($s1)
        jal     7f
        lbu     $a2, 7($s1)
6:      li      $s3, 6
7:      daddu   $s3, $s3, $a2
        xor     $s3, $s3, $ra
        b       8f
        nop
        .align  8
8:      .rept   63
        addiu   $s3, $s3, 3
        .endr
        lbu     $a3, 7($s1)             # the last instruction before a boundary
        .rept   5
        addiu   $s3, $s3, 5
        lbu     $a3, 7($s1)
        .endr
        ld      $t0, 0($s4)             # nothing is there: a bus error
        b       9f
        sw      $a3, 0($s4)
9:      b       finish
        nop
handler:
        daddiu  $s5, $s5, 1
        mfc0    $k0, $cause
        dmfc0   $k1, $epc
        xor     $s3, $s3, $k1
        la      $k1, 9b
        bltzl   $k0, 1f
        dmtc0   $k1, $epc
        dmfc0   $k1, $epc
        daddiu  $k1, $k1, 4
        dmtc0   $k1, $epc
1:      eret
""".replace("ready:", "ready:  dli $s4, 0x9000007000000000\n")
)

# Prints a prompt and reads a line from the UART, three times.
ASKS = (
    START
    + """
work:   li      $s3, 3
1:      la      $s4, prompt
2:      lbu     $t0, 0($s4)
        beqz    $t0, 3f
        daddiu  $s4, $s4, 1
        b       2b
        sb      $t0, 0($s1)
3:      lbu     $t0, 5($s1)
        andi    $t0, $t0, 1
        beqz    $t0, 3b
        nop
        lbu     $t0, 0($s1)
        sb      $t0, 0($s1)
        xori    $t0, $t0, 10
        bnez    $t0, 3b
        addiu   $s5, $s5, 1
        addiu   $s3, $s3, -1
        bnez    $s3, 1b
        nop
        b       finish
        nop
handler: eret
prompt: .asciiz "soc# "
        .align  3
"""
)


QUICK = {"typing_delay": "9 us", "typing_gap": "500 ns"}


def receive(**options) -> Machine:
    m, _ = build(RECEIVE, 2, timing=QUICK, **options)
    m.replay([(at, b"x") for at in TYPED_AT])
    return m


def rng(**options) -> Machine:
    devices = {"virtio_rng": {"seed": 5}}
    return loaded(
        "virtio_rng.S", "ls7a", 2, {"trace": False, "devices": devices, **options}, rounds=4, extended=1
    ).machine


def asks(**options) -> Machine:
    m, _ = build(ASKS, 1, timing=QUICK, **options)
    m.script(["one", "two", "three"])
    return m


COSTS = {"cycles_load": 7, "cycles_branch": 3, "cycles_store": 2, "exception_entry": 5, "count_divider": 3}
MACHINES = {
    "storm": lambda **options: build(STORM, 4, **options)[0],
    "slots": lambda **options: build(SLOTS, 1, **options)[0],
    "costly": lambda **options: build(SLOTS, 2, timing=COSTS, **options)[0],
    "receive": receive,
    "rng": rng,
    "asks": asks,
}


def finish(m: Machine) -> tuple:
    result = m.run(until=PoweredOff, max_virtual="1 s")
    assert result.ended == "poweroff", result.reason
    return whole(m, result)


@cache
def undisturbed(name: str) -> tuple:
    return finish(MACHINES[name]())


def moments(name: str, count: int) -> list[int]:
    """`count` random times of the run before it is about to end, in ps, in order."""
    end = undisturbed(name)[-1] - duration("1 us")
    return sorted(Random(f"{name} {count}").sample(range(1, end), count))


def saved(name: str, times: list[int], **options) -> list[bytes]:
    """Checkpoints of one run at `times`; the run goes on to its end as if nothing had happened."""
    m = MACHINES[name](**options)
    found = []
    for time in times:
        if time > m.now:
            assert m.run(max_virtual=time - m.now).ended == "limit"
        found.append(m.save())
    assert finish(m) == undisturbed(name), "saving changed the run"
    return found


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("name", MACHINES)
def test_a_restored_machine_ends_as_the_undisturbed_one(name, tier):
    for number, checkpoint in enumerate(saved(name, moments(name, 6), tier=tier)):
        assert finish(Machine.restore(checkpoint, tier=TIERS[number % 3])) == undisturbed(name)


@pytest.mark.parametrize("tier", TIERS)
def test_a_core_parked_in_any_place_of_a_block_is_restored(tier):
    times = range(duration("100 ns"), undisturbed("slots")[-1] - duration("1 us"), duration("300 ns"))
    for number, checkpoint in enumerate(saved("slots", list(times), tier=tier)):
        assert finish(Machine.restore(checkpoint, tier=TIERS[number % 3])) == undisturbed("slots"), times[number]


@pytest.mark.slow
@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("name", MACHINES)
def test_many_moments(name, tier):
    for number, checkpoint in enumerate(saved(name, moments(name, 40), tier=tier)):
        assert finish(Machine.restore(checkpoint, tier=TIERS[number % 3])) == undisturbed(name)


def test_it_works_again_and_again():
    checkpoint = MACHINES["storm"]().save()
    while True:
        m = Machine.restore(checkpoint)
        result = m.run(max_virtual="5 us")
        if result.ended == "poweroff":
            break
        checkpoint = m.save()
    assert whole(m, result) == undisturbed("storm")


def test_between_limits_of_instructions_too():
    m = MACHINES["slots"]()
    while (result := m.run(max_insns=7)).ended == "limit":
        m = Machine.restore(m.save())
    assert whole(m, result) == undisturbed("slots")


def test_requests_replies_and_dma_in_flight_are_saved():
    """The moments of the tests above meet everything that can be under way."""
    met = set()
    for name in ("storm", "rng"):
        m = MACHINES[name]()
        for time in moments(name, 6):
            if time > m.now:
                m.run(max_virtual=time - m.now)
            state = m.state()
            met |= {"event"} if state["events"] else set()
            met |= {"access"} if any(port["awaited"] for port in state["cores"]["ports"]) else set()
            met |= {"parked"} if any(core["place"] for core in state["cores"]["cluster"]["cores"]) else set()
            for part in state["components"].values():
                met |= {what for what in ("under_way", "forwarded") if part[what]}
    assert met == {"event", "access", "parked", "under_way", "forwarded"}


def test_a_timer_that_was_the_first_message_of_its_device_is_restored_once():
    """Restoring the device arms it again as its first message, at the same place in the order."""
    machine = loaded("timer_jitter.S", "virt", rounds=3, stable=1).machine
    machine.run(max_virtual="4 us")
    (sequence,) = (value.sequence for _, value in machine.kernel.pending())
    saved = machine.save()
    assert sequence == 1
    assert Machine.restore(saved).run(until=PoweredOff).trace_hash == machine.run(until=PoweredOff).trace_hash


def test_at_saves_in_the_middle_of_a_run():
    found = []
    m = MACHINES["storm"]()
    at = undisturbed("storm")[-1] // 2
    result = m.run(until=PoweredOff, at=(at, lambda m: found.append((m.now, m.save()))))
    assert whole(m, result) == undisturbed("storm")
    (time, checkpoint), window = found[0], m.timing.core_window
    assert at <= time < at + 2 * window, "at a grid point, once every core has come there"
    assert finish(Machine.restore(checkpoint)) == undisturbed("storm")
    late = Machine.restore(checkpoint)
    with pytest.raises(ConfigurationError, match="at = 0 s; the machine has reached"):
        late.run(at=(0, Machine.save))


@pytest.mark.parametrize("name", ["receive", "rng"])
def test_devices_in_their_own_processes_are_saved_and_restored(name):
    for number, checkpoint in enumerate(saved(name, moments(name, 2), placement="process")):
        place = ("process", None)[number % 2]
        assert finish(Machine.restore(checkpoint, placement=place)) == undisturbed(name)
    for checkpoint in saved(name, moments(name, 1)):
        assert finish(Machine.restore(checkpoint, placement="process")) == undisturbed(name)


def test_another_process_goes_on(tmp_path):
    path = tmp_path / "storm.ckpt"
    m = MACHINES["storm"]()
    m.run(max_virtual=undisturbed("storm")[-1] // 3)
    assert m.save(path) == path
    code = (
        "import sys, json; from soc import Machine; m = Machine.restore(sys.argv[1]); r = m.run(max_virtual='1 s');"
        "print(json.dumps([r.ended, r.trace_hash, m.exits, m.now, m.console.hex()]))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, check=True, timeout=120)
    ended, _, trace_hash, _, console, exits, now = undisturbed("storm")
    assert json.loads(done.stdout) == [ended, trace_hash, exits, now, console.hex()]


def test_the_records_of_a_trace_go_with_it():
    m = MACHINES["receive"](trace=True)
    m.run(max_virtual=TYPED_AT[1])
    checkpoint = m.save()
    finish(m)
    again = Machine.restore(checkpoint)
    finish(again)
    assert [str(record) for record in again.trace] == [str(record) for record in m.trace]
    assert again.trace.latency("uart").table() == m.trace.latency("uart").table()
    silent = Machine.restore(checkpoint, trace=False)
    assert finish(silent)[2] == undisturbed("receive")[2]


def test_a_trace_may_begin_at_the_restore(tmp_path):
    m = MACHINES["receive"]()
    m.run(max_virtual=TYPED_AT[1] - 1)
    again = Machine.restore(m.save(), trace=True)
    again.trace.record_to(tmp_path / "trace.soc")
    result = again.run(until=PoweredOff)
    again.trace.close(result.trace_hash)
    assert result.trace_hash == undisturbed("receive")[2]
    loaded_again = type(again.trace).load(tmp_path / "trace.soc")
    assert len(loaded_again.records) == len(again.trace.records) == again.trace.messages - m.trace.messages
    plain = MACHINES["receive"](trace=True)
    finish(plain)
    later = [path for path in plain.trace.latency("uart").paths if path.began >= TYPED_AT[1]]
    found = loaded_again.latency("uart").paths
    # The line may be up already where the trace begins: that interrupt's beginning is not in it.
    assert len(later) - 1 <= len(found) and {path.began for path in found} <= {path.began for path in later}


def test_a_script_begins_at_the_prompt_a_machine_was_saved_at():
    m, _ = build(ASKS, 1)
    assert m.run(until="soc# ").ended == "until"
    again = Machine.restore(m.save())
    again.script(["a", "b", "c"])
    assert finish(again)[4] == b"soc# a\nsoc# b\nsoc# c\n"


def test_what_was_typed_goes_with_it():
    m, _ = build(ASKS, 1)
    assert m.run(until="soc# ").ended == "until"
    m.type("x\n")
    m.run(max_virtual="1 ms")
    again = Machine.restore(m.save())
    assert again.typed == m.typed and len(m.typed) == 1
    assert again.console.endswith(b"soc# ")


def test_a_machine_that_is_off_stays_off():
    m = MACHINES["slots"]()
    finish(m)
    again = Machine.restore(m.save())
    assert again.is_off and again.digest() == m.digest()
    with pytest.raises(ConfigurationError, match="switched off"):
        again.run()


# What cannot be.


@pytest.fixture(scope="module")
def checkpoint() -> bytes:
    m = MACHINES["receive"]()
    m.run(max_virtual=TYPED_AT[1])
    return m.save()


def refused(source) -> str:
    with pytest.raises(CheckpointError) as error:
        Machine.restore(source)
    return str(error.value)


def test_one_that_was_cut_off_is_refused(checkpoint):
    random = Random(1)
    for length in [0, 5, 17, 18, len(checkpoint) - 1, *(random.randrange(len(checkpoint)) for _ in range(25))]:
        text = refused(checkpoint[:length])
        assert "cut off" in text or "not a checkpoint" in text or "damaged" in text


def test_one_that_is_damaged_is_refused(checkpoint):
    random = Random(2)
    for _ in range(40):
        changed = bytearray(checkpoint)
        changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
        refused(bytes(changed))
    assert "pieces are not those" in refused(checkpoint + msgpack.packb(["memory", 0, b"", 0]))


def test_one_of_another_kind_or_version_is_refused(checkpoint, tmp_path):
    assert "not a checkpoint" in refused(b"\x7fELF" + bytes(100))
    assert "format 2; this version reads 1" in refused(checkpoint.replace(b"soc-checkpoint 1\n", b"soc-checkpoint 2\n"))
    assert "cannot read the checkpoint" in refused(tmp_path / "none")


def test_a_state_of_another_version_is_refused(checkpoint, monkeypatch):
    from cpu import state

    monkeypatch.setitem(state.SLOTS, "new_register", (state.GPR, 1))
    assert "differs in ['new_register']" in refused(checkpoint)


def test_a_machine_wired_in_another_way_is_refused(checkpoint, monkeypatch):
    from soc.platforms import virt

    less = tuple(part for part in virt.PLATFORM.parts if part.name != "rtc")
    wires = virt.PLATFORM.wires
    monkeypatch.setattr(
        virt,
        "PLATFORM",
        type(virt.PLATFORM)(
            "virt",
            less,
            virt.WINDOWS,
            lambda cpus: [w for w in wires(cpus) if "rtc" not in w.source],
            console=virt.PLATFORM.console,
        ),
    )
    assert "wired in another way" in refused(checkpoint)


def test_what_makes_the_machine_cannot_change(checkpoint):
    with pytest.raises(CheckpointError, match="cpus cannot change, tier or trace"):
        Machine.restore(checkpoint, cpus=4)
    with pytest.raises(CheckpointError, match="no device 'virtio_blk'; it has none"):
        Machine.restore(checkpoint, devices={"virtio_blk": {}})


def test_a_function_of_the_program_must_be_given_again():
    def peer(frame):
        return []

    m = Machine("virt", ram="16 MiB", devices={"virtio_net": {"peer": peer, "mac": "020000000001"}})
    checkpoint = m.save()
    assert "virtio_net's peer was given by the program" in refused(checkpoint)
    again = Machine.restore(checkpoint, devices={"virtio_net": {"peer": peer}})
    assert again.devices["virtio_net"].mac == bytes.fromhex("020000000001")


def test_a_machine_that_ended_in_an_error_is_not_saved():
    m, _ = build(START + "work: deret\nhandler: nop\n", 1)
    assert m.run().ended == "error"
    with pytest.raises(CheckpointError, match="ended in an error and cannot be saved: cpu0: core 0 at pc"):
        m.save()


def test_a_checkpoint_is_whole_or_not_there(tmp_path):
    m, _ = build(ASKS, 1)
    with pytest.raises(CheckpointError, match=r"cannot write the checkpoint .*: there is no folder"):
        m.save(tmp_path / "none" / "x")
    path = tmp_path / "x"
    m.save(path)
    before = path.read_bytes()
    m.kernel.timeout(10)
    with pytest.raises(CheckpointError, match="a simpy process of one's own is not saved"):
        m.save(path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_only_memory_that_is_not_zero_takes_room():
    small, large = (Machine("virt", ram=ram).save() for ram in ("16 MiB", "2 GiB"))
    assert abs(len(large) - len(small)) < 100
    assert seconds(Machine.restore(large).now) == 0
