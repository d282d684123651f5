"""Errors of measuring."""

from soc.errors import ConfigurationError, SocError


class BenchError(SocError):
    """A run under measurement failed, or two runs that must print the same did not: there is nothing to compare."""


class UnfinishedError(BenchError):
    """A run was not over within its time; `console` is what it had shown by then."""

    def __init__(self, text: str, console: str) -> None:
        super().__init__(text)
        self.console = console


class NeedError(ConfigurationError):
    """A measurement needs what this host does not have."""
