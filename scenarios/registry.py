"""What a scenario is: a decorated function, its parameters with defaults, what it shows and what it expects.

    @scenario(rounds=100)
    def first_light(run, rounds): ...

Calling the decorated function runs it: `first_light(rounds=1000)`. `soc scenario run first_light --rounds 1000` is the
same. Every scenario also takes `out`, a folder for what it keeps.
"""

from __future__ import annotations

import json
import pkgutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from soc.errors import ConfigurationError, choose
from soc.files import regular
from soc.time import duration

PACKAGE = "scenarios"


@contextmanager
def _keeping(folder: str | Path) -> Iterator[None]:
    """Raises ConfigurationError where the host refuses what is kept in `folder`."""
    try:
        yield
    except OSError as cause:
        raise ConfigurationError(f"cannot keep anything in {folder}: {cause.strerror}.\nGive another --out.") from cause


class Run:
    """One run of a scenario: collects what it shows, keeps its artefacts, and judges its expectations."""

    def __init__(self, name: str, parameters: dict[str, Any], out: str | Path | None = None) -> None:
        self.name, self.parameters = name, parameters
        self.shown: list[str] = []
        """Everything printed so far, one text per item."""
        self.failures: list[str] = []
        """Expectations that did not hold."""
        self.out: Path | None = None
        if out:
            self.into(out)

    def into(self, folder: str | Path) -> None:
        """Keep artefacts in `folder` from now on. Raises ConfigurationError when it cannot be made."""
        with _keeping(folder):
            Path(folder).mkdir(parents=True, exist_ok=True)
        self.out = Path(folder)

    @property
    def ok(self) -> bool:
        """Whether every expectation held."""
        return not self.failures

    def show(self, *items: Any) -> None:
        """Prints each item; tables, results and texts alike."""
        for item in items:
            self.shown.append(str(item))
            print(item, flush=True)

    def result(self, result: Any, machine: Any = None) -> None:
        """Shows the summary line of a machine's run, and keeps it as result.json; with `machine`, its trace too."""
        parts = [f"{value} {name}" for name, value in self.parameters.items() if type(value) is int]
        self.show(
            "  ".join(
                [
                    self.name,
                    *parts,
                    f"virtual {result.virtual_s * 1e3:.3f} ms",
                    f"wall {result.wall_s:.2f} s",
                    f"{result.mips:.1f} MIPS",
                    f"{result.exits} exits",
                    f"ended {result.ended}",
                    f"hash {result.trace_hash[:12]}",
                ]
            )
        )
        self.keep("result.json", json.dumps(result.as_dict(), indent=1) + "\n")
        if machine is not None:
            self.trace(machine, result)

    def keep(self, name: str, content: str | bytes) -> None:
        """Writes an artefact into the run's folder, when it has one."""
        if self.out is not None:
            data = content.encode() if isinstance(content, str) else content
            with _keeping(self.out):
                regular(self.out / name).write_bytes(data)

    def trace(self, machine: Any, result: Any, part: str = "") -> None:
        """Keeps the trace of a machine with `trace=True` as trace.soc, for `soc trace`; a part's in its folder."""
        if self.out is not None and machine.trace.keeps:
            about = {"scenario": self.name, "platform": machine.platform.name, "cpus": len(machine.cpu), "part": part}
            with _keeping(self.out):
                (self.out / part).mkdir(exist_ok=True)
                path = regular(self.out / part / "trace.soc")
            machine.trace.save(path, about, result.trace_hash)

    def keep_latency(self, latency: Any, result: Any, name: str = "latency") -> None:
        """Keeps the table of a latency, and the page and the picture of its path; says where. Needs a folder."""
        if self.out is None:
            return
        from soc.trace import page, picture

        about = {"scenario": self.name, "hash": result.trace_hash[:12]}
        self.keep(f"{name}.txt", f"{latency.table()}\n\n{latency.histogram()}\n")
        with _keeping(self.out):
            page.write(latency, regular(self.out / f"{name}.html"), about)
        kept = [f"{name}.html"]
        try:
            with _keeping(self.out):
                picture.draw(latency, regular(self.out / f"{name}.png"), about)
            kept.append(f"{name}.png")
        except ConfigurationError as error:
            self.show(f"no picture: {str(error).splitlines()[0]}")
        self.show(f"kept in {self.out}: {', '.join(kept)}")

    def expect(
        self, value: Any, *, equals: Any = None, below: Any = None, above: Any = None, what: str = "value"
    ) -> None:
        """Notes a failure unless `value` is equal to, below or above the given one. A time may be text: "1 us"."""
        for relation, bound, holds in (
            ("equal to", equals, lambda a, b: a == b),
            ("below", below, lambda a, b: a < b),
            ("above", above, lambda a, b: a > b),
        ):
            if bound is None:
                continue
            limit = duration(bound) if isinstance(bound, str) and isinstance(value, int) else bound
            if not holds(value, limit):
                self.failures.append(f"{what} is {value!r}; expected: {relation} {bound!r}")
                self.show(f"EXPECTATION FAILED: {self.failures[-1]}")

    def __bool__(self) -> bool:
        return self.ok


class Scenario:
    """A function with parameters; calling it runs it and gives the `Run`."""

    def __init__(self, function: Callable[..., None], defaults: dict[str, Any]) -> None:
        self.function = function
        self.scenario_defaults = defaults
        """Parameter -> default value; a value given must be of the default's type."""
        self.name = function.__name__
        self.__doc__ = function.__doc__ or import_module(function.__module__).__doc__

    def __call__(self, out: str | Path | None = None, **given: Any) -> Run:
        """Runs it; what it showed is kept however it ends. Raises ConfigurationError for unknown parameters and values
        of the wrong type."""
        for name, value in given.items():
            if name not in self.scenario_defaults:
                raise ConfigurationError(f"{self.name}: {choose('parameter', name, [*self.scenario_defaults, 'out'])}")
            default = self.scenario_defaults[name]
            if type(value) is not type(default):
                raise ConfigurationError(
                    f"{self.name}: {name} = {value!r} is of type {type(value).__name__}; "
                    f"allowed: {type(default).__name__}, such as {default!r}"
                )
        parameters = self.scenario_defaults | given
        run = Run(self.name, parameters, out)
        try:
            self.function(run, **parameters)
        finally:
            if run.shown:
                run.keep("shown.txt", "\n".join(run.shown) + "\n")
        return run


def scenario(**defaults: Any) -> Callable[[Callable[..., None]], Scenario]:
    """Decorator: makes `function(run, **parameters)` a scenario; the keywords are its parameters and their defaults."""
    return lambda function: Scenario(function, defaults)


def _found(name: str) -> Scenario | None:
    values = vars(import_module(f"{PACKAGE}.{name}")).values()
    return next((value for value in values if isinstance(value, Scenario)), None)


def list_scenarios() -> list[str]:
    """The names of all scenarios, sorted: the modules of this package that define one."""
    modules = (found.name for found in pkgutil.iter_modules(import_module(PACKAGE).__path__) if not found.ispkg)
    return sorted(name for name in modules if _found(name) is not None)


def load(name: str) -> Scenario:
    """The scenario of the module `name`. Raises ConfigurationError with the names there are."""
    known = list_scenarios()
    if name not in known:
        raise ConfigurationError(choose("scenario", name, known))
    return _found(name)
