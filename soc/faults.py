"""Faults on channels, and in device processes: what a machine does when a part of it misbehaves.

A fault on a channel is a filter: a function of a message and a random generator that gives the messages to deliver
instead, none, one or several, each at the message's own time or later. The generator is seeded, and drawn from in the
order of deliveries, so a faulty run can be repeated. Where a filter changes anything, the trace says so, and its hash
covers that.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

from soc.errors import ConfigurationError, ProtocolError, choose
from soc.messages import FaultInjected, InterruptLevel, Message, Phase, Unsigned
from soc.time import duration

if TYPE_CHECKING:
    from soc.kernel import Kernel
    from soc.link import Link
    from soc.trace import Trace

Filter = Callable[[Message, Random], Iterable[Message]]

_DATA = ("value", "level", "vector", "data", "count")
"""Fields that a corrupted message has other bits in: what it carries, not whom it answers."""


def altered(message: Message, **fields: Any) -> Message:
    """`message` with other values in some fields, checked. Raises MessageError for a value out of range."""
    return type(message)(**{name: fields.get(name, getattr(message, name)) for name in message.FIELDS}).check()


def drop(probability: float) -> Filter:
    """Lose a message with `probability` 0 to 1."""
    return lambda message, rng: [] if rng.random() < probability else [message]


def delay(by: int, probability: float = 1.0) -> Filter:
    """Deliver a message `by` ps later, with `probability`."""
    return lambda message, rng: [altered(message, time=message.time + by) if rng.random() < probability else message]


def duplicate(probability: float) -> Filter:
    """Deliver a message twice, with `probability`."""
    return lambda message, rng: [message, message] if rng.random() < probability else [message]


def reorder(probability: float) -> Filter:
    """Keep a message back, with `probability`, until the next one of the channel has been delivered."""
    kept: list[Message] = []

    def filter(message: Message, rng: Random) -> list[Message]:
        late = [altered(old, time=message.time) for old in kept]
        kept.clear()
        if not late and rng.random() < probability:
            kept.append(message)
            return []
        return [message, *late]

    return filter


def corrupt(probability: float) -> Filter:
    """Flip one bit of what a message carries, with `probability`. A message that carries nothing stays as it is."""

    def filter(message: Message, rng: Random) -> list[Message]:
        fields = [
            name for name in message.FIELDS if name in _DATA and message.FIELDS[name] and getattr(message, name) != b""
        ]
        if not fields or rng.random() >= probability:
            return [message]
        name = rng.choice(fields)
        value, kind = getattr(message, name), message.FIELDS[name]
        if isinstance(kind, Unsigned):
            return [altered(message, **{name: value ^ 1 << rng.randrange(kind.bits)})]
        place = rng.randrange(len(value))
        return [
            altered(
                message, **{name: value[:place] + bytes([value[place] ^ 1 << rng.randrange(8)]) + value[place + 1 :]}
            )
        ]

    return filter


def stuck(level: int) -> Filter:
    """A line that stays at `level`, 0 or 1, from its first change on."""
    return lambda message, rng: [altered(message, level=level)] if type(message) is InterruptLevel else [message]


def babble(every: int, times: int) -> Filter:
    """A sender that repeats itself: each message again `times` times, `every` ps apart."""
    return lambda message, rng: [altered(message, time=message.time + n * every) for n in range(times + 1)]


def _probability(name: str, value: Any) -> float:
    if type(value) not in (int, float) or not 0 <= value <= 1:
        raise ConfigurationError(f"fault: {name} = {value!r}; a probability is 0 to 1")
    return value


def _times(value: Any) -> int:
    if type(value) is not int or value < 1:
        raise ConfigurationError(f"fault: times = {value!r}; a positive whole number is needed")
    return value


def _level(name: str, value: Any) -> int:
    if value not in (0, 1):
        raise ConfigurationError(f"fault: {name} = {value!r}; a line is stuck at 0 or 1")
    return int(value)


def _function(name: str, value: Any) -> Filter:
    if callable(value):
        return value
    module, _, function = str(value).partition(":")
    try:
        return getattr(import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigurationError(f"fault: {name} = {value!r}; write module:function ({error})") from error


FILTERS: dict[str, Callable[[str, Mapping[str, Any]], Filter]] = {
    "drop": lambda name, table: drop(_probability(name, table[name])),
    "duplicate": lambda name, table: duplicate(_probability(name, table[name])),
    "reorder": lambda name, table: reorder(_probability(name, table[name])),
    "corrupt": lambda name, table: corrupt(_probability(name, table[name])),
    "delay": lambda name, table: delay(duration(table[name]), _probability("probability", table.get("probability", 1))),
    "stuck": lambda name, table: stuck(_level(name, table[name])),
    "babble": lambda name, table: babble(duration(table[name]), _times(table.get("times", 10))),
    "filter": lambda name, table: _function(name, table[name]),
}
"""What a fault on a channel can be, by its key in a table."""
STRIKES = ("kill", "hang", "garble")
"""What can happen to a device's process: it is killed, it stops for ever, or a bit it sends changes on its way."""
_OTHER_KEYS = {"delay": ("probability",), "babble": ("times",)}


