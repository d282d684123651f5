"""A machine: cores, devices and links built from a platform; loading, running, inspecting."""

from __future__ import annotations

import time as host
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from hashlib import blake2b
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from soc import checkpoint
from soc.assembly import Assembly
from soc.checkpoint import CheckpointError
from soc.cluster import ClusterComponent, window_cycles
from soc.console import PROMPT
from soc.errors import ConfigurationError, DeviceLost, UnmappedAccessError
from soc.faults import Fault, Strike
from soc.hostbus import HostBus
from soc.kernel import Kernel
from soc.links import Links
from soc.messages import Message, pack, unpack
from soc.options import Options
from soc.placement.sharing import Sharing
from soc.platforms import Platform
from soc.result import EXIT_STATUS, Result
from soc.time import PS_PER_SECOND, duration, seconds
from soc.timing import Timing
from soc.trace import Trace
from soc.trace.file import TraceFileError

if TYPE_CHECKING:
    from soc.gdb import GdbServer
    from soc.profile.profile import Profile

KERNEL_IRQCHIP = ("ls3a_", "ls7a_irq", "ls7a_msi", "stable_timer")
"""Parts, by how their names begin, that the KVM model serves itself with irqchip = "kernel"."""


class PoweredOff:
    """For `run(until=PoweredOff)`: run until the guest powers the machine off, which ends every run."""


