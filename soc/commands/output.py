"""What commands print apart from the guest's console: messages, errors, the result line. All on standard error."""

import json
import sys
from collections.abc import Mapping
from typing import Any

OK = 0
FAILED = 1
BAD_INPUT = 2
LIMIT = 3
INTERRUPTED = 130

INDENT = "     "


def say(text: str) -> None:
    """One message on standard error."""
    print(text, file=sys.stderr, flush=True)


def error_text(error: Exception) -> str:
    """'soc: fact.' and the advice below it."""
    first, *rest = str(error).splitlines() or [type(error).__name__]
    return "\n".join([f"soc: {first}", *(INDENT + line for line in rest)])


def result_line(result: Mapping[str, Any]) -> str:
    """The last line of every run and boot: 'result: ' and one JSON object."""
    return "result: " + json.dumps(result, sort_keys=False)