class Strike(NamedTuple):
    """What happens to a device's process, at a model time."""

    kind: str
    """One of STRIKES."""
    time: int
    """In ps since reset."""


@dataclass(frozen=True)
class Fault:
    """A fault of a machine: a filter on a channel, or a strike at a device's process at a model time."""

    channel: str = ""
    """"A -> B", A and B being components or ports, as in "uart.irq -> ls3a_router_irq.input[0]"."""
    make: Callable[[], Filter] | None = None
    """Makes the filter of one link; each has its own."""
    name: str = ""
    seed: int = 0
    device: str = ""
    strikes: tuple[Strike, ...] = ()

    @classmethod
    def read(cls, given: Any) -> Fault:
        """A fault from a table: {channel = "a -> b", drop = 0.001, seed = 7} or {device = "uart", kill = "1 ms"}.

        Times of a strike may be a list. Raises ConfigurationError, or TimeError for a wrong time.
        """
        if isinstance(given, Fault):
            return given
        if not isinstance(given, Mapping):
            raise ConfigurationError(f"fault {given!r}: a table is needed")
        if "device" in given:
            return cls._strike(given)
        _check_keys(given, ("channel", "seed", *FILTERS, *(key for keys in _OTHER_KEYS.values() for key in keys)))
        kinds = [name for name in FILTERS if name in given]
        if len(kinds) != 1 or not isinstance(given.get("channel"), str):
            raise ConfigurationError(f"fault {dict(given)}: it has a channel, and one of {', '.join(FILTERS)}")
        _check_keys(given, ("channel", "seed", kinds[0], *_OTHER_KEYS.get(kinds[0], ())))
        table = dict(given)
        make = lambda: FILTERS[kinds[0]](kinds[0], table)  # noqa: E731
        make()
        return cls(given["channel"], make, kinds[0], _seed(given))

    @classmethod
    def _strike(cls, given: Mapping[str, Any]) -> Fault:
        _check_keys(given, ("device", "seed", *STRIKES))
        strikes = []
        for kind in STRIKES:
            times = given.get(kind, [])
            strikes += [Strike(kind, duration(t)) for t in (times if isinstance(times, list | tuple) else [times])]
        if not strikes:
            raise ConfigurationError(f"fault {dict(given)}: a device's process has one of {', '.join(STRIKES)}")
        return cls(device=given["device"], strikes=tuple(strikes), seed=_seed(given))


def _check_keys(given: Mapping[str, Any], allowed: Iterable[str]) -> None:
    for name in given:
        if name not in allowed:
            raise ConfigurationError(f"fault: {choose('key', name, allowed)}")


