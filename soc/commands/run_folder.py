"""`--out DIR`: what a run leaves behind. result.json, console.log, trace.soc, and typed.json after live typing."""

import json
from contextlib import suppress
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path
from typing import Any, BinaryIO

from soc.errors import ConfigurationError, SocError
from soc.files import regular
from soc.trace.file import NAME as TRACE

CONSOLE, RESULT, TYPED = "console.log", "result.json", "typed.json"
FILES = (CONSOLE, RESULT, TYPED, TRACE)


def _lock(file: BinaryIO) -> None:
    """Raises BlockingIOError while another run holds the file. A file system that has no locks keeps nobody out."""
    try:
        flock(file, LOCK_EX | LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:
        pass


class RunFolder:
    """The folder of one run. ConfigurationError when it cannot be made or written, or another run writes there."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            for name in FILES:
                regular(self.path / name)
            self.console: BinaryIO = (self.path / CONSOLE).open("ab")
            _lock(self.console)
            self.console.truncate(0)
        except BlockingIOError as cause:
            raise ConfigurationError(f"another run is writing to --out {path}.\nGive another folder.") from cause
        except OSError as cause:
            raise ConfigurationError(
                f"cannot write the run folder --out {path}: {cause.strerror}.\nGive another folder."
            ) from cause

    def finish(self, result: dict[str, Any], typed: list[tuple[int, bytes]]) -> None:
        """Writes the result, and what was typed live, for replay. The trace is written while the machine runs.

        Raises SocError where the host refuses a file.
        """
        files = {RESULT: json.dumps(result, indent=1)}
        if typed:
            files[TYPED] = json.dumps([[time, data.hex()] for time, data in typed])
        with suppress(OSError):  # what is refused here was refused to the console's writer, which has told
            self.console.close()
        try:
            for name, text in files.items():
                (self.path / name).write_text(text + "\n", "utf-8")
        except OSError as cause:
            raise SocError(f"cannot write the run folder --out {self.path}: {cause.strerror}.") from cause
