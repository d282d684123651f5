"""What commands print apart from the guest's console: messages, errors, the result line. All on standard error."""

import json
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from soc.errors import SocError

OK = 0
FAILED = 1
BAD_INPUT = 2
LIMIT = 3
INTERRUPTED = 130
UNREAD = 141
"""Nobody reads standard output any more: what a shell says of a process that SIGPIPE ended."""

INDENT = "     "


def say(text: str) -> None:
    """One message on standard error; lost where that cannot be written, as there is no other place to say so."""
    with suppress(OSError):
        print(text, file=sys.stderr, flush=True)


def error_text(error: Exception) -> str:
    """'soc: fact.' and the advice below it."""
    first, *rest = str(error).splitlines() or [type(error).__name__]
    return "\n".join([f"soc: {first}", *(INDENT + line for line in rest)])


def refusal(error: OSError) -> SocError:
    """What the host refused, and to which file where it says so, as an error of this package."""
    return SocError(f"{error.filename or 'cannot write'}: {error.strerror or error}.")


def done(step: Callable[[], object]) -> bool:
    """Whether `step` was done; if not, the reason has been said."""
    try:
        step()
    except SocError as error:
        say(error_text(error))
        return False
    return True


def interrupted() -> int:
    """Says that somebody ended the command with Ctrl-C; returns its status."""
    say("soc: interrupted.")
    return INTERRUPTED


def result_line(result: Mapping[str, Any]) -> str:
    """The last line of every run and boot: 'result: ' and one JSON object."""
    return "result: " + json.dumps(result, sort_keys=False)
