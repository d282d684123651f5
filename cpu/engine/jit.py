"""The one way functions of the engine are compiled: cached on disk, in the directory that `cpu.engine.cache` names.

Arrays are only borrowed: no function returns or keeps one, so none counts references. Counting would cost more
than a short window of a core.

numba optimises and emits every function by itself and, with all it calls, again in each of its callers. Here only a
root does that, a function called from Python: it links what it calls, directly or not, as LLVM IR straight from
lowering (a part), and the whole is optimised once. A part takes every integer as int64, so that booleans and
constants make no further copies of it. Of numba's own passes only those run that plain functions of integers need.
"""

from __future__ import annotations

import functools
import gc
from collections.abc import Iterator
from contextlib import contextmanager

from cpu.engine import cache

cache.prepare()
from llvmlite.binding import Linkage  # noqa: E402
from numba import types  # noqa: E402
from numba.core.caching import CompileResultCacheImpl, FunctionCache, NullCache, UserProvidedCacheLocator  # noqa: E402
from numba.core.codegen import JITCodeLibrary  # noqa: E402
from numba.core.compiler import CompilerBase, Flags, compile_extra  # noqa: E402
from numba.core.compiler_machinery import PassManager  # noqa: E402
from numba.core.dispatcher import _FunctionCompiler  # noqa: E402
from numba.core.registry import CPUDispatcher, cpu_target  # noqa: E402
from numba.core.runtime import rtsys  # noqa: E402
from numba.core.typed_passes import (  # noqa: E402
    AnnotateTypes,
    IRLegalization,
    NativeLowering,
    NoPythonBackend,
    NopythonTypeInference,
    PreLowerStripPhis,
)
from numba.core.typing import Context  # noqa: E402
from numba.core.untyped_passes import FixupArgs, IRProcessing, ReconstructSSA, TranslateByteCode  # noqa: E402

from cpu.engine.borrowed import ARRAY, BORROWED  # noqa: E402

# By numpy's rules a division by 0 raises nothing, so that no function raises, and no call asks whether one has.
_OPTIONS = {"nopython": True, "_nrt": False, "no_cfunc_wrapper": True, "error_model": "numpy"}


class _Passes(CompilerBase):
    """numba's pipeline, less what closures, lists, literals and parallel loops would need."""

    def define_pipelines(self):
        passes = PassManager("integers")
        for step in (TranslateByteCode, FixupArgs, IRProcessing, ReconstructSSA, NopythonTypeInference,
                     PreLowerStripPhis, AnnotateTypes, IRLegalization, NativeLowering, NoPythonBackend):  # fmt: skip
            passes.add_pass(step, step.__name__)
        passes.finalize()
        return [passes]


class _Library(JITCodeLibrary):
    def _optimize_functions(self, module) -> None:
        # Not one by one, as the root does it for all.
        module.data_layout = self._codegen._data_layout


class _PartLibrary(_Library):
    """The IR of one part, and which parts it calls."""

    def finalize(self) -> None:
        # The root does what remains.
        self._finalized = True


class _RootLibrary(_Library):
    """A root and all the parts it needs, optimised as one module."""

    def finalize(self) -> None:
        found = dict.fromkeys(self._linking_libraries)
        waiting = list(found)
        while waiting:
            library = waiting.pop()
            if isinstance(library, _PartLibrary):
                new = [callee for callee in library._linking_libraries if callee not in found]
                found.update(dict.fromkeys(new))
                waiting += new
        self._linking_libraries = list(found)
        super().finalize()

    def _optimize_final_module(self) -> None:
        # Nobody else calls a part, so that what its callers always pass, or it never looks at, need not be passed.
        for function in self._final_module.functions:
            if not function.is_declaration and function.linkage == Linkage.linkonce_odr:
                function.linkage = "internal"
        # One round of passes: numba's other one is for its reference counts. No loop here is one for vectors.
        passes, builder = self._codegen._module_pass_manager(loop_vectorize=False, slp_vectorize=False)
        passes.run(self._final_module, builder)


class _Typing(Context):
    """numba's typing context, which asks its templates only once what an operation makes of which types."""

    def __init__(self, context: Context) -> None:
        vars(self).update(vars(context))
        self._known = {}

    def resolve_function_type(self, func, args, kws):
        if isinstance(func, types.Dispatcher) or kws:
            return super().resolve_function_type(func, args, kws)
        asked = func, tuple(args)
        if asked not in self._known:
            self._known[asked] = super().resolve_function_type(func, args, kws)
        return self._known[asked]


