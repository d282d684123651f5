"""The boots that several tests look at, made once."""

from __future__ import annotations

import pytest

from soc.firmware.cmdline import FAST
from tests.boot import rig
from tests.material import debian_material
from tests.oracles import qemu10


@pytest.fixture(scope="session")
def material():
    return debian_material(fetch=True)


@pytest.fixture(scope="session")
def fast(material, tmp_path_factory) -> rig.Boot:
    """Our boot with the short command line."""
    return rig.boot(tmp_path_factory.mktemp("fast"), FAST)


@pytest.fixture(scope="session")
def oracle():
    found = qemu10.find()
    if isinstance(found, str):
        pytest.skip(found)
    return found
