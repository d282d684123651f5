"""`soc boot`: a Linux kernel with an initrd, its console on the terminal."""

import argparse
from pathlib import Path
from typing import Any

from soc.commands.checkpoint import add_saving, restored
from soc.commands.options import add_limits, add_machine, refuse_malformed
from soc.commands.session import build, session, settled
from soc.commands.terminal import interactive
from soc.errors import ConfigurationError
from soc.firmware.boot import prepare as prepare_boot
from soc.platforms import FUNCTIONS, NAMES
from soc.time import duration

# A guest that idles at its prompt would run for ever; a person at the console may leave it there.
DEFAULT_MAX_VIRTUAL = "120 s"


def add(commands: argparse._SubParsersAction) -> None:
    """Declares the command."""
    parser = commands.add_parser("boot", help="boot a Linux kernel to a shell")
    parser.add_argument("--platform", choices=NAMES, help="machine to boot on (default virt)")
    parser.add_argument("--kernel", metavar="FILE", help="vmlinuz or vmlinux (default: what `soc fetch debian` got)")
    parser.add_argument("--initrd", metavar="FILE", help="initramfs (default: what `soc fetch debian` made)")
    parser.add_argument("--append", metavar="STR", default="", help="words added to the kernel's command line")
    parser.add_argument("--run-stub", action="store_true", help="execute the kernel's own decompressor in the guest")
    parser.add_argument(
        "--disk",
        metavar="IMAGE",
        help="disk image for virtio-blk; ',readonly', ',overlay=memory' or ',overlay=FILE' may follow",
    )
    parser.add_argument(
        "--device",
        action="append",
        metavar="NAME[:K=V,...]",
        help=f"a PCI function ({', '.join(FUNCTIONS)}), as in virtio_net:peer=echo; repeatable",
    )
    parser.add_argument("--script", metavar="FILE", help="lines to type at the shell, one after each prompt")
    parser.add_argument("--restore", metavar="FILE", help="go on from a checkpoint instead of booting")
    add_machine(parser)
    add_limits(parser)
    add_saving(parser)
    parser.set_defaults(command=boot)


def boot(arguments: argparse.Namespace) -> int:
    """Boots until power-off, `--until`, or a limit; --max-virtual is 120 s unless a person is at the console."""
    person = arguments.script is None
    live = person and interactive()
    max_virtual = arguments.max_virtual
    if max_virtual is None and not live:
        max_virtual = duration(DEFAULT_MAX_VIRTUAL)

    def prepare() -> Any:
        refuse_malformed(arguments)
        script = _script(arguments.script)
        if arguments.restore:
            machine = restored(arguments)
            if script:
                machine.script(script)
            return machine
        kernel, initrd = _material(arguments)
        machine = settled(arguments)
        image = prepare_boot(
            kernel,
            platform=machine.platform.name,
            ram=machine.ram,
            initrd=initrd,
            append=arguments.append or machine.append,
            cpus=machine.processors,
            run_stub=arguments.run_stub,
            kind="linux",
        )
        machine = build(arguments)
        machine.load(image)
        if script:
            machine.script(script)
        return machine

    return session(arguments, prepare, max_virtual=max_virtual, person=person)


def _script(path: str | None) -> list[str]:
    if path is None:
        return []
    try:
        return Path(path).read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as cause:
        why = getattr(cause, "strerror", None) or "it is not UTF-8 text"
        raise ConfigurationError(f"cannot read --script {path}: {why}.\nGive a text file, a command a line.") from cause


def _material(arguments: argparse.Namespace) -> tuple[Path, Path | bytes]:
    """The kernel and the initrd, from the options or the cache; with PCI functions, the cached one has drivers."""
    kernel = Path(arguments.kernel) if arguments.kernel else None
    initrd = Path(arguments.initrd) if arguments.initrd else None
    if kernel and initrd:
        return kernel, initrd
    from soc.fetch import debian

    material = debian.cached()
    if material is None:
        lacks = " and no ".join(name for name, given in (("kernel", kernel), ("initrd", initrd)) if given is None)
        raise ConfigurationError(
            f"there is no {lacks} to boot: none was given and none was fetched.\n"
            "`soc fetch debian` gets both; `--kernel FILE --initrd FILE` takes others."
        )
    if initrd is None and (arguments.disk or arguments.device):
        initrd = _with_modules(material)
    return kernel or material.kernel, initrd or material.initrd


def _with_modules(material: Any) -> bytes:
    if material.modules is None:
        raise ConfigurationError(
            "--disk and --device need the kernel's virtio modules; the cache is of a version that did not keep them.\n"
            "`soc fetch debian --refresh` gets them; `--initrd FILE` takes an initramfs that has them."
        )
    return material.initrd.read_bytes() + material.modules.read_bytes()
