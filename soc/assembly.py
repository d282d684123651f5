"""The devices of a platform, wired to each other, to the cores, to memory and to the console."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from soc.bus import AddressMap, OpenBus, OpenBusDevice
from soc.cluster import ClusterComponent, CorePort
from soc.console import Console
from soc.errors import ConfigurationError, choose
from soc.faults import FaultyLink, inject
from soc.link import Link
from soc.links import Links
from soc.messages import Message
from soc.nodes import CORES
from soc.nothing import Nothing
from soc.options import Options
from soc.placement.inprocess import DeviceComponent
from soc.placement.memory import MemoryComponent
from soc.platforms import Part, load
from soc.ports import split

if TYPE_CHECKING:
    from soc.placement.remote import RemoteComponent


class Assembly:
    """What a machine has beside its cores and its RAM.

    `stop(component, reason)` is called when a device asks for an end of the run, `strict(text)` at an access to nothing
    where the options want to hear of it.
    """

    def __init__(
        self,
        options: Options,
        links: Links,
        cluster: ClusterComponent,
        memory: Any,
        stop: Callable[[str, str], None],
        strict: Callable[[str], None],
    ) -> None:
        self.options, self.platform, self.timing = options, options.platform, options.timing
        self.links, self.memory, self.cluster, self.stop = links, memory, cluster, stop
        self.strict = strict if options.strict else None
        self.devices: dict[str, Any] = {}
        self.components: dict[str, DeviceComponent | RemoteComponent] = {}
        self.map: AddressMap[Any] = AddressMap()
        """Physical address to (component, address of its offset 0), for the host."""
        self.open_bus = OpenBus(self.platform.windows, self.strict)
        self.dma: MemoryComponent | None = None
        self.console: Console
        self.faults: list[FaultyLink] = []

    def build(self) -> None:
        """Make and join everything; devices elsewhere start here. Raises ConfigurationError."""
        parts = [part for part in self.platform.parts if CORES * part.node < self.options.processors]
        open_bus = self._in_process("open_bus", OpenBusDevice(self.open_bus))
        for part in parts:
            self._place(part)
        self._connect_addresses(parts, open_bus)
        self._connect_masters(parts)
        for wire in self.platform.wires(self.options.processors):
            self._connect(wire.source, wire.destination, getattr(self.timing, wire.latency))
        self._connect_console()
        self._connect_csrs(parts)
        links = self.links.by_name.values()
        self.faults = inject(
            self.options.fault, links, self.components, self.links.kernel, self.links.trace, self.links.channel
        )
        for component in self.components.values():
            if component.remote:
                component.start(links)
        for component in self.components.values():
            component.access(component.device.reset)

    def _in_process(self, name: str, device: Any) -> DeviceComponent:
        links = self.links
        return DeviceComponent(
            name, device, links.kernel, links.trace, links.source(name), links.timers(name), self.stop
        )

    def _place(self, part: Part) -> None:
        component = self._component(part)
        self.devices[part.name], self.components[part.name] = component.device, component
        for place in part.ranges():
            if part.name in self.platform.added and self.memory.is_ram(place.address):
                raise ConfigurationError(f"device {part.name} at {place.address:#x}: the machine has memory there")
            self.map.add(part.name, place.address, place.size, (component, place.origin))

    def _connect_addresses(self, parts: list[Part], open_bus: DeviceComponent) -> None:
        """Each core's way to every device, and to the open bus where there is none."""
        claimed = [(place.address, place.address + place.size) for part in parts for place in part.ranges()]
        nothing = self.cluster.nothing = Nothing(self.open_bus, claimed, self.timing.core)
        for core in self.cluster.ports:
            core.bus = AddressMap()
            for part in parts:
                component = self.components[part.name]
                for place, (base, size, origin) in enumerate(part.ranges()):
                    port = f"{part.name}.mmio[{place}]" if place else f"{part.name}.mmio"
                    core.bus.add(part.name, base, size, self._registers(core, component, port, origin, self.strict))
            core.open_bus = self._registers(core, open_bus, "open_bus.mmio", 0, None)
            nothing.connect(core.open_bus, self.links.by_name[f"open_bus.mmio -> {core.name}.mmio"])

    def _connect_masters(self, parts: list[Part]) -> None:
        """The PCI functions, and whatever else reads and writes memory by itself."""
        masters = [p.name for p in parts if p.name in self.platform.added and hasattr(load(p.model), "on_dma")]
        if masters:
            doorbells = dict(self.platform.doorbells)
            self.dma = MemoryComponent(self.memory, self.links.kernel, self.platform.rom, doorbells)
        for name in self.platform.functions:
            self._connect_function(name)
        for name in masters:
            if name not in self.platform.functions:
                self._connect_memory(name)

    def _connect_console(self) -> None:
        timing, timers = self.timing, self.links.timers
        self.console = Console(
            self.links.kernel, timers("console"), timers("keyboard"), timing.typing_delay, timing.typing_gap
        )
        sends, receives = self.platform.console
        name, port = split(sends)
        line = self.links.link(sends, "console.rx", timing.console_line, self.console.arrive)
        self.components[name].connect(port, line)
        name, port = split(receives)
        arrive = self.components[name].input(port, self.links.port(receives)[1])
        self.console.keyboard = self.links.link("console.tx", receives, timing.console_line, arrive)
        self.cluster.type_at = self.console.type_at

    def _component(self, part: Part) -> DeviceComponent | RemoteComponent:
        model, place = load(part.model), self.options.place(part.name)
        options = {**part.options(self.timing), **({"strict": True} if self.options.strict else {})}
        if part.name in self.platform.added:
            options = {"name": part.name, **options}
        if place.remote and not model.host_side:
            from soc.placement.remote import RemoteComponent

            around = self.links.source(part.name), self.links.timers(part.name), self.stop
            return RemoteComponent(part.name, part.model, model, options, place, self.links.kernel, *around)
        if place.remote and part.name in self.options.placement:
            raise ConfigurationError(f"placement of {part.name}: the host calls this device; it can be inprocess only")
        try:
            device = model(**options)
        except TypeError as error:
            raise ConfigurationError(f"device {part.name}: {error}") from error
        return self._in_process(part.name, device)

    def _connect_function(self, name: str) -> None:
        timing, bridge, function = self.timing, self.components[self.platform.pci.bridge.name], self.components[name]
        port = self.platform.functions[name]
        back = self.links.link(f"{name}.config", f"{bridge.name}.{port}", timing.pci_reply, bridge.answered)
        registers = function.registers(0, back, self.strict)
        there = self.links.link(f"{bridge.name}.{port}", f"{name}.config", timing.pci_request, registers)
        bridge.connect(port, there)
        self._connect_memory(name)

    def _connect_memory(self, name: str) -> None:
        timing, master = self.timing, self.components[name]
        done = self.links.link(f"memory.{name}", f"{name}.dma", timing.dma_reply, master.dma_done)
        master.memory = self.links.link(f"{name}.dma", f"memory.{name}", timing.dma_request, self.dma.port(done))

    def _connect_csrs(self, parts: list[Part]) -> None:
        """Each core's way to the configuration registers of its node."""
        for core in self.cluster.ports:
            core.csrs = AddressMap()
            for part in parts:
                if part.csr and part.node == core.number // CORES:
                    component = self.components[part.name]
                    link = self._registers(core, component, f"{part.name}.iocsr", 0, self.strict)
                    for number, size in load(part.model).ranges("csr"):
                        core.csrs.add(part.name, number, size, link)

    def _registers(
        self,
        core: CorePort,
        component: DeviceComponent,
        port: str,
        base: int,
        strict: Callable[[str], None] | None,
    ) -> Link:
        reply = self.links.link(port, f"{core.name}.mmio", self.timing.mmio_reply, core.reply)
        return self.links.link(
            f"{core.name}.mmio", port, self.timing.mmio_request, component.registers(base, reply, strict)
        )

    def _connect(self, source: str, destination: str, latency: int) -> None:
        if source.startswith("memory.") and self.dma is None:
            # A doorbell that no function can reach.
            return
        try:
            origin, port = self._sender(source)
            deliver = self._receiver(destination)
        except ConfigurationError as error:
            raise ConfigurationError(f"wire {source} -> {destination}: {error}") from None
        origin.connect(port, self.links.link(source, destination, latency, deliver))

    def _sender(self, source: str) -> tuple[Any, str]:
        """The component that a wire begins at, and which of its outputs. Raises ConfigurationError."""
        name, port = split(source)
        if name != "memory" and name not in self.components:
            raise ConfigurationError(choose("component", name, self.components))
        origin = self.dma if name == "memory" else self.components[name]
        outputs = getattr(getattr(origin, "device", origin), "output_ports", lambda: [port])()
        if port not in outputs:
            raise ConfigurationError(choose(f"output of {name}", port, outputs))
        return origin, port

    def _receiver(self, destination: str) -> Callable[[Message], None]:
        """What takes the messages of a wire that ends there. Raises ConfigurationError."""
        name, port = split(destination)
        number = self.links.port(destination)[1]
        cores = {core.name: core for core in self.cluster.ports}
        if name in cores:
            if port == "mailbox":
                return cores[name].mail
            if not port.startswith("ip[") or not 2 <= int(port[3:-1]) <= 7:
                raise ConfigurationError("a core has ip[2] to ip[6], mailbox, ip[7] (stable timer)")
            return cores[name].pin(int(port[3:-1]), number)
        if name not in self.components:
            raise ConfigurationError(choose("component", name, [*self.components, *cores]))
        inputs = getattr(self.components[name].device, "input_ports", lambda: [port])()
        if port not in inputs:
            raise ConfigurationError(choose(f"input of {name}", port, inputs))
        return self.components[name].input(port, number)