class Machine:
    """A machine of a platform ("virt"), or of a TOML file with tables [machine] and [timing]; keywords come first.

    `ram` is text such as "512 MiB" or a number of MiB. `trace` keeps records and interrupt latencies (the hash is
    always kept). `strict` ends the run at the first access to nothing. `timing` is a Timing or a mapping of constants.
    `csr`: CPUCFG tells the guest of the CSR instructions, on a platform with configuration registers; Linux then sends
    its inter-processor interrupts with them. `vz`: the bare cores have the VZ module, with the
    choices of its model that a mapping names (see docs/vz.md). `ftlb`: each TLB has 2048 entries of one page
    size besides its 64. `lasx`: the cores have 256-bit vectors.
    `hypervisor="kvm"` runs the program as a guest of the KVM model with `vcpus` virtual CPUs on the `cpus` cores; `kvm`
    is its back-end, `irqchip` ("kernel", "user") who serves the guest's interrupt controllers.
    `unimplemented` is what becomes of an instruction that is real on this core but not modelled: "stop" ends the run
    and names it, "ri" raises RI and counts it.
    `disk` is the image of a virtio-blk disk; `devices` adds PCI functions, name to options, as in
    `{"virtio_rng": {"seed": 7}}` (soc.platforms.FUNCTIONS lists them), and models of your own, as in
    `{"gpio": {"model": Gpio, "base": 0x100E_0000, "wires": {"irq": "ls3a_router_irq.input[12]"}}}`
    (soc/platforms/added.py).
    `placement` says where devices run: `inprocess`, `process` or `tcp://HOST:PORT`, or which where, as in
    `{"uart": "process", "all": "inprocess"}` (see docs/placement.md). `faults` are those of soc/faults.py.
    `wire` packs and unpacks every message on every link, as between processes. `make_memory(ram_bytes)` and
    `make_cluster(memory, count, tier, window)` replace the engine, for tests. Raises ConfigurationError.
    """

    def __init__(
        self,
        platform: str | Path | Platform = "virt",
        *,
        cpus: int | None = None,
        ram: str | int | None = None,
        append: str | None = None,
        placement: str | Mapping[str, str] | None = None,
        tier: str | None = None,
        timing: Timing | Mapping[str, int | str] | None = None,
        trace: bool | None = None,
        strict: bool | None = None,
        csr: bool | None = None,
        vz: bool | Mapping[str, Any] | None = None,
        ftlb: bool | None = None,
        lasx: bool | None = None,
        unimplemented: str | None = None,
        disk: str | Path | None = None,
        devices: Mapping[str, Mapping[str, Any]] | None = None,
        faults: Iterable[Fault | Mapping[str, Any]] | None = None,
        hypervisor: str | None = None,
        vcpus: int | None = None,
        kvm: str | None = None,
        irqchip: str | None = None,
        wire: bool = False,
        make_memory: Callable[[int], Any] | None = None,
        make_cluster: Callable[[Any, int, str, int], Any] | None = None,
        **unknown: Any,
    ) -> None:
        given = {
            "cpus": cpus,
            "ram": ram,
            "append": append,
            "placement": placement,
            "tier": tier,
            "timing": timing,
            "trace": trace,
            "strict": strict,
            "csr": csr,
            "vz": vz,
            "ftlb": ftlb,
            "lasx": lasx,
            "unimplemented": unimplemented,
            "disk": disk,
            "devices": devices,
            "fault": faults,
            "hypervisor": hypervisor,
            "vcpus": vcpus,
            "kvm": kvm,
            "irqchip": irqchip,
        }
        self.options = Options.read(platform, {**given, **unknown})
        self.platform, self.timing, self.ram = self.options.platform, self.options.timing, self.options.ram
        self.trace = Trace(records=self.options.trace)
        self.kernel = Kernel()
        self._links = Links(self.kernel, self.trace, wire)
        self.links = self._links.by_name
        self._ended: tuple[str, str] | None = None
        self._interrupted = False
        self._lost = False
        self.is_off = False
        """The guest has switched the machine off; it cannot run any more."""

        self.memory = (make_memory or _make_memory)(self.ram)
        self.clock = self.timing.core
        self._cluster = self._make_cores(make_cluster or partial(_make_cluster, options=self.options))
        self.cpu: list[Any] = self._cluster.cluster.cores
        self.hypervisor: Any = self._make_hypervisor() if self.options.hypervisor else None
        """The KVM model (soc.hypervisor.Hypervisor), or None on the bare machine."""
        self._assemble()

    # Building.

    def _make_cores(self, make_cluster: Callable[[Any, int, str, int], Any]) -> ClusterComponent:
        options, timing = self.options, self.timing
        shortest = min(timing.mmio_request, timing.kvm_kick) if options.hypervisor else timing.mmio_request
        window = window_cycles(timing.core_window, shortest, self.clock)
        cluster = make_cluster(self.memory, options.cpus, options.tier, window)
        sources = [self._links.source(f"cpu{number}") for number in range(options.processors)]
        return ClusterComponent(cluster, self.kernel, self.trace, sources, self.clock, self._end)

    def _assemble(self) -> None:
        """Everything else. What has started already ends where a part cannot be made."""
        assembly = Assembly(self.options, self._links, self._cluster, self.memory, self._stop, self._strict_stop)
        self.devices, self.components, self.open_bus = assembly.devices, assembly.components, assembly.open_bus
        self.bus = HostBus(self, assembly.map)
        try:
            assembly.build()
        except BaseException:
            self.close()
            raise
        self.dma, self.faults, self._console = assembly.dma, assembly.faults, assembly.console
        if self.hypervisor is not None:
            self.hypervisor.control(self.components, self.options.irqchip == "kernel")

    def _make_hypervisor(self) -> Any:
        options, source = self.options, self._links.source("host")
        made = import_module("soc.hypervisor").Hypervisor(
            self._cluster, self.memory, self.timing, source, self.trace, options.processors, options.kvm, self._end_soon
        )
        for core in self.cpu:
            n = core.number
            made.connect(n, self._links.link(f"host.kick[{n}]", f"host.ip[{n}]", self.timing.kvm_kick, made.kicked(n)))
        if options.irqchip == "kernel":
            controllers = [part for part in self.platform.parts if part.name.startswith(KERNEL_IRQCHIP)]
            made.serve_in_kernel((place.address, place.size) for part in controllers for place in part.ranges())
        for port in self._cluster.ports:
            port.pinned_to(made)
        return made

    # Loading.

    def load(self, program: Any, **options: Any) -> None:
        """Put a program in place: a path or ELF that `soc.firmware` understands (initrd=, append=, run_stub=, ...).

        Also takes what `soc.firmware.boot.prepare` returned: an object with `segments` and `state()`.
        """
        if not hasattr(program, "segments"):
            prepare = import_module("soc.firmware.boot").prepare
            if self.options.append:
                options.setdefault("append", self.options.append)
            options.setdefault("cpu_clock_hz", self.timing.core_clock)
            options.setdefault("platform", self.platform.name)
            options.setdefault("user_kernel", self.options.user_kernel)
            program = prepare(program, ram=self.ram, cpus=self.options.processors, **options)
        for address, data in program.segments:
            self.memory.write(address, data)
        (self.hypervisor.load if self.hypervisor else self.cpu[0].set_state)(program.state())

    # Snapshots.

    def save(self, path: str | Path | None = None) -> bytes | Path:
        """Save the whole machine between two runs: to the file `path`, or as the bytes that are returned.

        `Machine.restore` goes on from there, in any process, as if nothing had happened. CheckpointError when the file
        cannot be written, or when something of the machine cannot be saved.
        """
        return checkpoint.save(self, path)

    @classmethod
    def restore(cls, source: str | Path | bytes, **changed: Any) -> Machine:
        """The machine in a checkpoint. `tier`, `trace`, `placement` may differ from the saved machine's; `devices` has
        options to replace, by device: a disk image's new path, a function that a checkpoint cannot hold.

        Raises CheckpointError for a file that is damaged, is no checkpoint, or is from another version.
        """
        return checkpoint.restore(source, cls, changed)

    def state(self) -> dict[str, Any]:
        """All that the future depends on apart from RAM, as msgpack types."""
        if self._ended is not None and self._ended[0] == "error" and not self._lost:
            raise CheckpointError(f"the machine has ended in an error and cannot be saved: {self._ended[1]}")
        if gone := [name for name, component in self.components.items() if component.remote and component.disconnected]:
            raise CheckpointError(f"{', '.join(gone)} is disconnected: the machine has no state of it to save")
        return {
            "now": self.kernel.now,
            "is_off": self.is_off,
            "unmapped": self.open_bus.unmapped,
            "events": self._events(),
            "cores": self._cluster.save(),
            "hypervisor": self.hypervisor.save() if self.hypervisor else None,
            # Before the sources: a device in another process tells its count with its state.
            "components": {name: component.save() for name, component in self.components.items()},
            "sources": {name: source.save() for name, source in self._links.sources.items()},
            "dma_errors": dict(self.dma.errors) if self.dma is not None else {},
            "console": self._console.save(),
            "trace": self.trace.saved(),
        }

    def restore_state(self, state: dict[str, Any]) -> None:
        """Take up what `state` of such a machine gave. Raises KeyError, ValueError, or an error of the part."""
        self.kernel.forget(state["now"])
        self.is_off = state["is_off"]
        self.open_bus.restore(state["unmapped"])
        self._cluster.restore(state["cores"])
        if self.hypervisor is not None:
            self.hypervisor.restore(state["hypervisor"])
        if state["components"].keys() != self.components.keys():
            raise CheckpointError(f"the saved machine has the devices {', '.join(state['components'])}")
        for name, component in self.components.items():
            component.restore(state["components"][name], self._links.channels)
        # What the devices have armed is among the events.
        self.kernel.forget(state["now"])
        if self.dma is not None:
            self.dma.errors.update(state["dma_errors"])
        self._console.restore(state["console"])
        for channel, message in state["events"]:
            self._links.channels[channel].resume(unpack(message))
        # After the devices: what they armed has counted too.
        for name, source in self._links.sources.items():
            source.restore(state["sources"][name])
        for component in self.components.values():
            if component.remote:
                component.restored()
        self.trace.restore(state["trace"])

    def _events(self) -> list[list[Any]]:
        events = []
        for channel, value in self.kernel.pending():
            if isinstance(value, Strike):
                # At a process, not at the machine.
                continue
            if not isinstance(value, Message):
                raise CheckpointError("an event of the kernel is no message: a simpy process of one's own is not saved")
            events.append([channel, pack(value)])
        return events

    # Running.

    @property
    def now(self) -> int:
        """Model time in ps: how far the machine has come."""
        return max(self.kernel.now, self._cluster.time, *(self.clock.time(core.cycles) for core in self.cpu))

    @property
    def instructions(self) -> int:
        """Instructions completed by all cores since reset."""
        return sum(core.instructions for core in self.cpu)

    @property
    def exits(self) -> int:
        """Uncached accesses that have left the cores since reset."""
        return self._cluster.exits

    @property
    def console(self) -> bytes:
        """Everything the machine has written to its console."""
        return bytes(self._console.data)

    @property
    def typed(self) -> list[tuple[int, bytes]]:
        """What `type` has entered, with the model time of each piece in ps; `replay` takes it."""
        return list(self._console.typed)

    def on_console(self, sink: Callable[[bytes], None] | None) -> None:
        """Call `sink` with every piece of console output from now on."""
        self._console.sink = sink

    def script(self, lines: Iterable[str], prompt: str | bytes = PROMPT) -> None:
        """Type `lines` in model time, one after each `prompt` that appears from now on. ConfigurationError for a single
        text, whose characters would be lines, and for a prompt of nothing."""
        if isinstance(lines, str | bytes):
            raise ConfigurationError(f"script = {lines!r}; a list of lines is needed, such as [{lines!r}]")
        if not prompt:
            raise ConfigurationError(f"prompt = {prompt!r}; give the text that each line waits for")
        self._console.script(lines, _bytes("prompt", prompt))

    def type(self, data: bytes | str) -> None:
        """Type `data` as soon as the cores come to a stop (live keyboard input). May be called from another thread."""
        self._cluster.typed.append(_bytes("type", data))
        self._cluster.wake.set()

    def replay(self, typed: Iterable[tuple[int, bytes]]) -> None:
        """Type what `typed` of another run recorded, at the same model times. Before `run`."""
        self._console.replay([(duration(time), _bytes("replay", data)) for time, data in typed])

    def signal(self, descriptor: int, at: str | int | None = None, count: int = 1) -> None:
        """Signal an event descriptor from outside, at model time `at` (None: now); see soc.platforms.eventfd."""
        import_module("soc.platforms.eventfd").signal(self, descriptor, at, count)

    def interrupt(self) -> None:
        """End the run soon, at a clean place, as a limit. May be called from a signal handler or another thread."""
        self._interrupted = True
        self._cluster.wake.set()

    @property
    def is_interrupted(self) -> bool:
        """`interrupt` was called during this run."""
        return self._interrupted

    def debug(self, address: str | int, **limits: Any) -> Result:
        """`run` under gdb: waits at "[HOST:]PORT" for its `target remote` and obeys it. ConfigurationError when nobody
        can listen there."""
        with import_module("soc.gdb").GdbServer(address) as server:
            return self.run(debugger=server, **limits)

    def run(
        self,
        *,
        max_virtual: str | int | None = None,
        max_insns: int | None = None,
        until: str | bytes | Callable[[Machine], bool] | type[PoweredOff] | None = None,
        slice: int | None = None,
        progress: Callable[[Machine], None] | None = None,
        progress_ms: int = 250,
        pace: bool = False,
        digest: bool = True,
        at: tuple[str | int, Callable[[Machine], Any]] | None = None,
        profile: Profile | None = None,
        debugger: GdbServer | None = None,
    ) -> Result:
        """Run until power-off, `until`, a limit, or deadlock. Limits count from the present state.

        `until` is console text, a predicate of the machine (asked whenever the kernel hands control back to the cores),
        or PoweredOff. `slice` has the engine return after that many instructions, which never changes a result.
        `progress(machine)` is called about every `progress_ms` of wall time. `pace` keeps model time from running ahead
        of the wall clock, for a person at the console; a machine that then waits for input goes on waiting. Without
        `digest` the trace hash leaves out registers and RAM. `at` is a model time since reset and a function that is
        called with the machine at the first grid point from there on, as to save it; it must change nothing. `profile`
        (soc.profile.profile) says afterwards where host time went and what the guest executed. `debugger`
        (soc.gdb.GdbServer) has gdb say when the machine stops and goes on, see docs/debugging.md.

        An error the guest runs into ends the run as "error"; wrong arguments raise ConfigurationError.
        """
        for name, value in (("max_insns", max_insns), ("slice", slice)):
            if value is not None and (type(value) is not int or value < 1):
                raise ConfigurationError(f"{name} = {value!r}; a positive number of instructions is needed")
        if self.is_off:
            raise ConfigurationError("the machine has been switched off: build a new Machine to run again")
        window = None if max_virtual is None else duration(max_virtual)
        visit = None if at is None else self._visit(*at)
        began = host.monotonic()
        start, instructions, exits = self.now, self.instructions, self.exits
        self._ended, self._interrupted, self._lost = None, False, False
        cluster = self._cluster
        sharing = Sharing(self._processes) if self._processes() else None
        cluster.predicate = self._predicate(until)
        cluster.cluster.limit(None if max_insns is None else instructions + max_insns)
        cluster.done_before = instructions
        cluster.slice, cluster.ending, cluster.visit = slice, False, visit
        cluster.host = self._host(progress, progress_ms, sharing)
        cluster.pace = (lambda time: seconds(time - start) - (host.monotonic() - began)) if pace else None
        cluster.stop_at = None if window is None else (start + window, f"{seconds(window):g} s of model time")
        self._drive(sharing, profile, debugger)
        ended, reason = self._ended or ("deadlock", cluster.waits_for())
        if debugger is not None:
            debugger.ended(EXIT_STATUS[ended])
        wall = host.monotonic() - began
        done = self.instructions - instructions
        return Result(
            instructions=done,
            virtual_s=(self.now - start) / PS_PER_SECOND,
            wall_s=wall,
            mips=done / wall / 1e6 if wall else 0.0,
            exits=self.exits - exits,
            trace_hash=self.trace.hash(self.digest() if digest else b""),
            ended=ended,
            reason=reason,
            unmapped=self.open_bus.count,
            details=self._details(),
        )

    def _visit(self, at: str | int, call: Callable[[Machine], Any]) -> tuple[int, Callable[[], Any]]:
        """The model time in ps of `at`, and what is called then. ConfigurationError for a time that has passed."""
        time = duration(at)
        if time < self.now:
            raise ConfigurationError(f"at = {seconds(time):g} s; the machine has reached {seconds(self.now):g} s")
        return time, lambda: call(self)

    def _predicate(
        self, until: str | bytes | Callable[[Machine], bool] | type[PoweredOff] | None
    ) -> Callable[[], bool] | None:
        """What the cores ask about `until`; None where the console is watched instead, or nothing is waited for."""
        self._console.watch(None)
        if until is None or until is PoweredOff:
            return None
        if isinstance(until, str | bytes):
            text = _bytes("until", until)
            if not text:
                raise ConfigurationError("until = ''; give the text to wait for")
            self._console.watch(text, lambda: self._end_soon("until", f"the console shows {until!r}"))
            return None
        if callable(until):
            return lambda: until(self)
        raise ConfigurationError(f"until = {until!r}; allowed: console text, a predicate of the machine, PoweredOff")

    def _drive(self, sharing: Sharing | None, profile: Profile | None, debugger: GdbServer | None) -> None:
        """Has the cores run until the run ends; what the guest or a device runs into ends it as an error."""
        try:
            with sharing or nullcontext(), self._profiled(profile), self._debugged(debugger):
                self._cluster.drive()
        except (UnmappedAccessError, TraceFileError) as error:
            self._ended = ("error", str(error))
        except DeviceLost as error:
            self._ended = ("error", str(error))
            self._not_delivered(error.told)

    def waits(self) -> str:
        """Which channel waited how long for which device in another process, in wall time: a table."""
        from soc.placement.waits import table, waits

        remote = [component for component in self.components.values() if component.remote]
        return table(waits(remote, self.trace.wiring, self._links.ports), remote)

    def _not_delivered(self, message: Message) -> None:
        """The device `message` was for is lost. The machine stands before it: it can be saved, or run on."""
        self._lost = True
        if not message.HASHED or not message.source:
            return
        self.trace.take_back(message)
        link = self.trace.wiring.channels.get((message.source, message.destination))
        if link is not None:
            link.again(message)
        else:
            next(c for c in self.components.values() if c.remote and c.owns(message)).resume(message)

    def close(self) -> None:
        """End the processes and connections of devices elsewhere; the machine cannot run after that. At the latest this
        happens when nobody holds the machine any more."""
        for component in self.components.values():
            if component.remote:
                component.close()

    def __enter__(self) -> Machine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def digest(self) -> bytes:
        """A digest of the registers of every core and virtual CPU and of all RAM (design law 6)."""
        whole = blake2b(digest_size=32)
        for core in self.cpu:
            whole.update(core.digest())
        if self.hypervisor is not None:
            whole.update(self.hypervisor.digest())
        whole.update(self.memory.digest())
        return whole.digest()

    def _details(self) -> dict[str, Any]:
        counted = Counter({"messages": self.trace.messages})
        for core in self.cpu:
            names = {code: name for name, code in import_module("cpu.isa.values").EXC_CODES.items()}
            counted.update({f"exception {names.get(code, code)}": n for code, n in core.exceptions.items()})
            counted["refill xtlb"] += core.tlb_refills
            if self.options.unimplemented == "ri":
                counted["unmodelled"] += core.unmodelled
        for component in self.components.values():
            if component.remote:
                counted.update(component.troubles())
        counted.update({f"fault {link.name}": link.injected for link in self.faults})
        if self.hypervisor is not None:
            counted.update(self.hypervisor.details())
        return dict(counted)

    def _profiled(self, profile: Profile | None) -> AbstractContextManager[None]:
        if profile is None:
            return nullcontext()
        places = {
            name: component.place.where if component.remote else "" for name, component in self.components.items()
        }
        channels = [channel for channel in self._links.channels.values() if channel is not None]
        return profile.around(self._cluster, channels, self.memory, places)

    def _debugged(self, debugger: GdbServer | None) -> AbstractContextManager[None]:
        return nullcontext() if debugger is None else debugger.around(self, self._cluster, self._end_soon)

    def _processes(self) -> list[int]:
        """The device processes on this host."""
        connections = [c.supervisor.connection for c in self.components.values() if c.remote]
        return [connection.process.pid for connection in connections if connection.process is not None]

    def _host(
        self, progress: Callable[[Machine], None] | None, every_ms: int, sharing: Sharing | None
    ) -> Callable[[], None]:
        due = host.monotonic() + every_ms / 1000

        def between() -> None:
            nonlocal due
            if self._interrupted:
                self._end_soon("limit", "interrupted")
            if sharing is not None:
                sharing.turn()
            if progress is not None and host.monotonic() >= due:
                progress(self)
                due = host.monotonic() + every_ms / 1000

        return between

    def _end_soon(self, ended: str, reason: str) -> None:
        # The cores come to a clean stop first: at a block boundary, with no access under way.
        if self._ended is None:
            self._ended = (ended, reason)
        self._cluster.end_soon()

    def _end(self, ended: str, reason: str) -> None:
        """Ends the run now; an empty `ended` when `_end_soon` has said why."""
        if self._ended is None:
            self._ended = (ended, reason)

    def _strict_stop(self, text: str) -> None:
        self._end_soon("error", f"strict: {text}")

    def _stop(self, component: str, reason: str) -> None:
        if reason == "poweroff":
            self.is_off = True
            self._end_soon("poweroff", f"{component} switched the machine off")
        else:
            self._end_soon(
                "error", f"{component} asked for {reason!r}; this version can only power off: build a new Machine"
            )


def _bytes(what: str, text: str | bytes) -> bytes:
    """`text` as the console has it. ConfigurationError where it is neither text nor bytes."""
    if not isinstance(text, str | bytes | bytearray):
        raise ConfigurationError(f"{what} = {text!r}; text or bytes are needed")
    return text.encode() if isinstance(text, str) else bytes(text)


def _make_memory(size: int) -> Any:
    return import_module("cpu.memory").Memory(size)


def _make_cluster(memory: Any, count: int, tier: str, window: int, options: Options) -> Any:
    timing = options.timing
    costs = import_module("cpu.costs").Costs(
        timing.instruction_cycles,
        timing.exception_entry,
        timing.count_divider,
        timing.core_clock,
        timing.stable_clock,
    )
    vz = options.vz if options.hypervisor is None else True
    return import_module("cpu.cluster").Cluster(
        memory,
        count,
        tier,
        window,
        costs,
        options.csr,
        vz,
        options.unimplemented == "ri",
        options.ftlb,
        options.lasx,
    )
