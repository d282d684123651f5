"""`soc fetch`: gets guest material into the cache."""

import argparse

from soc.commands.output import OK, say


def add(commands: argparse._SubParsersAction) -> None:
    """Declares the command."""
    parser = commands.add_parser("fetch", help="get a kernel and a user space to boot")
    kinds = parser.add_subparsers(title="material", metavar="WHAT", required=True)
    debian = kinds.add_parser("debian", help="Debian's loongson-3 kernel and a busybox initramfs, through apt")
    debian.add_argument("--mirror", metavar="URL", help="Debian mirror to use instead of the host's own")
    debian.add_argument("--deb", metavar="FILE", action="append", default=[], help="a package at hand; may be repeated")
    debian.add_argument("--refresh", action="store_true", help="ask the mirror even when the cache is complete")
    debian.set_defaults(command=fetch_debian)


def fetch_debian(arguments: argparse.Namespace) -> int:
    """Fetches and checks; says what it does on standard error, and the paths on standard output."""
    from soc.fetch import debian

    material = debian.fetch(
        arguments.mirror, arguments.deb, arguments.refresh, say=lambda text: say(f"soc fetch: {text}")
    )
    print(f"kernel {material.kernel}")
    print(f"initrd {material.initrd}")
    return OK
