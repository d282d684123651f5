"""`--out DIR`: what a run leaves behind. result.json, console.log, trace.soc, and typed.json after live typing."""

import json
from pathlib import Path
from typing import Any, BinaryIO

from soc.errors import ConfigurationError


class RunFolder:
    """The folder of one run. Raises ConfigurationError when it cannot be made or written."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self.console: BinaryIO = (self.path / "console.log").open("wb", buffering=0)
        except OSError as cause:
            raise ConfigurationError(
                f"cannot write the run folder --out {path}: {cause.strerror}.\nGive another folder."
            ) from cause

    def finish(self, result: dict[str, Any], typed: list[tuple[int, bytes]]) -> None:
        """Writes the result, and what was typed live, for replay. The trace is written while the machine runs."""
        self.console.close()
        (self.path / "result.json").write_text(json.dumps(result, indent=1) + "\n", "utf-8")
        if typed:
            keys = [[time, data.hex()] for time, data in typed]
            (self.path / "typed.json").write_text(json.dumps(keys) + "\n", "utf-8")
