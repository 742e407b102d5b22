"""Sixteen metrics of one group at once, in SIMD lanes of 16 bits: of 16 sets, or of 16 choices of levels.

This module builds LLVM code, which Numba compiles for any processor; LLVM splits the vectors to fit the
registers. Not every metric fits into 16 bits, but nearly every least one does. A metric that does not fit is
detected.
"""

from __future__ import annotations

from math import isqrt
from typing import NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

LANES = 16
_LARGEST = 2**16 - 1

_I16, _I32, _I64 = ir.IntType(16), ir.IntType(32), ir.IntType(64)
_VECTOR = ir.VectorType(_I16, LANES)


class Narrow(NamedTuple):
    """The range of 16-bit metrics: a metric below ``limit`` is exact; any other becomes ``limit`` or more.

    The absolute sum of errors is clipped to ``reach``, so that alpha x reach^2 = ``limit`` fits. All other
    sums saturate.
    """

    alpha: np.uint16
    reach: np.uint16
    limit: int


NOTHING = Narrow(np.uint16(0), np.uint16(0), 0)


def narrow(alpha: float, errors: np.ndarray, group_size: int) -> Narrow:
    """Return the range of 16-bit metrics for this alpha and these errors.

    It is ``NOTHING`` if alpha is not an integer, or if alpha or a sum of errors does not fit.

    >>> narrow(1, np.array([[127]]), 4).limit, narrow(0.5, np.array([[127]]), 4).limit
    (65025, 0)
    """
    if alpha > _LARGEST or alpha != int(alpha) or group_size * int(np.abs(errors).max()) >= 2**15:
        return NOTHING
    reach = isqrt(_LARGEST // max(int(alpha), 1))
    limit = int(alpha) * reach**2 if alpha else _LARGEST
    return Narrow(np.uint16(alpha), np.uint16(reach), limit)


@intrinsic
def least_in_lanes(typing_context, codes, start, size, errors, alpha, reach, squares):
    """Return the least metric of the group codes[start:start + size], and the first set that has it.

    ``errors`` int16 [codes, sets], contiguous, is level - code; code 0 is the middle row. The number of sets
    is a multiple of ``LANES``. ``squares`` int32 [sets] receives the sum of squares of every set; it may be
    None. ``Narrow`` describes metrics that do not fit.
    """
    signature = types.UniTuple(types.int64, 2)(
        codes, types.int64, types.int64, errors, types.uint16, types.uint16, squares
    )

    def generate(context, builder, signature, arguments):
        def array(number: int):
            return context.make_array(signature.args[number])(context, builder, arguments[number])

        v, table = _Vectors(builder), array(3)
        rows, sets = cgutils.unpack_tuple(builder, table.shape)
        best = _least_of_sets(
            v,
            codes=builder.gep(array(0).data, [arguments[1]]),
            size=arguments[2],
            errors=builder.gep(table.data, [builder.mul(builder.lshr(rows, _I64(1)), sets)]),
            sets=sets,
            alpha=v.splat(arguments[4]),
            reach=v.splat(arguments[5]),
            squares=None if isinstance(squares, types.NoneType) else array(6).data,
        )
        return context.make_tuple(builder, signature.return_type, best)

    return signature, generate


@intrinsic
def least_of_pairs(typing_context, a, b, c, d, alpha, reach):
    """Return the least metric of four weights with two possible errors each, and the index of the choice.

    Each argument holds error 0 in its low 16 bits and error 1 in its high 16 bits. The index is
    8 a + 4 b + 2 c + d, where a letter is the number of that weight's error. A tie returns the least index.
    """
    signature = types.UniTuple(types.int64, 2)(*[types.int32] * 4, types.uint16, types.uint16)

    def generate(context, builder, signature, arguments):
        *pairs, alpha, reach = arguments
        v = _Vectors(builder)
        square = total = v.splat(_I16(0))
        for place, pair in zip((3, 2, 1, 0), pairs, strict=True):
            both = builder.bitcast(pair, ir.VectorType(_I16, 2))
            which = ir.Constant(ir.VectorType(_I32, LANES), [lane >> place & 1 for lane in range(LANES)])
            error = builder.shuffle_vector(both, ir.Constant(both.type, ir.Undefined), which)
            total = builder.add(total, error)
            square = v.saturating_sum(square, builder.mul(error, error))
        metric = v.metric(square, total, v.splat(alpha), v.splat(reach))
        return context.make_tuple(builder, signature.return_type, v.first_of_least(metric, v.count()))

    return signature, generate


def _least_of_sets(
    v: _Vectors,
    codes: ir.Value,
    size: ir.Value,
    errors: ir.Value,
    sets: ir.Value,
    alpha: ir.Value,
    reach: ir.Value,
    squares: ir.Value | None,
) -> list[ir.Value]:
    b, zero = v.builder, v.splat(_I16(0))
    least, index, square, total = (v.variable(start) for start in (v.splat(_I16(-1)), zero, zero, zero))
    with cgutils.for_range_slice(b, _I64(0), sets, _I64(LANES)) as (first, _):
        b.store(zero, square)
        b.store(zero, total)
        with cgutils.for_range(b, size) as loop:
            code = b.sext(b.load(b.gep(codes, [loop.index])), _I64)
            error = v.load(b.gep(errors, [b.add(b.mul(code, sets), first)]))
            b.store(b.add(b.load(total), error), total)
            b.store(v.saturating_sum(b.load(square), b.mul(error, error)), square)
        if squares is not None:
            v.store(b.zext(b.load(square), ir.VectorType(_I32, LANES)), b.gep(squares, [first]))
        metric, before = v.metric(b.load(square), b.load(total), alpha, reach), b.load(least)
        here = b.add(v.splat(b.trunc(first, _I16)), v.count())
        b.store(b.select(b.icmp_unsigned("<", metric, before), here, b.load(index)), index)
        b.store(v.minimum(metric, before), least)
    return v.first_of_least(b.load(least), b.load(index))


class _Vectors:
    """Operations on vectors of 16 lanes that LLVM's builder lacks."""

    def __init__(self, builder: ir.IRBuilder) -> None:
        self.builder = builder

        def instruction(name: str, kind: ir.Type, parameters: int) -> ir.Function:
            function = ir.FunctionType(kind, [_VECTOR] * parameters)
            return cgutils.get_or_insert_function(builder.module, function, f"llvm.{name}.v{LANES}i16")

        self._add = instruction("uadd.sat", _VECTOR, 2)
        self._minimum = instruction("umin", _VECTOR, 2)
        self._least = instruction("vector.reduce.umin", _I16, 1)

    def splat(self, value: ir.Value) -> ir.Value:
        nothing = ir.Constant(_VECTOR, ir.Undefined)
        first = self.builder.insert_element(nothing, value, _I32(0))
        zeros = ir.Constant(ir.VectorType(_I32, LANES), [0] * LANES)
        return self.builder.shuffle_vector(first, nothing, zeros)

    def variable(self, start: ir.Value) -> ir.Value:
        return cgutils.alloca_once_value(self.builder, start)

    def load(self, address: ir.Value) -> ir.Value:
        value = self.builder.load(self.builder.bitcast(address, _VECTOR.as_pointer()))
        value.align = 2
        return value

    def store(self, value: ir.Value, address: ir.Value) -> None:
        self.builder.store(value, self.builder.bitcast(address, value.type.as_pointer())).align = 2

    def magnitude(self, value: ir.Value) -> ir.Value:
        zero = self.splat(_I16(0))
        negative = self.builder.icmp_signed("<", value, zero)
        return self.builder.select(negative, self.builder.sub(zero, value), value)

    def saturating_sum(self, a: ir.Value, b: ir.Value) -> ir.Value:
        return self.builder.call(self._add, [a, b])

    def minimum(self, a: ir.Value, b: ir.Value) -> ir.Value:
        return self.builder.call(self._minimum, [a, b])

    def count(self) -> ir.Value:
        return ir.Constant(_VECTOR, list(range(LANES)))

    def metric(self, square: ir.Value, total: ir.Value, alpha: ir.Value, reach: ir.Value) -> ir.Value:
        bias = self.minimum(self.magnitude(total), reach)
        return self.saturating_sum(square, self.builder.mul(alpha, self.builder.mul(bias, bias)))

    def first_of_least(self, metric: ir.Value, index: ir.Value) -> list[ir.Value]:
        """Return the least metric and the least index that has it, as 64-bit integers."""
        b = self.builder
        least = b.call(self._least, [metric])
        reached = b.icmp_unsigned("==", metric, self.splat(least))
        first = b.call(self._least, [b.select(reached, index, self.splat(_I16(-1)))])
        return [b.zext(value, _I64) for value in (least, first)]
