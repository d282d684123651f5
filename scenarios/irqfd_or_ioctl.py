"""How much sooner is an interrupt in the guest when an irqfd injects it instead of a thread of the VMM by ioctl?"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from devices.device import Device
from devices.ports import EventIn, VectorOut
from devices.registers import Internal
from scenarios.kvm import each, reasons
from scenarios.library import Loaded, loaded, within
from scenarios.registry import Run, scenario
from scenarios.table import spreads, table
from soc.time import duration

MSI_VECTOR, MESSAGE, GSI = 0x46, 8, 64
MOST_ROUNDS = 4096
"""So many stamps has inject.S room for."""
FIRST = 500_000_000
"""When the first signal leaves, in ps: the guest is ready."""
WAYS = {"bare": None, "irqfd": "kernel", "ioctl": "kernel", "ioctl, user irqchip": "user"}
"""The way of a signal, and who serves the guest's interrupt controllers."""


class InjectingThread(Device):
    """A thread of the VMM, on a core of its own, that waits for the descriptor and calls KVM_SIGNAL_MSI.

    delay   from the signal to the kernel's end of the ioctl, in ps: woken, back in user space, in the kernel again
    """

    left = Internal(0)

    signal = EventIn("The descriptor.")
    msi = VectorOut("To the HT controller.")

    def __init__(self, *, delay: int = 1, **options: Any) -> None:
        self.delay = delay
        super().__init__(**options)

    def on_event_signal(self, descriptor: int, count: int) -> None:
        self.left += count
        self.after(self.delay, "ioctl")

    def on_timer_ioctl(self) -> None:
        self.left -= 1
        self.msi.send(MSI_VECTOR)
        if self.left:
            self.after(self.delay, "ioctl")


@scenario(rounds=100, interval="60 us", asleep=False, kvm="vz", tier="auto")
def irqfd_or_ioctl(run: Run, rounds: int, interval: str, asleep: bool, kvm: str, tier: str) -> None:
    """One vCPU on one core, awake or `asleep`, gets a message every `interval`."""
    within("rounds", rounds, 1, MOST_ROUNDS)
    late: dict[str, list[int]] = {}
    rows = []
    for way in WAYS:
        guest = prepare(way, rounds, duration(interval), asleep, kvm, tier)
        result = guest.run(max_virtual="10 s")
        run.trace(guest.machine, result, way.partition(",")[0] + ("-user" if "," in way else ""))
        run.expect(result.ended, equals="poweroff", what=f"the end of {way}")
        if not run.ok:
            run.show(result.reason)
            return
        late[way] = lateness(guest, rounds)
        rows.append((way, f"{result.details['messages'] / rounds:.1f}", each(reasons(guest.machine), rounds)))
        run.expect(guest.counters(0)[0], equals=rounds, what=f"messages served, {way}")
    text = "\n\n".join((spreads("signal to handler, by", late), table(("by", "messages each", "exits each"), rows)))
    run.show(text, "")
    run.keep("injection.txt", text + "\n")
    run.result(result, guest.machine)
    middle = {way: sorted(times)[len(times) // 2] for way, times in late.items()}
    run.expect(middle["irqfd"], above=middle["bare"], what="the way into a guest")
    saved = middle["ioctl"] - middle["irqfd"]
    run.expect(saved, above=0, below=2 * thread_delay(guest.machine.timing), what="what the thread takes")


def prepare(way: str, rounds: int, interval: int, asleep: bool, kvm: str = "vz", tier: str = "auto") -> Loaded:
    """The machine for one way (WAYS), its descriptor signalled `rounds` times: platform ls7a, whose event descriptors
    lead to ls7a_irqfd, or here to a thread."""
    from soc.platforms import Part, Wire, find

    given = {"routes": [(GSI, "msi", MSI_VECTOR)], "assigned": [(MESSAGE, GSI, False)]}
    irqfd = Part("ls7a_irqfd", "devices.ls7a_irqfd:Ls7aIrqfd", options=lambda timing: given)
    plain = platform = replace(find("ls7a"), parts=(*find("ls7a").parts, irqfd))
    if way.startswith("ioctl"):
        thread = Part("thread", f"{__name__}:InjectingThread", options=lambda timing: {"delay": thread_delay(timing)})
        lines = (
            Wire("eventfd.out", "thread.signal", "irq_line"),
            Wire("thread.msi", "ls3a_ht_irq.message", "ht_vector"),
        )

        def wires(count: int) -> tuple[Wire, ...]:
            return (*(wire for wire in plain.wires(count) if wire.source != "eventfd.out"), *lines)

        platform = replace(plain, parts=(*plain.parts, thread), wires=wires)
    options: dict[str, Any] = {"tier": tier}
    if WAYS[way] is not None:
        options |= {"hypervisor": "kvm", "vcpus": 1, "kvm": kvm, "irqchip": WAYS[way]}
    guest = loaded("inject.S", platform, 1, options, rounds=rounds, asleep=int(asleep))
    for number in range(rounds):
        guest.machine.signal(MESSAGE, FIRST + number * interval)
    return guest


def thread_delay(timing: Any) -> int:
    """What the VMM's thread takes, in ps: the host switches to it, and it goes out of the kernel and in again."""
    return timing.core.time(timing.kvm_schedule + timing.kvm_user)


def lateness(guest: Loaded, rounds: int) -> list[int]:
    """From each signal to its handler, in ps, by the guest's Count: it began at 0 with the machine."""
    stamps = guest.words("stamps", rounds, size=4)
    sent = guest.machine.devices["eventfd"].signalled
    return [stamp * guest.tick - time for stamp, (time, _, _) in zip(stamps, sent, strict=True)]
