"""Errors of loading: what is wrong with the file or the memory, and what to do about it."""

from soc.errors import SocError


class FirmwareError(SocError):
    """Base of every error raised while a machine's memory is prepared."""


class LoadError(FirmwareError):
    """A program, kernel or initrd cannot be loaded.

    The text is one line of fact, then one line of advice, so that a command can print it as it stands.
    """

    def __init__(self, what: str, why: str, advice: str) -> None:
        super().__init__(f"cannot load {what}: {why}.\n{advice}")
        self.what = what
        self.why = why
        self.advice = advice


class TableError(FirmwareError):
    """A firmware table was given a field it does not have, or a value the field cannot hold."""
