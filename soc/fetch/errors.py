"""Errors of fetching: what could not be had, and what to do about it."""

from soc.errors import SocError


class FetchError(SocError):
    """Guest material cannot be had or is not what it should be. The text is a line of fact, then a line of advice."""

    def __init__(self, fact: str, advice: str) -> None:
        super().__init__(f"{fact}.\n{advice}")
        self.fact = fact
        self.advice = advice
