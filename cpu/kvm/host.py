"""The host's part under KVM: vCPU threads over physical cores, the clock, timers, kicks.

Not a model of Linux, but of what of it a guest's time depends on. A thread is a generator (see cpu/kvm/run.py); what
it yields decides what its core does next. Threads that can run wait in one queue, the one that has waited longest
first; a core takes the next where its own sleeps, or where its slice is over and somebody waits. IP6 of a physical core
is its reschedule interrupt, IP7 its timer.

A handler runs at its core's place in the window and takes the cycles that it is charged. It changes what belongs to its
core and its VM; another core it reaches by a kick, which takes longer than a window. A thread is never taken up before
the cycle at which it was put down.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from cpu import state
from cpu.cp0.fields import IP6, IP7
from cpu.cp0.registers import C0_CAUSE
from cpu.cp0.timer import NEVER
from cpu.kvm import entry, interrupt
from cpu.kvm.emulate import Access
from cpu.kvm.errors import KvmError
from cpu.kvm.run import Do, Steps
from cpu.kvm.threads import Arrival, PhysicalCpu, Thread, ThreadState
from cpu.kvm.vcpu import Vcpu
from cpu.words import M32
from soc.time import Clock

if TYPE_CHECKING:
    from cpu.core import Core

FARTHEST = 1 << 31
"""Count ticks that a deadline may lie ahead before it is split."""


class Outside(Protocol):
    """What the host reaches outside of its cores."""

    def kick(self, core: int, cycle: int) -> None:
        """A reschedule interrupt leaves for `core` at `cycle`."""
        ...

    def arrives(self, core: int, cycle: int) -> None:
        """IP6 of `core` rises at `cycle`: what waits for a vCPU there has its own time."""
        ...

    def access(self, vcpu: int, cycle: int, access: Access) -> None:
        """An uncached access leaves at `cycle`; the reply comes to the core that `vcpu` is on."""
        ...


class Host:
    """`cores` are machine cores whose root mode is this model; `costs` are cycles by name (soc/timing.py: kvm_*)."""

    def __init__(
        self,
        cores: Sequence[Core],
        clock: Clock,
        costs: Mapping[str, int],
        outside: Outside,
        slice_cycles: int,
        count_divider: int = 2,
    ) -> None:
        """`slice_cycles`: how long a thread has its core while others wait; `count_divider`: core cycles per Count."""
        self.clock, self._costs, self.outside, self._slice = clock, costs, outside, slice_cycles
        self.cpus = [PhysicalCpu(core) for core in cores]
        self._divider = count_divider
        self.count_hz = int(clock.hz) // count_divider
        self._last_cycle = NEVER // clock.fraction[0]
        """How far cores can reckon in ps with 64 bits."""
        self.threads: list[Thread] = []
        self._of: dict[Vcpu, Thread] = {}
        self._queue: deque[Thread] = deque()
        self._on: PhysicalCpu | None = None
        self._lets_send = False
        self.lost_lines = 0
        """Level changes that KVM_INTERRUPT has no number for."""
        for core in cores:
            core.S[state.HELD] = 0
            cache_exit = sum(self.cost(name) for name in ("kvm_exit", "kvm_handle_gpsi", "kvm_entry"))
            core.vz.host(self.cost("kvm_refill"), cache_exit)

    # For KVM.

    def look_in(self) -> None:
        """Something changes that the next exit of every core must see."""
        for cpu in self.cpus:
            self._look_in(cpu)

    def let_send(self, wanted: bool) -> None:
        """From now on cores may send accesses themselves, for whoever takes them from Cluster.requests; or may not.
        Nothing is put off when this returns."""
        self._lets_send = wanted
        self.look_in()

    @property
    def cores(self) -> list[Core]:
        """The physical cores."""
        return [cpu.core for cpu in self.cpus]

    @property
    def guest_reset(self) -> dict[str, int]:
        """Config registers and IntCtl of the guest context as the hardware has them."""
        names = ("config", "config1", "config2", "config3", "config4", "config5", "config6", "config7", "intctl")
        if not self.cpus:
            return {}
        return {name: self.cpus[0].core.vz.gc0(name) for name in names[:6]} | {
            "intctl": self.cpus[0].core.vz.gc0("intctl") & 0xFC000000
        }

    def cost(self, name: str) -> int:
        """Cycles of the constant `name`."""
        return self._costs[name]

    def charge(self, vcpu: Vcpu, name: str) -> None:
        """User space spent the time of `name` on the core of the vCPU's thread."""
        self._of[vcpu].cpu.core.vz.charge(self.cost(name))

    def now(self, core: Core | None) -> int:
        """Host time in ns: of a core, else the latest."""
        return self.clock.time(self._cycle(core)) // 1000

    @property
    def stable_hz(self) -> int:
        """The stable clock, Hz."""
        return int(self.cpus[0].core.S[state.STABLE_CLOCK])

    def stable_counter(self, core: Core | None) -> int:
        """Ticks of the stable clock since reset, at the time of `now`."""
        return self._cycle(core) * self.stable_hz // int(self.clock.hz)

    def _cycle(self, core: Core | None) -> int:
        if core is None and self._on is not None:
            core = self._on.core
        return core.cycles if core is not None else max((cpu.core.cycles for cpu in self.cpus), default=0)

    def timer_changed(self, vcpu: Vcpu) -> None:
        """The vCPU's host timer was started, stopped, or follows the vCPU to the core it is loaded on."""
        thread = self._of.get(vcpu)
        if thread is None:
            return
        cpu = thread.timer_cpu
        if cpu is not None and cpu.timers.pop(thread, None) is not None:
            self._look_in(cpu)
        if vcpu.core is not None:
            cpu = thread.timer_cpu = self.cpus[vcpu.core.number]
        if vcpu.timer_active and cpu is not None:
            cpu.timers[thread] = self.clock.tick_at_or_after(vcpu.timer_expires * 1000)
            self._look_in(cpu)

    def wake(self, vcpu: Vcpu) -> None:
        """Make the thread of a vCPU runnable if it sleeps."""
        thread = self._of.get(vcpu)
        if thread is None:
            return
        if thread.cpu is not None:
            self._look_in(thread.cpu)
        if thread.state is not ThreadState.BLOCKED:
            return
        thread.state = ThreadState.RUNNABLE
        thread.ready = self._on.core.cycles if self._on is not None else 0
        self._enqueue(thread)
        if self._on is None:
            self._balance()

    def interrupt(self, vcpu: Vcpu) -> None:
        """A signal for the vCPU's thread: KVM_RUN ends with EINTR."""
        vcpu.signal = True
        self.wake(vcpu)
        self.kick(vcpu)

    def kick(self, vcpu: Vcpu) -> None:
        """Have a vCPU that may be in guest mode leave it."""
        thread = self._of.get(vcpu)
        if thread is not None and thread.cpu is not None:
            self._look_in(thread.cpu)
            if thread.cpu is not self._on:
                self._kick(thread.cpu)

    def add(self, vcpu: Vcpu, body: Steps) -> Thread:
        """The VMM starts a thread for a vCPU."""
        thread = Thread(vcpu, body)
        thread.last = len(self.threads) % max(1, len(self.cpus))
        self.threads.append(thread)
        self._of[vcpu] = thread
        self._enqueue(thread)
        return thread

    # From outside.

    def line(self, number: int, cycle: int, ip: int, level: bool) -> None:
        """Input IP`ip` of vCPU `number` changes at `cycle`."""
        self._arrive(self.threads[number], cycle, ip, level)

    def release(self, number: int, cycle: int, mailboxes: Sequence[int]) -> None:
        """The mailboxes of vCPU `number` let it go from reset."""
        thread = self.threads[number]
        if thread.mailboxes is None and not any(arrival.ip < 0 for arrival in thread.arrivals):
            self._arrive(thread, cycle, -1, tuple(mailboxes))

    def _arrive(self, thread: Thread, cycle: int, ip: int, value: Any) -> None:
        cpu = thread.cpu
        if cpu is None and thread.state is ThreadState.BLOCKED and value:
            last = self.cpus[thread.last]
            cpu = next((c for c in (last, *self.cpus) if c.thread is None and not c.kicked), last)
        if cpu is not None:
            self._look_in(cpu)
        thread.arrivals.append(Arrival(cycle, ip, value, -1 if cpu is None else cpu.number))
        if cpu is not None:
            cpu.kicked = True
            self.outside.arrives(cpu.number, cycle)

    def answer_core(self, number: int) -> int:
        """The physical core on which vCPU `number` waits for a reply."""
        return self.threads[number].cpu.number

    def exit(self, number: int) -> None:
        """Core `number` would execute in root mode: the host does what it has to, and lets the core go on."""
        cpu = self._on = self.cpus[number]
        words = cpu.core.words
        if words[state.PUT_OFF]:
            # The answer to what the core has sent is there. What the host does with it is the next exit.
            self._look_in(cpu)
            self._on = None
            return
        answer = None
        if cpu.in_guest:
            self._left(cpu)
        elif cpu.awaits is not None:
            access, cpu.awaits = cpu.awaits, None
            failed, words[state.ACCESS_ERROR] = words[state.ACCESS_ERROR], 0
            answer = 0 if failed else words[state.BOUNCE] & (1 << 8 * access.size) - 1
        self._interrupts(cpu)
        self._run(cpu, answer)
        if self._queue:
            self._balance()
        self._on = None

    def _left(self, cpu: PhysicalCpu) -> None:
        """The core has left its guest."""
        cpu.in_guest = False
        cpu.core.vz.send_until(0)
        vcpu = cpu.thread.vcpu
        entry.leave(vcpu)
        vcpu.count_answered()
        vcpu.stats["exits"] += 1
        cpu.core.vz.charge(self.cost("kvm_exit"))

    def _look_in(self, cpu: PhysicalCpu) -> None:
        """Something changes that the core's next exit must see, whatever it is for. What it put off is done first."""
        vz, words = cpu.core.vz, cpu.core.words
        vz.answer_until(0)
        vz.send_until(0)
        if words[state.PUT_OFF]:
            words[state.PUT_OFF] = 0
            now, words[state.CYCLES] = words[state.CYCLES], words[state.PUT_OFF_AT]
            on, self._on = self._on, cpu
            self._catch_up_with(cpu)
            self._on, words[state.CYCLES] = on, now

    def _catch_up_with(self, cpu: PhysicalCpu) -> None:
        """Carries out the exit that a core put off when it sent its access: up to that access, for which it waits."""
        self._left(cpu)
        step = None
        while not isinstance(step, Access):
            step = cpu.thread.body.send(None)
        cpu.awaits = step

    def settle(self) -> None:
        """Everything that is on its way to a vCPU has arrived, for a VMM that has stopped them all."""
        for thread in self.threads:
            if thread.arrivals:
                self._take(thread, thread.arrivals[-1].cycle)

    # Snapshots.

    def save(self) -> dict[str, Any]:
        """Threads and cores for a checkpoint, as msgpack types; what the threads run is the VMM's."""
        place = {thread: n for n, thread in enumerate(self.threads)}
        return {
            "queue": [place[thread] for thread in self._queue],
            "threads": [thread.save() for thread in self.threads],
            "cpus": [cpu.save(place) for cpu in self.cpus],
            "lost_lines": self.lost_lines,
        }

    def restore(self, saved: dict[str, Any]) -> None:
        """What `save` gave, into a host with as many threads and cores; each thread's body stands where it stood."""
        for thread, state_of_it in zip(self.threads, saved["threads"], strict=True):
            thread.restore(state_of_it, self.cpus)
            if state_of_it["begun"]:
                thread.body.send(None)
        for cpu, state_of_it in zip(self.cpus, saved["cpus"], strict=True):
            cpu.restore(state_of_it, self.threads)
            self._look_in(cpu)
            if cpu.in_guest:
                entry.set_table(cpu.thread.vcpu)
        self._queue = deque(self.threads[n] for n in saved["queue"])
        self.lost_lines = saved["lost_lines"]

    # Interrupts of the host.

    def _interrupts(self, cpu: PhysicalCpu) -> None:
        core = cpu.core
        cause = core.words[C0_CAUSE]
        now = core.cycles
        if cause & IP6:
            core.set_line(6, 0)
            cpu.kicked = False
            self._arrivals(cpu, now)
        if cause & IP7 or (cpu.armed is not None and cpu.armed <= now):
            cpu.armed = None
            core.vz.set_c0("compare", core.vz.c0("count") - 1 & M32)
            for thread in [thread for thread, cycle in cpu.timers.items() if cycle <= now]:
                thread.vcpu.timer_came()
            if cpu.slice_end is not None and cpu.slice_end <= now:
                cpu.slice_end = None
                cpu.resched = bool(self._queue)
        if self._queue and cpu.thread is not None and cpu.slice_end is None and not cpu.resched:
            cpu.slice_end = max(now, cpu.thread.since + self._slice)

    def _arrivals(self, cpu: PhysicalCpu, now: int) -> None:
        for thread in self.threads:
            if thread.arrivals and thread.arrivals[0].cycle <= now:
                if thread.cpu is not None and thread.cpu is not cpu:
                    self._kick(thread.cpu)
                else:
                    self._take(thread, now)

    def _take(self, thread: Thread, now: int) -> None:
        """What has arrived for a vCPU by now."""
        arrivals = thread.arrivals
        while arrivals and arrivals[0].cycle <= now:
            arrival = arrivals.popleft()
            if arrival.ip < 0:
                thread.mailboxes = arrival.value
                self.wake(thread.vcpu)
                continue
            try:
                interrupt.interrupt(thread.vcpu, arrival.ip if arrival.value else -arrival.ip)
            except KvmError:
                self.lost_lines += 1

    def _kick(self, cpu: PhysicalCpu) -> None:
        if not cpu.kicked:
            cpu.kicked = True
            self.outside.kick(cpu.number, (self._on or cpu).core.cycles)

    def _program(self, cpu: PhysicalCpu) -> None:
        """Root.Compare for the next deadline of a core."""
        deadline = cpu.deadline()
        if deadline == cpu.armed:
            return
        cpu.armed = deadline
        core = cpu.core
        ahead = FARTHEST
        if deadline is not None:
            ahead = min(FARTHEST, max(1, -((core.cycles - deadline) // self._divider)))
        core.vz.set_c0("compare", core.vz.c0("count") + ahead & M32)

    def _permit(self, cpu: PhysicalCpu) -> None:
        """Says how long the core may answer exits and carry out accesses itself."""
        until = self._nothing_before(cpu)
        cpu.core.vz.answer_until(until)
        if self._lets_send and cpu.thread.vcpu.sends_itself:
            cpu.core.vz.send_until(min(until, self._last_cycle))

    def _nothing_before(self, cpu: PhysicalCpu) -> int:
        """The cycle up to which an exit of the core would find nothing to do but what it is for."""
        thread = cpu.thread
        if self._queue or thread.arrivals or not thread.vcpu.undisturbed:
            return 0
        return NEVER if cpu.armed is None else cpu.armed

    # Scheduling.

    def _enqueue(self, thread: Thread) -> None:
        self.look_in()
        self._queue.append(thread)

    def _run(self, cpu: PhysicalCpu, answer: Any) -> None:
        """The core's thread goes on until the core has something to do or to wait for."""
        core = cpu.core
        while True:
            thread = cpu.thread
            if thread is None:
                if not self._queue:
                    self._idle(cpu)
                    return
                thread = self._switch_to(cpu, self._queue.popleft())
            try:
                step = thread.body.send(answer)
            except StopIteration:
                self._switch_from(cpu, ThreadState.EXITED)
                continue
            answer = None
            if step is Do.YIELD:
                if cpu.resched and self._queue:
                    self._enqueue(thread)
                    self._switch_from(cpu, ThreadState.RUNNABLE)
                    continue
                self._catch_up(cpu, thread)
            elif step is Do.ENTER:
                core.vz.charge(self.cost("kvm_entry"))
                self._program(cpu)
                cpu.in_guest = True
                entry.enter(thread.vcpu)
                self._permit(cpu)
                return
            elif step is Do.LOAD:
                thread.vcpu.load(core)
            elif step is Do.BLOCK:
                self._catch_up(cpu, thread)
                if not (thread.vcpu.runnable or thread.vcpu.signal):
                    self._switch_from(cpu, ThreadState.BLOCKED)
            elif step is Do.STOP:
                self._switch_from(cpu, ThreadState.BLOCKED)
            elif step is Do.HOLD:
                self._catch_up(cpu, thread)
                answer = thread.mailboxes
                if answer is None:
                    self._switch_from(cpu, ThreadState.BLOCKED)
            else:
                cpu.awaits = step
                self.outside.access(thread.vcpu.number, core.cycles, step)
                core.vz.park()
                return

    def _catch_up(self, cpu: PhysicalCpu, thread: Thread) -> None:
        """Takes what has arrived; another core was told of what comes in this window, so this one waits for that."""
        if thread.arrivals:
            for arrival in thread.arrivals:
                if arrival.core != cpu.number and arrival.cycle > cpu.core.cycles:
                    cpu.core.vz.charge(arrival.cycle - cpu.core.cycles)
            self._take(thread, cpu.core.cycles)

    def _switch_to(self, cpu: PhysicalCpu, thread: Thread) -> Thread:
        core = cpu.core
        if thread.ready > core.cycles:
            core.vz.charge(thread.ready - core.cycles)
        core.vz.charge(self.cost("kvm_schedule"))
        cpu.thread, thread.cpu = thread, cpu
        thread.state, thread.last, thread.since = ThreadState.RUNNING, cpu.number, core.cycles
        cpu.resched, cpu.slice_end = False, None
        if self._queue:
            cpu.slice_end = core.cycles + self._slice
        if thread.vcpu.running:
            thread.vcpu.load(core)
        return thread

    def _switch_from(self, cpu: PhysicalCpu, why: ThreadState) -> None:
        thread = cpu.thread
        if thread.vcpu.core is not None:
            thread.vcpu.put()
        thread.state, thread.cpu, thread.ready = why, None, cpu.core.cycles
        cpu.thread, cpu.resched, cpu.slice_end = None, False, None

    def _idle(self, cpu: PhysicalCpu) -> None:
        core = cpu.core
        self._program(cpu)
        wanted = entry.HOST_STATUS if cpu.armed is not None else entry.HOST_STATUS & ~IP7
        core.vz.set_c0("status", wanted)
        core.vz.idle()

    def _balance(self) -> None:
        """Somebody waits: wake idle cores, and see to it that the busy ones end their slices."""
        waiting = 0
        for thread in self._queue:
            last = self.cpus[thread.last]
            target = next((cpu for cpu in (last, *self.cpus) if self._sleeps(cpu)), None)
            if target is not None:
                self._kick(target)
            else:
                waiting += 1
        waiting -= sum(
            cpu.thread is None or cpu.slice_end is not None or cpu.resched or cpu.kicked for cpu in self.cpus
        )
        for cpu in sorted(self.cpus, key=lambda cpu: (cpu.thread.since if cpu.thread else 0, cpu.number)):
            if waiting > 0 and cpu.thread is not None and cpu.slice_end is None and not cpu.resched and not cpu.kicked:
                self._kick(cpu)
                waiting -= 1

    def _sleeps(self, cpu: PhysicalCpu) -> bool:
        return cpu.thread is None and not cpu.kicked and cpu is not self._on
