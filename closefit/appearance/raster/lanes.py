"""Vectors of eight 32-bit floats (pixels) in compiled code.

Splats of body Gaussians cover rows of few pixels, which the compiler does not vectorise. `Lanes` is
a vector of LLVM: each operation below is one to four processor instructions. In compiled code
`+ - * /` take lanes and scalars, `>= <=` return a mask, and `&` combines masks.
"""
# ruff: noqa: ARG001 - numba fixes the signatures of what builds code

import operator
from typing import no_type_check

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, overload, register_model

from closefit.appearance.raster.compile import compiled

LANES = 8

_FLOATS = ir.VectorType(ir.FloatType(), LANES)
_INTS = ir.VectorType(ir.IntType(32), LANES)
_BITS = ir.VectorType(ir.IntType(1), LANES)
_FIRST = ir.Constant(ir.IntType(32), 0)


class Lanes(types.Type):
    """Eight 32-bit floats."""


class Mask(types.Type):
    """Eight truth values."""


_lanes, _mask = Lanes("lanes"), Mask("mask")


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):
    @no_type_check
    def __init__(self, manager, kind):
        super().__init__(manager, kind, _FLOATS)


@register_model(Mask)
class _MaskModel(models.PrimitiveModel):
    @no_type_check
    def __init__(self, manager, kind):
        super().__init__(manager, kind, _BITS)


@no_type_check
def _pointer(context, builder, signature, array, index):
    data = cgutils.create_struct_proxy(signature.args[0])(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), _FLOATS.as_pointer())


@intrinsic
@no_type_check
def load(_, array, index):
    """Read the lanes that start at `index` of a flat array of 32-bit floats."""

    def emit(context, builder, signature, values):
        return builder.load(_pointer(context, builder, signature, *values), align=4)

    return _lanes(array, types.intp), emit


@intrinsic
@no_type_check
def store(_, array, index, value):
    """Write lanes from `index` on into a flat array of 32-bit floats."""

    def emit(context, builder, signature, values):
        builder.store(values[2], _pointer(context, builder, signature, *values[:2]), align=4)
        return context.get_dummy_value()

    return types.void(array, types.intp, _lanes), emit


@intrinsic
@no_type_check
def spread(_, value):
    """Give every lane the same value."""

    def emit(context, builder, signature, values):
        nothing = ir.Constant(_FLOATS, ir.Undefined)
        one = builder.insert_element(nothing, values[0], _FIRST)
        return builder.shuffle_vector(one, nothing, ir.Constant(_INTS, [0] * LANES))

    return _lanes(types.float32), emit


@intrinsic
@no_type_check
def numbered(_):
    """Return 0, 1, 2, ... in the lanes."""

    def emit(context, builder, signature, values):
        return ir.Constant(_FLOATS, [float(lane) for lane in range(LANES)])

    return _lanes(), emit


@intrinsic
@no_type_check
def where(_, condition, chosen, otherwise):
    """Choose lane by lane."""

    def emit(context, builder, signature, values):
        return builder.select(*values)

    return _lanes(_mask, _lanes, _lanes), emit


@intrinsic
@no_type_check
def some(_, condition):
    """Whether any lane is true."""

    def emit(context, builder, signature, values):
        bits = ir.IntType(LANES)
        return builder.icmp_unsigned("!=", builder.bitcast(values[0], bits), bits(0))

    return types.boolean(_mask), emit


@intrinsic
@no_type_check
def total(_, value):
    """Sum of the lanes, always in the same order."""

    def emit(context, builder, signature, values):
        (rest,) = values
        width = LANES // 2
        while width:
            fold = ir.Constant(_INTS, [(lane + width) % LANES for lane in range(LANES)])
            rest = builder.fadd(rest, builder.shuffle_vector(rest, rest, fold))
            width //= 2
        return builder.extract_element(rest, _FIRST)

    return types.float32(_lanes), emit


@intrinsic
@no_type_check
def _times_power_of_two(_, value, shifted):
    """Multiply by 2**n, where the lowest bits of `shifted` hold the integer n."""

    def emit(context, builder, signature, values):
        mantissa, exponent = (builder.bitcast(part, _INTS) for part in values)
        exponent = builder.shl(exponent, ir.Constant(_INTS, [23] * LANES))
        return builder.bitcast(builder.add(mantissa, exponent), _FLOATS)

    return _lanes(_lanes, _lanes), emit


@no_type_check
def _as_lanes(value):
    """Spread a scalar; defined for compiled code below."""


@overload(_as_lanes)
@no_type_check
def _overload_as_lanes(value):
    if isinstance(value, Lanes):
        return lambda value: value
    return lambda value: spread(np.float32(value))


@no_type_check
def _define_operator(python_operator, result, emit_instruction):
    @intrinsic
    def instruction(_, left, right):
        def emit(context, builder, signature, values):
            return emit_instruction(builder, *values)

        return result(_lanes, _lanes), emit

    @overload(python_operator)
    def define(left, right):
        if isinstance(left, Lanes) or isinstance(right, Lanes):
            return lambda left, right: instruction(_as_lanes(left), _as_lanes(right))
        return None


_define_operator(operator.add, _lanes, lambda builder, *values: builder.fadd(*values))
_define_operator(operator.sub, _lanes, lambda builder, *values: builder.fsub(*values))
_define_operator(operator.mul, _lanes, lambda builder, *values: builder.fmul(*values))
_define_operator(operator.truediv, _lanes, lambda builder, *values: builder.fdiv(*values))
_define_operator(operator.ge, _mask, lambda builder, *values: builder.fcmp_ordered(">=", *values))
_define_operator(operator.le, _mask, lambda builder, *values: builder.fcmp_ordered("<=", *values))


@intrinsic
@no_type_check
def _both(_, left, right):
    def emit(context, builder, signature, values):
        return builder.and_(*values)

    return _mask(_mask, _mask), emit


@overload(operator.and_)
@no_type_check
def _overload_and(left, right):
    if isinstance(left, Mask) and isinstance(right, Mask):
        return lambda left, right: _both(left, right)
    return None


# 2**r for |r| <= 1/2 to 32-bit precision: ln(2)**k / k!.
_POWERS = tuple(np.float32(np.log(2.0) ** k / float(np.prod(range(1, k + 1)))) for k in range(7))
_LOG2_E = np.float32(np.log2(np.e))
_LOWEST = np.float32(-80.0)
# Adding 1.5 * 2**23 leaves no bits for a fraction: it rounds, and the integer is in the low bits.
_ROUND = np.float32(1.5 * 2**23)


@compiled
@no_type_check
def exp(value):
    """Exponential of lanes that are not above zero, to 1e-6; e**-80 for what lies below -80."""
    power = where(value >= _LOWEST, value, spread(_LOWEST)) * _LOG2_E
    shifted = power + _ROUND
    r = power - (shifted - _ROUND)
    series = _POWERS[5] + r * _POWERS[6]
    series = _POWERS[3] + r * (_POWERS[4] + r * series)
    series = _POWERS[0] + r * (_POWERS[1] + r * (_POWERS[2] + r * series))
    return _times_power_of_two(series, shifted)
