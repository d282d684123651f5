"""An array of int64 as compiled functions hand it on: nothing but the address of its words.

numba's own arrays are seven values each, and of every computed index it asks whether it counts from the end; in a loop
over the TLB that costs more than the loads. An index here is not negative.
"""

from __future__ import annotations

import operator

from llvmlite import ir
from numba.core import types
from numba.core.datamodel import PrimitiveModel, register_default
from numba.core.imputils import lower_builtin, lower_cast
from numba.core.typeconv import Conversion
from numba.core.typing.templates import AbstractTemplate, infer_global, signature

ARRAY = types.Array(types.int64, 1, "C")


class Borrowed(types.Type):
    """The type of such an address; an array becomes one where it is passed."""

    def __init__(self) -> None:
        super().__init__("borrowed")

    def can_convert_from(self, typingctx, other):
        return Conversion.safe if other == ARRAY else None


BORROWED = Borrowed()


@register_default(Borrowed)
class _Model(PrimitiveModel):
    def __init__(self, manager, kind) -> None:
        super().__init__(manager, kind, ir.IntType(64).as_pointer())


@infer_global(operator.getitem)
class _Get(AbstractTemplate):
    def generic(self, args, kws):
        if args[0] == BORROWED and isinstance(args[1], types.Integer):
            return signature(types.int64, BORROWED, types.int64)
        return None


@infer_global(operator.setitem)
class _Set(AbstractTemplate):
    def generic(self, args, kws):
        if args[0] == BORROWED and isinstance(args[1], types.Integer):
            return signature(types.none, BORROWED, types.int64, types.int64)
        return None


@lower_builtin(operator.getitem, Borrowed, types.Integer)
def _get(context, builder, kind, args):
    return builder.load(builder.gep(args[0], [args[1]]))


@lower_builtin(operator.setitem, Borrowed, types.Integer, types.Integer)
def _set(context, builder, kind, args):
    builder.store(args[2], builder.gep(args[0], [args[1]]))
    return context.get_dummy_value()


@lower_cast(types.Array, Borrowed)
def _address(context, builder, array, address, value):
    # What only compiling needs takes long to load.
    from numba.np.arrayobj import make_array

    return make_array(array)(context, builder, value).data
