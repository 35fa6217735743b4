"""Short vectors as values inside numba kernels: loads, stores, arithmetic, comparison, on whatever width the processor has.

LLVM vectorises long plain loops well, but keeps nothing in registers from one inner loop to the next and turns short ones into
scalar code. A `Vec` variable is one LLVM vector, so a kernel can hold its sums in registers. Everything stays portable: LLVM
splits a vector that is longer than the registers.
"""

from __future__ import annotations

import operator
from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic, models, overload, register_model


class Vec(types.Type):
    """A vector of `count` integers of `bits` bits (1 bit: the outcome of a comparison)."""

    def __init__(self, bits: int, count: int) -> None:
        self.bits, self.count = bits, count
        super().__init__(name=f"Vec({bits}, {count})")


def _model(manager: Any, vec: Vec) -> Any:
    return models.PrimitiveModel(  # type: ignore[no-untyped-call]
        manager, vec, ir.VectorType(ir.IntType(vec.bits), vec.count)
    )


register_model(Vec)(_model)


def _address(context: Any, builder: Any, array_type: Any, array: Any, offset: Any, vec: Vec) -> Any:
    start = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(start, [offset]), context.get_value_type(vec).as_pointer())


def loader(bits: int, per_word: int) -> Any:
    """`load(array, offset, width)`: the vector that starts at `array[offset]`, whatever the array's own element type.

    `width` is a tuple of n numbers, of which only the length counts: the vector has `per_word` * n elements of `bits` bits. A
    length that is part of the argument's type lets one function compile for several widths and still be cached on disk.
    """

    def load(_typing: Any, array: Any, _offset: Any, width: Any) -> Any:
        vec = Vec(bits, per_word * len(width))

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            value = builder.load(_address(context, builder, signature.args[0], args[0], args[1], vec))
            value.align = 1  # numpy promises 16 bytes at most, LLVM would assume the vector's own size
            return value

        return vec(array, types.uint64, width), generate

    return intrinsic(load)


