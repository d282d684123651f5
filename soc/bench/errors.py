"""Errors of measuring."""

from soc.errors import SocError


class BenchError(SocError):
    """A run under measurement failed, or two runs that must print the same did not: there is nothing to compare."""
