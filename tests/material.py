"""Debian's kernel and initramfs, for the tests that boot them."""

from __future__ import annotations

import pytest

from soc.errors import SocError
from soc.fetch import debian
from soc.fetch.debian import Material


def debian_material(fetch: bool = False, modules: bool = False) -> Material:
    """What `soc fetch debian` keeps. Skips the test without it, and with `modules` also without the kernel's. `fetch`:
    it is fetched where there is none."""
    try:
        found = debian.cached() or (debian.fetch() if fetch else None)
    except SocError as error:
        pytest.skip(f"no Debian kernel: {str(error).splitlines()[0]}")
    if found is None:
        pytest.skip("no Debian kernel: `soc fetch debian` gets it")
    if modules and found.modules is None:
        pytest.skip("the cache has no kernel modules: `soc fetch debian --refresh` gets them")
    return found
