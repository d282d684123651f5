"""The error of a refused KVM call: the errno that the kernel's KVM gives, and why in words."""

from __future__ import annotations

import errno as numbers

from soc.errors import SocError


class KvmError(SocError):
    """An ioctl or call that KVM refuses. `errno` is the positive number that user space would see."""

    def __init__(self, errno: int, why: str) -> None:
        super().__init__(f"{numbers.errorcode.get(errno, errno)}: {why}")
        self.errno = errno