def _seed(given: Mapping[str, Any]) -> int:
    seed = given.get("seed", 0)
    if type(seed) is not int:
        raise ConfigurationError(f"fault: seed = {seed!r}; a whole number is needed")
    return seed


class FaultyLink:
    """A link whose messages pass through a filter at the time of their delivery."""

    def __init__(self, link: Link, fault: Fault, kernel: Kernel, trace: Trace, channel: int) -> None:
        """`channel` orders what is delivered later than it was due."""
        self.injected = 0
        """How often the filter changed anything."""
        self.name = f"{fault.name} on {link.name}"
        self._link, self._name, self._filter = link, fault.name, fault.make()
        self._kernel, self._trace, self._channel = kernel, trace, channel
        self._random = Random(f"{fault.seed} {link.name}")
        self._posted = 0
        self._deliver = link.intercept(self._arrive)

    def _arrive(self, message: Message) -> None:
        given = list(self._filter(message, self._random))
        if given != [message]:
            self.injected += 1
            self._trace.add(FaultInjected(*message[2:7], self._name[:256], min(len(given), 0xFFFF)).check(), self._link)
        for found in given:
            if not isinstance(found, Message) or found[3:5] != message[3:5] or found.time < message.time:
                raise ProtocolError(f"filter {self._name} on {self._link.name} gave {found!r:.200} for {message}")
            if found.time == message.time:
                self._deliver(found)
            else:
                self._posted += 1
                self._kernel.post(found.time, found.PHASE, self._channel, self._posted, self._deliver, found)


def strike(kind: str, component: Any, rng: Random) -> None:
    """Do to the process of `component` what `kind`, one of STRIKES, says; `rng` chooses the bit."""
    connection = component.supervisor.connection
    if kind == "garble":
        connection.stream.garble(rng.getrandbits(32))
    elif connection.process is None:
        # A process on another host is out of reach; its connection is not.
        connection.stream.shut()
    else:
        connection.process.send_signal(signal.SIGKILL if kind == "kill" else signal.SIGSTOP)


def inject(
    faults: Iterable[Fault],
    links: Iterable[Link],
    components: Mapping[str, Any],
    kernel: Kernel,
    trace: Trace,
    channel: Callable[[], int],
) -> list[FaultyLink]:
    """Put `faults` into a machine. Raises ConfigurationError for a channel or device that it does not have."""
    found = []
    links = list(links)
    for fault in faults:
        if fault.device:
            _arm(fault, components, kernel, channel())
            continue
        on = [link for link in links if _is_on(fault.channel, link)]
        if not on:
            names = sorted({" -> ".join(end.partition(".")[0] for end in link.name.split(" -> ")) for link in links})
            raise ConfigurationError(choose("channel", fault.channel, names))
        found += [FaultyLink(link, fault, kernel, trace, channel()) for link in on]
    return found


def _is_on(channel: str, link: Link) -> bool:
    ends = channel.split(" -> ")
    names = (link.origin[0], link.target[0])
    return len(ends) == 2 and all(end in (name, name.partition(".")[0]) for end, name in zip(ends, names, strict=True))


def _arm(fault: Fault, components: Mapping[str, Any], kernel: Kernel, channel: int) -> None:
    component = components.get(fault.device)
    if component is None or not component.remote:
        elsewhere = [name for name, other in components.items() if other.remote] or ["none is"]
        raise ConfigurationError(
            f"fault: {choose('device in another process', fault.device, elsewhere)}.\n"
            'A placement puts a device there, as in [placement] uart = "process".'
        )
    rng = Random(f"{fault.seed} {fault.device}")

    def happen(planned: Strike) -> None:
        if not component.disconnected:
            strike(planned.kind, component, rng)

    for number, planned in enumerate(fault.strikes, start=1):
        kernel.post(planned.time, Phase.SETUP, channel, number, happen, planned)
