"""Files of register vectors as pytest collects them: each vector is a test."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from soc.errors import SocError
from soc.kit.vectors import Vector, VectorError, VectorFailure, read_vectors


class VectorFile(pytest.File):
    """A file `*.vectors.toml`."""

    def collect(self) -> Iterator[VectorItem]:
        try:
            vectors = read_vectors(self.path)
        except VectorError as error:
            raise self.CollectError(str(error)) from error
        for vector in vectors:
            yield VectorItem.from_parent(self, name=vector.name, vector=vector)


class VectorItem(pytest.Item):
    """One vector."""

    def __init__(self, *, vector: Vector, **options: Any) -> None:
        super().__init__(**options)
        self.vector = vector

    def runtest(self) -> None:
        self.vector.run()

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """The message alone: the place in our own code says nothing to the reader."""
        if isinstance(excinfo.value, VectorFailure | SocError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Any, int | None, str]:
        return self.path, None, self.name
