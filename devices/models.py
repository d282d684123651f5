"""Where a device class is: `module:Class`, or `path/to/file.py:Class` for a file that is on no import path."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any
from zlib import crc32

from devices.errors import UnknownDevice

_FILES: set[str] = set()
"""Modules that were loaded from a path: their names are of our making, and unknown to other processes."""


def load(model: str, folder: str | Path = "") -> Any:
    """The class `model` names; a file's path is taken from `folder` (the current one by default).

    Raises UnknownDevice where there is no such module, file or class. An error inside the module is the module's.
    """
    where, name = _parts(model)
    module = _of_file(Path(folder, where).resolve(), model) if where.endswith(".py") else _of_name(where, model)
    found = getattr(module, name, None)
    if not isinstance(found, type):
        classes = sorted(n for n, v in vars(module).items() if isinstance(v, type) and v.__module__ == module.__name__)
        raise UnknownDevice(f"{model!r}: {where} has no class {name!r}; it has {', '.join(classes) or 'none'}")
    return found


def absolute(model: str, folder: str | Path = "") -> str:
    """`model` for a reader in any folder: another process, for one. Raises UnknownDevice for a name of another form."""
    where, name = _parts(model)
    return f"{Path(folder, where).resolve()}:{name}" if where.endswith(".py") else model


def name_of(cls: type) -> str:
    """`module:Class` of a class. Raises UnknownDevice for one that cannot be found by its name."""
    module = sys.modules.get(cls.__module__)
    if getattr(module, cls.__qualname__, None) is not cls:
        raise UnknownDevice(f"{cls.__qualname__} is no class of a module, so that nobody else could load it: move it")
    if cls.__module__ in _FILES or cls.__module__ == "__main__":
        return f"{Path(module.__file__).resolve()}:{cls.__qualname__}"
    return f"{cls.__module__}:{cls.__qualname__}"


def _parts(model: str) -> tuple[str, str]:
    where, _, name = model.rpartition(":")
    if not where or not name:
        raise UnknownDevice(f"{model!r} names no model; write module:Class or path/to/file.py:Class")
    return where, name


def _of_name(name: str, model: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
        raise UnknownDevice(
            f"{model!r}: there is no module {error.name!r}; `path/to/file.py:Class` names a file"
        ) from None


def _of_file(path: Path, model: str) -> ModuleType:
    for module in list(sys.modules.values()):
        if getattr(module, "__file__", None) == str(path) and module.__name__ != "__main__":
            return module
    if not path.is_file():
        raise UnknownDevice(f"{model!r}: there is no file {path}")
    name = f"{path.stem}_{crc32(str(path).encode()):08x}"
    spec = importlib.util.spec_from_file_location(name, path)
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    _FILES.add(name)
    return module
