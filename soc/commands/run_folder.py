"""`--out DIR`: what a run leaves behind. result.json, console.log, trace.txt, and typed.json after live typing."""

import json
from collections.abc import Iterable
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

    def finish(self, result: dict[str, Any], records: Iterable[Any], typed: list[tuple[int, bytes]]) -> None:
        """Writes the result, the trace records (a line each), and what was typed live, for replay."""
        self.console.close()
        (self.path / "result.json").write_text(json.dumps(result, indent=1) + "\n", "utf-8")
        with (self.path / "trace.txt").open("w", encoding="utf-8") as file:
            file.writelines(f"{record}\n" for record in records)
        if typed:
            keys = [[time, data.hex()] for time, data in typed]
            (self.path / "typed.json").write_text(json.dumps(keys) + "\n", "utf-8")
