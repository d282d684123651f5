"""The initramfs of a boot: busybox, and an init that gives a shell on ttyS0."""

from soc.console import PROMPT as _PROMPT
from soc.fetch import cpio

READY = "INIT-UP"
"""What its init says in front of the shell."""
PROMPT = _PROMPT.decode()

# The shell opens ttyS0 as a session leader, so it has job control without complaint; a shell that ends starts again,
# because a kernel whose init ends panics.
_INIT = """#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
/bin/busybox mount -t devtmpfs devtmpfs /dev
/bin/busybox --install -s /bin
export PATH=/bin HOME=/ TERM=vt100 PS1='{prompt}'
{before}echo {ready}
while :; do
    setsid sh -c 'exec sh -i </dev/ttyS0 >/dev/ttyS0 2>&1'
done
"""


def init(before: str = "") -> str:
    """The init script; `before` is shell lines to run before it says that it is up."""
    return _INIT.format(prompt=PROMPT, ready=READY, before=before)


INIT = init()


def build(busybox: bytes) -> bytes:
    """An uncompressed cpio archive with `busybox` (a static MIPS program) and the init script."""
    return cpio.archive(
        [
            *(cpio.directory(path) for path in ("bin", "dev", "etc", "proc", "sys", "tmp")),
            cpio.character_device("dev/console", 5, 1),
            cpio.file("bin/busybox", busybox, 0o755),
            cpio.symlink("bin/sh", "busybox"),
            cpio.file("init", INIT.encode(), 0o755),
        ]
    )