@functools.cache
def _typing() -> _Typing:
    return _Typing(cpu_target.typing_context)


class _RootCompiler(_FunctionCompiler):
    """numba's, but for the library and the typing context."""

    library = _RootLibrary

    def _compile_core(self, args, return_type):
        target = self.targetdescr
        flags = Flags()
        target.options.parse_as_flags(flags, self.targetoptions)
        library = self.library(target.target_context.codegen(), self.py_func.__qualname__)
        library.enable_object_caching()
        return compile_extra(
            _typing(),
            target.target_context,
            self.py_func,
            args,
            return_type,
            self._customize_flags(flags),
            self.locals,
            library,
            self.pipeline_class,
        )


class _PartCompiler(_RootCompiler):
    library = _PartLibrary

    def _customize_flags(self, flags):
        flags.no_compile = flags.no_cpython_wrapper = True
        return flags

    def _compile_core(self, args, return_type):
        done = super()._compile_core(args, return_type)
        # Nothing can be called yet; callers find the IR under what stands for the entry point.
        self.targetdescr.target_context.insert_user_function(done.library, done.fndesc, [done.library])
        return done._replace(entry_point=done.library)


class _Part(CPUDispatcher):
    """A function as its callers see it."""

    def __init__(self, function, options):
        super().__init__(function, targetoptions=options)
        self._compiler = _PartCompiler(function, self.targetdescr, options, {}, _Passes)

    def add_overload(self, cres):
        # Not where calls from Python are looked up.
        self.overloads[tuple(cres.signature.args)] = cres

    def get_call_template(self, args, kws):
        _, args = self._compiler.fold_argument_types(args, kws)
        return super().get_call_template(tuple(_widened(kind) for kind in args), {})


class _Place(UserProvidedCacheLocator):
    """The directory of `cpu.engine.cache` and no other, whether or not it can be written."""

    @classmethod
    def from_function(cls, py_func, py_file):
        return cls(py_func, py_file)


class _Files(CompileResultCacheImpl):
    _locator_classes = (_Place,)


class _Cache(FunctionCache):
    """numba's, without the import of all that numba can compile, which takes longer than to load what is compiled."""

    _impl_class = _Files

    def load_overload(self, sig, target_context):
        rtsys.initialize(target_context)
        with cache.using():
            return self._load_overload(sig, target_context)

    def save_overload(self, sig, data):
        with cache.using():
            super().save_overload(sig, data)


class _Root(CPUDispatcher):
    """A function as Python sees it; with a `signature`, compiled for that one alone. `inline`: its code becomes part of
    its callers', whatever its length."""

    def __init__(self, function, signature=None, inline=False):
        super().__init__(function, targetoptions=_OPTIONS)
        self._compiler = _RootCompiler(function, self.targetdescr, _OPTIONS, {}, _Passes)
        self._signature = signature
        self._part_options = _OPTIONS | {"forceinline": inline}

    @functools.cached_property
    def _part(self) -> _Part:
        return _Part(self.py_func, self._part_options)

    def get_call_template(self, args, kws):
        return self._part.get_call_template(args, kws)

    def get_overload(self, sig):
        return self._part.get_overload(sig)

    def compile(self, sig):
        if isinstance(self._cache, NullCache):
            self._cache = _Cache(self.py_func)
        with _no_collection():
            if self._signature is None:
                return super().compile(sig)
            entry = super().compile(self._signature)
        self.disable_compile()
        return entry

    def make_ready(self) -> None:
        """Compiles for the given signature, or loads what has been compiled, unless that is done."""
        if not self.overloads:
            self.compile(self._signature)


@contextmanager
def _no_collection() -> Iterator[None]:
    """numba makes objects by the million and keeps most until a root is done: looking for garbage among them takes a
    tenth of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _widened(kind: types.Type) -> types.Type:
    kind = types.unliteral(kind)
    if kind == ARRAY:
        return BORROWED
    return types.int64 if kind == types.boolean or kind in types.signed_domain else kind


def jit(function):
    """Compiles for the argument types of each call."""
    return _Root(function)


def jit_inline(function):
    """For a function on the way of every turn of a core: what a call saves and passes takes longer than its work."""
    return _Root(function, inline=True)


def jit_as(signature: str):
    """Compiles for one signature: Python callers with booleans or narrow integers make no further copies."""
    return lambda function: _Root(function, signature)
