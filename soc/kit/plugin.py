"""The pytest plugin: fixtures `rig` and `golden`, files `*.vectors.toml`, `--update-golden`, `--register-coverage`.

It is loaded into every pytest run of an environment that has this package. So it imports nothing of the package until a
test, a file or an option asks for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from devices.rig import Rig
    from soc.kit.golden import Golden

VECTORS = ".vectors.toml"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("soc", "device models (loongson-soc)")
    group.addoption("--update-golden", action="store_true", help="write golden traces instead of comparing with them")
    group.addoption(
        "--register-coverage", action="store_true", help="report the registers and bits of devices that no test touched"
    )


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    # Before any device class is used: what it decodes is made once per class.
    if early_config.known_args_namespace.register_coverage:
        from soc.kit.coverage import watch

        watch()


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    if not file_path.name.endswith(VECTORS):
        return None
    from soc.kit.collect import VectorFile

    return VectorFile.from_parent(parent, path=file_path)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if config.getoption("register_coverage"):
        from soc.kit.coverage import report

        terminalreporter.section("register coverage")
        for line in report():
            terminalreporter.line(line)
    for path in config.stash.get(_written, ()):
        terminalreporter.line(f"golden trace written: {path}")


_written: pytest.StashKey[list[Path]] = pytest.StashKey()


@pytest.fixture
def rig(request: pytest.FixtureRequest) -> Rig:
    """A fresh bench for one device: `rig.device(model)` puts it there. See devices/rig.py."""
    from devices.rig import Rig

    return Rig(request.path.parent)


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Iterator[Golden]:
    """`golden(trace)` compares with the file that a run with --update-golden has written. See soc/kit/golden.py."""
    from soc.kit.golden import Golden

    config = request.config
    one = Golden(request.path, request.node.name, config.getoption("update_golden"))
    yield one
    config.stash.setdefault(_written, []).extend(one.written)
