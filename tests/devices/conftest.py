import pytest

from soc.bench.qemu import find
from tests.devices.qemu_machine import QemuMachine
from tests.oracles import qemu10 as qemu10_of_backports

__all__ = ["qemu", "qemu10"]


def _machine(found, tmp_path_factory):
    if found is None or isinstance(found, str):
        pytest.skip(found or "qemu-system-mips64el is not installed, or has no loongson3-virt")
    machine = QemuMachine(found, tmp_path_factory.mktemp("qemu"))
    yield machine
    machine.close()


@pytest.fixture(scope="module", params=["installed", "qemu10"])
def qemu(request, tmp_path_factory):
    """QEMU's machine: once of the installed QEMU, once of QEMU 10."""
    yield from _machine(find() if request.param == "installed" else qemu10_of_backports.find(), tmp_path_factory)


@pytest.fixture(scope="module")
def qemu10(tmp_path_factory):
    """The machine of QEMU 10, the first that has the inter-processor interrupt block on a MIPS machine."""
    yield from _machine(qemu10_of_backports.find(), tmp_path_factory)
