"""An array of int64 as compiled functions hand it on: nothing but the address of its words.

numba's own arrays are seven values each, and of every index it asks whether it counts from the end: most of a function
of the engine would be that. An index into words is not negative.
"""

from __future__ import annotations

import operator

from llvmlite import ir
from numba.core import types
from numba.core.datamodel import PrimitiveModel, register_default
from numba.core.imputils import lower_builtin, lower_cast
from numba.core.typeconv import Conversion
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.np.arrayobj import make_array

ARRAY = types.Array(types.int64, 1, "C")


class Words(types.Type):
    """The type of such an address; an array of int64 becomes it where it is passed."""

    def __init__(self) -> None:
        super().__init__("words")

    def can_convert_from(self, typingctx, other):
        return Conversion.safe if other == ARRAY else None


WORDS = Words()


@register_default(Words)
class _Model(PrimitiveModel):
    def __init__(self, manager, kind) -> None:
        super().__init__(manager, kind, ir.IntType(64).as_pointer())


@infer_global(operator.getitem)
class _Get(AbstractTemplate):
    def generic(self, args, kws):
        if args[0] == WORDS and isinstance(args[1], types.Integer):
            return signature(types.int64, WORDS, types.int64)
        return None


@infer_global(operator.setitem)
class _Set(AbstractTemplate):
    def generic(self, args, kws):
        if args[0] == WORDS and isinstance(args[1], types.Integer):
            return signature(types.none, WORDS, types.int64, types.int64)
        return None


@lower_builtin(operator.getitem, Words, types.Integer)
def _get(context, builder, kind, args):
    return builder.load(builder.gep(args[0], [args[1]]))


@lower_builtin(operator.setitem, Words, types.Integer, types.Integer)
def _set(context, builder, kind, args):
    builder.store(args[2], builder.gep(args[0], [args[1]]))
    return context.get_dummy_value()


@lower_cast(types.Array, Words)
def _address(context, builder, array, words, value):
    return make_array(array)(context, builder, value).data
