"""Options that several commands share."""

import argparse
from collections.abc import Iterable
from typing import Any

from soc.errors import ConfigurationError, TimeError
from soc.options import BACKENDS, HYPERVISORS, IRQCHIPS, TIERS, UNIMPLEMENTED
from soc.placement.places import Place
from soc.platforms import function_options
from soc.time import duration


def count(text: str) -> int:
    """A positive whole number; underscores may group its digits."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive whole number")
    return value


def text(given: str) -> str:
    """A text that is not empty."""
    if not given:
        raise argparse.ArgumentTypeError("a text that is not empty is needed")
    return given


def virtual_time(text: str) -> int:
    """Model time in ps from text such as '120s' or '200 ms'."""
    try:
        return duration(text)
    except TimeError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def add_machine(parser: argparse.ArgumentParser) -> None:
    """Options that say what the machine is."""
    parser.add_argument("--machine", metavar="FILE", help="TOML file of the machine; options here replace what it says")
    parser.add_argument("--cpus", type=count, metavar="N", help="cores (default 1)")
    parser.add_argument("--ram-mb", type=count, metavar="MIB", help="RAM in MiB (default 512)")
    parser.add_argument("--tier", choices=TIERS, default="auto", help="execution engine (default auto)")
    parser.add_argument("--strict", action="store_true", help="stop at an access to an address that nothing answers")
    parser.add_argument("--ftlb", action="store_true", help="2048 TLB entries of one page size besides the 64")
    parser.add_argument(
        "--unimplemented",
        choices=UNIMPLEMENTED,
        help="an instruction that is real but not modelled ends the run (stop, the default) or raises RI (ri)",
    )
    parser.add_argument("--hypervisor", choices=HYPERVISORS, help="run the program as a guest of the KVM model")
    parser.add_argument(
        "--vcpus", type=count, metavar="V", help="virtual CPUs of that guest (default: as many as cores)"
    )
    parser.add_argument("--kvm", choices=BACKENDS, help="KVM's back-end (default vz, Linux 6.1)")
    parser.add_argument(
        "--irqchip", choices=IRQCHIPS, help="who serves the guest's interrupt controllers (default kernel)"
    )
    parser.add_argument("--place", metavar="MAP", help="where devices run: all=process, or device=place,...")
    parser.add_argument("--waits", action="store_true", help="show which channel waited for which device elsewhere")


def add_limits(parser: argparse.ArgumentParser) -> None:
    """Options that say when a run ends, and what it leaves."""
    parser.add_argument("--until", type=text, metavar="TEXT", help="end when the console shows TEXT")
    parser.add_argument("--max-virtual", type=virtual_time, metavar="TIME", help="end at this model time, as in 120s")
    parser.add_argument("--max-insns", type=count, metavar="N", help="end after N instructions")
    parser.add_argument("--slice", type=count, metavar="N", help="instructions per host slice; never changes a result")
    parser.add_argument("--out", type=text, metavar="DIR", help="keep result.json, console.log and the trace in DIR")
    parser.add_argument("--gdb", type=text, metavar="[HOST:]PORT", help="wait there for gdb and obey it; port 0 is any")
    parser.add_argument("--profile", action="store_true", help="show where host time went and what the guest executed")
    parser.add_argument(
        "--profile-every", type=count, metavar="N", help="a sample of the guest about every N instructions"
    )
    parser.add_argument("--symbols", metavar="FILE", help="names for --profile: an ELF with symbols or a System.map")


def refuse_malformed(arguments: argparse.Namespace) -> None:
    """Raises ConfigurationError for --device, --disk and --place that cannot be read, before anything is built."""
    devices(arguments)
    placement(arguments.place)


def disk(text: str | None) -> dict[str, Any] | None:
    """The options of virtio-blk in 'IMAGE', 'IMAGE,readonly', 'IMAGE,overlay=FILE'. Raises ConfigurationError."""
    if text is None:
        return None
    image, *words = text.split(",")
    found: dict[str, Any] = {"image": image}
    for word in words:
        name, equals, value = word.partition("=")
        if word == "readonly":
            found["readonly"] = True
        elif name == "overlay" and equals and value:
            found["overlay"] = value
        else:
            raise ConfigurationError(
                f"--disk {text}: {word!r} is no option of a disk.\n"
                "Write IMAGE, IMAGE,readonly, IMAGE,overlay=memory or IMAGE,overlay=FILE."
            )
    return found


def devices(arguments: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """The PCI functions of --disk and --device, name to options, in their order. Raises ConfigurationError."""
    image = disk(getattr(arguments, "disk", None))
    found = {"virtio_blk": image} if image else {}
    for text in getattr(arguments, "device", None) or ():
        name, _, settings = text.partition(":")
        if name in found:
            raise ConfigurationError(f"--device {name} is given twice.\nA second one is {name}_2.")
        known = function_options(name)
        found[name] = {}
        for word in _items(settings):
            key, equals, value = word.partition("=")
            if key not in known:
                allowed = f"{name} has {', '.join(known)}" if known else f"{name} has none"
                raise ConfigurationError(f"--device {text}: no option {key!r}.\n{allowed}.")
            if not equals and not isinstance(known[key], bool):
                raise ConfigurationError(f"--device {text}: {key} lacks its value.\nWrite {key}=VALUE.")
            found[name][key] = value_like(known[key], value, f"--device {name}:{key}") if equals else True
    return found


def value_like(default: Any, text: str, option: str) -> Any:
    """The value of `text` as the type of `default` wants it. Raises ConfigurationError, which names `option`."""
    try:
        if isinstance(default, bool):
            return {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}[text.lower()]
        if isinstance(default, int):
            return int(text, 0)
        if isinstance(default, float):
            return float(text)
    except (ValueError, KeyError) as cause:
        kind = {bool: "yes or no", int: "a whole number", float: "a number"}[type(default)]
        raise ConfigurationError(f"{option} {text}: {kind} is needed.\nIts default is {default}.") from cause
    return text


def placement(text: str | None) -> dict[str, str]:
    """The mapping in 'all=process' or 'ls7a_irq=process,uart=inprocess'. Raises ConfigurationError when malformed."""
    places: dict[str, str] = {}
    for item in _items(text):
        device, equals, place = item.partition("=")
        if not (device and equals and place):
            raise ConfigurationError(
                f"--place {text}: {item!r} is not DEVICE=PLACE.\nWrite all=process, or uart=inprocess,rtc=tcp://HOST:PORT."
            )
        Place.read(device, place)
        places[device] = place
    return places


def _items(text: str | None) -> Iterable[str]:
    return [item.strip() for item in text.split(",")] if text else []