def caster(name: str, bits: int) -> Any:
    """`cast(vector)` to elements of `bits` bits by LLVM's instruction `name`: zext, sext or trunc."""

    def cast(_typing: Any, vector: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return getattr(builder, name)(args[0], context.get_value_type(signature.return_type))

        return Vec(bits, vector.count)(vector), generate

    return intrinsic(cast)


def _store(_typing: Any, array: Any, _offset: Any, vec: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        instruction = builder.store(args[2], _address(context, builder, signature.args[0], args[0], args[1], vec))
        instruction.align = 1
        return context.get_dummy_value()

    return types.void(array, types.uint64, vec), generate


def _splat(_typing: Any, _x: Any, like: Any) -> Any:
    def generate(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        of = context.get_value_type(like)
        one = builder.insert_element(ir.Constant(of, ir.Undefined), args[0], ir.Constant(ir.IntType(32), 0))
        order = ir.Constant(ir.VectorType(ir.IntType(32), like.count), [0] * like.count)
        return builder.shuffle_vector(one, ir.Constant(of, ir.Undefined), order)

    return like(getattr(types, f"int{like.bits}"), like), generate


def _binary(name: str) -> Any:
    def apply(_typing: Any, a: Any, b: Any) -> Any:
        def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
            return getattr(builder, name)(args[0], args[1])

        return (a(a, b), generate) if isinstance(a, Vec) and a == b else None

    return intrinsic(apply)


def _compare(_typing: Any, a: Any, b: Any) -> Any:
    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.icmp_signed(">", args[0], args[1])

    return Vec(1, a.count)(a, b), generate


def _select(_typing: Any, mask: Any, a: Any, b: Any) -> Any:
    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.select(args[0], args[1], args[2])

    return a(mask, a, b), generate


def _mask_bits(_typing: Any, mask: Any) -> Any:
    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.zext(builder.bitcast(args[0], ir.IntType(mask.count)), ir.IntType(64))

    return types.uint64(mask), generate


def _from_bits(_typing: Any, _word: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], context.get_value_type(signature.return_type))

    return Vec(1, 64)(types.uint64), generate


def _trailing_zeros(_typing: Any, word: Any) -> Any:
    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.uint64(types.uint64), generate


def _ones(_typing: Any, _word: Any) -> Any:
    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.ctpop(args[0])

    return types.int64(types.uint64), generate


def _turn_bytes(_typing: Any, vector: Any) -> Any:
    def generate(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        as_bytes = builder.bitcast(args[0], ir.VectorType(ir.IntType(8), 64))
        order = ir.Constant(ir.VectorType(ir.IntType(32), 64), [8 * (i % 8) + i // 8 for i in range(64)])
        turned = builder.shuffle_vector(as_bytes, as_bytes, order)
        return builder.bitcast(turned, context.get_value_type(vector))

    return (vector(vector), generate) if vector == Vec(64, 8) else None


def _majority(_typing: Any, a: Any, _b: Any, _c: Any) -> Any:
    def generate(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        _, _, features = context.codegen().magic_tuple()
        if a.bits * a.count % 512 or "+avx512f" not in features.split(","):
            x, y, z = args
            return builder.or_(builder.and_(x, y), builder.and_(builder.xor(x, y), z))
        piece = ir.VectorType(ir.IntType(64), 8)
        number = ir.IntType(32)
        name = "llvm.x86.avx512.pternlog.q.512"  # any function of three bits; LLVM finds it by itself for two operations only
        ternary = builder.module.globals.get(name) or ir.Function(
            builder.module, ir.FunctionType(piece, [piece, piece, piece, number]), name
        )
        found = []
        for begin in range(0, a.count, 8):
            here = ir.Constant(ir.VectorType(number, 8), list(range(begin, begin + 8)))
            pieces = [builder.shuffle_vector(x, x, here) for x in args]
            found.append(builder.call(ternary, [*pieces, number(0b11101000)]))
        order = ir.Constant(ir.VectorType(number, a.count), list(range(a.count)))
        return builder.shuffle_vector(found[0], found[-1], order)

    return a(a, a, a), generate


store: Any = intrinsic(_store)  # store(array, offset, vector)
splat: Any = intrinsic(_splat)  # splat(x, vector): a vector like the other one of which every element is x
greater: Any = intrinsic(_compare)  # greater(a, b): where a > b, signed
select: Any = intrinsic(_select)  # select(mask, a, b): a where the mask holds, b elsewhere
majority: Any = intrinsic(_majority)  # majority(a, b, c): the bits that are set in two or three of the vectors
turn_bytes: Any = intrinsic(_turn_bytes)  # turn_bytes(vector): byte i of word j of eight words becomes byte j of word i
mask_bits: Any = intrinsic(_mask_bits)  # mask_bits(mask): bit i is element i of a mask of up to 64, uint64
from_bits: Any = intrinsic(_from_bits)  # from_bits(word): the mask of 64 elements whose bits these are
trailing_zeros: Any = intrinsic(_trailing_zeros)  # trailing_zeros(word): position of the lowest set bit; word must not be 0
ones: Any = intrinsic(_ones)  # ones(word): how many bits are set
shift_right_logical: Any = _binary("lshr")

for _operator, _name in (
    (operator.and_, "and_"),
    (operator.or_, "or_"),
    (operator.xor, "xor"),
    (operator.add, "add"),
    (operator.sub, "sub"),
    (operator.mul, "mul"),
    (operator.lshift, "shl"),
    (operator.rshift, "ashr"),
):

    def _overload(of: Any, name: str) -> None:
        apply = _binary(name)

        def typed(a, b):  # type: ignore[no-untyped-def]  # numba compares this signature with the implementation's
            return (lambda a, b: apply(a, b)) if isinstance(a, Vec) and a == b else None

        overload(of)(typed)

    _overload(_operator, _name)
