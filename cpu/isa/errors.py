"""Errors of the instruction table and what is derived from it."""

from __future__ import annotations

from soc.errors import SocError


class TableError(SocError):
    """The instruction table contradicts itself or was asked for what it does not hold."""
