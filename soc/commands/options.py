"""Options that several commands share, and clear refusals for what this version does not build yet."""

import argparse
from collections.abc import Iterable
from typing import Any

from soc.errors import ConfigurationError, TimeError
from soc.time import duration

TIERS = ("auto", "reference", "threaded", "stencil")
PLATFORMS = ("virt", "ls7a")


def count(text: str) -> int:
    """A positive whole number; underscores may group its digits."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive whole number")
    return value


def virtual_time(text: str) -> int:
    """Model time in ps from text such as '120s' or '200 ms'."""
    try:
        return duration(text)
    except TimeError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def add_machine(parser: argparse.ArgumentParser) -> None:
    """Options that say what the machine is."""
    parser.add_argument("--cpus", type=count, default=1, metavar="N", help="cores (default 1)")
    parser.add_argument("--ram-mb", type=count, default=512, metavar="MIB", help="RAM in MiB (default 512)")
    parser.add_argument("--tier", choices=TIERS, default="auto", help="execution engine (default auto)")
    parser.add_argument("--strict", action="store_true", help="stop at an access to an address that nothing answers")
    parser.add_argument("--place", metavar="MAP", help="where devices run: all=inprocess, or device=place,...")


def add_limits(parser: argparse.ArgumentParser) -> None:
    """Options that say when a run ends, and what it leaves."""
    parser.add_argument("--until", metavar="TEXT", help="end when the console shows TEXT")
    parser.add_argument("--max-virtual", type=virtual_time, metavar="TIME", help="end at this model time, as in 120s")
    parser.add_argument("--max-insns", type=count, metavar="N", help="end after N instructions")
    parser.add_argument("--slice", type=count, metavar="N", help="instructions per host slice; never changes a result")
    parser.add_argument("--out", metavar="DIR", help="keep result.json, console.log and the trace in DIR")


def refuse_unbuilt(arguments: argparse.Namespace) -> None:
    """Raises ConfigurationError for options that are known but not built in this version."""
    disk(getattr(arguments, "disk", None))
    places = placement(arguments.place)
    for device, place in places.items():
        if place != "inprocess":
            allowed = "this version runs every device in the simulator's own process"
            _not_built(f"--place {device}={place}", allowed, f"Use --place {device}=inprocess, or leave it out.")
    if getattr(arguments, "hypervisor", None) or getattr(arguments, "vcpus", None):
        option = f"--hypervisor {arguments.hypervisor}" if arguments.hypervisor else f"--vcpus {arguments.vcpus}"
        _not_built(option, "this version boots the kernel on the bare machine", "Leave it out.")


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


def placement(text: str | None) -> dict[str, str]:
    """The mapping in 'all=process' or 'ls7a_irq=process,uart=inprocess'. Raises ConfigurationError when malformed."""
    places: dict[str, str] = {}
    for item in _items(text):
        device, equals, place = item.partition("=")
        if not (device and equals and place):
            raise ConfigurationError(
                f"--place {text}: {item!r} is not DEVICE=PLACE.\nWrite all=inprocess, or uart=inprocess,rtc=inprocess."
            )
        places[device] = place
    return places


def _items(text: str | None) -> Iterable[str]:
    return [item.strip() for item in text.split(",")] if text else []


def _not_built(option: str, why: str, advice: str) -> None:
    raise ConfigurationError(f"{option} is not built yet: {why}.\n{advice}")
