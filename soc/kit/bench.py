"""Devices of one kind, each fresh on a rig of its own: what properties are tried on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from devices.device import Device
from devices.rig import Rig


class Bench:
    """Makes devices of one kind."""

    def __init__(
        self, model: str | type[Device], options: dict[str, Any], invariant: Callable[[Device], None] | None
    ) -> None:
        self._model, self._options = model, options
        self.invariant = invariant or (lambda device: None)
        self.cls = type(self.rig().model)
        self.registers = self.cls.register_map().registers

    def rig(self) -> Rig:
        """A fresh device on a rig of its own, reset."""
        rig = Rig()
        rig.device(self._model, **self._options)
        return rig
