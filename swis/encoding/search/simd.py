"""Nearest selection for 16 groups at a time, with AVX-512 instructions.

A table of 128 signed errors fits into two vector registers. One instruction (VPERMI2B) looks up 64 magnitudes
in it; VPDPBUSD adds the squares and the errors of four weights. This module builds LLVM code, which Numba
compiles if the processor has the instructions (``AVAILABLE``).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils, config
from numba.core.codegen import get_host_cpu_features
from numba.extending import intrinsic


def _available() -> bool:
    if config.DISABLE_JIT or config.CPU_NAME or config.CPU_FEATURES:
        return False  # Numba compiles for a different processor, or does not compile
    features = get_host_cpu_features().split(",")
    return all(f"+{name}" in features for name in ("avx512bw", "avx512vbmi", "avx512vnni"))


AVAILABLE = _available()

LANES = 16  # groups in a block; each has a 32-bit lane for four weights
TABLE = 128  # entries of an error table, for magnitudes of up to 7 bits
# The least metric and the index of its set must fit into 32 bits (``fits``); for SWIS they do up to these.
LARGEST_ALPHA, LARGEST_GROUP = 32, 64


def fits(errors: np.ndarray, alpha: float, group_size: int) -> bool:
    """Return whether the least metric of any group fits; ``errors`` [sets, magnitudes].

    The set with the smallest largest error e gives an upper bound: alpha (M e)^2 + M e^2.

    >>> fits(np.full((7, 1), -63), alpha=32, group_size=64), fits(np.full((20, 1), -107), 32, 64)
    (True, False)
    """
    least = int(np.abs(errors.astype(np.int64)).max(axis=1).min())
    index_bits = int(len(errors) - 1).bit_length()
    return alpha * (group_size * least) ** 2 + group_size * least**2 < 2 ** (32 - index_bits)


_I8, _I32, _I64 = ir.IntType(8), ir.IntType(32), ir.IntType(64)
_BYTES, _WORDS = ir.VectorType(_I8, 64), ir.VectorType(_I32, LANES)


@intrinsic(prefer_literal=True)
def search_block(
    typing_context, codes, block, slices, errors, sets, alpha, index_bits, magnitudes, out, best, squares
):
    """Write the best set of each of 16 groups to ``best``, and the levels of its weights to ``out``.

    ``codes`` and ``out`` are contiguous int8 arrays. From byte 64 x ``block`` x ``slices`` on they have the
    layout [slices, 16 groups, 4 weights]; short groups are padded with zeros. ``errors`` int8 [sets, 128] is
    level - magnitude. ``best`` int32 [2, 16] receives the least metric and the index of its set; a tie goes
    to the first set. ``squares`` int32 [sets, 16] receives the sum of squares of every set; it may be None.
    ``magnitudes`` int8 [64 x slices] is scratch memory. ``slices`` and ``alpha`` give faster code as
    literals. Metrics are clipped to 2^(32 - index_bits) - 1.
    """
    constant_slices = isinstance(slices, types.IntegerLiteral)
    constant_alpha = isinstance(alpha, types.IntegerLiteral)
    signature = types.void(
        codes,
        types.int64,
        slices if constant_slices else types.int64,
        errors,
        types.int64,
        alpha if constant_alpha else types.int32,
        types.int32,
        magnitudes,
        out,
        best,
        squares,
    )

    def generate(context, builder, signature, arguments):
        def pointer(number: int) -> ir.Value:
            array = context.make_array(signature.args[number])(context, builder, arguments[number])
            return builder.bitcast(array.data, _I8.as_pointer())

        count = ir.Constant(_I64, slices.literal_value) if constant_slices else arguments[2]
        weight = ir.Constant(_I32, alpha.literal_value) if constant_alpha else arguments[5]
        start = builder.mul(builder.mul(arguments[1], count), ir.Constant(_I64, 64))
        _generate(
            _Vectors(builder),
            codes=builder.gep(pointer(0), [start]),
            out=builder.gep(pointer(8), [start]),
            magnitudes=pointer(7),
            errors=pointer(3),
            best=pointer(9),
            squares=None if isinstance(squares, types.NoneType) else pointer(10),
            slices=count,
            sets=arguments[4],
            alpha=weight,
            index_bits=arguments[6],
        )
        return context.get_dummy_value()

    return signature, generate


def _generate(
    v: _Vectors,
    codes: ir.Value,
    out: ir.Value,
    magnitudes: ir.Value,
    errors: ir.Value,
    best: ir.Value,
    squares: ir.Value | None,
    slices: ir.Value,
    sets: ir.Value,
    alpha: ir.Value,
    index_bits: ir.Value,
) -> None:
    b = v.builder
    for_each_slice = _loop(b, slices, 64)
    shift = v.splat(index_bits)
    ceiling = b.lshr(v.words(-1), shift)

    @for_each_slice
    def _(at: ir.Value) -> None:
        v.store(v.magnitude(v.load(codes, at)), magnitudes, at)

    least, square, total = (v.variable(v.words(start)) for start in (-1, 0, 0))

    @_loop(b, sets, TABLE)
    def _(table: ir.Value) -> None:
        low, high = v.load(errors, table), v.load(errors, table, 64)
        b.store(v.words(0), square)
        b.store(v.words(0), total)

        @for_each_slice
        def _(at: ir.Value) -> None:
            error = v.look_up(low, high, v.load(magnitudes, at))
            size = v.magnitude(error)
            b.store(v.dot(b.load(square), size, size), square)
            signed = v.with_sign_of(v.load(codes, at), error)
            b.store(v.dot(b.load(total), v.bytes(1), signed), total)

        bias = b.load(total)
        metric = b.add(b.load(square), b.mul(v.splat(alpha), b.mul(bias, bias)))
        metric = v.minimum(metric, ceiling)
        index = b.udiv(table, ir.Constant(_I64, TABLE))
        key = b.or_(b.shl(metric, shift), v.splat(b.trunc(index, _I32)))  # the index decides ties
        b.store(v.minimum(key, b.load(least)), least)
        if squares is not None:
            v.store(b.load(square), squares, b.mul(index, ir.Constant(_I64, 64)))

    keys = b.load(least)
    index = b.and_(keys, b.not_(b.shl(v.words(-1), shift)))
    v.store(b.lshr(keys, shift), best, ir.Constant(_I64, 0))
    v.store(index, best, ir.Constant(_I64, 64))
    tables = [
        b.mul(b.zext(b.extract_element(index, ir.Constant(_I32, lane)), _I64), ir.Constant(_I64, TABLE))
        for lane in range(LANES)
    ]

    @for_each_slice
    def _(at: ir.Value) -> None:
        magnitude, error = v.load(magnitudes, at), v.bytes(0)
        for lane, table in enumerate(tables):
            found = v.look_up(v.load(errors, table), v.load(errors, table, 64), magnitude)
            mine = ir.Constant(ir.VectorType(ir.IntType(1), 64), [byte // 4 == lane for byte in range(64)])
            error = b.select(mine, found, error)
        v.store(v.with_sign_of(v.load(codes, at), b.add(magnitude, error)), out, at)


def _loop(builder: ir.IRBuilder, count: ir.Value, stride: int) -> Callable[[Callable], None]:
    """Return a decorator that emits a function ``count`` times, with offsets 0, stride, 2 x stride, ..."""

    def emit(body: Callable[[ir.Value], None]) -> None:
        with cgutils.for_range(builder, count) as loop:
            body(builder.mul(loop.index, ir.Constant(_I64, stride)))

    return emit


class _Vectors:
    """Operations on vectors of 64 bytes or 16 words that LLVM's builder lacks."""

    def __init__(self, builder: ir.IRBuilder) -> None:
        self.builder = builder

        def instruction(name: str, kind: ir.Type) -> ir.Function:
            function = ir.FunctionType(kind, [kind] * 3)
            return cgutils.get_or_insert_function(builder.module, function, f"llvm.x86.avx512.{name}.512")

        self._permute = instruction("vpermi2var.qi", _BYTES)
        self._dot = instruction("vpdpbusd", _WORDS)

    def bytes(self, value: int) -> ir.Value:
        return ir.Constant(_BYTES, [value] * 64)

    def words(self, value: int) -> ir.Value:
        return ir.Constant(_WORDS, [value] * LANES)

    def splat(self, word: ir.Value) -> ir.Value:
        nothing = ir.Constant(_WORDS, ir.Undefined)
        first = self.builder.insert_element(nothing, word, ir.Constant(_I32, 0))
        return self.builder.shuffle_vector(first, nothing, self.words(0))

    def variable(self, start: ir.Value) -> ir.Value:
        place = cgutils.alloca_once(self.builder, _WORDS)
        self.builder.store(start, place)
        return place

    def load(self, base: ir.Value, offset: ir.Value, more: int = 0) -> ir.Value:
        value = self.builder.load(self._address(base, offset, more, _BYTES))
        value.align = 1
        return value

    def store(self, value: ir.Value, base: ir.Value, offset: ir.Value) -> None:
        self.builder.store(value, self._address(base, offset, 0, value.type)).align = 1

    def _address(self, base: ir.Value, offset: ir.Value, more: int, kind: ir.Type) -> ir.Value:
        offset = self.builder.add(offset, ir.Constant(_I64, more))
        return self.builder.bitcast(self.builder.gep(base, [offset]), kind.as_pointer())

    def look_up(self, low: ir.Value, high: ir.Value, index: ir.Value) -> ir.Value:
        return self.builder.call(self._permute, [low, index, high])

    def dot(self, total: ir.Value, unsigned: ir.Value, signed: ir.Value) -> ir.Value:
        words = [self.builder.bitcast(value, _WORDS) for value in (unsigned, signed)]
        return self.builder.call(self._dot, [total, *words])

    def with_sign_of(self, sign: ir.Value, value: ir.Value) -> ir.Value:
        negative = self.builder.icmp_signed("<", sign, self.bytes(0))
        return self.builder.select(negative, self.builder.sub(self.bytes(0), value), value)

    def magnitude(self, value: ir.Value) -> ir.Value:
        return self.with_sign_of(value, value)

    def minimum(self, a: ir.Value, b: ir.Value) -> ir.Value:
        return self.builder.select(self.builder.icmp_unsigned("<", a, b), a, b)
